import { TurnLimiter } from "../lib/core/turn_limiter.ts";

/**
 * The turns that messages are read in: one begins in each turn of the event loop, whatever connection and protocol
 * it came over, and connections take turns. All of them share one event loop.
 */
export const MESSAGE_TURNS = new TurnLimiter();
