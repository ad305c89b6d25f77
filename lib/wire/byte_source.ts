import { concatBytes } from "../core/bytes.ts";
import { ProtocolError } from "../core/errors.ts";

/** Gives the next bytes of a stream; undefined at its end. */
export type NextBytes = () => Promise<Uint8Array | undefined>;

/** Reader of a message that arrives in pieces, whose parts have their lengths before them. It holds one piece at a time. */
export class ByteSource {
  readonly #next: NextBytes;
  #piece: Uint8Array = new Uint8Array(0);

  /** @param next Gives the pieces, one after the other */
  constructor(next: NextBytes) {
    this.#next = next;
  }

  /** Tells whether everything was read, and waits for the next piece to know. */
  async isAtEnd(): Promise<boolean> {
    return !await this.#fill();
  }

  /**
   * Reads bytes.
   *
   * @param length Number of bytes
   * @returns A copy of them
   * @throws {ProtocolError} When the message ends before
   */
  async take(length: number): Promise<Uint8Array<ArrayBuffer>> {
    const taken = new Uint8Array(length);
    for (let at = 0; at < length;) {
      const some = await this.some(length - at);
      taken.set(some, at);
      at += some.length;
    }
    return taken;
  }

  /**
   * Reads as many bytes as are there.
   *
   * @param most Most bytes
   * @returns A view of one byte at least
   * @throws {ProtocolError} When the message ends before
   */
  async some(most: number): Promise<Uint8Array> {
    if (!await this.#fill()) throw cutOff();
    const some = this.#piece.subarray(0, most);
    this.#piece = this.#piece.subarray(some.length);
    return some;
  }

  /**
   * Reads an integer of variable length, in any of its forms.
   *
   * @returns 0 to 2^53 - 1; above that, a number that is too large
   * @throws {ProtocolError} When the message ends before
   */
  async varint(): Promise<number> {
    const [first = 0] = await this.take(1);
    const tail = await this.take((1 << (first >> 6)) - 1);
    return tail.reduce((number, byte) => number * 0x100 + byte, first & 0x3f);
  }

  /**
   * Reads what is left.
   *
   * @param most Most bytes that are taken
   * @returns The bytes; undefined when there are more
   */
  async rest(most: number): Promise<Uint8Array | undefined> {
    const pieces: Uint8Array[] = [];
    let length = 0;
    while (!await this.isAtEnd()) {
      const piece = await this.some(most + 1);
      length += piece.length;
      if (length > most) return undefined;
      pieces.push(piece);
    }
    return concatBytes(pieces);
  }

  /** Gets a piece with bytes in it. */
  async #fill(): Promise<boolean> {
    while (this.#piece.length === 0) {
      const next = await this.#next();
      if (next === undefined) return false;
      this.#piece = next;
    }
    return true;
  }
}

function cutOff(): ProtocolError {
  return new ProtocolError("Cannot read message: it ends in the middle of a part", {
    hint: "Was it cut off on its way?",
  });
}
