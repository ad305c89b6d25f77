import { encodeBase64 } from "../../lib/core/encoding.ts";
import { type EnvelopeShape, sealEnvelope } from "./cms_envelope.ts";
import type { KmsFault } from "./kms_faults.ts";
import type { KmsOutput } from "./keys/key_use.ts";
import type { Recipient } from "./kms_recipient.ts";

/** Form in which KMS returns secrets. */
export interface ReleaseOptions {
  /** The shape of `CiphertextForRecipient`. Default: the two real ones in turn. */
  readonly envelopeShape?: EnvelopeShape | "alternating" | undefined;
  /** Value of `Plaintext` beside an envelope: AWS says "null or empty". Default: `empty`. */
  readonly plaintextBesideEnvelope?: "null" | "empty" | "absent" | undefined;
}

/** Hands secrets out: in clear, or in an envelope that only the recipient can open. */
export class Releaser {
  readonly #shape: EnvelopeShape | "alternating";
  readonly #beside: "null" | "empty" | "absent";
  #count = 0;

  /** @param options The form */
  constructor({ envelopeShape = "alternating", plaintextBesideEnvelope = "empty" }: ReleaseOptions) {
    this.#shape = envelopeShape;
    this.#beside = plaintextBesideEnvelope;
  }

  /**
   * Makes the members that return a secret.
   *
   * @param member Name of the member that holds the secret in clear, such as `Plaintext`
   * @param secret The secret
   * @param recipient Recipient of the request, if it has one
   * @param fault The fault, if any
   * @returns The members of the output
   */
  release(
    member: string,
    secret: Uint8Array,
    recipient: Recipient | undefined,
    fault: KmsFault | undefined,
  ): KmsOutput {
    const clear = { [member]: encodeBase64(secret) };
    if (recipient === undefined || fault?.kind === "plaintextInstead") return clear;
    const variant = fault?.kind === "wrongEnvelope" ? fault.variant : undefined;
    const envelope = sealEnvelope(secret, recipient.publicKey, this.#nextShape(), variant);
    return {
      ...(fault?.kind === "missingEnvelope" ? {} : { CiphertextForRecipient: encodeBase64(envelope) }),
      ...(fault?.kind === "plaintextBeside" ? clear : this.#emptyMember(member)),
    };
  }

  #emptyMember(member: string): KmsOutput {
    if (this.#beside === "absent") return {};
    return { [member]: this.#beside === "null" ? null : "" };
  }

  #nextShape(): EnvelopeShape {
    if (this.#shape !== "alternating") return this.#shape;
    return this.#count++ % 2 === 0 ? "constructed" : "definite";
  }
}
