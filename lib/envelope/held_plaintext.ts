import { allocateOffHeap } from "../core/secret_bytes.ts";
import { EnvelopeError } from "./envelope_error.ts";
import { countPiece, takeTurn } from "./turns.ts";

/** Bytes of the memory that short pieces are gathered in: a writer decides how short they are. */
const BLOCK_BYTES = 65_536;

/**
 * Holds the plaintext of a message back until all of it has been verified. What is not given out is wiped. It takes a
 * turn for each piece that it holds: those who wait for the output wait for all of them at once.
 *
 * @param pieces Pieces of the plaintext, which end or fail with the message
 * @param maxBytes Most bytes to hold
 * @param signal Signal after whose abort no piece is asked for
 * @returns The pieces, in memory of their own, joined where they are short
 * @throws {EnvelopeError} `LIMIT`, when there are more
 */
export async function* holdUntilEnd(
  pieces: AsyncIterable<Uint8Array<ArrayBuffer>>,
  maxBytes: number,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  const held = new HeldPlaintext();
  try {
    for await (const piece of pieces) {
      held.add(piece);
      if (held.length > maxBytes) throw tooMuch(maxBytes);
      countPiece(piece.length);
      await takeTurn();
      signal.throwIfAborted();
    }
    for (let piece = held.take(); piece !== undefined; piece = held.take()) yield piece;
  } finally {
    held.wipe();
  }
}

/** Pieces of plaintext in their order. */
class HeldPlaintext {
  length = 0;
  readonly #pieces: Uint8Array<ArrayBuffer>[] = [];
  /** Block that is being filled, the last of the pieces. */
  #block = allocateOffHeap(0);
  #filled = 0;
  #taken = 0;

  /** Takes a piece over: one that is short is copied and wiped. */
  add(piece: Uint8Array<ArrayBuffer>): void {
    this.length += piece.length;
    if (piece.length >= BLOCK_BYTES) {
      this.#endBlock();
      this.#pieces.push(piece);
      return;
    }
    for (let rest = piece; rest.length > 0;) {
      if (this.#filled === this.#block.length) this.#beginBlock();
      const part = rest.subarray(0, this.#block.length - this.#filled);
      this.#block.set(part, this.#filled);
      this.#filled += part.length;
      rest = rest.subarray(part.length);
    }
    piece.fill(0);
  }

  /** Gives the next piece away. */
  take(): Uint8Array<ArrayBuffer> | undefined {
    this.#endBlock();
    const piece = this.#pieces[this.#taken];
    if (piece !== undefined) this.#taken++;
    return piece;
  }

  /** Wipes what was not given away. */
  wipe(): void {
    for (const piece of this.#pieces.splice(this.#taken)) piece.fill(0);
  }

  #beginBlock(): void {
    this.#block = allocateOffHeap(BLOCK_BYTES);
    this.#filled = 0;
    this.#pieces.push(this.#block);
  }

  /** Cuts the block to what it holds; the rest of its memory is empty. */
  #endBlock(): void {
    if (this.#filled < this.#block.length) {
      this.#pieces[this.#pieces.length - 1] = this.#block.subarray(0, this.#filled);
    }
    this.#block = allocateOffHeap(0);
    this.#filled = 0;
  }
}

function tooMuch(maxBytes: number): EnvelopeError {
  return new EnvelopeError("LIMIT", "Cannot decrypt message: it is signed, and longer than maxHeldBytes", {
    hint: `Raise maxHeldBytes, now ${maxBytes}, or use decryptFile(), which needs no memory for it`,
  });
}
