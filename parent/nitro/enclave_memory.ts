import { LaunchError } from "../../lib/core/errors.ts";

const MIB = 1 << 20;

/** nitro-cli refuses an enclave with less than so many times its image. */
const TIMES_THE_IMAGE = 4;

/** Least memory by default, and step of the default, in MiB. */
const LEAST_DEFAULT_MIB = 512;
const STEP_MIB = 64;

/**
 * Computes the least memory with which nitro-cli runs an image: four times its size in whole MiB.
 *
 * @param imageBytes Size of the image in bytes
 * @returns MiB
 */
export function neededMemoryMib(imageBytes: number): number {
  return Math.ceil(imageBytes / MIB) * TIMES_THE_IMAGE;
}

/**
 * Chooses the memory of an enclave.
 *
 * @param imageBytes Size of the image in bytes
 * @param wantedMib MiB that the operator wants; default: what is needed, rounded up to 64, and at least 512
 * @returns MiB
 * @throws {LaunchError} When less is wanted than is needed, with the number that is
 */
export function chooseMemoryMib(imageBytes: number, wantedMib: number | undefined): number {
  const needed = neededMemoryMib(imageBytes);
  if (wantedMib === undefined) return Math.max(LEAST_DEFAULT_MIB, Math.ceil(needed / STEP_MIB) * STEP_MIB);
  if (wantedMib >= needed) return wantedMib;
  throw new LaunchError(
    `Cannot launch the enclave with ${wantedMib} MiB: its image of ${
      Math.ceil(imageBytes / MIB)
    } MiB needs ${needed}`,
    {
      hint: `Set MEMORY_MIB to ${needed} or more, or leave it out`,
      nitroCode: "E26",
      nitroName: "InsufficientMemoryRequested",
    },
  );
}
