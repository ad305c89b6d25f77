import { disposeAll } from "../core/dispose_all.ts";
import { type CredentialPart, type CredentialsProblem, readCredentials } from "./credentials_shape.ts";
import { DisposedError } from "../core/errors.ts";
import { allocateOffHeap, SecretBytes } from "../core/secret_bytes.ts";

/** AWS credentials, as STS or the parent hands them out. Every part is printable ASCII without spaces. */
export interface Credentials {
  /** Access key id, 1 to 128 bytes. */
  readonly accessKeyId: CredentialPart;
  /** Secret access key, 1 to 1024 bytes. */
  readonly secretAccessKey: CredentialPart;
  /** Session token of temporary credentials, 1 to 16384 bytes. */
  readonly sessionToken?: CredentialPart | undefined;
  /** Expiration of temporary credentials: a date, ISO 8601 with its time zone, or milliseconds since 1970. */
  readonly expiration?: Date | string | number | undefined;
}

/** Credentials as AWS writes them, with the fields that IMDS, ECS and the command line add. */
export interface AwsCredentials {
  /** See {@link Credentials.accessKeyId}. */
  readonly AccessKeyId: CredentialPart;
  /** See {@link Credentials.secretAccessKey}. */
  readonly SecretAccessKey: CredentialPart;
  /** Session token under the name of STS and the command line, see {@link Credentials.sessionToken}. */
  readonly SessionToken?: CredentialPart | undefined;
  /** Session token under the name of IMDS and ECS, see {@link Credentials.sessionToken}. */
  readonly Token?: CredentialPart | undefined;
  /** See {@link Credentials.expiration}. */
  readonly Expiration?: Date | string | number | undefined;
  /** Code `Success`, from IMDS. */
  readonly Code?: string | undefined;
  /** Time of IMDS; not used. */
  readonly LastUpdated?: string | undefined;
  /** Type, from IMDS; not used. */
  readonly Type?: string | undefined;
  /** ARN of the role, from ECS; not used. */
  readonly RoleArn?: string | undefined;
  /** Id of the account; not used. */
  readonly AccountId?: string | undefined;
  /** Version 1, from a `credential_process` and `aws configure export-credentials`. */
  readonly Version?: number | undefined;
}

/**
 * Credentials in any form: this library's, that of IMDS, ECS and the command line, or an answer of STS,
 * such as `aws sts assume-role` prints, which has them in `Credentials`.
 *
 * @example
 * ```ts
 * import { KmsClient } from "enclave-kms";
 * import { startSimulator } from "enclave-kms/sim";
 *
 * await using enclave = await startSimulator(); const { accessKeyId, secretAccessKey, sessionToken } =
 * enclave.credentials; const fromImds = { Code: "Success", AccessKeyId: accessKeyId, SecretAccessKey:
 * secretAccessKey, Token: sessionToken }; await using client = await KmsClient.open({ ...enclave.clientOptions,
 * credentials: () => fromImds }); using random = await client.generateRandom({ numberOfBytes: 32 }); random.length;
 * // 32
 * ```
 */
export type ProvidedCredentials = Credentials | AwsCredentials | { readonly Credentials: AwsCredentials };

/**
 * Credentials, or a function that returns them.
 *
 * An answer with `[Symbol.dispose]` is disposed once it was copied, so that a function that gives bytes can have them
 * wiped.
 *
 * A function whose answer has no `expiration` is asked before every request. One whose answer has one is asked again
 * five minutes before it, or when a tenth of the time is left if that is later. This happens in the background, while
 * requests use the present credentials; all requests share the answer. If it fails, it is asked again after pauses
 * that grow to a minute. Simultaneous requests share one question, also the first ones; an aborted one ends no other.
 *
 * An `expiration` is advice, as it is to AWS's SDKs: past it the credentials stay in use, and KMS decides, unless
 * {@link KmsClientOptions.expiredCredentials} is `refuse`. When KMS refuses credentials, as expired, as unknown or
 * for their signature, the function is asked once more, and the request sent again if its answer is another.
 * Engine `sdk-client` is not told why KMS refuses; it waits two seconds at most for fresher ones than those past
 * their `expiration`.
 *
 * With `refuse`, credentials fail with a {@link CredentialsError} from their `expiration` on, and nothing is sent.
 * KMS's clock decides, as its last answer showed it. If there was none yet, KMS is asked for the time first, without a
 * signature: a clock that is far ahead makes good credentials look expired. Engine
 * `sdk-client` knows this machine's clock only.
 *
 * @example
 * ```ts
 * import { KmsClient } from "enclave-kms";
 * import { startSimulator } from "enclave-kms/sim";
 *
 * await using enclave = await startSimulator(); // in an enclave: { region }
 * const credentials = () => {
 *   const { accessKeyId, secretAccessKey, sessionToken } = enclave.kms.issueCredentials(); // ask the parent
 *   return { accessKeyId, secretAccessKey, sessionToken, expiration: Date.now() + 3_600_000 };
 * };
 * await using client = await KmsClient.open({ ...enclave.clientOptions, credentials });
 * using random = await client.generateRandom({ numberOfBytes: 32 });
 * random.length; // 32
 * ```
 */
