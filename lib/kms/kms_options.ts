import process from "node:process";
import { checkFields, checkInteger, checkOneOf, checkText } from "../core/checks.ts";
import type { CredentialsProvider } from "../aws/credentials.ts";
import type { ExpiredCredentials } from "../aws/credentials_source.ts";
import type { EngineName } from "./engine.ts";
import { checkTrustedCertificates } from "./https/check_trusted_certificates.ts";
import type { NsmTransport } from "../nsm/nsm_transport.ts";
import { checkEndpoint, DEFAULT_KMS_ENDPOINT, type Endpoint } from "../core/endpoint.ts";
import { checkHostName, checkRegion, kmsHostName } from "../aws/region.ts";
import { checkTimeout } from "../core/call_options.ts";

/** Options of {@link KmsClient.open}. The defaults of all but `region` and `credentials` are right for an enclave. */
export interface KmsClientOptions {
  /** Region of the keys, such as `eu-central-1`; any partition. */
  readonly region: string;
  /** Credentials, or a function that is asked for them: before every request, or before they expire. */
  readonly credentials: CredentialsProvider;
  /**
   * Treatment of credentials past their `expiration`. `use`, the default, goes on with them, as AWS's SDKs do, and
   * lets KMS decide: while their source is down, that is better than certain failure. `refuse` sends nothing with them.
   */
  readonly expiredCredentials?: ExpiredCredentials | undefined;
  /**
   * Engine that speaks to KMS and opens its answers. `auto`, the default, takes `sdk` when the C SDK loads and
   * `direct` otherwise; it never takes `sdk-client`.
   */
  readonly engine?: "auto" | EngineName | undefined;
  /** Address of the proxy to KMS. Default: vsock CID 3, port 8000. */
  readonly endpoint?: Endpoint | undefined;
  /** KMS's name, as its certificate has it. Default: from the region. */
  readonly hostName?: string | undefined;
  /**
   * Certificate authorities that may vouch for KMS, PEM; at most 1 MiB, and no others count then. Default on
   * `direct` and `sdk`: the runtime's, which Node and Deno bring along, so that an image needs no `/etc/ssl`, and
   * those that its own settings add (`NODE_EXTRA_CA_CERTS`, `--use-openssl-ca`, `DENO_TLS_CA_STORE`, `DENO_CERT`).
   * Default on `sdk-client`: the system's bundle in `/etc/ssl` or `/etc/pki`, or what `SSL_CERT_FILE` names.
   * Opening fails with a {@link CertificateError} when there are none.
   */
  readonly trustedCertificates?: string | readonly string[] | undefined;
  /** Absolute path of `libaws-nitro-enclaves-sdk-c.so`. Default: the system's library folders. */
  readonly library?: string | undefined;
  /**
   * Absolute path of OpenSSL's `libcrypto.so.3`, which is to have the key pair of engine `direct`; opening fails with a
   * {@link LibraryLoadError} when it does not do. Default: the OpenSSL of the process, where there is one that may be
   * called. It keeps the key pair in its own memory, which it wipes, and opens with it on other threads when several
   * calls are in flight. Otherwise, and with `off`, the key pair is `node:crypto`'s; `client.crypto` tells.
   */
  readonly libcryptoPath?: string | undefined;
  /** The NSM, for engine `direct`. Default: `/dev/nsm`. A simulator brings its own. */
  readonly nsm?: NsmTransport | undefined;
  /**
   * `none` opens a client without an NSM, for operators and tools outside of an enclave. It encrypts, and refuses
   * with an {@link UnsupportedOperationError} all operations whose answers have secrets, before anything is sent. Its
   * engine is `direct`, and neither `nsm` nor `library` may be given. Default: the enclave.
   */
  readonly recipient?: "none" | undefined;
  /** Milliseconds for opening and for each call, retries included; 1 to 2147483647. Default: 10000. */
  readonly timeoutMs?: number | undefined;
  /**
   * Most times that a request is sent when KMS throttles or a connection breaks; 1 to 10. Default: 3. While the
   * proxy does not answer, nothing is sent: connecting is tried again, after waits that grow to a second, until
   * `timeoutMs` has passed. With 1, nothing is tried again, so a call fails when the peer closes a kept connection
   * just then. Beside this, a request that KMS refused for its time or for expired credentials, and so did not carry
   * out, is signed and sent once more. Not for `sdk-client`, which tries once.
   */
  readonly maxAttempts?: number | undefined;
  /**
   * Most connections to KMS, and so requests at once: the others wait in line, within their `timeoutMs`; 1 to 1024.
   * Default: 16. Not for `sdk-client`, which has one at a time in each JavaScript thread.
   */
  readonly maxConnections?: number | undefined;
  /**
   * Milliseconds for which an idle connection is kept; 1 to 2147483647. Default: 30000. Choose less than
   * what the proxy and KMS allow. One that they close first costs a new connection and, if a request was sent over
   * it already, one of `maxAttempts`. Not for `sdk-client`, which keeps none.
   */
  readonly connectionMaxIdleMs?: number | undefined;
  /**
   * Milliseconds for which an attestation document is used again; 0 to 240000. Default: 60000. The next one is
   * asked for ahead of time, in the background, as long as the last call is less than ten times as long ago.
   * Not for `sdk-client`, which asks for one with every call.
   */
  readonly attestationMaxAgeMs?: number | undefined;
  /**
   * Milliseconds after which another key pair is made, in the background, and takes the place of the old one;
   * 1000 to 2147483647. Default: 3600000, an hour. Not for `sdk-client`, which makes one for every call.
   */
  readonly keyPairMaxAgeMs?: number | undefined;
  /** Attested requests after which another key pair is made as well; 1 to 2147483647. Default: 100000. */
  readonly keyPairMaxUses?: number | undefined;
}

