import { checkFields } from "../../lib/core/checks.ts";
import { SimulatedClock } from "../clock.ts";
import { checkFault, FaultQueue, type FaultTimes } from "../fault_queue.ts";
import { CredentialStore, type SimulatedCredentials } from "../kms/kms_credentials.ts";
import type { HttpRequest } from "../tls/http_message.ts";
import { TlsAuthority } from "../tls/tls_certificates.ts";
import { type Delivery, type ListenAddress, TlsServer } from "../tls/tls_server.ts";
import { authenticateS3 } from "./s3_auth.ts";
import { deliverObject, faultyDelivery } from "./s3_delivery.ts";
import { errorAnswer, S3Refusal } from "./s3_errors.ts";
import { S3_FAULTS, type S3Fault } from "./s3_faults.ts";
import {
  type Bucket,
  type CreateBucketOptions,
  findObject,
  objectAnswer,
  type SimulatedObject,
  writeObject,
} from "./s3_objects.ts";
import { type ObjectTarget, readTarget } from "./s3_target.ts";

/** Options of the simulated S3; everything has a default. */
export interface SimulatedS3Options {
  /** Region of the endpoint. Default: `us-east-1`. */
  readonly region?: string | undefined;
  /** Whether it speaks TLS, as `localhost` and with an authority of its own. Default: false. */
  readonly tls?: boolean | undefined;
  /** Address: TCP or a unix socket. Default: a free port of 127.0.0.1. */
  readonly listen?: ListenAddress | undefined;
  /** The clock, milliseconds since 1970. Default: `Date.now`. */
  readonly now?: (() => number) | undefined;
}

/** One request as the simulated S3 saw it. Holds no secret. */
export interface LoggedS3Request {
  /** Name of the bucket. */
  readonly bucket: string;
  /** Key of the object, decoded. */
  readonly key: string;
  /** Value of its `range` header. */
  readonly range: string | undefined;
  /** Code that it was refused with. */
  readonly refusedWith: string | undefined;
  /** Fault that struck it. */
  readonly fault: string | undefined;
}

/** Number of requests kept in the log. */
const MAX_LOGGED_REQUESTS = 1000;

/**
 * S3 that gives objects away: it verifies signatures itself, knows buckets in the host name and in the path, versions,
 * ranges and `If-Match`, refuses as S3 refuses, and fails on demand. Objects are written with {@link putObject}, not
 * over HTTP.
 *
 * @example
 * ```ts
 * import { readArtefact } from "enclave-kms/parent";
 * import { SimulatedS3 } from "enclave-kms/sim";
 *
 * await using s3 = await SimulatedS3.start({ region: "eu-central-1" });
 * s3.createBucket("sealed");
 * s3.putObject("sealed", "age-key", new TextEncoder().encode("sealed bytes"));
 *
 * const { region, endpoint, credentials } = s3;
 * const bytes = await readArtefact("s3://sealed/age-key", { region, endpoint, credentials });
 * bytes.length; // 12
 * ```
 */
export class SimulatedS3 implements AsyncDisposable {
  /** The region of the endpoint. */
  readonly region: string;
  /** The clock. */
  readonly clock: SimulatedClock;
  /** Credentials that are accepted for an hour. */
  readonly credentials: SimulatedCredentials;
  /** Certificate of its authority, PEM; undefined without TLS. */
  readonly trustedCertificates: string | undefined;
  /** The last requests, in order; the oldest go once there are 1000. */
  readonly requests: LoggedS3Request[] = [];
  readonly #buckets = new Map<string, Bucket>();
  readonly #store: CredentialStore;
  readonly #faults = new FaultQueue<S3Fault>();
  readonly #server: TlsServer;
  #address: ListenAddress | undefined;

