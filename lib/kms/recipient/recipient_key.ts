import type { SecretBytes } from "../../core/secret_bytes.ts";
import type { Envelope } from "./read_envelope.ts";

/** RSA-2048 key pair of a recipient, wherever its private half lives. */
export interface RecipientKey extends Disposable {
  /** Public key as SPKI DER, 294 bytes. */
  readonly publicKey: Uint8Array<ArrayBuffer>;

  /**
   * Opens the parts of one envelope.
   *
   * @param parts Parts that the reader passed
   * @returns The plaintext; the caller disposes it
   * @throws {ProtocolError} The one that `envelopeError()` makes, whatever is wrong
   * @throws {DisposedError} After dispose
   */
  open(parts: Envelope): SecretBytes;

  /** Opens as {@link RecipientKey.open} does, on another thread. Undefined where that cannot be. */
  openElsewhere?(parts: Envelope): Promise<SecretBytes>;
}
