import { checkFields, checkInteger } from "../core/checks.ts";
import { type CborValue, encodeCbor } from "../core/encode_cbor.ts";
import { DisposedError } from "../core/errors.ts";
import { NSM_DEVICE_PATH, NsmDevice } from "../native/nsm_device.ts";
import { NsmAnswer, type NsmOperation } from "./nsm_answer.ts";
import { type AttestationOptions, MAX_WAITING_QUESTIONS, nsmQueueOf } from "./nsm_queue.ts";
import type { NsmTransport } from "./nsm_transport.ts";

/** Longest public key in an attestation document, in bytes. */
export const MAX_ATTESTED_PUBLIC_KEY_BYTES = 1024;
/** Longest user data in an attestation document, in bytes. */
export const MAX_ATTESTED_USER_DATA_BYTES = 512;
/** Longest nonce in an attestation document, in bytes. */
export const MAX_ATTESTED_NONCE_BYTES = 512;
/** Number of platform configuration registers of a module. */
export const PCR_COUNT = 32;
/** Most bytes that extend a register at once: as many as a request of 4096 bytes holds. */
export const MAX_PCR_EXTENSION_BYTES = 4068;

/** Parts of an attestation document beside the measurements; absent parts are null there. */
export interface AttestationRequest {
  /** Public key, such as SPKI DER; at most 1024 bytes. */
  readonly publicKey?: Uint8Array | undefined;
  /** User data, at most 512 bytes. */
  readonly userData?: Uint8Array | undefined;
  /** Nonce, at most 512 bytes. */
  readonly nonce?: Uint8Array | undefined;
}

const REQUEST_FIELDS = ["publicKey", "userData", "nonce"];
const OPTION_FIELDS = ["signal", "maxWaiting", "caller"];

/** State of a platform configuration register. */
export interface PcrDescription {
  /** Value of 48 bytes: a SHA-384, or zeros. */
  readonly value: Uint8Array<ArrayBuffer>;
  /** Whether it can no longer change. Attestation documents hold only locked registers. */
  readonly locked: boolean;
}

/** Description of a module. */
export interface NsmDescription {
  /** Name of the module: `i-…-enc…`. */
  readonly moduleId: string;
  /** Version of its API. */
  readonly version: { readonly major: number; readonly minor: number; readonly patch: number };
  /** Number of its registers. */
  readonly maxPcrs: number;
  /** Registers that can no longer change, in ascending order. */
  readonly lockedPcrs: readonly number[];
  /** Hash function of the registers. */
  readonly digest: "SHA256" | "SHA384" | "SHA512";
}

/**
 * Client of a Nitro Secure Module: gets attestation documents and random bytes, and reads, extends and locks
 * registers.
 *
 * Every answer is read strictly: a member that is missing, twice there or of a wrong type makes it an
 * {@link AttestationError} with `ERR_ATTESTATION_ANSWER`. Requests run off the main thread, one at a time for
 * all clients of a module, after the documents that `KmsClient` asks for; at most 256 wait, and one more is
 * `ERR_ATTESTATION_BUSY`. The module has no time limit, and its driver takes up to 120 s: a question that
 * has begun runs to its end, even when no caller waits for it.
 *
 * @see https://github.com/aws/aws-nitro-enclaves-nsm-api
 * @example
 * ```ts
 * import { NsmClient } from "enclave-kms/nsm";
 * import { SoftwareNsm } from "enclave-kms/sim";
 *
 * using nsm = new NsmClient(await SoftwareNsm.create()); // in an enclave: NsmClient.open()
 * const data = new TextEncoder().encode("configuration");
 * await nsm.extendPcr(16, data);
 * await nsm.lockPcr(16);
 *
 * (await nsm.describePcr(16)).locked; // true
 * (await nsm.describeNsm()).digest; // "SHA384"
 * ```
 */
export class NsmClient implements Disposable {
  readonly #transport: NsmTransport;
  #owned = false;
  #disposed = false;

  /**
   * Uses a transport of the caller's; {@link NsmClient.open} uses the enclave's own.
   *
   * @param transport Transport to the module; not owned, and so not disposed with the client
   * @throws {TypeError} When it is none
   */
  constructor(transport: NsmTransport) {
    if (typeof transport?.exchange !== "function") throw new TypeError("transport must be an NsmTransport");
    this.#transport = transport;
  }

