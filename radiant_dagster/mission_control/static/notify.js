// Browser notifications, for who asks for them: the domain and the time left, never a text.
import { inWords } from "/static/countdown.js";

const button = document.getElementById("notify");
const CHOICE = "radiant-notify";
const told = new Set();
let first = true;

function on() {
  return "Notification" in window && Notification.permission === "granted" && localStorage.getItem(CHOICE) === "on";
}

function label() {
  button.textContent = on() ? "Notifications on" : "Notify me";
  button.setAttribute("aria-pressed", String(on()));
}

function tell(item, key, words, left) {
  if (told.has(key)) return;
  told.add(key);
  if (first || !on()) return;
  const note = new Notification(words, { body: `${item.domain}, ${inWords(left)} left`, tag: key });
  note.addEventListener("click", () => {
    window.focus();
    location.assign(`/approvals/${item.id}`);
  });
}

if ("Notification" in window && Notification.permission !== "denied") {
  button.hidden = false;
  label();
  button.addEventListener("click", async () => {
    const allowed = on() ? "denied" : await Notification.requestPermission();
    localStorage.setItem(CHOICE, allowed === "granted" ? "on" : "off");
    label();
  });
}

let latest = null;
let heard = 0;

function look() {
  if (!latest) return;
  // Between two messages the server's clock has gone on as ours has.
  const now = Date.parse(latest.server_now) + performance.now() - heard;
  for (const item of latest.approvals) {
    const whole = Date.parse(item.deadline) - Date.parse(item.created_at);
    const left = Math.max(Date.parse(item.deadline) - now, 0);
    tell(item, `new:${item.id}`, "An approval waits", left / 1000);
    if (left < 0.2 * whole) tell(item, `late:${item.id}`, "Little time is left", left / 1000);
  }
  first = false;
}

document.addEventListener("inbox", (event) => {
  latest = event.detail.found;
  heard = performance.now();
  look();
});
setInterval(look, 10000);
