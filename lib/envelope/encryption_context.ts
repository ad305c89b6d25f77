import { Buffer } from "node:buffer";
import { checkEncryptionContext, contextExcess } from "../kms/operations/request_fields.ts";
import { EnvelopeError } from "./envelope_error.ts";

/** Names and values that are authenticated with a message, and readable in it. Not for secrets. */
export type EncryptionContext = Readonly<Record<string, string>>;

const NO_PAIRS: EncryptionContext = Object.freeze({});
const NO_BYTES = new Uint8Array(0);
const RESERVED_PREFIX = "aws-crypto-";

/**
 * Checks the context of a message.
 *
 * @param value Value that the caller gave
 * @param added Pairs that the format adds to it. Default: none
 * @returns A frozen copy, empty for none, without the added pairs
 * @throws {TypeError} When it is no object of strings, or has a name that the format keeps for itself
 * @throws {RangeError} When it is longer than KMS takes
 */
export function checkMessageContext(
  value: unknown,
  added: readonly (readonly [name: string, value: string])[] = [],
): EncryptionContext {
  const context: EncryptionContext = checkEncryptionContext(value) ?? NO_PAIRS;
  if (context === NO_PAIRS && added.length === 0) return context;
  if (Object.keys(context).some((name) => name.startsWith(RESERVED_PREFIX))) {
    throw new TypeError(`encryptionContext must not have names that begin with ${RESERVED_PREFIX}`);
  }
  const excess = contextExcess([...Object.entries(context), ...added]);
  if (excess === undefined) return context;
  throw new RangeError(`encryptionContext must have, with what the format adds, ${excess}`);
}

/**
 * Checks a context that a message is compared with. An empty one is refused, since any message would pass.
 *
 * @param field Name of the option
 * @param value Value that the caller gave
 * @returns A frozen copy; empty only when none was given
 * @throws {TypeError} When it has no pair, or as {@link checkMessageContext}
 * @throws {RangeError} As {@link checkMessageContext}
 */
export function checkExpectedContext(field: string, value: unknown): EncryptionContext {
  const context = checkMessageContext(value);
  if (value === undefined || Object.keys(context).length > 0) return context;
  throw new TypeError(`${field} must have at least one pair: leave it out to accept any message`);
}

/**
 * Encodes a context.
 *
 * @param context A checked context
 * @returns The key value pairs, sorted by the UTF-8 bytes of their names; nothing for an empty one
 */
export function encodeContext(context: EncryptionContext): Uint8Array {
  if (context === NO_PAIRS) return NO_BYTES;
  const pairs = Object.entries(context).map(([name, value]) =>
    [Buffer.from(name), Buffer.from(value)] as const
  );
  if (pairs.length === 0) return NO_BYTES;
  pairs.sort(([left], [right]) => Buffer.compare(left, right));
  const fields = pairs.flat().flatMap((text) => [uint16(text.length), text]);
  return Buffer.concat([uint16(pairs.length), ...fields]);
}

/**
 * Decodes a context.
 *
 * @param bytes Bytes of {@link encodeContext}; any order is accepted, because not all of AWS's implementations sort
 *   alike
 * @returns The context
 * @throws {EnvelopeError} `FORMAT`; `LIMIT` when KMS would not take it
 */
export function decodeContext(bytes: Uint8Array): EncryptionContext {
  if (bytes.length === 0) return NO_PAIRS;
  const reader = new FieldReader(bytes);
  const count = reader.uint16();
  const entries: [string, string][] = [];
  for (let index = 0; index < count; index++) entries.push([reader.text(), reader.text()]);
  const context = Object.freeze(Object.fromEntries(entries));
  if (count === 0 || !reader.done || Object.keys(context).length !== count) throw malformed();
  expectWithinLimits(entries);
  return context;
}

function expectWithinLimits(entries: readonly (readonly [name: string, value: string])[]): void {
  const excess = contextExcess(entries);
  if (excess === undefined) return;
  throw new EnvelopeError(
    "LIMIT",
    "Cannot decrypt message: its encryption context exceeds KMS's limit",
    {
      hint: `It must have ${excess}: was the message made by another tool, or damaged?`,
    },
  );
}

/**
 * Adds the pairs that the writer of a message left out.
 *
 * @param stored Pairs of the message
 * @param unstored Pairs that the reader knows; those that the message has as well must be the same
 * @returns All pairs, and those that the message does not have
 * @throws {EnvelopeError} `CONTEXT`; `LIMIT` when KMS would not take as many
 */
export function completeContext(
  stored: EncryptionContext,
  unstored: EncryptionContext,
): { readonly all: EncryptionContext; readonly leftOut: EncryptionContext } {
  if (unstored === NO_PAIRS) return { all: stored, leftOut: NO_PAIRS };
  const [known, leftOut] = [true, false].map((isStored) =>
    Object.fromEntries(Object.entries(unstored).filter(([name]) => Object.hasOwn(stored, name) === isStored))
  ) as [EncryptionContext, EncryptionContext];
  expectContext(stored, known);
  const all = Object.freeze({ ...stored, ...leftOut });
  expectWithinLimits(Object.entries(all));
  return { all, leftOut };
}

/**
 * Checks that a message has the expected pairs.
 *
 * @param actual Pairs of the message
 * @param expected Pairs that it must have; it may have more
 * @throws {EnvelopeError} `CONTEXT`
 */
export function expectContext(actual: EncryptionContext, expected: EncryptionContext): void {
  const wrong = Object.keys(expected).find((name) =>
    !Object.hasOwn(actual, name) || actual[name] !== expected[name]
  );
  if (wrong === undefined) return;
  throw new EnvelopeError("CONTEXT", "Cannot decrypt message: it has another encryption context", {
    hint: "Is it another tenant's, or was it encrypted without the pairs that are expected here?",
  });
}

class FieldReader {
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get done(): boolean {
    return this.#offset === this.#bytes.length;
  }

  uint16(): number {
    if (this.#offset + 2 > this.#bytes.length) throw malformed();
    this.#offset += 2;
    return this.#view.getUint16(this.#offset - 2);
  }

  text(): string {
    const start = this.#offset + 2;
    this.#offset = start + this.uint16();
    if (this.#offset > this.#bytes.length) throw malformed();
    return decodeText(this.#bytes.subarray(start, this.#offset));
  }
}

const STRICT = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function decodeText(bytes: Uint8Array): string {
  try {
    const text = STRICT.decode(bytes);
    if (!text.includes("\0")) return text;
  } catch {
    // Told below, like a NUL.
  }
  throw malformed();
}

function uint16(value: number): Uint8Array {
  return Uint8Array.of(value >> 8, value & 0xff);
}

function malformed(): EnvelopeError {
  return new EnvelopeError("FORMAT", "Cannot decrypt message: its encryption context is malformed", {
    hint: "Was the message damaged on its way?",
  });
}