  private constructor(options: SimulatedS3Options, authority: TlsAuthority | undefined) {
    this.region = options.region ?? "us-east-1";
    this.clock = new SimulatedClock(options.now);
    this.#store = new CredentialStore(this.clock.base);
    this.credentials = this.#store.issue();
    this.trustedCertificates = authority?.trustedCertificates;
    this.#server = new TlsServer({
      certificate: () => authority?.certificate("valid") ?? Promise.resolve("clear"),
      answer: (request) => this.#answer(request),
    });
  }

  /**
   * Starts it.
   *
   * @param options Region, address, TLS and clock
   * @returns S3 without a bucket; dispose it with `await using`
   */
  static async start(options: SimulatedS3Options = {}): Promise<SimulatedS3> {
    const checked = checkFields("options of SimulatedS3", options, ["region", "tls", "listen", "now"]);
    const authority = checked.tls === true ? await TlsAuthority.create("localhost", checked.now) : undefined;
    const s3 = new SimulatedS3(checked, authority);
    s3.#address = await s3.#server.listen(checked.listen ?? { transport: "tcp", host: "127.0.0.1", port: 0 });
    return s3;
  }

  /** URL of the endpoint, such as `http://127.0.0.1:8000`; of `localhost` with TLS and on a unix socket. */
  get endpoint(): string {
    const scheme = this.trustedCertificates === undefined ? "http" : "https";
    if (this.#address?.transport !== "tcp") return `${scheme}://localhost`;
    const { host, port } = this.#address;
    return `${scheme}://${scheme === "https" ? "localhost" : host}:${port}`;
  }

  /** Number of connections accepted. */
  get connectionCount(): number {
    return this.#server.connectionCount;
  }

  /**
   * Makes a bucket, without objects.
   *
   * @param name Name of the bucket
   * @param options Region, and the callers' permissions
   */
  createBucket(name: string, options: CreateBucketOptions = {}): void {
    const { region = this.region, listable = true, readable = true } = checkFields(
      "bucket options",
      options,
      ["region", "listable", "readable"],
    );
    this.#buckets.set(name, { region, listable, readable, objects: new Map() });
  }

  /**
   * Writes an object; versions before it are kept.
   *
   * @param bucket Name of a bucket
   * @param key Key of the object
   * @param body Content
   * @returns The version
   * @throws {S3Refusal} `NoSuchBucket` when there is none of this name
   */
  putObject(bucket: string, key: string, body: Uint8Array): SimulatedObject {
    return writeObject(this.#bucket(bucket), key, body, this.clock.now());
  }

  /**
   * Hands out credentials that it accepts.
   *
   * @param options Lifetime in milliseconds. Default: an hour
   */
  issueCredentials(options: { readonly lifetimeMs?: number } = {}): SimulatedCredentials {
    return this.#store.issue(options.lifetimeMs);
  }

  /**
   * Accepts credentials that another simulated service issued.
   *
   * @param credentials The credentials
   * @param lifetimeMs Lifetime in milliseconds. Default: an hour
   */
  acceptCredentials(credentials: SimulatedCredentials, lifetimeMs = 3_600_000): void {
    this.#store.accept(credentials, lifetimeMs);
  }

  /** Lets credentials expire at once. */
  expireCredentials(credentials: Pick<SimulatedCredentials, "accessKeyId">): void {
    this.#store.expire(credentials);
  }

  /**
   * Makes it misbehave. Of several faults the last injected strikes first.
   *
   * @param fault The fault
   * @param options Number of requests that it hits. Default: until {@link clearFaults}
   * @throws {TypeError} When the fault has no kind of {@link S3_FAULTS}, or not that kind's fields
   * @throws {RangeError} When `times` is not a whole number above 0
   */
  injectFault(fault: S3Fault, options: FaultTimes = {}): void {
    this.#faults.add(checkFault(fault, S3_FAULTS, { name: "S3_FAULTS" }), options);
  }

  /** Ends all faults. */
  clearFaults(): void {
    this.#faults.clear();
  }

  /** Stops listening and breaks all connections. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server[Symbol.asyncDispose]();
  }

  async #answer(request: HttpRequest): Promise<Delivery> {
    const fault = this.#faults.take();
    if (fault?.kind === "latency") await new Promise((resolve) => setTimeout(resolve, fault.ms));
    const outcome = this.#outcome(request, fault);
    this.#log(outcome, request, fault);
    if (fault?.kind === "hang") await new Promise<never>(() => {});
    if (outcome.answer instanceof S3Refusal) {
      return { answer: errorAnswer(outcome.answer, this.clock.now()) };
    }
    if (fault?.kind === "change" && outcome.target !== undefined) this.#change(outcome.target);
    return deliverObject(outcome.answer, fault);
  }

  #outcome(request: HttpRequest, fault: S3Fault | undefined) {
    let target: ObjectTarget | undefined;
    try {
      target = readTarget(request);
      const authority = { region: this.region, credentials: this.#store, now: this.clock.now };
      authenticateS3(request, target, authority);
      return { target, answer: faultyDelivery(fault) ?? this.#object(request, target, fault) };
    } catch (error) {
      if (error instanceof S3Refusal) return { target, answer: error };
      throw error;
    }
  }

  #object(request: HttpRequest, target: ObjectTarget, fault: S3Fault | undefined) {
    if (request.method !== "GET" || target.key === "") {
      throw new S3Refusal("MethodNotAllowed", "The specified method is not allowed against this resource.");
    }
    const bucket = this.#bucket(target.bucket);
    if (bucket.region !== this.region) throw elsewhere(target.bucket, bucket.region);
    const object = findObject(bucket, target.key, target.versionId);
    const headers = new Map(request.headers);
    if (fault?.kind === "wholeForPart") headers.delete("range");
    if (fault?.kind === "wrongPart" && headers.has("range")) headers.set("range", "bytes=0-");
    return objectAnswer(object, headers, this.clock.now());
  }

  #bucket(name: string): Bucket {
    const bucket = this.#buckets.get(name);
    if (bucket !== undefined) return bucket;
    throw new S3Refusal("NoSuchBucket", "The specified bucket does not exist", {
      elements: { BucketName: name },
    });
  }

  #change({ bucket, key }: ObjectTarget): void {
    const before = this.#bucket(bucket).objects.get(key)?.at(-1)?.body ?? new Uint8Array();
    this.putObject(bucket, key, before.map((byte) => byte ^ 0xff));
  }

  #log(
    { target, answer }: { target: ObjectTarget | undefined; answer: unknown },
    request: HttpRequest,
    fault: S3Fault | undefined,
  ): void {
    const refusedWith = answer instanceof S3Refusal ? answer.s3Code : undefined;
    const { bucket = "", key = "" } = target ?? {};
    this.requests.push({ bucket, key, range: request.headers.get("range"), refusedWith, fault: fault?.kind });
    if (this.requests.length > MAX_LOGGED_REQUESTS) this.requests.shift();
  }
}

function elsewhere(bucket: string, region: string): S3Refusal {
  const message = "The bucket you are attempting to access must be addressed using the specified endpoint.";
  return new S3Refusal("PermanentRedirect", message, {
    elements: { Endpoint: `${bucket}.s3.${region}.amazonaws.com`, Bucket: bucket },
    headers: { "x-amz-bucket-region": region },
  });
}
