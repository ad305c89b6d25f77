/** Most edits that make a mistyped word; for short words, one in three letters. */
const MAX_EDITS = 3;

/**
 * Finds what a mistyped name was most likely meant to be. Upper and lower case, `-` and `_` are the same.
 *
 * @param word Name that was given
 * @param known Known names
 * @returns The nearest name that is near enough, and the first of several; undefined when there is none
 */
export function didYouMean(word: string, known: readonly string[]): string | undefined {
  // A long word is no slip of the keyboard, and the time grows with its length.
  if (word.length > 100) return undefined;
  const wanted = normalise(word);
  let best: string | undefined;
  let fewest = Math.min(MAX_EDITS, Math.floor(wanted.length / 3)) + 1;
  for (const name of known) {
    const edits = countEdits(wanted, normalise(name));
    if (edits >= fewest) continue;
    best = name;
    fewest = edits;
  }
  return best;
}

function normalise(name: string): string {
  return name.toLowerCase().replaceAll(/[-_]/g, "");
}

/** Counts the letters to insert, remove, replace or swap with their neighbour (optimal string alignment). */
function countEdits(left: string, right: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let i = 1; i <= left.length; i++) {
    const row = [i];
    for (let j = 1; j <= right.length; j++) {
      const replaced = last[j - 1]! + (left[i - 1] === right[j - 1] ? 0 : 1);
      row[j] = Math.min(replaced, last[j]! + 1, row[j - 1]! + 1);
      const isSwapped = i > 1 && j > 1 && left[i - 1] === right[j - 2] && left[i - 2] === right[j - 1];
      if (isSwapped) row[j] = Math.min(row[j]!, beforeLast[j - 2]! + 1);
    }
    beforeLast = last;
    last = row;
  }
  return last[right.length]!;
}
