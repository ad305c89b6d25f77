/** Hash of bytes that come in pieces, SHA-384 where nothing else is said. */
export interface Sha384 {
  /** Takes bytes in. They may change afterwards. */
  update(bytes: Uint8Array): void;
  /** Ends the hash: 48 bytes. */
  digest(): Promise<Uint8Array>;
}

/** Maker of a hash. */
export type NewSha384 = () => Sha384;

/**
 * Makes a hash by WebCrypto, which takes all bytes at once: they are collected, and so it needs as much memory. On a server
 * the command line uses node:crypto instead.
 *
 * @returns The hash
 */
export function webSha384(): Sha384 {
  return webHash("SHA-384");
}

/** Makers of hashes for reading images. */
export interface ImageHashes {
  /** SHA-384, of what PCRs measure. */
  readonly newSha384: NewSha384;
  /** SHA-256, of the entries of ramdisks. */
  readonly newSha256: NewSha384;
}

/** Hashes of WebCrypto, for browsers: see {@link webSha384}. */
export const WEB_HASHES: ImageHashes = { newSha384: webSha384, newSha256: () => webHash("SHA-256") };

function webHash(algorithm: "SHA-256" | "SHA-384"): Sha384 {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  return {
    update: (bytes) => void parts.push(bytes.slice()),
    digest: async () => {
      const whole = await new Blob(parts).arrayBuffer();
      return new Uint8Array(await crypto.subtle.digest(algorithm, whole));
    },
  };
}

/**
 * Measures bytes that are at hand, as the hypervisor measures a signing certificate (PCR8).
 *
 * @param bytes Any number of bytes
 * @returns The register's value, 48 bytes
 */
export async function measureBytes(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  return await extendZeros(new Uint8Array(await crypto.subtle.digest("SHA-384", bytes)));
}

/**
 * Extends a register of zeros, as a PCR is extended once: SHA-384 over 48 zero bytes and the data.
 *
 * @param data A digest of 48 bytes; or a text, which is not digested before
 * @returns The register's value, 48 bytes
 */
export async function extendZeros(data: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
  const joined = new Uint8Array(48 + data.length);
  joined.set(data, 48);
  return new Uint8Array(await crypto.subtle.digest("SHA-384", joined));
}
