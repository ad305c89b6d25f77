/**
 * The only way from the command line to the simulator: it is loaded when a command asks for it, and what decrypts does not
 * hold it.
 *
 * @module
 */
/** Loads the simulator. */
export function loadSimulator(): Promise<typeof import("../sim/mod.ts")> {
  return import("../sim/mod.ts");
}
