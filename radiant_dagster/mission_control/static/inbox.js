// Keeps the inbox current: who claimed what, what is no longer here, and how many came.
const table = document.getElementById("inbox");
const news = document.getElementById("news");
const waiting = document.getElementById("waiting");
const acts = document.getElementById("bulk-acts");
const picked = document.getElementById("picked");
const query = new URLSearchParams(location.search);
const known = new Set(rows().map((row) => row.dataset.id));
const firstPage = !query.has("cursor");

function rows() {
  return table ? [...table.querySelectorAll("tbody tr")] : [];
}

function show(found) {
  const current = new Map(found.approvals.map((item) => [item.id, item]));
  let gone = 0;
  for (const row of rows()) {
    const item = current.get(row.dataset.id);
    const box = row.querySelector("input[type=checkbox]");
    if (item) row.querySelector(".claimed").textContent = item.claimed_by || "–";
    // A later page of a long list may lie beyond what is watched; then nothing is known of it.
    if (item || !firstPage || found.approvals.length >= 200) continue;
    gone += 1;
    row.classList.add("gone");
    if (box) {
      box.checked = false;
      box.disabled = true;
    }
  }
  const fresh = found.approvals.filter((item) => !known.has(item.id));
  if (waiting && !query.get("q") && !query.get("domain") && (query.get("whose") || "everyone") === "everyone" && found.approvals.length < 200) {
    waiting.textContent = String(found.approvals.length || "");
  }
  const parts = [];
  if (fresh.length && firstPage) parts.push(`${fresh.length} new`);
  if (gone) parts.push(`${gone} no longer here`);
  news.hidden = parts.length === 0;
  news.textContent = parts.length ? `${parts.join(", ")}. Refresh to see the list as it is.` : "";
  count();
  document.dispatchEvent(new CustomEvent("inbox", { detail: { found, fresh } }));
}

function count() {
  const number = rows().filter((row) => row.querySelector("input:checked")).length;
  if (picked) picked.textContent = number ? `(${number})` : "";
  if (acts) acts.hidden = number === 0;
}

if ((query.get("view") || "waiting") === "waiting") {
  query.delete("cursor");
  const stream = new EventSource(`/approvals/live?${query}`);
  stream.addEventListener("inbox", (event) => show(JSON.parse(event.data)));
  addEventListener("pagehide", () => stream.close());
}
if (table) table.addEventListener("change", count);
count();
