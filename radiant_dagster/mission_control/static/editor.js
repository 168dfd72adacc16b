// Shows what an edit changes while it is typed.
import { wordDiff } from "/static/diff.js";

const editor = document.getElementById("edited");
const target = document.getElementById("diff");
const draft = document.getElementById("draft");
const ELEMENTS = { added: "ins", removed: "del" };
let timer = 0;

function source() {
  // Chips show "person 1"; the draft that is edited says "[PERSON_1]".
  return [...draft.childNodes]
    .map((node) => (node.nodeType === Node.TEXT_NODE ? node.data : node.dataset.raw))
    .join("");
}

function show() {
  const pieces = wordDiff(source(), editor.value);
  if (pieces.every((piece) => piece.kind === "same")) {
    const hint = document.createElement("span");
    hint.className = "hint";
    hint.textContent = "Nothing yet";
    target.replaceChildren(hint);
    return;
  }
  target.replaceChildren(
    ...pieces.map((piece) => {
      const element = document.createElement(ELEMENTS[piece.kind] || "span");
      element.textContent = piece.text;
      return element;
    }),
  );
}

if (editor && target && draft) {
  document.getElementById("preview").hidden = true;
  editor.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(show, 120);
  });
  show();
}
