/** Parts of an envelope, each base64. */
export interface SealedParts {
  readonly wrappedKey: string;
  readonly iv: string;
  readonly ciphertext: string;
}

/** Command to the process, a line of JSON. It answers with a line, a list of texts. */
export type OpeningsCommand =
  /** Makes the key pair, and answers with its public key as base64 of SPKI DER. */
  | { readonly does: "make"; readonly provider: string }
  /** Keeps secrets on purpose: to prove that a search would find them. */
  | { readonly does: "keep"; readonly disguised: readonly (readonly number[])[] }
  /** Opens all at once. */
  | { readonly does: "open"; readonly parts: readonly SealedParts[]; readonly elsewhere: boolean }
  /** Opens all at once on other threads, and destroys the key pair meanwhile. */
  | { readonly does: "abandon"; readonly parts: readonly SealedParts[] }
  | { readonly does: "dispose" };
