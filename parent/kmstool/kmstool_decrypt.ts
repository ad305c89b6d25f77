import type { CredentialsProvider, OwnedCredentials } from "../../lib/aws/credentials.ts";
import { CredentialsSource } from "../../lib/aws/credentials_source.ts";
import { checkRegion } from "../../lib/aws/region.ts";
import { CALL_FIELDS, type CallOptions, checkCall } from "../../lib/core/call_options.ts";
import { checkFields, checkInteger, checkRecord, checkWellFormed } from "../../lib/core/checks.ts";
import { Deadline } from "../../lib/core/deadline.ts";
import { decodeBase64, encodeBase64 } from "../../lib/core/encoding.ts";
import { checkEndpoint, type Endpoint } from "../../lib/core/endpoint.ts";
import { SecretBytes } from "../../lib/core/secret_bytes.ts";
import { ENCLAVE_CIDS } from "../../lib/transport/enclave_ports.ts";
import { vsockToConnect } from "../../lib/transport/vsock_place.ts";
import { decryptMessage, MAX_MESSAGE_BYTES, setClientMessage } from "../../lib/wire/kmstool_messages.ts";
import { KmstoolConnection } from "./kmstool_connection.ts";

/** Vsock port of kmstool_enclave, unless another one is set. */
export const DEFAULT_KMSTOOL_PORT = 3000;

/** Ciphertext, credentials, and the way to the enclave. */
export interface KmstoolDecryptOptions extends CallOptions {
  /** CID of the enclave, 4 to 2^32 - 2. Must be given, or `endpoint`. */
  readonly enclaveCid?: number | undefined;
  /** Vsock port of the enclave, 1 to 2^32 - 2. Default: 3000. */
  readonly port?: number | undefined;
  /** Address in the place of `enclaveCid` and `port`, for a laptop. */
  readonly endpoint?: Endpoint | undefined;
  /** Folder in which unix sockets stand for vsock, on a laptop. Default: vsock itself. */
  readonly simulationFolder?: string | undefined;
  /** Credentials that the enclave is to use, or a function that is asked once. They stay the caller's. */
  readonly credentials: CredentialsProvider;
  /** Region of KMS. Default: the enclave's own, or us-east-1. */
  readonly region?: string | undefined;
  /** Ciphertext: bytes, or base64. */
  readonly ciphertext: string | Uint8Array;
  /** Encryption context; an empty one is none. Default: none. */
  readonly encryptionContext?: Readonly<Record<string, string>> | undefined;
}

/**
 * Lets an enclave that speaks the kmstool protocol decrypt: AWS's kmstool_enclave, or the server of
 * `enclave-kms/server`. It does what kmstool_instance does: a connection, `SetClient` with the instance's credentials, and
 * `Decrypt`. Nothing is sent twice.
 *
 * No JavaScript string is made of the credentials and the plaintext here; what was sent and received is wiped.
 *
 * Not guaranteed: privacy, or who answers. Credentials and plaintext travel in the clear between this process and the
 * enclave, and kmstool_enclave logs both.
 *
 * @param options Ciphertext, credentials and the way. Default of `timeoutMs`: 30000
 * @returns The plaintext, for the caller to dispose
 * @throws {TypeError} When an option is missing, unknown or malformed
 * @throws {RangeError} When a number is out of range, or a message has more than 8192 bytes
 * @throws {CredentialsError} When the provider of the credentials fails
 * @throws {ConnectionError} When nothing answers there, or the connection breaks before the reply
 * @throws {KmstoolError} When the enclave refuses; `reason` is what it says
 * @throws {ProtocolError} When it answers something else than a reply
 * @throws {TimeoutError} When the time is up
 * @example
 * ```ts
 * import { ConnectionError, kmstoolDecrypt } from "enclave-kms/parent";
 *
 * const credentials = { accessKeyId: "AKIA…".slice(0, 4), secretAccessKey: "s" }; // or imdsCredentials()
 * const endpoint = { transport: "unix", path: "/no/enclave.sock" } as const; // on an instance: enclaveCid
 * await kmstoolDecrypt({ endpoint, credentials, ciphertext: "AQID" })
 *   .catch((error) => error instanceof ConnectionError); // true: no enclave listens
 * ```
 */
