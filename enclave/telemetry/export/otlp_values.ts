import { asciiOnly } from "../ascii_only.ts";

/** Printable ASCII that JSON escapes nothing of. */
const PLAIN = /^[ !#-[\]-~]*$/;

/**
 * Writes a text as a JSON string in ASCII.
 *
 * @param text Any text
 */
export function quote(text: string): string {
  return PLAIN.test(text) ? `"${text}"` : asciiOnly(JSON.stringify(text));
}

/**
 * Writes a value of OTLP. Integers are decimal strings, as in the JSON form of protocol buffers.
 *
 * @param value Text, number, truth, or a list of them; anything else becomes its text
 */
export function valueOf(value: unknown): string {
  if (Array.isArray(value)) return `{"arrayValue":{"values":[${value.map(valueOf).join()}]}}`;
  if (typeof value === "boolean") return `{"boolValue":${value}}`;
  if (typeof value !== "number") return `{"stringValue":${quote(String(value))}}`;
  return Number.isSafeInteger(value) ? `{"intValue":"${value}"}` : `{"doubleValue":${value}}`;
}

/**
 * Writes attributes of OTLP.
 *
 * @param values Values by keys, which are printable ASCII without quotes
 * @returns A JSON array
 */
export function attributesOf(values: Readonly<Record<string, string>>): string {
  return `[${
    Object.entries(values).map(([key, value]) => `{"key":"${key}","value":${valueOf(value)}}`).join()
  }]`;
}

/**
 * Writes a time in nanoseconds since 1970, to the microsecond, as a JSON string.
 *
 * @param ms Milliseconds since 1970
 */
export function nanos(ms: number): string {
  return `"${Math.round(ms * 1000)}000"`;
}
