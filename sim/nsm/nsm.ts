import { createHash, randomBytes } from "node:crypto";
import { decode } from "cbor2";
import type { NsmTransport } from "../../lib/nsm/nsm_transport.ts";
import { checkFields, checkInteger } from "../../lib/core/checks.ts";
import { decodeHex, encodeHex } from "../../lib/core/encoding.ts";
import { AttestationError, DisposedError } from "../../lib/core/errors.ts";
import { pcrHex, type PcrsByIndex, type PcrValue, readPcrs } from "../../lib/core/pcrs.ts";
import { checkFault, FaultQueue, type FaultTimes } from "../fault_queue.ts";
import type { Identity } from "../tls/certificates.ts";
import { LEAF_LIFETIME_MS, NsmAuthority } from "./nsm_authority.ts";
import { type AttestationRequest, PCR_BYTES, PcrBank } from "./nsm_commands.ts";
import type { DocumentForm } from "./document_form.ts";
import { cbor, errorAnswer, makeDocument } from "./nsm_document.ts";
import { NSM_FAULTS, type NsmFault } from "./nsm_faults.ts";
import { answerRequest } from "./nsm_protocol.ts";
import { listenForNsm } from "./nsm_server.ts";

/** Options of the simulated module. */
export interface SoftwareNsmOptions {
  /**
   * Registers by index, 0 to 31: 48 bytes, or their hex. PCR0 to PCR4 are random unless given, others zero.
   */
  readonly pcrs?: PcrsByIndex<PcrValue> | undefined;
  /** Debug mode: PCR0 to PCR2 are zero. Default: false. */
  readonly debug?: boolean | undefined;
  /** Region in the names of the certificates. Default: `us-east-1`. */
  readonly region?: string | undefined;
  /** The clock, milliseconds since 1970. Default: `Date.now`. */
  readonly now?: (() => number) | undefined;
  /**
   * Form of the documents' payload: a map of open length, as AWS has written since the middle of 2025, or
   * `definite`, as it wrote before. Default: `indefinite`.
   */
  readonly documentForm?: DocumentForm | undefined;
}

const OPTIONS = ["pcrs", "debug", "region", "now", "documentForm"];
const REQUEST = ["publicKey", "userData", "nonce"];

/**
 * A Nitro Secure Module in software: the same commands, answers, errors and documents, under a root of its
 * own.
 *
 * @example
 * ```ts
 * import { verifyAttestation } from "enclave-kms/attestation";
 * import { SoftwareNsm } from "enclave-kms/sim";
 *
 * using nsm = await SoftwareNsm.create({ pcrs: { 0: "ab".repeat(48) } });
 * const document = await nsm.attest();
 * const { digest } = await verifyAttestation(document, { root: nsm.root, pcrs: { 0: nsm.pcr(0) } });
 * digest; // "SHA384"
 * ```
 */
export class SoftwareNsm implements NsmTransport {
  /** The module's name: `i-…-enc…`. */
  readonly moduleId: string;
  readonly #pcrs: PcrBank;
  readonly #authority: NsmAuthority;
  readonly #now: () => number;
  readonly #form: DocumentForm;
  readonly #faults = new FaultQueue<NsmFault>();
  readonly #unanswered: (() => void)[] = [];
  #leaf: Promise<Identity> | undefined;
  #leafStartsAt = 0;
  #requestCount = 0;
  #disposed = false;

  private constructor(
    moduleId: string,
    pcrs: PcrBank,
    authority: NsmAuthority,
    now: () => number,
    form: DocumentForm,
  ) {
    this.moduleId = moduleId;
    this.#pcrs = pcrs;
    this.#authority = authority;
    this.#now = now;
    this.#form = form;
  }

