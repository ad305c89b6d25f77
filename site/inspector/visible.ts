import { toHex } from "../../lib/core/bytes.ts";

/** Longest text that somebody else wrote, as it is shown, in UTF-16 units. */
const MAX_SHOWN = 1024;

/**
 * Makes a text that somebody else wrote fit to be shown: what steers the direction or is not to be seen is replaced.
 *
 * @param text Any
 * @returns At most 1025 UTF-16 units
 */
export function visible(text: string): string {
  const shown = text.length <= MAX_SHOWN ? text : `${text.slice(0, MAX_SHOWN)}…`;
  return shown.replaceAll(/[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\u2028\u2029]/gu, "\ufffd");
}

/**
 * Shows bytes as hex, and as text where they are printable UTF-8.
 *
 * @param bytes Any; undefined when the field is absent
 */
export function showBytes(bytes: Uint8Array | undefined): string {
  if (bytes === undefined) return "none";
  if (bytes.length === 0) return "empty";
  const text = printableOf(bytes);
  const size = `${bytes.length} ${bytes.length === 1 ? "byte" : "bytes"}`;
  return `${toHex(bytes)} (${size}${text === undefined ? "" : `; as text: ${JSON.stringify(text)}`})`;
}

/** Decodes what is printable UTF-8, whole; undefined when it is not. */
function printableOf(bytes: Uint8Array): string | undefined {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return visible(text) === text ? text : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Writes a file's name as one word of a shell's command.
 *
 * @param name Name that somebody else chose
 * @param otherwise Name for what was pasted, or has a name that no command should have
 */
export function shellWord(name: string, otherwise: string): string {
  if (name === "" || visible(name) !== name) return otherwise;
  const path = name.startsWith("-") ? `./${name}` : name;
  return /^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}
