import process from "node:process";
import { checkRegion } from "../lib/aws/region.ts";
import { checkCall } from "../lib/core/call_options.ts";
import { checkFields, checkInteger } from "../lib/core/checks.ts";
import { Deadline, MAX_TIMEOUT_MS } from "../lib/core/deadline.ts";
import {
  type DisposableCredentials,
  type InstanceCredentialsProvider,
  OwnedAnswer,
  type ProvideOptions,
} from "./credentials/disposable_credentials.ts";
import { readCredentialsDocument } from "./imds/credentials_document.ts";
import { imdsError } from "./imds/imds_error.ts";
import { MetadataClient } from "./imds/metadata_client.ts";
import { isMetadataOff, readMetadataEndpoint } from "./imds/metadata_endpoint.ts";
import type { Environment } from "./kms_proxy_settings.ts";

/** Address and limits of the instance's metadata service. */
export interface ImdsOptions {
  /**
   * URL of the service, on a loopback or link-local address. Default: `AWS_EC2_METADATA_SERVICE_ENDPOINT`, else by
   * `AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE` `http://169.254.169.254` (`IPv4`) or `http://[fd00:ec2::254]` (`IPv6`).
   */
  readonly endpoint?: string | undefined;
  /** Name of the role, 1 to 64 characters. Default: the service is asked for it. */
  readonly role?: string | undefined;
  /** Milliseconds for one call with all its requests and retries, 1 to 2147483647. Default: 5000. */
  readonly timeoutMs?: number | undefined;
  /** Milliseconds for each try of a request, 1 to 2147483647. Default: 1000. */
  readonly tryTimeoutMs?: number | undefined;
  /** Most tries of each request, 1 to 100. Default: 3. */
  readonly maxAttempts?: number | undefined;
  /** Environment. Default: that of the process. */
  readonly env?: Environment | undefined;
}

/**
 * Makes a provider of the credentials of the instance's role, from its metadata service.
 *
 * Only version 2 is spoken. A token is kept, renewed before its time, and once more when the service answers 401. A
 * request that is not answered, broken off or answered with 429 or 5xx is tried again after a growing pause, within one
 * deadline. The secret access key and the session token stay bytes, and are wiped when the answer is disposed; what the
 * metadata service sent is wiped at once.
 *
 * Not guaranteed: that the kernel, or a consumer that makes strings of them, keeps no copy. `Expiration` is passed on
 * as the service tells it, even when it has passed.
 *
 * @param options Address and limits
 * @returns The provider. It throws {@link ImdsError}, with a code for each failure
 * @throws {TypeError} When an option is unknown or of a wrong type, or the endpoint is not near
 * @throws {RangeError} When a number is out of range
 * @example
 * ```ts
 * import { imdsCredentials } from "enclave-kms/parent";
 * import { startImds } from "enclave-kms/sim";
 *
 * await using imds = await startImds({ role: "parent" });
 * const provider = imdsCredentials({ endpoint: imds.endpoint }); // on an instance: without an endpoint
 * using credentials = await provider();
 * credentials.accessKeyId === imds.credentials.accessKeyId; // true
 * ```
 */
export function imdsCredentials(options: ImdsOptions = {}): InstanceCredentialsProvider {
  const service = new Service(options);
  return async ({ signal } = {}) => {
    using deadline = service.deadline("get the instance's credentials", signal);
    const role = options.role ?? await service.readRole(deadline);
    return await service.readCredentials(role, deadline);
  };
}

/** Answers of the metadata service to {@link probeImds}. */
export interface ImdsProbe {
  /** Region of the instance. */
  readonly region: string;
  /** Name of the role. */
  readonly role: string;
  /** Expiration of its credentials, in milliseconds since 1970. */
  readonly expiresAtMs: number;
}

/**
 * Asks the metadata service for the region, the role and its credentials, for a diagnosis. The credentials are wiped.
 *
 * @param options Address and limits, and a signal
 * @throws {ImdsError} For the first question that fails; its `question` names it
 */
