/**
 * Picks one input in so many, always the same ones: for checks that are too dear for all.
 *
 * @param input Decides
 * @param oneIn Number of inputs for each that is picked
 */
export function isSampled(input: Uint8Array, oneIn: number): boolean {
  let hash = 0x811c9dc5;
  for (const byte of input) hash = Math.imul(hash ^ byte, 0x01000193);
  return (hash >>> 8) % oneIn === 0;
}
