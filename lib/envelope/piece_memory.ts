import { allocateOffHeap } from "../core/secret_bytes.ts";

/** Memory for pieces of output. Whoever gives it wipes what is not handed out. */
export interface PieceMemory {
  /** Most bytes that a piece should have, where it is made of several frames: a reader's own memory has no more. */
  readonly roomBytes: number;
  /**
   * Gives memory for one piece, until the next one is asked for.
   *
   * @param length Bytes of the piece
   */
  take(length: number): Uint8Array<ArrayBuffer>;
}

/** Memory of its own for each piece. */
export const FRESH_MEMORY: PieceMemory = { roomBytes: Infinity, take: allocateOffHeap };

/**
 * Tells how many frames a piece should have.
 *
 * @param most Number of frames to make before others get their turn
 * @param frameBytes Bytes that a frame has in the piece
 * @param memory Memory of the piece
 * @returns The number, at least 1
 */
export function framesOfPiece(most: number, frameBytes: number, { roomBytes }: PieceMemory): number {
  return Math.max(1, Math.min(most, Math.floor(roomBytes / frameBytes)));
}
