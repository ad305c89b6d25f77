import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** Whether the genuine vectors are here: they are AWS's and not copied into the project. */
export const HAS_VECTORS: boolean = existsSync(vectorPath("attestation-production.cbor"));

/** Why tests with genuine vectors are skipped, for their names. */
export const SKIPPED: string = HAS_VECTORS ? "" : " (skipped: ../shared/vectors is not here)";

/**
 * @param name A file of ../shared/vectors
 * @returns Its bytes
 */
export function readVector(name: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(vectorPath(name)));
}

function vectorPath(name: string): string {
  return fileURLToPath(new URL(`../../../../shared/vectors/${name}`, import.meta.url));
}
