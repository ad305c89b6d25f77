/**
 * Escapes all but ASCII in JSON, as JSON allows it: a reader sees the same text, and a terminal no control sequence.
 *
 * @param json Text in JSON
 */
export function asciiOnly(json: string): string {
  return json.replace(
    /[\x7f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
