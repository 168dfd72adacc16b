// Counts down by the server's clock: the page says what time it was there when it was made, and
// the browser only adds how long ago that is.
const loaded = performance.now();

export function secondsLeft(element) {
  const now = Number(element.dataset.now) + performance.now() - loaded;
  return Math.max((Number(element.dataset.deadline) - now) / 1000, 0);
}

export function share(element) {
  const whole = (Number(element.dataset.deadline) - Number(element.dataset.created)) / 1000;
  return whole > 0 ? secondsLeft(element) / whole : 0;
}

export function inWords(seconds) {
  const whole = Math.floor(seconds);
  const days = Math.floor(whole / 86400);
  const hours = Math.floor(whole / 3600) % 24;
  const minutes = Math.floor(whole / 60) % 60;
  const two = (number) => String(number).padStart(2, "0");
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${two(minutes)} min`;
  if (minutes) return `${minutes} min ${two(whole % 60)} s`;
  return `${whole} s`;
}

function tick() {
  for (const element of document.querySelectorAll("time.countdown")) {
    const left = share(element);
    element.textContent = inWords(secondsLeft(element));
    element.classList.toggle("calm", left > 0.5);
    element.classList.toggle("soon", left <= 0.5 && left >= 0.2);
    element.classList.toggle("urgent", left < 0.2);
    if (secondsLeft(element) === 0 && !element.dataset.over) {
      element.dataset.over = "yes";
      element.dispatchEvent(new CustomEvent("zero", { bubbles: true }));
    }
  }
}

tick();
setInterval(tick, 1000);