export type CredentialsProvider =
  | ProvidedCredentials
  | (() => ProvidedCredentials | Promise<ProvidedCredentials>);

/**
 * Checked copy of credentials with any number of holders: the last one that disposes its hold wipes the secrets. The
 * caller must wipe their own copy; JavaScript strings cannot be wiped.
 */
export class OwnedCredentials implements Disposable {
  /** Access key id; it is sent in the clear and is no secret. */
  readonly accessKeyId: string;
  /** Secret access key, 1 to 1024 bytes. */
  readonly secretAccessKey: SecretBytes;
  /** Session token of temporary credentials, 1 to 16384 bytes. */
  readonly sessionToken: SecretBytes | undefined;
  /** Expiration in milliseconds since 1970, where it is known. */
  readonly expiresAtMs: number | undefined;
  readonly #holds: { count: number };
  #disposed = false;

  private constructor(parts: Parts, holds: { count: number }) {
    this.accessKeyId = parts.accessKeyId;
    this.secretAccessKey = parts.secretAccessKey;
    this.sessionToken = parts.sessionToken;
    this.expiresAtMs = parts.expiresAtMs;
    this.#holds = holds;
    holds.count++;
  }

  /**
   * Checks and copies credentials.
   *
   * @param credentials Credentials in any form
   * @returns The first hold of the copy
   * @throws {TypeError} When a part is missing, of a wrong type, too long or not printable ASCII; it names the part
   */
  static copyOf(credentials: ProvidedCredentials): OwnedCredentials {
    const read = readCredentials(credentials, "code");
    if (!("accessKeyId" in read)) throw new TypeError(describe(read));
    const { accessKeyId, secretAccessKey, sessionToken, expiresAtMs } = read;
    const parts = {
      accessKeyId: typeof accessKeyId === "string" ? accessKeyId : new TextDecoder().decode(accessKeyId),
      secretAccessKey: copyPart(secretAccessKey),
      sessionToken: sessionToken === undefined ? undefined : copyPart(sessionToken),
      expiresAtMs,
    };
    return new OwnedCredentials(parts, { count: 0 });
  }

  /**
   * Checks and copies credentials as {@link OwnedCredentials.copyOf} does, and disposes the original where it has
   * `[Symbol.dispose]`, so that bytes in it are wiped.
   *
   * @param credentials Credentials in any form; those that can be disposed are, even when they are refused
   * @returns The first hold of the copy
   * @throws {TypeError} As {@link OwnedCredentials.copyOf}
   */
  static takeOver(credentials: ProvidedCredentials): OwnedCredentials {
    try {
      return OwnedCredentials.copyOf(credentials);
    } finally {
      disposeOriginal(credentials);
    }
  }

  /**
   * Takes another hold of the same copy, so that no second one is made of the secrets.
   *
   * @returns The hold, for its holder to dispose
   * @throws {DisposedError} After dispose
   */
  share(): OwnedCredentials {
    if (this.#disposed) throw new DisposedError("OwnedCredentials");
    return new OwnedCredentials(this, this.#holds);
  }

  /** Compares all parts but the expiration. */
  equals(other: OwnedCredentials): boolean {
    return this.accessKeyId === other.accessKeyId &&
      isEqual(this.secretAccessKey.bytes, other.secretAccessKey.bytes) &&
      isEqual(this.sessionToken?.bytes, other.sessionToken?.bytes);
  }

  /** Releases the copy; the last hold wipes the secrets. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.#disposed = true;
    if (--this.#holds.count > 0) return;
    disposeAll([this.secretAccessKey, this.sessionToken]);
  }
}

/**
 * Disposes credentials that were copied, where they have `[Symbol.dispose]`.
 *
 * @param credentials Credentials in any form, or anything else that was given for them
 */
export function disposeOriginal(credentials: unknown): void {
  const isObject = typeof credentials === "object" && credentials !== null;
  if (!isObject || !(Symbol.dispose in credentials)) return;
  if (typeof credentials[Symbol.dispose] === "function") (credentials as Disposable)[Symbol.dispose]();
}

type Parts = Pick<OwnedCredentials, "accessKeyId" | "secretAccessKey" | "sessionToken" | "expiresAtMs">;

function describe([problem]: readonly CredentialsProblem[]): string {
  const { path = "", expected = "" } = problem ?? {};
  if (path === "") return `Cannot use credentials: expected ${expected} or a function that returns one`;
  return `Cannot use credentials.${path}: expected ${expected}`;
}

function isEqual(one: Uint8Array | undefined, other: Uint8Array | undefined): boolean {
  if (one === undefined || other === undefined) return one === other;
  return one.length === other.length && one.every((byte, index) => byte === other[index]);
}

function copyPart(part: CredentialPart): SecretBytes {
  if (typeof part !== "string") return SecretBytes.copyOf(part);
  const bytes = allocateOffHeap(part.length);
  new TextEncoder().encodeInto(part, bytes);
  return new SecretBytes(bytes);
}
