import type { CredentialsProvider } from "../../lib/aws/credentials.ts";
import { checkRegion } from "../../lib/aws/region.ts";
import { CALL_FIELDS, type CallOptions, checkCall } from "../../lib/core/call_options.ts";
import { checkFields, checkInteger, checkText } from "../../lib/core/checks.ts";
import { Deadline, MAX_TIMEOUT_MS } from "../../lib/core/deadline.ts";
import { encodeHex } from "../../lib/core/encoding.ts";
import { ArtefactError } from "./artefact_error.ts";
import { type ArtefactSource, nameSource, parseArtefactSource } from "./artefact_source.ts";
import { checkS3Endpoint, objectUrl } from "./object_url.ts";
import { readFileArtefact } from "./read_file.ts";
import { readObject } from "./read_object.ts";

/** Options of {@link readArtefact}. For a file only `maxBytes`, `sha256` and the time count. */
export interface ReadArtefactOptions extends CallOptions {
  /** Region of the bucket, such as `eu-central-1`. S3 must have it. */
  readonly region?: string | undefined;
  /** Credentials, or a function that returns some. S3 must have them. */
  readonly credentials?: CredentialsProvider | undefined;
  /** Milliseconds for all tries together, 1 to 2147483647. Default: 30000. */
  readonly timeoutMs?: number | undefined;
  /** Milliseconds without a byte after which a try is given up, 10 to 2147483647. Default: 5000. */
  readonly idleTimeoutMs?: number | undefined;
  /** Most bytes that are read, 1 to 1073741824. Default: 1048576. */
  readonly maxBytes?: number | undefined;
  /** SHA-256 that the artefact must have: 32 bytes, or 64 hexadecimal digits. Default: none is compared. */
  readonly sha256?: Uint8Array | string | undefined;
  /** Version of the object, 1 to 1024 printable characters. Default: the newest. */
  readonly versionId?: string | undefined;
  /** Endpoint in place of the region's: `https://` and a host, or `http://` on a loopback address. */
  readonly endpoint?: string | URL | undefined;
  /** Certificates to trust in place of the runtime's, PEM, for an endpoint with an authority of its own. */
  readonly trustedCertificates?: string | undefined;
  /** Is told each failure after which another try is made; must not throw. Default: nobody is told. */
  readonly onRetry?: ((error: Error) => void) | undefined;
}

const FIELDS: readonly string[] = [
  ...CALL_FIELDS,
  "region",
  "credentials",
  "idleTimeoutMs",
  "maxBytes",
  "sha256",
  "versionId",
  "endpoint",
  "trustedCertificates",
  "onRetry",
];

/**
 * Reads what the parent hands to the enclave: an object of S3, or a file of this machine.
 *
 * An object is read over TLS from the region's own host name, with tries in growing pauses until the deadline. A try
 * that broke is gone on with, and only if the object is still the same one. Redirects are not followed.
 *
 * Not guaranteed: secrecy. Artefacts are sealed for the enclave, so their bytes are no secret and are not wiped; do not
 * read one that is a secret in the clear. Nor is it known who wrote an object: pin `sha256`, or let the enclave check
 * its publisher's signature. The package `aws4fetch`, which signs, takes the secret access key as a string, which cannot
 * be wiped.
 *
 * @param source `s3://bucket/key` with the key as it stands, the absolute path of a regular file, or a `file:` URL.
 *   Symbolic links are followed
 * @param options Region, credentials, limits and pins
 * @returns The artefact, whole; 0 to `maxBytes` bytes
 * @throws {TypeError} When the source or an option is malformed, or an object has no region or credentials
 * @throws {RangeError} When a number is out of range
 * @throws {ArtefactError} When it is not there, not given, too large, or not the pinned one; `reason` says which
 * @throws {TimeoutError} When the deadline passes; its cause is the last try's failure
 * @throws {CertificateError} When S3's certificate is not accepted
 * @throws {CredentialsError} When the credentials' provider fails
 * @throws {LibraryLoadError} When `aws4fetch` is not installed
 * @example
 * ```ts
 * import { ArtefactError, readArtefact } from "enclave-kms/parent";
 * import { SimulatedS3 } from "enclave-kms/sim";
 *
 * await using s3 = await SimulatedS3.start(); // stands for AWS
 * s3.createBucket("sealed");
 * s3.putObject("sealed", "key-shares", new Uint8Array(100));
 *
 * const { region, credentials, endpoint } = s3; // on an instance: no endpoint
 * const options = { region, credentials, endpoint, maxBytes: 4096 };
 * const shares = await readArtefact("s3://sealed/key-shares", options);
 * shares.length; // 100
 *
 * const error = await readArtefact("s3://sealed/key-share", options).catch((error) => error);
 * error instanceof ArtefactError && error.reason; // "missing"
 * ```
 */
