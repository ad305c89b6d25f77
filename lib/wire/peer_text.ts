/**
 * Checks of texts in what another side wrote, and which are printed.
 *
 * @module
 */

/** Longest text, in characters. */
const MAX_LENGTH = 512;

/** Controls, invisible characters, and what some readers of logs take for the end of a line. */
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]/gu;

/**
 * Tells printable text of at most 512 characters: what is printed must not reach a terminal as a control sequence.
 *
 * @param value Any value
 */
export function isPrintable(value: unknown): value is string {
  return typeof value === "string" && value.length <= MAX_LENGTH && value.search(UNPRINTABLE) === -1;
}

/**
 * Leaves out what a terminal would take as a command, and cuts to 512 characters.
 *
 * @param text Any text
 * @returns Text that {@link isPrintable} takes
 */
export function toPrintable(text: string): string {
  return text.toWellFormed().replaceAll(UNPRINTABLE, "").slice(0, MAX_LENGTH).toWellFormed();
}

/**
 * Tells text that matches.
 *
 * @param value Any value
 * @param pattern Expression without the flags `g` and `y`
 */
export function isMatch(value: unknown, pattern: RegExp): value is string {
  return typeof value === "string" && pattern.test(value);
}