export async function probeImds(options: ImdsOptions & ProvideOptions = {}): Promise<ImdsProbe> {
  const { signal, ...others } = options;
  const service = new Service(others);
  using deadline = service.deadline("ask the metadata service", signal);
  const region = await service.readRegion(deadline);
  const role = options.role ?? await service.readRole(deadline);
  using credentials = await service.readCredentials(role, deadline);
  return { region, role, expiresAtMs: Number(credentials.expiration) };
}

/**
 * Asks the metadata service for the region of the instance.
 *
 * @param options Address and limits, and a signal
 * @returns Such as `eu-central-1`
 * @throws {ImdsError} When it does not tell
 * @throws {TypeError} When an option is unknown or of a wrong type
 */
export async function instanceRegion(options: ImdsOptions & ProvideOptions = {}): Promise<string> {
  const { signal, ...others } = options;
  const service = new Service(others);
  using deadline = service.deadline("get the instance's region", signal);
  return await service.readRegion(deadline);
}

const FIELDS = ["endpoint", "role", "timeoutMs", "tryTimeoutMs", "maxAttempts", "env"];
const ROLES_PATH = "/latest/meta-data/iam/security-credentials/";
const REGION_PATH = "/latest/meta-data/placement/region";
const ROLE_NAME = /^[\w+=,.@-]{1,64}$/;

/** The metadata service, question by question. */
class Service {
  readonly #client: MetadataClient;
  readonly #timeoutMs: number;
  readonly #isOff: boolean;

  constructor(given: ImdsOptions) {
    const options = checkFields("metadata service options", given, FIELDS);
    const { role, env = process.env } = options;
    if (role !== undefined && (typeof role !== "string" || !ROLE_NAME.test(role))) {
      throw new TypeError("role must be the name of a role: letters, digits and +=,.@_-");
    }
    const range = { min: 1, max: MAX_TIMEOUT_MS };
    this.#timeoutMs = checkInteger("timeoutMs", options.timeoutMs, { ...range, default: 5000 });
    const attempts = { min: 1, max: 100, default: 3 };
    this.#isOff = isMetadataOff(env);
    this.#client = new MetadataClient({
      target: readMetadataEndpoint(options.endpoint, env),
      tryTimeoutMs: checkInteger("tryTimeoutMs", options.tryTimeoutMs, { ...range, default: 1000 }),
      maxAttempts: checkInteger("maxAttempts", options.maxAttempts, attempts),
    });
  }

  deadline(what: string, signal: AbortSignal | undefined): Deadline {
    const call = checkCall({ signal }, this.#timeoutMs);
    if (this.#isOff) {
      throw imdsError("OFF", "token", { reason: "AWS_EC2_METADATA_DISABLED is set in the environment" });
    }
    return new Deadline(what, call.timeoutMs, call.signal);
  }

  async readRole(deadline: Deadline): Promise<string> {
    using answer = await this.#client.get("role", ROLES_PATH, deadline);
    const role = decode(answer.body);
    if (role === "") throw imdsError("NO_ROLE", "role", { reason: "the service names none" });
    if (ROLE_NAME.test(role)) return role;
    throw imdsError("ANSWER", "role", { reason: "the answer is not the name of one role" });
  }

  async readRegion(deadline: Deadline): Promise<string> {
    using answer = await this.#client.get("region", REGION_PATH, deadline);
    try {
      return checkRegion(decode(answer.body));
    } catch {
      throw imdsError("ANSWER", "region", { reason: "the answer is no region" });
    }
  }

  async readCredentials(role: string, deadline: Deadline): Promise<DisposableCredentials> {
    using answer = await this.#client.get("credentials", `${ROLES_PATH}${role}`, deadline);
    return new OwnedAnswer(readCredentialsDocument(answer.body));
  }
}

function decode(body: Uint8Array): string {
  return new TextDecoder().decode(body).trim();
}
