import { TurnLimiter } from "../core/turn_limiter.ts";
import { chooseGcm } from "./choose_gcm.ts";

/**
 * Number of times in one turn of the event loop that streams may go on, all together: each time with as many bytes as
 * the cipher may do at once, in one piece or in several. Neither a reader nor a writer of data in memory leaves its
 * turn, and the writer of a message chooses the number and length of its frames.
 */
const TURNS = new TurnLimiter(8);

/** Bytes that a short piece takes as long as, with what the streams do for it. */
const LEAST_COST_BYTES = 65_536;

/** Bytes that pieces may still have before one has to wait for its turn. */
let granted = 0;

/** Waits until one more piece may be made. */
export async function takeTurn(): Promise<void> {
  if (granted > 0) return;
  await TURNS.take();
  granted = chooseGcm().bytesAtOnce;
}

/**
 * Counts a piece that was made.
 *
 * @param length Bytes of it
 */
export function countPiece(length: number): void {
  granted -= Math.max(length, LEAST_COST_BYTES);
}
