import type { AttestationDocument } from "../../lib/attestation/document.ts";
import type { NsmTransport } from "../../lib/nsm/nsm_transport.ts";
import type { Credentials } from "../../lib/aws/credentials.ts";
import type { KmsClient } from "../../lib/kms/kms_client.ts";
import type { ClientOptions } from "../client.ts";
import { KmsProbe } from "./kms_probe.ts";
import type { Finding, LinkName } from "./finding.ts";
import type { Machine } from "./machine.ts";

/** Options of an examination. */
export interface DoctorOptions {
  /** Options of the client. */
  readonly client: ClientOptions;
  /** Reads the credentials, any number of times. Throws a UsageError when a part is missing. */
  readonly credentials: () => Credentials;
  /** Root to trust for attestation documents instead of AWS's, DER. */
  readonly root?: Uint8Array | undefined;
  /** Path of a policy to load. */
  readonly policyFile?: string | undefined;
  /** The process and the kernel. */
  readonly machine: Machine;
  /** Time for everything but the policy, in milliseconds. */
  readonly timeoutMs: number;
}

/** Attestation document and the time of its arrival. */
export interface TimedDocument {
  readonly document: AttestationDocument;
  /** The encoded document. */
  readonly bytes: Uint8Array;
  /** Time by this machine's clock, milliseconds since 1970. */
  readonly receivedAt: number;
}

/** Steps that links share. The first link that needs a step takes it; each is taken once. */
export class Examination implements AsyncDisposable {
  /** Options of this examination. */
  readonly options: DoctorOptions;
  /** Time at which the examination ends, as `performance.now()` tells it. */
  readonly endsAt: number;
  readonly #findings: ReadonlyMap<LinkName, Promise<Finding>>;
  readonly #once = new Map<string, Promise<unknown>>();
  readonly #disposables: (() => void | Promise<void>)[] = [];

  /**
   * @param options Options of the examination
   * @param findings The finding of each link, once there is one
   */
  constructor(options: DoctorOptions, findings: ReadonlyMap<LinkName, Promise<Finding>>) {
    this.options = options;
    this.#findings = findings;
    this.endsAt = performance.now() + options.timeoutMs;
  }

  /** Milliseconds left, at least 1. */
  get remainingMs(): number {
    return Math.max(1, Math.floor(this.endsAt - performance.now()));
  }

  /** Waits for the finding of another link. */
  async finding(name: LinkName): Promise<Finding> {
    const finding = await this.#findings.get(name);
    if (finding === undefined) throw new Error(`There is no link ${name}`);
    return finding;
  }

  /** Opens the Nitro Secure Module. */
  nsm(): Promise<NsmTransport> {
    return this.#take("nsm", async () => {
      const given = this.options.client.nsm;
      if (given !== undefined) return given;
      const nsm = (await import("../../lib/nsm/open_nsm.ts")).openNsm();
      this.#disposables.push(() => nsm[Symbol.dispose]());
      return nsm;
    });
  }

  /** Gets a fresh attestation document. It is not verified. */
  document(): Promise<TimedDocument> {
    return this.#take("document", async () => {
      const nsm = await this.nsm();
      const { NsmClient } = await import("../../lib/nsm/nsm_client.ts");
      const { decodeAttestationDocument } = await import("../../lib/attestation/document.ts");
      const nonce = crypto.getRandomValues(new Uint8Array(32));
      const bytes = await new NsmClient(nsm).attest({ nonce });
      const receivedAt = Date.now();
      return { document: decodeAttestationDocument(bytes), bytes, receivedAt };
    });
  }

  /** Connects to KMS and sends one request without a signature. */
  probe(): Promise<KmsProbe> {
    return this.#take("probe", () => {
      const probe = KmsProbe.start(this.options.client, this.options.timeoutMs);
      this.#disposables.push(() => probe[Symbol.dispose]());
      return Promise.resolve(probe);
    });
  }

  /** Opens a client. Its key pair takes a while, so links ask for it early. */
  client(): Promise<KmsClient> {
    return this.#take("client", async () => {
      const { KmsClient } = await import("../../lib/kms/kms_client.ts");
      const { client: options, credentials } = this.options;
      const client = await KmsClient.open({
        ...options,
        // The C client does not say why it failed.
        engine: options.engine === "sdk-client" ? "sdk" : options.engine,
        credentials: credentials(),
        timeoutMs: this.remainingMs,
        maxAttempts: 2,
      });
      this.#disposables.push(() => client.close());
      return client;
    });
  }

  /**
   * Has KMS generate random bytes for this enclave, opens them and wipes them.
   *
   * @param numberOfBytes Length, 1 to 1024
   */
  randomBytes(numberOfBytes: number): Promise<void> {
    return this.#take("random", async () => {
      const client = await this.client();
      using _random = await client.generateRandom({ numberOfBytes, timeoutMs: this.remainingMs });
    });
  }

  /** Closes the client, the probe and the NSM. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const dispose of this.#disposables.reverse()) await dispose();
  }

  #take<T>(name: string, start: () => Promise<T>): Promise<T> {
    const known = this.#once.get(name) as Promise<T> | undefined;
    if (known !== undefined) return known;
    const started = start();
    started.catch(() => {});
    this.#once.set(name, started);
    return started;
  }
}