  /**
   * Sets a module up.
   *
   * @param options Registers, debug mode, region, clock and form of documents
   * @returns A fresh module with certificates of its own
   * @throws {TypeError} When a register is not 48 bytes, or its index not 0 to 31, or the form is not known
   */
  static async create(options: SoftwareNsmOptions = {}): Promise<SoftwareNsm> {
    const { pcrs: given = {}, ...rest } = checkFields("options of SoftwareNsm", options, OPTIONS);
    const { region = "us-east-1", now = Date.now, debug = false, documentForm = "indefinite" } = rest;
    if (documentForm !== "indefinite" && documentForm !== "definite") {
      throw new TypeError("documentForm must be `indefinite` or `definite`");
    }
    const instanceId = `i-${randomHex(8)}0`.slice(0, 19);
    const pcrs = new PcrBank(initialPcrs(given, debug, instanceId));
    const authority = await NsmAuthority.create(region, instanceId, now());
    return new SoftwareNsm(`${instanceId}-enc${randomHex(8)}`, pcrs, authority, now, documentForm);
  }

  /** The root certificate of its documents, DER: `root` for verifyAttestation. */
  get root(): Uint8Array<ArrayBuffer> {
    return this.#authority.root;
  }

  /** Number of requests received. */
  get requestCount(): number {
    return this.#requestCount;
  }

