const DISGUISE = 0x5a;

/** Disguises bytes so that a search for the original does not find them. */
export function disguiseBytes(bytes: Uint8Array): number[] {
  return [...bytes].map((byte) => byte ^ DISGUISE);
}

/** Restores the original, in memory that V8 does not move. */
export function revealBytes(disguised: readonly number[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(new ArrayBuffer(disguised.length));
  for (const [index, byte] of disguised.entries()) bytes[index] = byte ^ DISGUISE;
  return bytes;
}
