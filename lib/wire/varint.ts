/**
 * Integers of variable length, as QUIC writes them (RFC 9000, section 16): the two highest bits of the first byte tell
 * whether the number has 1, 2, 4 or 8 bytes.
 *
 * @module
 */
import { ProtocolError } from "../core/errors.ts";

/** Greatest integer of each length, in bytes. Of 2^62 - 1, JavaScript holds 2^53 - 1. */
const GREATEST: readonly (readonly [bytes: number, greatest: number])[] = [
  [1, 0x3f],
  [2, 0x3fff],
  [4, 0x3fff_ffff],
  [8, Number.MAX_SAFE_INTEGER],
];

/**
 * Writes an integer in the fewest bytes.
 *
 * @param value 0 to 2^53 - 1
 * @returns 1, 2, 4 or 8 bytes
 * @throws {RangeError} When it is no such integer
 */
export function encodeVarint(value: number): Uint8Array<ArrayBuffer> {
  const index = GREATEST.findIndex(([, greatest]) => value <= greatest);
  const length = GREATEST[index]?.[0];
  if (length === undefined || !Number.isSafeInteger(value) || value < 0) {
    throw new RangeError("value must be an integer from 0 to 2^53 - 1");
  }
  const bytes = new Uint8Array(length);
  for (let at = length - 1, rest = value; at >= 0; at--, rest = Math.floor(rest / 0x100)) {
    bytes[at] = rest % 0x100;
  }
  bytes[0]! |= index << 6;
  return bytes;
}

/** Reader of a message whose parts have their lengths before them. It never reads past the message's end. */
export class MessageReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  /** @param bytes The message; not copied */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** Whether everything was read. */
  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  /** View of what was not read. */
  get rest(): Uint8Array {
    return this.#bytes.subarray(this.#at);
  }

  /**
   * Reads an integer, in any of its forms.
   *
   * @returns 0 to 2^53 - 1; above that, a number that is too large
   * @throws {ProtocolError} When the message ends before
   */
  varint(): number {
    const first = this.#bytes[this.#at];
    if (first === undefined) throw cutOff();
    const [head, ...tail] = this.#take(1 << (first >> 6));
    return tail.reduce((number, byte) => number * 0x100 + byte, head! & 0x3f);
  }

  /**
   * Reads bytes that have their length before them.
   *
   * @returns A view of them
   * @throws {ProtocolError} When the message ends before
   */
  lengthAndBytes(): Uint8Array {
    return this.#take(this.varint());
  }

  #take(length: number): Uint8Array {
    if (length > this.#bytes.length - this.#at) throw cutOff();
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }
}

function cutOff(): ProtocolError {
  return new ProtocolError("Cannot read message: it ends in the middle of a part", {
    hint: "Was it cut off on its way?",
  });
}
