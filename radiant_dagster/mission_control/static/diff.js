// Myers' O(ND) difference over words, bounded like domain/word_diff.py: beyond MAX_EDITS the middle
// is shown as replaced.
const MAX_EDITS = 800;

export function words(text) {
  return text.match(/\s+|[\p{L}\p{N}_]+|[^\s\p{L}\p{N}_]/gu) || [];
}

function isInsertion(reach, diagonal, edits, zero) {
  if (diagonal === -edits || diagonal === edits) return diagonal === -edits;
  return reach[zero + diagonal - 1] < reach[zero + diagonal + 1];
}

function middle(before, after) {
  const most = Math.min(before.length + after.length, MAX_EDITS);
  const zero = most + 1;
  const reach = new Int32Array(2 * most + 3);
  const trace = [];
  const replaced = () => [...before.map((word) => ["removed", word]), ...after.map((word) => ["added", word])];
  if (!before.length || !after.length) return replaced();
  let found = false;
  for (let edits = 0; edits <= most && !found; edits += 1) {
    trace.push(reach.slice(zero - edits - 1, zero + edits + 2));
    for (let diagonal = -edits; diagonal <= edits && !found; diagonal += 2) {
      let x = isInsertion(reach, diagonal, edits, zero) ? reach[zero + diagonal + 1] : reach[zero + diagonal - 1] + 1;
      while (x < before.length && x - diagonal < after.length && before[x] === after[x - diagonal]) x += 1;
      reach[zero + diagonal] = x;
      found = x >= before.length && x - diagonal >= after.length;
    }
  }
  if (!found) return replaced();
  const result = [];
  let x = before.length;
  let y = after.length;
  for (let edits = trace.length - 1; edits >= 0; edits -= 1) {
    const past = trace[edits];
    const diagonal = x - y;
    const inserted = isInsertion(past, diagonal, edits, edits + 1);
    const previous = inserted ? diagonal + 1 : diagonal - 1;
    const fromX = edits ? past[edits + 1 + previous] : 0;
    const fromY = edits ? fromX - previous : 0;
    while (x > fromX && y > fromY) {
      x -= 1;
      y -= 1;
      result.push(["same", before[x]]);
    }
    if (edits) result.push(inserted ? ["added", after[fromY]] : ["removed", before[fromX]]);
    x = fromX;
    y = fromY;
  }
  return result.reverse();
}

export function wordDiff(old, fresh) {
  const before = words(old);
  const after = words(fresh);
  let start = 0;
  while (start < before.length && start < after.length && before[start] === after[start]) start += 1;
  let end = 0;
  const room = Math.min(before.length, after.length) - start;
  while (end < room && before[before.length - 1 - end] === after[after.length - 1 - end]) end += 1;
  const pieces = [];
  const add = (kind, word) => {
    const last = pieces[pieces.length - 1];
    if (last && last.kind === kind) last.text += word;
    else pieces.push({ kind, text: word });
  };
  for (const word of before.slice(0, start)) add("same", word);
  const changed = middle(before.slice(start, before.length - end), after.slice(start, after.length - end));
  for (const [kind, word] of changed) add(kind, word);
  for (const word of before.slice(before.length - end)) add("same", word);
  return pieces;
}
