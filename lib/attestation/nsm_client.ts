import { decode, encode } from "cbor2";
import { AttestationError } from "../errors.ts";
import type { NsmTransport } from "./nsm_transport.ts";

/** What goes into an attestation document besides the measurements; absent parts are null there. */
export interface AttestationRequest {
  /** Such as SPKI DER; at most 1024 bytes. */
  readonly publicKey?: Uint8Array | undefined;
  /** At most 512 bytes. */
  readonly userData?: Uint8Array | undefined;
  /** At most 512 bytes. */
  readonly nonce?: Uint8Array | undefined;
}

/**
 * Asks a Nitro Secure Module, in its CBOR.
 *
 * @see https://github.com/aws/aws-nitro-enclaves-nsm-api
 */
export class NsmClient {
  readonly #transport: NsmTransport;

  /** @param transport The way to the NSM; not owned */
  constructor(transport: NsmTransport) {
    this.#transport = transport;
  }

  /**
   * @param request What to attest to
   * @returns A COSE_Sign1 document
   * @throws {AttestationError} When the NSM refuses or answers something else
   */
  async attest({ publicKey, userData, nonce }: AttestationRequest): Promise<Uint8Array<ArrayBuffer>> {
    const answer = await this.#ask("Attestation", {
      Attestation: {
        user_data: bytesOrNull(userData),
        nonce: bytesOrNull(nonce),
        public_key: bytesOrNull(publicKey),
      },
    });
    const document = answer["document"];
    if (document instanceof Uint8Array && document.length > 0) return Uint8Array.from(document);
    throw malformed();
  }

  /** The part of the answer that bears the operation's name. */
  async #ask(operation: string, request: unknown): Promise<Record<string, unknown>> {
    const answer = decodeAnswer(await this.#transport.exchange(Uint8Array.from(encode(request))));
    const reason = answer["Error"];
    if (typeof reason === "string") throw refused(operation, reason);
    const result = answer[operation];
    if (isObject(result)) return result;
    throw malformed();
  }
}

/** cbor2 writes a plain Uint8Array as a byte string, and a Buffer as something else. */
function bytesOrNull(bytes: Uint8Array | undefined): Uint8Array | null {
  return bytes === undefined ? null : Uint8Array.from(bytes);
}

function decodeAnswer(bytes: Uint8Array): Record<string, unknown> {
  let answer: unknown;
  try {
    answer = decode(bytes, { rejectDuplicateKeys: true });
  } catch {
    throw malformed();
  }
  if (isObject(answer)) return answer;
  throw malformed();
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

function refused(operation: string, reason: string): AttestationError {
  const name = /^\w{1,40}$/.test(reason) ? reason : "an unknown error";
  return new AttestationError("REFUSED", `Cannot ask the NSM for ${operation}: it answered ${name}`, {
    hint: "The NSM is there and refuses: is the request within its limits, and the register not locked?",
  });
}

function malformed(): AttestationError {
  return new AttestationError("FORMAT", "Cannot read the NSM's answer: not the CBOR it should be", {
    hint: "Is what answers really a Nitro Secure Module?",
  });
}
