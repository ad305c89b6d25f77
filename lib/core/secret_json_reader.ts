/** Value in JSON that was read: strings of the secret names are bytes. */
export type SecretJsonValue = string | number | boolean | null | Uint8Array | SecretJsonObject;

/** Object in JSON that was read, without a prototype. */
export interface SecretJsonObject {
  readonly [name: string]: SecretJsonValue;
}

/** Deepest nesting of objects. */
const MAX_DEPTH = 4;

const [QUOTE, BACKSLASH, COLON, COMMA] = [0x22, 0x5c, 0x3a, 0x2c];
const [OPEN, CLOSE] = [0x7b, 0x7d];

/** Characters that a backslash escapes, and what they stand for; `u` is read apart. */
const ESCAPES: ReadonlyMap<number, number> = new Map([
  ...[0x22, 0x5c, 0x2f].map((byte) => [byte, byte] as const),
  ...Array.from("bfnrt", (letter, index) => [letter.charCodeAt(0), [8, 12, 10, 13, 9][index] ?? 0] as const),
]);

/**
 * Reads a JSON object whose secrets never become JavaScript strings, which cannot be wiped. The strings under the secret
 * names come as bytes that lie in the input: escapes are resolved there, so the input is changed, and whoever wipes it
 * wipes them.
 *
 * An allow-list: objects, at most 4 deep, of strings, numbers, booleans and null. Refused are arrays, a name that comes
 * twice, a secret that is not ASCII, and invalid UTF-8.
 *
 * @param bytes JSON in UTF-8, without a byte order mark
 * @param secretNames Names of the fields that hold secrets, at any depth
 * @returns The object; undefined when the bytes are anything else
 */
export function readSecretJson(
  bytes: Uint8Array,
  secretNames: readonly string[],
): SecretJsonObject | undefined {
  const reader = new SecretJsonReader(bytes, secretNames);
  try {
    return reader.readAll();
  } catch (error) {
    if (error === REFUSED) return undefined;
    throw error;
  }
}

/** Thrown by the reader: it says nothing, as it could quote a secret. */
const REFUSED = new Error("Cannot read JSON");

class SecretJsonReader {
  readonly #bytes: Uint8Array;
  readonly #secretNames: readonly string[];
  #at = 0;

  constructor(bytes: Uint8Array, secretNames: readonly string[]) {
    this.#bytes = bytes;
    this.#secretNames = secretNames;
  }

  readAll(): SecretJsonObject {
    this.#skipBlanks();
    const object = this.#readObject(1);
    this.#skipBlanks();
    if (this.#at < this.#bytes.length) throw REFUSED;
    return object;
  }

  #readObject(depth: number): SecretJsonObject {
    const object: Record<string, SecretJsonValue> & { __proto__: null } = { __proto__: null };
    if (depth > MAX_DEPTH) throw REFUSED;
    this.#take(OPEN);
    this.#skipBlanks();
    while (this.#bytes[this.#at] !== CLOSE) {
      const name = this.#readText();
      if (Object.hasOwn(object, name)) throw REFUSED;
      this.#skipBlanks();
      this.#take(COLON);
      this.#skipBlanks();
      // Not an assignment: `__proto__` is a name like any other.
      Object.defineProperty(object, name, { value: this.#readValue(name, depth), enumerable: true });
      this.#skipBlanks();
      if (this.#bytes[this.#at] === CLOSE) break;
      this.#take(COMMA);
      this.#skipBlanks();
      if (this.#bytes[this.#at] === CLOSE) throw REFUSED;
    }
    this.#take(CLOSE);
    return object;
  }

  #readValue(name: string, depth: number): SecretJsonValue {
    const first = this.#bytes[this.#at];
    if (first === OPEN) return this.#readObject(depth + 1);
    if (first === QUOTE) return this.#secretNames.includes(name) ? this.#readSecret() : this.#readText();
    const start = this.#at;
    while (isScalarByte(this.#bytes[this.#at])) this.#at++;
    const value = parse(this.#bytes.subarray(start, this.#at));
    return value as number | boolean | null;
  }

  #readText(): string {
    const start = this.#at;
    this.#take(QUOTE);
    for (let byte = this.#bytes[this.#at]; byte !== QUOTE; byte = this.#bytes[this.#at]) {
      if (byte === undefined) throw REFUSED;
      this.#at += byte === BACKSLASH ? 2 : 1;
    }
    this.#take(QUOTE);
    return parse(this.#bytes.subarray(start, this.#at)) as string;
  }

  #readSecret(): Uint8Array {
    this.#take(QUOTE);
    const start = this.#at;
    let end = start;
    for (let byte = this.#bytes[this.#at]; byte !== QUOTE; byte = this.#bytes[this.#at]) {
      if (byte === undefined || byte < 0x20 || byte > 0x7e) throw REFUSED;
      this.#at++;
      this.#bytes[end++] = byte === BACKSLASH ? this.#readEscape() : byte;
    }
    this.#take(QUOTE);
    return this.#bytes.subarray(start, end);
  }

  #readEscape(): number {
    const letter = this.#bytes[this.#at++] ?? 0;
    if (letter !== 0x75) return ESCAPES.get(letter) ?? refuse();
    let code = 0;
    for (const end = this.#at + 4; this.#at < end; this.#at++) {
      const digit = hexDigit(this.#bytes[this.#at] ?? 0);
      code = code << 4 | digit;
    }
    return code < 0x80 ? code : refuse();
  }

  #take(byte: number): void {
    if (this.#bytes[this.#at] !== byte) throw REFUSED;
    this.#at++;
  }

  #skipBlanks(): void {
    while (isBlank(this.#bytes[this.#at])) this.#at++;
  }
}

function refuse(): never {
  throw REFUSED;
}

function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch {
    throw REFUSED;
  }
}

function isBlank(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d;
}

/** Tells whether a byte may stand in a number, or in `true`, `false` and `null`. */
function isScalarByte(byte = 0): boolean {
  const isDigit = byte >= 0x30 && byte <= 0x39;
  const isLetter = byte >= 0x61 && byte <= 0x7a || byte === 0x45;
  return isDigit || isLetter || byte === 0x2b || byte === 0x2d || byte === 0x2e;
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : refuse();
}
