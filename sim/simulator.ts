import { decodeBase64, encodeBase64 } from "../lib/core/encoding.ts";
import type { NsmTransport } from "../lib/nsm/nsm_transport.ts";
import { checkFields, checkRecord } from "../lib/core/checks.ts";
import { kmsHostName } from "../lib/aws/region.ts";
import { SimulatedClock } from "./clock.ts";
import { SimulatedKms } from "./kms/kms.ts";
import type { SimulatedCredentials } from "./kms/kms_credentials.ts";
import type { CreateGrantOptions, SimulatedGrant } from "./kms/kms_grants.ts";
import type { KeyAlgorithm } from "./kms/keys/encryption_algorithms.ts";
import type { CreateKeyOptions, SimulatedKey } from "./kms/keys/simulated_key.ts";
import type { ReleaseOptions } from "./kms/kms_release.ts";
import { SoftwareNsm, type SoftwareNsmOptions } from "./nsm/nsm.ts";
import { TlsAuthority } from "./tls/tls_certificates.ts";
import type { ListenAddress } from "./tls/tls_server.ts";

/** Options of the simulated enclave; everything has a default. */
export interface SimulatorOptions extends ReleaseOptions {
  /** Default: `us-east-1`. */
  readonly region?: string | undefined;
  /** Address of KMS: TCP or a unix socket. Default: a free port of 127.0.0.1. */
  readonly listen?: ListenAddress | undefined;
  /**
   * More names and IP addresses on KMS's certificate, such as `localhost`, for clients that ask for the host that they
   * connect to. Default: KMS's own name alone.
   */
  readonly names?: readonly string[] | undefined;
  /** The registers of the Nitro Secure Module, and debug mode. */
  readonly nsm?: Omit<SoftwareNsmOptions, "region" | "now"> | undefined;
  /** The clock of KMS and of the module, milliseconds since 1970. Default: `Date.now`. */
  readonly now?: (() => number) | undefined;
}

/** Request for a ciphertext. */
export interface SimulatedEncryptRequest {
  /** Key id, ARN, alias or alias ARN. */
  readonly keyId: string;
  /** 1 to 4096 bytes, or text. */
  readonly plaintext: Uint8Array | string;
  /** Encryption context, which a decrypt must repeat. */
  readonly encryptionContext?: Readonly<Record<string, string>> | undefined;
  /** Default: `SYMMETRIC_DEFAULT`. */
  readonly encryptionAlgorithm?: KeyAlgorithm | undefined;
}

/** Options with which a client reaches the simulated KMS from the simulated enclave. */
export interface SimulatorClientOptions {
  /** The region. */
  readonly region: string;
  /** Credentials that are accepted. */
  readonly credentials: SimulatedCredentials;
  /** Address of KMS. */
  readonly endpoint: ListenAddress;
  /** The certificate authority of KMS, PEM. */
  readonly trustedCertificates: string;
  /** The Nitro Secure Module. */
  readonly nsm: NsmTransport;
}

/** A simulated enclave: a Nitro Secure Module, and a KMS that trusts it. */
export class Simulator implements AsyncDisposable {
  /** The region. */
  readonly region: string;
  /** KMS's host name, which its certificate names. */
  readonly hostName: string;
  /** Address of KMS. */
  readonly endpoint: ListenAddress;
  /** The certificate authority of KMS, PEM. */
  readonly trustedCertificates: string;
  /** The Nitro Secure Module. */
  readonly nsm: SoftwareNsm;
  /** KMS. */
  readonly kms: SimulatedKms;
  #credentials: SimulatedCredentials;

  /** @internal */
  constructor(kms: SimulatedKms, nsm: SoftwareNsm, tls: TlsAuthority, endpoint: ListenAddress) {
    this.kms = kms;
    this.nsm = nsm;
    this.region = kms.region;
    this.hostName = kmsHostName(kms.region);
    this.endpoint = endpoint;
    this.trustedCertificates = tls.trustedCertificates;
    this.#credentials = kms.issueCredentials();
  }

  /** Credentials that KMS accepts for an hour: those of {@link rotateCredentials}, once it was called. */
  get credentials(): SimulatedCredentials {
    return this.#credentials;
  }

  /** Options for `KmsClient.open`, or to spread into a call of `kmsDecrypt`. */
  get clientOptions(): SimulatorClientOptions {
    const { region, credentials, endpoint, trustedCertificates, nsm } = this;
    return { region, credentials, endpoint, trustedCertificates, nsm };
  }

  /**
   * Makes a KMS key.
   *
   * @param options Kind, alias, policy and state. Default: symmetric, enabled, usable by everyone
   */
  createKey(options: CreateKeyOptions = {}): Promise<SimulatedKey> {
    return this.kms.createKey(options);
  }

