import type { OwnedCredentials } from "../lib/aws/credentials.ts";
import { encodeCredentialsJson } from "../lib/aws/credentials_json.ts";
import { toHex } from "../lib/core/bytes.ts";
import { CALL_FIELDS, type CallOptions, checkCall } from "../lib/core/call_options.ts";
import { checkFields, checkFlag, checkInteger } from "../lib/core/checks.ts";
import { Deadline, MAX_TIMEOUT_MS } from "../lib/core/deadline.ts";
import type { Endpoint } from "../lib/core/endpoint.ts";
import { ProtocolError } from "../lib/core/errors.ts";
import { SecretRefusedError } from "../lib/core/secret_error.ts";
import { sha256 } from "../lib/core/sha256.ts";
import type { ConnectionStream } from "../lib/transport/connection.ts";
import { SECRET_PORTS } from "../lib/transport/enclave_ports.ts";
import { vsockToConnect } from "../lib/transport/vsock_place.ts";
import { encodeSecretFrame, MAX_SECRET_FRAME_BYTES } from "../lib/wire/secret_frame.ts";
import { parseSecretReceipt, type SecretReceipt } from "../lib/wire/secret_receipt.ts";
import { parseSignedSecret, SECRET_NAME } from "../lib/wire/signed_secret.ts";
import { connectWhenListening } from "./connect_when_listening.ts";
import { exchangeSecret } from "./exchange_secret.ts";

/** Way of a secret to the enclave. */
export interface SecretRoute extends CallOptions {
  /** CID of the enclave, 0 to 2^32 - 1. */
  readonly enclaveCid: number;
  /** Name that the enclave must answer with. Default: every name is taken. */
  readonly name?: string | undefined;
  /** Folder in which unix sockets stand for vsock, on a laptop. Default: vsock itself. */
  readonly simulationFolder?: string | undefined;
  /** Milliseconds in which the enclave must listen on the port, 1 to 2147483647. Default: `timeoutMs`, which holds, too. */
  readonly connectTimeoutMs?: number | undefined;
  /**
   * Whether the content goes in a frame with its length, which needs no half-close. Otherwise it goes as it is, until
   * the end of the stream, as `socat` sends it. Default: true.
   */
  readonly framed?: boolean | undefined;
}

/** Secret to send, and its way. */
export interface SendSecretOptions extends SecretRoute {
  /** Vsock port of the enclave, 1 to 2^32 - 2. */
  readonly port: number;
  /** Content as an operator made it, 1 byte to 16 MiB. */
  readonly content: Uint8Array;
}

/** Credentials to send, and their way. */
export interface SendCredentialsOptions extends SecretRoute {
  /** Vsock port of the enclave, 1 to 2^32 - 2. Default: 7100. */
  readonly port?: number | undefined;
  /** Credentials, which stay the caller's. */
  readonly credentials: OwnedCredentials;
}

/** Receipt of an enclave that took a secret. */
export type AcceptedReceipt = Extract<SecretReceipt, { readonly ok: true }>;

const ROUTE_FIELDS = [
  ...["enclaveCid", "port", "name", "simulationFolder", "connectTimeoutMs", "framed"],
  ...CALL_FIELDS,
];
const DEFAULT_TIMEOUT_MS = 60_000;

/**
 * Sends a secret to the enclave, and waits for its receipt. While the enclave does not listen yet, connecting is tried
 * again until the time is up; once something was sent, nothing is sent again, since the enclave may have taken it.
 *
 * Not guaranteed: that what answers is the enclave. A receipt proves nothing: ask for its attestation.
 *
 * @param options Content and its way. Default of `timeoutMs`: 60000
 * @returns The receipt: the enclave opened the secret, and took it
 * @throws {TypeError} When an option is missing, unknown or of a wrong type
 * @throws {RangeError} When a number or length is out of range
 * @throws {SecretError} When the content begins as a signed secret, and is none
 * @throws {SecretRefusedError} When the enclave refuses it; `enclaveCode` has its reason
 * @throws {ConnectionError} When the enclave cannot be reached at all, or the connection breaks before the receipt
 * @throws {ProtocolError} When the answer is no receipt, or one for another secret
 * @throws {TimeoutError} When the time is up; on an abort, the signal's reason
 * @throws {LibraryLoadError} On Node, when libc cannot be called for vsock
 * @example
 * ```ts
 * import { sendSecret, TimeoutError } from "enclave-kms/parent";
 * import { mkdtempSync } from "node:fs";
 *
 * const simulationFolder = mkdtempSync("/tmp/enclave-kms-"); // on an instance: leave it out
 * const content = new TextEncoder().encode("age-encryption.org/v1 …"); // as an operator sealed it
 * const nobody = { enclaveCid: 16, port: 7101, content, simulationFolder, timeoutMs: 100 };
 * await sendSecret(nobody).catch((error) => error instanceof TimeoutError); // true: no enclave listens
 * ```
 */
