/**
 * Writes DER, and the indefinite lengths of BER where KMS sends them.
 *
 * @module
 */

/** Encoded bytes with a buffer of their own. */
export type Bytes = Uint8Array<ArrayBuffer>;

/** Joins byte strings. */
export function concat(...parts: readonly Uint8Array[]): Bytes {
  const joined = new Uint8Array(parts.reduce((total, { length }) => total + length, 0));
  let offset = 0;
  for (const part of parts) {
    joined.set(part, offset);
    offset += part.length;
  }
  return joined;
}

/** Makes an element with a definite length. */
export function element(tag: number, ...contents: readonly Uint8Array[]): Bytes {
  const body = concat(...contents);
  return concat(Uint8Array.of(tag, ...lengthBytes(body.length)), body);
}

/** Makes a constructed element with an indefinite length: BER only. */
export function indefinite(tag: number, ...contents: readonly Uint8Array[]): Bytes {
  return concat(Uint8Array.of(tag, 0x80), ...contents, Uint8Array.of(0, 0));
}

/** Makes a SEQUENCE. */
export function sequence(...contents: readonly Uint8Array[]): Bytes {
  return element(0x30, ...contents);
}

/** Makes a SET of one element. */
export function set(content: Uint8Array): Bytes {
  return element(0x31, content);
}

/** Makes an INTEGER from an unsigned big-endian number or a small one. */
export function integer(value: Uint8Array | number): Bytes {
  const bytes = typeof value === "number" ? Uint8Array.of(value) : value;
  const start = bytes.findIndex((byte) => byte !== 0);
  const digits = start < 0 ? Uint8Array.of(0) : bytes.subarray(start);
  const sign = (digits[0] ?? 0) >= 0x80 ? Uint8Array.of(0) : new Uint8Array();
  return element(0x02, sign, digits);
}

/** BOOLEAN true. */
export const TRUE: Bytes = Uint8Array.of(0x01, 0x01, 0xff);

/** NULL. */
export const NULL: Bytes = Uint8Array.of(0x05, 0x00);

/** Makes an OCTET STRING. */
export function octetString(...contents: readonly Uint8Array[]): Bytes {
  return element(0x04, ...contents);
}

/** Makes a BIT STRING of whole bytes. */
export function bitString(bytes: Uint8Array): Bytes {
  return element(0x03, Uint8Array.of(0), bytes);
}

/** Makes a UTF8String. */
export function utf8String(text: string): Bytes {
  return element(0x0c, new TextEncoder().encode(text));
}

/** Makes a PrintableString. */
export function printableString(text: string): Bytes {
  return element(0x13, new TextEncoder().encode(text));
}

/** Makes an OBJECT IDENTIFIER from its dotted form. */
export function oid(dotted: string): Bytes {
  const [first = 0, second = 0, ...arcs] = dotted.split(".").map(Number);
  return element(0x06, Uint8Array.from([first * 40 + second, ...arcs].flatMap(base128)));
}

/** Makes a UTCTime before 2050 and a GeneralizedTime from then on, as X.509 requires. */
export function time(milliseconds: number): Bytes {
  const digits = new Date(milliseconds).toISOString().replace(/\.\d{3}|[-:T]/g, "");
  const short = digits < "2050";
  return element(short ? 0x17 : 0x18, new TextEncoder().encode(short ? digits.slice(2) : digits));
}

function lengthBytes(length: number): number[] {
  if (length < 0x80) return [length];
  if (length < 0x100) return [0x81, length];
  if (length < 0x10000) return [0x82, length >> 8, length & 0xff];
  return [0x83, length >> 16, (length >> 8) & 0xff, length & 0xff];
}

function base128(arc: number): number[] {
  const digits = [arc & 0x7f];
  for (let rest = Math.floor(arc / 128); rest > 0; rest = Math.floor(rest / 128)) {
    digits.unshift((rest & 0x7f) | 0x80);
  }
  return digits;
}