  /**
   * Opens this enclave's own module.
   *
   * @param path Path of its device. Default: `/dev/nsm`
   * @returns The client; the caller disposes it
   * @throws {AttestationError} `ERR_ATTESTATION_UNAVAILABLE` when there is none, or it may not be opened
   * @throws {LibraryLoadError} When C cannot be called
   */
  static open(path: string = NSM_DEVICE_PATH): NsmClient {
    const client = new NsmClient(NsmDevice.open(path));
    client.#owned = true;
    return client;
  }

  /**
   * Gets an attestation document, signed by the module.
   *
   * @param request Parts to sign together with the measurements
   * @param options Options of the wait for the module, which answers one question at a time
   * @returns A COSE_Sign1 document, some 4 to 6 KB
   * @throws {AttestationError} When the module cannot be asked, refuses or answers something else;
   *   `ERR_ATTESTATION_BUSY` when too many questions wait for it
   * @throws {TypeError} When a part or option is unknown, or a part not a Uint8Array
   * @throws {RangeError} When a part or `maxWaiting` is out of range
   * @throws {unknown} The signal's reason, when it aborts before the module is asked
   */
  async attest(
    request: AttestationRequest = {},
    options: AttestationOptions = {},
  ): Promise<Uint8Array<ArrayBuffer>> {
    const { signal, caller, ...rest } = checkFields("attestation options", options, OPTION_FIELDS);
    const max = MAX_WAITING_QUESTIONS;
    const maxWaiting = checkInteger("maxWaiting", rest.maxWaiting, { min: 0, max, default: max });
    const args = attestationArguments(request);
    return (await this.#ask("Attestation", args, { signal, caller, maxWaiting })).bytes("document");
  }

  /**
   * Reads a register.
   *
   * @param index 0 to 31
   * @returns Its value, and whether it is locked
   * @throws {AttestationError} When the module cannot be asked, refuses or answers something else
   * @throws {TypeError} When the index is not a number
   * @throws {RangeError} When the index is not a whole number from 0 to 31
   */
  async describePcr(index: number): Promise<PcrDescription> {
    const answer = await this.#ask("DescribePCR", { index: pcrIndex(index) });
    return { value: answer.bytes("data"), locked: answer.boolean("lock") };
  }

  /**
   * Extends a register: its new value is the SHA-384 of the old one and the data.
   *
   * @param index 0 to 31; 0 to 15 are locked when the enclave starts
   * @param data 1 to 4068 bytes
   * @returns The new value
   * @throws {AttestationError} When the module cannot be asked, refuses (`nsmCode` is `ReadOnlyIndex` for a
   *   locked register) or answers something else
   * @throws {TypeError} When the index is not a number, or the data are not a Uint8Array
   * @throws {RangeError} When the index is not a whole number from 0 to 31, or the data are empty or too long
   */
  async extendPcr(index: number, data: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
    const request = { index: pcrIndex(index), data: ownBytes("data", data, MAX_PCR_EXTENSION_BYTES) };
    if (data.length === 0) throw new RangeError("data must not be empty");
    return (await this.#ask("ExtendPCR", request)).bytes("data");
  }

  /**
   * Locks a register until the enclave ends, and so puts it into attestation documents.
   *
   * @param index 0 to 31
   * @throws {AttestationError} When the module cannot be asked, refuses (`nsmCode` is `ReadOnlyIndex` for a
   *   register that is locked already) or answers something else
   * @throws {TypeError} When the index is not a number
   * @throws {RangeError} When the index is not a whole number from 0 to 31
   */
  async lockPcr(index: number): Promise<void> {
    await this.#ask("LockPCR", { index: pcrIndex(index) });
  }

  /**
   * Locks the registers from 0 to below a number, until the enclave ends.
   *
   * @param range Number of registers, 1 to 32: 17 locks PCR0 to PCR16
   * @throws {AttestationError} When the module cannot be asked, refuses or answers something else
   * @throws {TypeError} When the range is not a number
   * @throws {RangeError} When the range is not a whole number from 1 to 32
   */
  async lockPcrs(range: number): Promise<void> {
    await this.#ask("LockPCRs", { range: checkInteger("range", range, { min: 1, max: PCR_COUNT }) });
  }

  /**
   * Describes the module.
   *
   * @returns Its name, version, registers and hash function
   * @throws {AttestationError} When the module cannot be asked, refuses or answers something else
   */
  async describeNsm(): Promise<NsmDescription> {
    const answer = await this.#ask("DescribeNSM");
    return {
      moduleId: answer.text("module_id"),
      version: {
        major: answer.number("version_major"),
        minor: answer.number("version_minor"),
        patch: answer.number("version_patch"),
      },
      maxPcrs: answer.number("max_pcrs"),
      lockedPcrs: answer.numbers("locked_pcrs"),
      digest: answer.oneOf("digest", ["SHA256", "SHA384", "SHA512"]),
    };
  }

  /**
   * Draws random bytes from the module.
   *
   * @returns As many bytes as the module gives at once: a genuine one gives 256. Its answer is wiped
   * @throws {AttestationError} When the module cannot be asked, refuses or answers something else
   */
  async getRandom(): Promise<Uint8Array<ArrayBuffer>> {
    return (await this.#ask("GetRandom")).take("random");
  }

  /** Closes the module if the client opened it. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.#disposed = true;
    if (this.#owned) this.#transport[Symbol.dispose]();
  }

  async #ask<Operation extends NsmOperation>(
    operation: Operation,
    args?: Arguments,
    options?: AttestationOptions,
  ): Promise<NsmAnswer<Operation>> {
    if (this.#disposed) throw new DisposedError("NsmClient");
    return await nsmQueueOf(this.#transport).run(() => ask(this.#transport, operation, args), options);
  }
}

/**
 * Asks for an attestation document at once: the caller must have waited for its turn at the module.
 *
 * @param transport Transport to the module
 * @param request Parts to sign together with the measurements
 * @returns A COSE_Sign1 document
 * @throws {AttestationError} As {@link NsmClient.attest}
 */
export async function askForDocument(
  transport: NsmTransport,
  request: AttestationRequest,
): Promise<Uint8Array<ArrayBuffer>> {
  return (await ask(transport, "Attestation", attestationArguments(request))).bytes("document");
}

/** Arguments of an operation by their names. */
type Arguments = Readonly<Record<string, CborValue>>;

async function ask<Operation extends NsmOperation>(
  transport: NsmTransport,
  operation: Operation,
  args: Arguments | undefined,
): Promise<NsmAnswer<Operation>> {
  const request = args === undefined ? operation : new Map([[operation, new Map(Object.entries(args))]]);
  // In the order of AWS's own library: it is the only one that every module is known to have read.
  return NsmAnswer.read(operation, await transport.exchange(encodeCbor(request, "given")));
}

function attestationArguments(request: AttestationRequest): Arguments {
  const { userData, nonce, publicKey } = checkFields("attestation request", request, REQUEST_FIELDS);
  return {
    user_data: bytesOrNull("userData", userData, MAX_ATTESTED_USER_DATA_BYTES),
    nonce: bytesOrNull("nonce", nonce, MAX_ATTESTED_NONCE_BYTES),
    public_key: bytesOrNull("publicKey", publicKey, MAX_ATTESTED_PUBLIC_KEY_BYTES),
  };
}

function pcrIndex(index: number): number {
  return checkInteger("index", index, { min: 0, max: PCR_COUNT - 1 });
}

function bytesOrNull(name: string, bytes: Uint8Array | undefined, maxLength: number): Uint8Array | null {
  return bytes === undefined ? null : ownBytes(name, bytes, maxLength);
}

/** Copies bytes, which the caller may change while the question waits for its turn. */
function ownBytes(name: string, bytes: unknown, maxLength: number): Uint8Array {
  if (!(bytes instanceof Uint8Array)) throw new TypeError(`${name} must be a Uint8Array`);
  if (bytes.length > maxLength) throw new RangeError(`${name} must have at most ${maxLength} bytes`);
  return Uint8Array.from(bytes);
}
