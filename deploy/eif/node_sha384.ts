import { createHash } from "node:crypto";
import type { ImageHashes, Sha384 } from "./sha384.ts";

/**
 * Makes a hash by node:crypto, which needs no memory for what it has hashed.
 *
 * @returns The hash
 */
export function nodeSha384(): Sha384 {
  return nodeHash("sha384");
}

/** Hashes of node:crypto, which need no memory for what they have hashed. */
export const NODE_HASHES: ImageHashes = { newSha384: nodeSha384, newSha256: () => nodeHash("sha256") };

function nodeHash(algorithm: "sha256" | "sha384"): Sha384 {
  const hash = createHash(algorithm);
  return {
    update: (bytes) => void hash.update(bytes),
    digest: () => Promise.resolve(new Uint8Array(hash.digest())),
  };
}
