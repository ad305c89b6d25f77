import type { SecretBytes } from "../../core/secret_bytes.ts";

/**
 * Recipient, as KMS names it: a key pair, the attestation document that vouches for its public key, and the way to open
 * secrets that KMS encrypted to it.
 */
export interface Recipient extends Disposable {
  /**
   * An attestation document (COSE_Sign1, at most 16 KiB) that holds the public key as SPKI DER.
   *
   * @throws {AttestationError} When the NSM is absent or refuses. A silent one keeps its caller waiting
   */
  attestationDocument(): Promise<Uint8Array>;

  /**
   * Opens one `CiphertextForRecipient`.
   *
   * @param envelope CMS EnvelopedData in BER, at most 16 KiB
   * @returns The plaintext; the caller disposes it
   * @throws {ProtocolError} The same error for every way in which an envelope can be wrong
   */
  open(envelope: Uint8Array): SecretBytes;

  /**
   * Opens as {@link Recipient.open} does, on another thread, and so with less of this one's time and more of the
   * machine's. Undefined where that cannot be. A recipient that is disposed meanwhile opens what it began.
   */
  readonly openElsewhere?: ((envelope: Uint8Array) => Promise<SecretBytes>) | undefined;
}