  /**
   * Permits operations beside a key's policy; see {@link SimulatedKms.createGrant}.
   *
   * @param options Key, operations, grantee and encryption context
   * @returns The grant's id and token
   * @throws {TypeError} When KMS has no such grant
   * @throws {KmsRefusal} `NotFoundException` when there is no such key
   * @example
   * ```ts
   * import { startSimulator } from "enclave-kms/sim";
   *
   * await using enclave = await startSimulator();
   * const { keyId } = await enclave.createKey({ policy: { Statement: [] } });
   * const { grantToken } = enclave.createGrant({ keyId, operations: ["GenerateDataKey"] });
   * const members = { KeyId: keyId, KeySpec: "AES_256", GrantTokens: [grantToken] };
   * const { KeyId } = await enclave.kms.call("GenerateDataKey", members);
   * ```
   */
  createGrant(options: CreateGrantOptions): SimulatedGrant {
    return this.kms.createGrant(options);
  }

  /**
   * Replaces the credentials, as a parent does before they expire.
   *
   * @param options Fate of the old ones: they stay valid until they expire, expire at once, or are forgotten.
   *   Default: `keep`
   * @returns The new credentials, good for an hour; {@link credentials} and {@link clientOptions} have them
   *   too
   */
  rotateCredentials(options: { readonly old?: "keep" | "expire" | "revoke" } = {}): SimulatedCredentials {
    if (options.old === "expire") this.kms.expireCredentials(this.#credentials);
    if (options.old === "revoke") this.kms.revokeCredentials(this.#credentials);
    return this.#credentials = this.kms.issueCredentials();
  }

  /**
   * Encrypts under a KMS key, as its owner would beforehand.
   *
   * @param request Plaintext, key and encryption context
   * @returns The ciphertext, at most 6144 bytes
   * @throws {KmsRefusal} When KMS would refuse
   */
  async encrypt(request: SimulatedEncryptRequest): Promise<Uint8Array<ArrayBuffer>> {
    const { keyId, plaintext, encryptionContext, encryptionAlgorithm } = checkFields(
      "encrypt request",
      request,
      ["keyId", "plaintext", "encryptionContext", "encryptionAlgorithm"],
    );
    const bytes = typeof plaintext === "string" ? new TextEncoder().encode(plaintext) : plaintext;
    const { CiphertextBlob } = await this.kms.call("Encrypt", {
      KeyId: keyId,
      Plaintext: encodeBase64(bytes),
      EncryptionContext: encryptionContext === undefined
        ? undefined
        : Object.fromEntries(checkRecord("encryptionContext", encryptionContext)),
      EncryptionAlgorithm: encryptionAlgorithm,
    });
    return decodeBase64(String(CiphertextBlob));
  }

  /** Stops KMS and the module. */
  async close(): Promise<void> {
    this.nsm[Symbol.dispose]();
    await this.kms[Symbol.asyncDispose]();
  }

  /** The same as {@link close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/**
 * Starts a simulated enclave in this process: no AWS account, no Nitro hardware, no network beyond loopback.
 *
 * @param options Region, registers, clock, where to listen; everything has a default
 * @returns The running simulator
 * @example
 * ```ts
 * import { KmsClient } from "enclave-kms";
 * import { startSimulator } from "enclave-kms/sim";
 *
 * await using enclave = await startSimulator();
 * const { keyId } = await enclave.createKey();
 * const ciphertext = await enclave.encrypt({ keyId, plaintext: "attack at dawn" });
 *
 * await using client = await KmsClient.open(enclave.clientOptions);
 * using plaintext = await client.decrypt({ ciphertext });
 * ```
 */
export async function startSimulator(options: SimulatorOptions = {}): Promise<Simulator> {
  const {
    region = "us-east-1",
    now = Date.now,
    listen = ANY_PORT,
    nsm: nsmOptions,
    names,
    ...releaseOptions
  } = checkFields("options of startSimulator", options, OPTIONS);
  const clock = new SimulatedClock(now);
  const [nsm, tls] = await Promise.all([
    SoftwareNsm.create({ ...nsmOptions, region, now: clock.now }),
    TlsAuthority.create(kmsHostName(region), now, checkNames(names)),
  ]);
  const kms = new SimulatedKms({ ...releaseOptions, region, tls, attestationRoot: nsm.root, now: clock });
  const endpoint = await kms.listen(listen);
  return new Simulator(kms, nsm, tls, endpoint);
}

const OPTIONS = ["region", "listen", "names", "nsm", "now", "envelopeShape", "plaintextBesideEnvelope"];

function checkNames(names: readonly string[] | undefined): readonly string[] {
  return (names ?? []).map((name) => {
    if (typeof name === "string" && /^[\w.:-]{1,253}$/.test(name)) return name;
    throw new TypeError("names must be host names or IP addresses");
  });
}

const ANY_PORT: ListenAddress = { transport: "tcp", host: "127.0.0.1", port: 0 };