export async function kmstoolDecrypt(options: KmstoolDecryptOptions): Promise<SecretBytes> {
  const { endpoint, decrypt, credentials, region, call } = checkOptions(options);
  using deadline = new Deadline("decrypt by kmstool", call.timeoutMs, call.signal, "credentials");
  using source = new CredentialsSource(credentials);
  using owned = await source.get(deadline);
  using setClient = new SecretBytes(makeSetClient(owned, region));
  await using connection = await KmstoolConnection.open(endpoint, deadline);
  await connection.setClient(setClient.bytes);
  return await connection.decrypt(decrypt);
}

const FIELDS = [
  "enclaveCid",
  "port",
  "endpoint",
  "simulationFolder",
  "credentials",
  "region",
  "ciphertext",
  "encryptionContext",
  ...CALL_FIELDS,
];

const DEFAULT_TIMEOUT_MS = 30_000;

function checkOptions(options: KmstoolDecryptOptions) {
  const given = checkFields("kmstool options", options, FIELDS);
  const { credentials, region, ciphertext, encryptionContext } = given;
  const decrypt = decryptMessage(checkCiphertext(ciphertext), checkContext(encryptionContext));
  if (decrypt.length > MAX_MESSAGE_BYTES) throw tooLarge("ciphertext and encryptionContext");
  return {
    endpoint: checkPlace(given),
    decrypt,
    credentials,
    region: region === undefined ? undefined : checkRegion(region),
    call: checkCall(given, DEFAULT_TIMEOUT_MS),
  };
}

function checkPlace({ enclaveCid, port, endpoint, simulationFolder }: KmstoolDecryptOptions): Endpoint {
  if (endpoint !== undefined) {
    if (enclaveCid === undefined && port === undefined) return checkEndpoint(endpoint);
    throw new TypeError("endpoint stands in the place of enclaveCid and port: give one or the other");
  }
  const cid = checkInteger("enclaveCid", enclaveCid, ENCLAVE_CIDS);
  const to = checkInteger("port", port, { min: 1, max: 0xffff_fffe, default: DEFAULT_KMSTOOL_PORT });
  return vsockToConnect(cid, to, simulationFolder);
}

function checkCiphertext(ciphertext: string | Uint8Array): string {
  const text = ciphertext instanceof Uint8Array ? encodeBase64(ciphertext) : ciphertext;
  if (decodeBase64(text, { field: "ciphertext" }).length > 0) return text;
  throw new RangeError("ciphertext must have a byte or more");
}

function checkContext(context: KmstoolDecryptOptions["encryptionContext"] = {}): Record<string, string> {
  const pairs = checkRecord("encryptionContext", context).map(([name, value]) => {
    if (typeof value !== "string") throw new TypeError("encryptionContext must have strings as values");
    return [checkWellFormed("encryptionContext", name), checkWellFormed("encryptionContext", value)];
  });
  return Object.fromEntries(pairs);
}

function makeSetClient(credentials: OwnedCredentials, region: string | undefined): Uint8Array<ArrayBuffer> {
  const { accessKeyId, secretAccessKey, sessionToken } = credentials;
  const message = setClientMessage({
    accessKeyId,
    secretAccessKey: secretAccessKey.bytes,
    sessionToken: sessionToken?.bytes,
    region,
  });
  if (message.length <= MAX_MESSAGE_BYTES) return message;
  message.fill(0);
  throw tooLarge("credentials");
}

function tooLarge(what: string): RangeError {
  return new RangeError(`${what} must fit into a message of ${MAX_MESSAGE_BYTES} bytes`);
}