export async function sendSecret(options: SendSecretOptions): Promise<AcceptedReceipt> {
  const { content, ...route } = checkFields("send secret options", options, ["content", ...ROUTE_FIELDS]);
  if (!(content instanceof Uint8Array)) throw new TypeError("content must be a Uint8Array");
  return await send(route, content);
}

/**
 * Sends credentials to the enclave's port for them, as often as they are renewed. They are written as JSON in bytes,
 * which are wiped.
 *
 * @param options Credentials and their way. Default of `timeoutMs`: 60000
 * @returns The receipt: the enclave took the credentials
 * @throws {SecretRefusedError} When the enclave refuses them, and the other errors of {@link sendSecret}
 */
export async function sendCredentials(options: SendCredentialsOptions): Promise<AcceptedReceipt> {
  const { credentials, port = SECRET_PORTS[0]!, ...route } = checkFields(
    "send credentials options",
    options,
    ["credentials", ...ROUTE_FIELDS],
  );
  const json = encodeCredentialsJson(credentials);
  try {
    return await send({ ...route, port }, json);
  } finally {
    json.fill(0);
  }
}

async function send(
  given: SecretRoute & { readonly port: number },
  content: Uint8Array,
): Promise<AcceptedReceipt> {
  const { endpoint, framed, name, connectTimeoutMs, call } = checkRoute(given);
  checkInteger("content.length", content.length, { min: 1, max: MAX_SECRET_FRAME_BYTES });
  const hash = hashOf(content);
  using deadline = new Deadline("send secret", call.timeoutMs, call.signal, "connect");
  const stream = await connectWithin(endpoint, connectTimeoutMs, deadline);
  const bytes = framed ? encodeSecretFrame(content) : content;
  try {
    deadline.stage = "enclave";
    return check(parseSecretReceipt(await exchangeSecret(stream, bytes, !framed, deadline)), name, hash);
  } finally {
    if (framed) bytes.fill(0);
  }
}

function checkRoute(given: SecretRoute & { readonly port: number }): {
  readonly endpoint: Endpoint;
  readonly framed: boolean;
  readonly name: string | undefined;
  readonly connectTimeoutMs: number | undefined;
  readonly call: ReturnType<typeof checkCall>;
} {
  const { enclaveCid, simulationFolder, connectTimeoutMs, framed = true, name } = given;
  const port = checkInteger("port", given.port, { min: 1, max: 0xffff_fffe });
  checkFlag("framed", framed);
  if (name !== undefined && !(typeof name === "string" && SECRET_NAME.test(name))) {
    throw new TypeError("name must have 1 to 64 letters, digits, `.`, `_` and `-`, a letter or digit first");
  }
  const endpoint = vsockToConnect(enclaveCid, port, simulationFolder);
  if (connectTimeoutMs !== undefined) {
    checkInteger("connectTimeoutMs", connectTimeoutMs, { min: 1, max: MAX_TIMEOUT_MS });
  }
  return { endpoint, framed, name, connectTimeoutMs, call: checkCall(given, DEFAULT_TIMEOUT_MS) };
}

async function connectWithin(
  endpoint: Endpoint,
  connectTimeoutMs: number | undefined,
  deadline: Deadline,
): Promise<ConnectionStream> {
  if (connectTimeoutMs === undefined) return await connectWhenListening(endpoint, deadline);
  using connecting = new Deadline("send secret", connectTimeoutMs, deadline.signal, "connect");
  return await connectWhenListening(endpoint, connecting);
}

/** Hashes what a receipt names: the sealed bytes, without a signature. */
function hashOf(content: Uint8Array): string {
  return toHex(sha256(parseSignedSecret(content)?.sealed ?? content));
}

function check(receipt: SecretReceipt, name: string | undefined, hash: string): AcceptedReceipt {
  if (!receipt.ok) throw new SecretRefusedError(receipt);
  if (receipt.sha256 === hash && (name === undefined || receipt.name === name)) return receipt;
  throw new ProtocolError("Cannot send secret: the receipt is for another secret than the one sent", {
    hint: "Are the ports of two secrets exchanged, or is something else listening there?",
  });
}
