// Keeps an open request true: who has it, and, when it ends, what happened. What the reviewer
// typed stays where it is.
const root = document.getElementById("review");
const flip = document.getElementById("flip");
const claimed = document.getElementById("claimed");
const WORDS = { approved: "Approved", rejected: "Rejected", modified: "Changed", expired: "Expired", cancelled: "Cancelled" };
let over = root.dataset.state !== "pending";
let typed = false;

async function post(path) {
  const reply = await fetch(`${root.dataset.url}/${path}`, {
    method: "POST",
    headers: { Accept: "application/json", "X-CSRF-Token": root.dataset.csrf },
  });
  return { ok: reply.ok, found: await reply.json().catch(() => ({})) };
}

function showClaim(name, mine) {
  if (!claimed) return;
  claimed.dataset.mine = mine ? "yes" : "no";
  claimed.textContent = mine ? "You have it." : name ? `${name} has it.` : "Nobody has it.";
  document.getElementById("claim").hidden = mine;
  document.getElementById("release").hidden = !mine;
}

function end(found) {
  over = true;
  const who = found.decided_by.length ? ` by ${found.decided_by.join(", ")}` : "";
  flip.textContent = `${WORDS[found.state] || found.state}${who}. ` +
    (typed ? "What you wrote was not recorded; it is still in the form below." : "Nothing more can be decided here.");
  flip.hidden = false;
  for (const element of document.querySelectorAll("time.countdown")) {
    const word = document.createElement("span");
    word.className = `state ${found.state}`;
    word.textContent = WORDS[found.state] || found.state;
    element.replaceWith(word);
  }
  for (const button of document.querySelectorAll("#decide button, #claim button, #release button")) button.disabled = true;
  for (const text of document.querySelectorAll("#decide textarea")) text.readOnly = true;
  document.title = `${WORDS[found.state] || found.state} · RADIANT`;
  root.dataset.state = found.state;
}

async function look() {
  if (over) return;
  const reply = await fetch(`${root.dataset.url}/state`).catch(() => null);
  if (!reply || !reply.ok) return;
  const found = await reply.json();
  if (found.state !== "pending") return end(found);
  if (claimed && claimed.dataset.mine !== "yes") showClaim(found.claimed_by, false);
  if (String(found.version) !== root.dataset.version) {
    flip.textContent = "A vote, its time or who may decide has changed. Reload to see it; copy what you wrote first.";
    flip.hidden = false;
  }
  const shown = document.querySelector("time.countdown");
  if (shown) shown.dataset.over = "";
}

function bind(id, path, mine) {
  const form = document.getElementById(id);
  if (!form) return;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const { ok, found } = await post(path);
    if (ok) return showClaim(found.claimed_by, mine);
    claimed.textContent = found.detail || "That did not work. Reload the page.";
  });
}

bind("claim", "claim", true);
bind("release", "release", false);
document.addEventListener("input", () => (typed = true));
document.addEventListener("zero", look);
setInterval(look, 5000);
setInterval(async () => {
  if (over || !claimed || claimed.dataset.mine !== "yes" || document.hidden) return;
  const { ok, found } = await post("claim");
  if (!ok) showClaim(found.claimed_by, false);
}, 60000);
for (const form of document.querySelectorAll("form[data-guard]")) form.addEventListener("submit", () => (typed = false));
addEventListener("beforeunload", (event) => {
  if (typed && !over) event.preventDefault();
});
