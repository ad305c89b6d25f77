import { createHash } from "node:crypto";
import type { AttestationDocument } from "../../lib/attestation/document.ts";
import { verifyAttestation } from "../../lib/attestation/verify.ts";
import { KmsRefusal } from "./kms_errors.ts";
import type { KmsInput } from "./kms_input.ts";
import { readPublicKey } from "./recipient_key.ts";

/** Recipient of a secret: an enclave with a verified document. */
export interface Recipient {
  /** The verified document. */
  readonly document: AttestationDocument;
  /** The enclave's RSA key, SPKI DER. */
  readonly publicKey: Uint8Array;
}

/** Verifies the attestation documents of requests; what was verified once is not verified again. */
export class RecipientReader {
  readonly #root: Uint8Array;
  readonly #now: () => number;
  readonly #verified = new Map<string, AttestationDocument>();

  /**
   * Makes a reader of recipients.
   *
   * @param root Root certificate that documents must descend from, DER
   * @param now Clock, milliseconds since 1970
   */
  constructor(root: Uint8Array, now: () => number) {
    this.#root = root;
    this.#now = now;
  }

  /**
   * @param input The Recipient member
   * @returns The recipient, or undefined when the request has none
   * @throws {KmsRefusal} `ValidationException` when the document does not hold
   */
  async read(input: KmsInput | undefined): Promise<Recipient | undefined> {
    if (input === undefined) return undefined;
    if (input.requiredText("KeyEncryptionAlgorithm") !== "RSAES_OAEP_SHA_256") {
      throw new KmsRefusal("ValidationException", "KeyEncryptionAlgorithm must be RSAES_OAEP_SHA_256.");
    }
    const document = await this.#verify(input.bytes("AttestationDocument", MAX_ATTESTATION_DOCUMENT_BYTES));
    const age = this.#now() - document.timestamp;
    if (age > MAX_AGE_MS || age < -MAX_AGE_MS) throw refused("is not from the last five minutes");
    return { document, publicKey: rsaKey(document.publicKey) };
  }

  async #verify(bytes: Uint8Array): Promise<AttestationDocument> {
    const digest = createHash("sha256").update(bytes).digest("hex");
    const known = this.#verified.get(digest);
    if (known !== undefined) return known;
    const document = await this.#verifyAgainst(bytes);
    if (this.#verified.size >= MAX_REMEMBERED) this.#verified.clear();
    this.#verified.set(digest, document);
    return document;
  }

  async #verifyAgainst(bytes: Uint8Array): Promise<AttestationDocument> {
    try {
      return await verifyAttestation(bytes, { root: this.#root, at: this.#now(), allowDebug: true });
    } catch (error) {
      throw refused(`did not verify (${error instanceof Error ? error.message : "unknown"})`);
    }
  }
}

const MAX_ATTESTATION_DOCUMENT_BYTES = 262_144;
const MAX_AGE_MS = 5 * 60_000;
const MAX_REMEMBERED = 64;

function rsaKey(publicKey: Uint8Array | undefined): Uint8Array {
  if (publicKey === undefined) throw refused("holds no public key");
  try {
    if (readPublicKey(publicKey).asymmetricKeyType === "rsa") return publicKey;
  } catch {
    // refused below
  }
  throw refused("holds a public key that is not RSA as SPKI DER");
}

function refused(what: string): KmsRefusal {
  return new KmsRefusal("ValidationException", `The attestation document ${what}.`);
}
