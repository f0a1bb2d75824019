// Word differences of a field before and after cleaning.
const MAX_WORDS = 220; // the table of the comparison has their product; a longer text is compared up to here

export const words = (text) => text.split(/(\s+)/).filter((part) => part.trim()).slice(0, MAX_WORDS);
const same = (a, b) => a.toLowerCase() === b.toLowerCase();

/** Returns [word, isKept] of the stored text and of the cleaned one, by their longest common subsequence. */
export function compare(before, after) {
  const a = words(before);
  const b = words(after);
  const length = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      length[i][j] = same(a[i], b[j]) ? length[i + 1][j + 1] + 1 : Math.max(length[i + 1][j], length[i][j + 1]);
    }
  }
  const left = [];
  const right = [];
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && same(a[i], b[j])) {
      left.push([a[i++], true]);
      right.push([b[j++], true]);
    } else if (j === b.length || (i < a.length && length[i + 1][j] >= length[i][j + 1])) left.push([a[i++], false]);
    else right.push([b[j++], false]);
  }
  return { before: left, after: right, kept: length[0][0] };
}
