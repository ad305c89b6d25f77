import { allocateOffHeap } from "../core/secret_bytes.ts";
import type { PieceMemory } from "./piece_memory.ts";

/**
 * Output of a stream: it hands pieces to readers, and wipes those that nobody takes. A reader that brings memory of its
 * own (`getReader({ mode: "byob" })`) gets them made there, if they fit; from the stream's side that memory is nobody
 * else's until it is handed back.
 */
export class Outlet implements PieceMemory {
  readonly #controller: ReadableByteStreamController;
  /** Memory of the reader that waits, if it brought some. */
  #view: Uint8Array<ArrayBuffer> | undefined;
  /** Rest of a piece: its reader left before it was made, or has less memory. In the stream's queue nobody could wipe it. */
  #held: Uint8Array<ArrayBuffer> | undefined;
  #isEnded = false;

  /**
   * Starts without a reader.
   *
   * @param controller Controller of the readable end
   */
  constructor(controller: ReadableByteStreamController) {
    this.#controller = controller;
  }

  /** Bytes that the reader has memory for. */
  get roomBytes(): number {
    return this.#view?.length ?? Infinity;
  }

  /** Gives the reader's memory, or fresh memory where it is too short, or where C would not take it. */
  take(length: number): Uint8Array<ArrayBuffer> {
    const view = this.#view;
    const fits = view !== undefined && length <= view.length && !view.buffer.resizable;
    return fits ? view.subarray(0, length) : allocateOffHeap(length);
  }

  /** Begins to serve a read. Tells whether a piece that was kept has served it. */
  begin(): boolean {
    this.#view = viewOf(this.#controller.byobRequest);
    if (this.#held === undefined) return false;
    this.#handOver(this.#held);
    return true;
  }

  /**
   * Hands a piece to the reader, whose it is from then on, or keeps it while there is none.
   *
   * @param piece The piece, in memory that {@link take} gave or in any other
   * @param hasReader Whether anybody holds the stream
   * @throws {TypeError} When a reader has left that had brought memory: what is in the queue then cannot be wiped
   */
  give(piece: Uint8Array<ArrayBuffer>, hasReader: boolean): void {
    if (this.#isEnded) return void piece.fill(0);
    if (hasReader) return this.#handOver(piece);
    if (this.#view === undefined) return void (this.#held = piece);
    piece.fill(0);
    throw new TypeError("A reader with memory of its own must not leave while its read waits");
  }

  /** Ends the output after the last piece. */
  close(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#controller.close();
    this.#controller.byobRequest?.respond(0);
  }

  /**
   * Fails the output, and wipes what it keeps.
   *
   * @param reason Reason that the reader gets
   */
  end(reason: unknown): void {
    this.#isEnded = true;
    this.#keep(undefined);
    this.#controller.error(reason);
  }

  #handOver(piece: Uint8Array<ArrayBuffer>): void {
    const view = this.#view;
    if (view === undefined) {
      this.#held = undefined;
      return this.#controller.enqueue(piece);
    }
    this.#view = undefined;
    if (piece.buffer !== view.buffer) piece = this.#copyInto(view, piece);
    this.#controller.byobRequest?.respond(piece.length);
  }

  /** Copies as much of a piece as the reader has memory for, and keeps the rest. */
  #copyInto(view: Uint8Array<ArrayBuffer>, piece: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    const [part, rest] = [piece.subarray(0, view.length), piece.subarray(view.length)];
    view.set(part);
    part.fill(0);
    this.#held = rest.length === 0 ? undefined : rest;
    return view.subarray(0, part.length);
  }

  #keep(piece: Uint8Array<ArrayBuffer> | undefined): void {
    this.#held?.fill(0);
    this.#held = piece;
  }
}

/** Gets the memory that a reader brought. */
function viewOf(request: ReadableStreamBYOBRequest | null): Uint8Array<ArrayBuffer> | undefined {
  const view = request?.view;
  return view === null || view === undefined
    ? undefined
    : new Uint8Array(view.buffer as ArrayBuffer, view.byteOffset, view.byteLength);
}
