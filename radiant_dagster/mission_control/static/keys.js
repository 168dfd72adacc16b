// Keys for people who review all day. None of them decides anything by itself: a, r and m open
// what they name, and the button is still to be pressed.
const help = document.getElementById("help");
const dialog = document.getElementById("keys");
const table = document.getElementById("inbox");
let current = -1;

function rows() {
  return table ? [...table.querySelectorAll("tbody tr")] : [];
}

function move(step) {
  const all = rows();
  if (!all.length) return;
  if (all[current]) all[current].classList.remove("current");
  current = Math.min(Math.max(current + step, 0), all.length - 1);
  all[current].classList.add("current");
  all[current].scrollIntoView({ block: "nearest" });
  all[current].querySelector(".what a").focus({ preventScroll: true });
}

function box() {
  const row = rows()[current];
  return row ? row.querySelector("input[type=checkbox]:not(:disabled)") : null;
}

function claim() {
  const form = document.getElementById("claim");
  if (form && !form.hidden) return form.requestSubmit();
  const wanted = box();
  if (!wanted) return;
  for (const other of table.querySelectorAll("input:checked")) other.checked = false;
  wanted.checked = true;
  document.querySelector("button[name=action][value=claim]").click();
}

function open(id) {
  const details = document.getElementById(id);
  if (!details) return;
  details.open = true;
  const target = details.querySelector("textarea, button");
  if (target) target.focus();
}

const ACTS = {
  j: () => move(1),
  k: () => move(-1),
  o: () => rows()[current] && rows()[current].querySelector(".what a").click(),
  x: () => box() && box().click(),
  c: claim,
  a: () => open("approve"),
  r: () => open("reject"),
  m: () => open("modify"),
  "/": () => document.getElementById("search") && document.getElementById("search").focus(),
  "?": () => dialog && dialog.showModal(),
};

addEventListener("keydown", (event) => {
  const typing = event.target.closest("input:not([type=checkbox]), textarea, select");
  if (event.key === "Escape" && typing) typing.blur();
  if (typing || event.ctrlKey || event.metaKey || event.altKey || (dialog && dialog.open)) return;
  const act = Object.hasOwn(ACTS, event.key) ? ACTS[event.key] : null;
  if (act) {
    event.preventDefault();
    act();
  }
});
if (help && dialog) {
  help.hidden = false;
  help.addEventListener("click", () => dialog.showModal());
}
