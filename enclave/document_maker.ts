import type { Deadline } from "../lib/core/deadline.ts";
import { AttestationError } from "../lib/core/errors.ts";
import type { NsmClient } from "../lib/nsm/nsm_client.ts";

/**
 * Most documents of callers that wait for the NSM, which makes one at a time; one of each connection. Each holds a turn.
 * There are more turns than that, so that a slow or silent NSM leaves some to requests without a document.
 */
const MAX_ATTESTATIONS_WAITING = 16;

/** Parts of a {@link DocumentMaker}. */
export interface DocumentMakerParts {
  /** Client of the NSM; none when there is no module. */
  readonly nsm: NsmClient | undefined;
  /** Makes the user data of every document. Default: none. */
  readonly userData?: (() => Promise<Uint8Array>) | undefined;
}

/**
 * Makes the attestation documents that callers ask for. They have the nonce of the caller, the digest of this boot's keys
 * as user data, and never a public key: KMS encrypts plaintexts to that, for whoever holds its private key.
 */
export class DocumentMaker {
  readonly #parts: DocumentMakerParts;

  /** @param parts Client of the NSM, and what the user data come from */
  constructor(parts: DocumentMakerParts) {
    this.#parts = parts;
  }

  /**
   * Has the NSM make a document.
   *
   * @param nonce Nonce of at most 512 bytes, or none
   * @param caller Connection of the caller, one of whose documents is made at a time
   * @param deadline Deadline of the request
   * @returns COSE_Sign1
   * @throws {AttestationError} When there is no NSM, it refuses, or too many wait for it
   * @throws {RangeError} When the nonce is too long
   */
  async make(nonce: Uint8Array | undefined, caller: object, deadline: Deadline): Promise<Uint8Array> {
    const { nsm, userData } = this.#parts;
    if (nsm === undefined) throw noNsm();
    deadline.stage = "nsm";
    const request = { nonce, userData: await userData?.() };
    const options = { signal: deadline.signal, maxWaiting: MAX_ATTESTATIONS_WAITING, caller };
    return await deadline.race(nsm.attest(request, options));
  }
}

function noNsm(): AttestationError {
  return new AttestationError("UNAVAILABLE", "Cannot attest: there is no Nitro Secure Module", {
    hint: "Is this process inside a Nitro Enclave, and may it open /dev/nsm?",
  });
}
