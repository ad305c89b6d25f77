import { TurnLimiter } from "../../core/turn_limiter.ts";

const OPENINGS = new TurnLimiter();

/**
 * Waits for a turn to open an answer on this thread, which takes it for the time of an RSA operation: 0.3 ms, and with
 * node:crypto on Deno seven times that. Answers come in bursts: opened all in one turn of the event loop, sixteen of
 * them would hold up timers and other connections for all that time together. All clients share one event loop.
 */
export function openingTurn(): Promise<void> {
  return OPENINGS.take();
}
