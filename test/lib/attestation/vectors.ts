import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** Genuine attestation documents, in both of AWS's forms. */
export const DOCUMENT_VECTORS = [
  "attestation-production.cbor",
  "attestation-debug.cbor",
  "attestation-2026-04.cbor",
] as const;

/** All genuine data that tests read: AWS's, and not copied into the project. */
export const VECTORS = [
  ...DOCUMENT_VECTORS,
  "aws-nitro-enclaves-root-g1.der",
  "kms-ciphertext-for-recipient.ber",
] as const;

/** Folder of the vectors beside the project, if it exists. */
export const VECTORS_FOLDER: string = fileURLToPath(new URL("../../../../shared/vectors/", import.meta.url));

/**
 * Whether the genuine vectors are here. Where their folder is, tests read them: a file that is missing fails
 * them and skips nothing.
 */
export const HAS_VECTORS: boolean = existsSync(VECTORS_FOLDER);

/** Why tests with genuine vectors are skipped, for their names. */
export const SKIPPED: string = HAS_VECTORS ? "" : " (skipped: ../shared/vectors is not here)";

/**
 * @param name A file of ../shared/vectors
 * @returns Its bytes
 */
export function readVector(name: (typeof VECTORS)[number]): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(`${VECTORS_FOLDER}${name}`));
}