/** Options after every check, with the defaults filled in. */
export interface CheckedOptions {
  readonly region: string;
  readonly credentials: CredentialsProvider;
  readonly expiredCredentials: ExpiredCredentials;
  readonly engine: "auto" | EngineName;
  readonly endpoint: Endpoint;
  readonly hostName: string;
  /** Whether `hostName` is the caller's own. */
  readonly hostNameGiven: boolean;
  readonly trustedCertificates: string | undefined;
  readonly library: string | undefined;
  readonly libcryptoPath: string | undefined;
  readonly nsm: NsmTransport | undefined;
  readonly recipient: "none" | undefined;
  readonly timeoutMs: number;
  readonly maxAttempts: number;
  readonly maxConnections: number;
  readonly connectionMaxIdleMs: number;
  readonly attestationMaxAgeMs: number;
  readonly keyPairMaxAgeMs: number;
  readonly keyPairMaxUses: number;
}

const DEFAULT_TIMEOUT_MS = 10_000;
const MAX_LIMIT = 2 ** 31 - 1;

/** KMS takes documents of up to five minutes; a minute is left for the way. */
const MAX_ATTESTATION_MAX_AGE_MS = 240_000;

/** Least and greatest values of the options that are numbers, and their defaults. */
const LIMITS = {
  maxAttempts: { min: 1, max: 10, default: 3 },
  maxConnections: { min: 1, max: 1024, default: 16 },
  connectionMaxIdleMs: { min: 1, max: MAX_LIMIT, default: 30_000 },
  attestationMaxAgeMs: { min: 0, max: MAX_ATTESTATION_MAX_AGE_MS, default: 60_000 },
  keyPairMaxAgeMs: { min: 1000, max: MAX_LIMIT, default: 3_600_000 },
  keyPairMaxUses: { min: 1, max: MAX_LIMIT, default: 100_000 },
};

type Limit = keyof typeof LIMITS;

const ENGINES = ["auto", "direct", "sdk", "sdk-client"] as const;

const EXPIRED_CREDENTIALS = ["use", "refuse"] as const;

/** The fields of the options, for those who pass some of them on. */
export const OPTION_FIELDS: readonly string[] = [
  "region",
  "credentials",
  "expiredCredentials",
  "engine",
  "endpoint",
  "hostName",
  "trustedCertificates",
  "library",
  "libcryptoPath",
  "nsm",
  "recipient",
  "timeoutMs",
  "maxAttempts",
  "maxConnections",
  "connectionMaxIdleMs",
  "attestationMaxAgeMs",
  "keyPairMaxAgeMs",
  "keyPairMaxUses",
];

/**
 * Checks the options of a client.
 *
 * @param given Options that the caller gave
 * @throws {TypeError} When a field is missing, unknown or of a wrong type
 * @throws {RangeError} When a field is out of range
 */
export function checkOptions(given: KmsClientOptions): CheckedOptions {
  const options = checkFields("KMS client options", given, OPTION_FIELDS);
  const region = checkRegion(options.region);
  const { nsm, credentials } = options;
  if (nsm !== undefined && typeof nsm.exchange !== "function") {
    throw new TypeError("nsm must be an NsmTransport");
  }
  return {
    region,
    credentials,
    expiredCredentials: checkOneOf("expiredCredentials", options.expiredCredentials, EXPIRED_CREDENTIALS) ??
      "use",
    engine: checkOneOf("engine", options.engine, ENGINES) ?? "auto",
    endpoint: options.endpoint === undefined ? DEFAULT_KMS_ENDPOINT : checkEndpoint(options.endpoint),
    hostName: options.hostName === undefined ? kmsHostName(region) : checkHostName(options.hostName),
    hostNameGiven: options.hostName !== undefined,
    trustedCertificates: checkCertificates(options.trustedCertificates),
    library: options.library === undefined ? undefined : checkLibrary(options.library),
    libcryptoPath: checkLibcryptoPath(options.libcryptoPath),
    nsm,
    recipient: checkRecipient(options),
    timeoutMs: checkTimeout(options.timeoutMs, DEFAULT_TIMEOUT_MS),
    ...checkLimits(options),
  };
}

function checkLimits(options: KmsClientOptions): Record<Limit, number> {
  const checked = Object.entries(LIMITS).map(([name, range]) => [
    name,
    checkInteger(name, options[name as Limit], range),
  ]);
  return Object.fromEntries(checked) as Record<Limit, number>;
}

function checkRecipient({ recipient, engine = "auto", nsm, library }: KmsClientOptions): "none" | undefined {
  if (checkOneOf("recipient", recipient, ["none"]) === undefined) return undefined;
  if (engine !== "auto" && engine !== "direct") {
    throw new TypeError('engine must be auto or direct when recipient is "none"');
  }
  if (nsm !== undefined || library !== undefined) {
    throw new TypeError('nsm and library must not be given when recipient is "none": nothing is attested');
  }
  return "none";
}

function checkLibrary(path: unknown): string {
  return checkAbsolute("library", path);
}

function checkLibcryptoPath(path: unknown): string | undefined {
  return path === undefined || path === "off" ? path : checkAbsolute("libcryptoPath", path);
}

function checkAbsolute(name: string, path: unknown): string {
  const text = checkText(name, path, 4096);
  if (text.startsWith("/")) return text;
  throw new TypeError(`${name} must be an absolute path: this process started in ${process.cwd()}`);
}

function checkCertificates(pem: unknown): string | undefined {
  if (pem === undefined) return undefined;
  const texts: readonly string[] = Array.isArray(pem) ? pem : [pem];
  if (texts.length > 0) checkText("trustedCertificates", texts.join("\n"), 1 << 20);
  return checkTrustedCertificates(texts).join("\n");
}
