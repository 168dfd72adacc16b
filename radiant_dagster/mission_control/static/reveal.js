// Shows an original for two minutes without losing what the reviewer typed, and takes it away when
// the time is over or the page is left. Nothing of it is kept.
const root = document.getElementById("review");
const panel = document.getElementById("originals");
const form = document.getElementById("reveal");
const problem = document.getElementById("reveal-problem");
let timer = 0;

function hide() {
  clearTimeout(timer);
  panel.hidden = true;
  while (panel.children.length > 1) panel.lastElementChild.remove();
}

function add(tag, text, className) {
  const element = document.createElement(tag);
  element.textContent = text;
  if (className) element.className = className;
  panel.append(element);
}

function show(found) {
  hide();
  add("p", "That you looked is recorded. This disappears after two minutes or when you leave.", "hint");
  add("h3", "Question");
  add("div", found.prompt, "text");
  if (found.draft) {
    add("h3", "Draft answer");
    add("div", found.draft, "text");
  }
  for (const [agent, answer] of Object.entries(found.answers)) {
    add("h3", agent);
    add("div", answer, "text");
  }
  panel.hidden = false;
  panel.scrollIntoView({ block: "start" });
  timer = setTimeout(hide, found.seconds * 1000);
}

if (form) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const reply = await fetch(`${root.dataset.url}/reveal`, {
      method: "POST",
      headers: { Accept: "application/json" },
      body: new URLSearchParams(new FormData(form)),
    });
    const found = await reply.json().catch(() => ({}));
    problem.hidden = reply.ok;
    problem.textContent = reply.ok ? "" : found.detail || "That did not work. Reload the page.";
    if (!reply.ok) return;
    form.elements.reason.value = "";
    show(found);
  });
}
if (panel.dataset.seconds) timer = setTimeout(hide, Number(panel.dataset.seconds) * 1000);
addEventListener("pagehide", hide);