export async function readArtefact(
  source: string | URL,
  options: ReadArtefactOptions = {},
): Promise<Uint8Array> {
  const place = parseArtefactSource(source);
  const checked = checkOptions(options, place);
  using deadline = new Deadline(
    `read artefact ${nameSource(place)}`,
    checked.timeoutMs,
    checked.signal,
    "artefact",
  );
  const bytes = place.kind === "file"
    ? await readFileArtefact(place.path, checked.maxBytes, deadline)
    : await readObject(checked.tries(place), deadline);
  await checkDigest(bytes, checked.sha256, place);
  return bytes;
}

function checkOptions(given: ReadArtefactOptions, place: ArtefactSource) {
  const options = checkFields("artefact options", given, FIELDS);
  const { signal, timeoutMs } = checkCall(options, 30_000);
  const idle = { min: 10, max: MAX_TIMEOUT_MS, default: 5000 };
  const idleTimeoutMs = checkInteger("idleTimeoutMs", options.idleTimeoutMs, idle);
  const maxBytes = checkInteger("maxBytes", options.maxBytes, { min: 1, max: 1 << 30, default: 1 << 20 });
  const { onRetry = () => {}, versionId, credentials, trustedCertificates } = options;
  const region = place.kind === "s3" ? checkRegion(options.region as string) : "";
  if (place.kind === "s3" && credentials === undefined) throw new TypeError("S3 must have credentials");
  if (typeof onRetry !== "function") throw new TypeError("onRetry must be a function");
  if (versionId !== undefined && !/^[\x21-\x7e]{1,1024}$/.test(checkText("versionId", versionId, 1024))) {
    throw new TypeError("versionId must have printable ASCII characters only");
  }
  if (trustedCertificates !== undefined) checkText("trustedCertificates", trustedCertificates, 1 << 20);
  const endpoint = checkS3Endpoint(options.endpoint);
  const tries = (object: ArtefactSource & { readonly kind: "s3" }) => ({
    peer: "S3",
    name: nameSource(object),
    url: objectUrl({ ...object, versionId }, region, endpoint),
    ...{ region, versionId, maxBytes, idleTimeoutMs, trustedCertificates, onRetry },
    credentials: credentials as CredentialsProvider,
  });
  return { signal, timeoutMs, maxBytes, sha256: checkSha256(options.sha256), tries };
}

function checkSha256(sha256: unknown): string | undefined {
  if (sha256 === undefined) return undefined;
  if (typeof sha256 === "string" && /^[0-9a-f]{64}$/i.test(sha256)) return sha256.toLowerCase();
  if (sha256 instanceof Uint8Array && sha256.length === 32) return encodeHex(sha256);
  throw new TypeError("sha256 must have 32 bytes, or 64 hexadecimal digits");
}

async function checkDigest(bytes: Uint8Array, expected: string | undefined, place: ArtefactSource) {
  if (expected === undefined) return;
  const digest = await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>);
  const found = encodeHex(new Uint8Array(digest));
  if (found === expected) return;
  throw new ArtefactError(
    `Cannot read artefact ${nameSource(place)}: its SHA-256 is ${found}, not the pinned one`,
    {
      reason: "digest",
      hint: "Was it replaced without the pin, or the pin without it?",
    },
  );
}