  /**
   * Reads a register.
   *
   * @param index 0 to 31
   * @returns The register's value as lowercase hex, as key policies write it
   */
  pcr(index: number): string {
    return encodeHex(this.#pcrs.describe(checkInteger("index", index, { min: 0, max: 31 })).data);
  }

  /**
   * Asks for an attestation document, as the enclave's own code would.
   *
   * @param request Content to be signed: a public key of at most 1024 bytes, user data and a nonce of at most
   *   512
   * @returns The document, COSE_Sign1
   * @throws {AttestationError} `ERR_ATTESTATION_REFUSED` when the module refuses
   */
  async attest(request: Partial<AttestationRequest> = {}): Promise<Uint8Array<ArrayBuffer>> {
    const { publicKey = null, userData = null, nonce = null } = checkFields(
      "attestation request",
      request,
      REQUEST,
    );
    const message = { Attestation: { user_data: userData, nonce, public_key: publicKey } };
    return documentOf(await this.exchange(cbor(message)));
  }

  /**
   * Answers a request, as the ioctl on `/dev/nsm` does.
   *
   * @param request CBOR; above 4096 bytes the module refuses
   * @returns CBOR: the answer, or `{"Error": …}`
   * @throws {DisposedError} After dispose
   */
  async exchange(request: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
    if (this.#disposed) throw new DisposedError("SoftwareNsm");
    this.#requestCount++;
    const fault = this.#faults.take();
    if (fault?.kind === "silent") {
      await new Promise<void>((resolve) => this.#unanswered.push(resolve));
      return errorAnswer("InternalError");
    }
    if (fault?.kind === "latency") await new Promise((resolve) => setTimeout(resolve, fault.ms));
    if (fault?.kind === "refuse") return errorAnswer(fault.errorName);
    if (fault?.kind === "garbage") return new Uint8Array([0xff, 0x00, 0xff]);
    const attest = (attestation: AttestationRequest) => this.#attest(attestation, fault);
    return await answerRequest({ moduleId: this.moduleId, pcrs: this.#pcrs, attest }, request);
  }

  /**
   * Serves the module on a unix stream socket, for other processes. A message is its length as an unsigned
   * 32-bit big-endian number followed by the CBOR, in both directions.
   *
   * @param socketPath Path of the socket, at most 107 bytes; nothing may be there
   * @returns Stops listening, breaks the connections and removes the socket when disposed
   */
  listen(socketPath: string): Promise<AsyncDisposable> {
    return listenForNsm(this, socketPath);
  }

  /**
   * Makes the module misbehave.
   *
   * @param fault The fault
   * @param options Number of requests that it hits. Default: until {@link clearFaults}
   * @returns Ends the fault when disposed
   * @throws {TypeError} When the fault has no kind of {@link NSM_FAULTS}, or not that kind's fields
   * @throws {RangeError} When `times` is not a whole number above 0
   */
  injectFault(fault: NsmFault, options: FaultTimes = {}): Disposable {
    return this.#faults.add(checkFault(fault, NSM_FAULTS, { name: "NSM_FAULTS" }), options);
  }

  /** Ends all faults. Requests that had no answer get an error, so that those behind them have their turn. */
  clearFaults(): void {
    this.#faults.clear();
    for (const answer of this.#unanswered.splice(0)) answer();
  }

  /** The module answers no more. */
  [Symbol.dispose](): void {
    this.#disposed = true;
  }

  async #attest(request: AttestationRequest, fault: NsmFault | undefined): Promise<Uint8Array<ArrayBuffer>> {
    const now = this.#now();
    const timestamp = fault?.kind === "stale" ? now - HOUR_MS : now;
    const leaf =
      await (fault?.kind === "expiredLeaf"
        ? this.#authority.issueLeaf(this.moduleId, now - 24 * HOUR_MS)
        : this.#currentLeaf(now));
    const fields = {
      ...request,
      moduleId: this.moduleId,
      timestamp,
      pcrs: this.#lockedPcrs(fault?.kind === "debug"),
      cabundle: this.#authority.cabundle,
    };
    const signer = fault?.kind === "wrongKey" ? await this.#authority.issueLeaf(this.moduleId, now) : leaf;
    return await makeDocument(fields, { form: this.#form, leaf, signer });
  }

  /**
   * Starts an hour back, for stale documents; replaced half an hour before its end, or when the clock went
   * back.
   */
  #currentLeaf(now: number): Promise<Identity> {
    const age = now - this.#leafStartsAt;
    if (this.#leaf === undefined || age < HOUR_MS || age > LEAF_LIFETIME_MS - HOUR_MS / 2) {
      this.#leafStartsAt = now - HOUR_MS - 1000;
      this.#leaf = this.#authority.issueLeaf(this.moduleId, this.#leafStartsAt);
    }
    return this.#leaf;
  }

  #lockedPcrs(debug: boolean): ReadonlyMap<number, Uint8Array> {
    return new Map(this.#pcrs.locked.map((index) => {
      const zero = debug && index < IMAGE_PCRS;
      return [index, zero ? new Uint8Array(PCR_BYTES) : this.#pcrs.describe(index).data];
    }));
  }
}

const HOUR_MS = 3_600_000;
/** PCR0 to PCR2 measure the image. */
const IMAGE_PCRS = 3;

function documentOf(answer: Uint8Array): Uint8Array<ArrayBuffer> {
  const { Attestation: attestation, Error: errorName } = decode(answer) as NsmAnswer;
  if (attestation !== undefined) return new Uint8Array(attestation.document);
  throw new AttestationError("REFUSED", `Cannot attest: the module answered ${errorName}`, {
    hint: "Is a fault injected, or a field too long?",
  });
}

interface NsmAnswer {
  readonly Attestation?: { readonly document: Uint8Array };
  readonly Error?: string;
}

function initialPcrs(
  given: PcrsByIndex<PcrValue>,
  debug: boolean,
  instanceId: string,
): ReadonlyMap<number, Uint8Array> {
  const pcrs = new Map<number, Uint8Array>(
    [0, 1, 2, 3].map((i) => [i, new Uint8Array(randomBytes(PCR_BYTES))]),
  );
  pcrs.set(4, extendedOnce(instanceId));
  for (const [index, value] of readPcrs("pcrs", given)) pcrs.set(index, pcrValue(index, value));
  if (debug) { for (let i = 0; i < IMAGE_PCRS; i++) pcrs.delete(i); }
  return pcrs;
}

/** Computes PCR4: the instance's id, extended into zeros. */
function extendedOnce(text: string): Uint8Array {
  return new Uint8Array(createHash("sha384").update(new Uint8Array(PCR_BYTES)).update(text).digest());
}

function pcrValue(index: number, value: unknown): Uint8Array {
  const bytes = decodeHex(pcrHex(`pcrs[${index}]`, value));
  if (bytes.length === PCR_BYTES) return bytes;
  throw new TypeError(`pcrs has a register that is not ${PCR_BYTES} bytes long`);
}

function randomHex(length: number): string {
  return encodeHex(randomBytes(length));
}
