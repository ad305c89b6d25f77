import {
  type BootAttestation,
  parseBootAnswer,
  type ParsedBootAnswer,
} from "../../lib/attestation/boot_attestation.ts";
import { askAttestationAt } from "../../lib/channel/node/ask_attestation.ts";
import { readAttestedCertificate } from "../../lib/channel/node/attested_certificate.ts";
import { connectToAnybody, connectToAttested } from "../../lib/channel/node/attested_tls.ts";
import type { Deadline } from "../../lib/core/deadline.ts";
import type { TcpEndpoint } from "../../lib/core/endpoint.ts";
import { ConnectionError, EnclaveKmsError } from "../../lib/core/errors.ts";
import { createFetch, type Fetch, fetchOver } from "../../lib/transport/create_fetch.ts";
import { UsageError } from "../usage_error.ts";

/** Way to an enclave that is asked for its attestation. */
export interface EnclaveAddress {
  /** URL of the route, without a query. */
  readonly url: string;
  /** Host and port of it. */
  readonly endpoint: TcpEndpoint;
  /**
   * Connection to it: `attested` TLS must end inside the enclave; `relayed` TLS is checked as in browsers and may end
   * before it; `clear` is http.
   */
  readonly channel: "attested" | "relayed" | "clear";
}

/** Longest URL, in characters. */
const MAX_URL_LENGTH = 2048;

/** Tells whether an argument is meant as the URL of an enclave, and no file. */
export function isEnclaveUrl(argument: string): boolean {
  return /^https?:\/\//i.test(argument);
}

/**
 * Reads the URL of an enclave: that of its route, which ends in `/attestation`, or its base, to which
 * `/v1/attestation` is added.
 *
 * @param text URL of http or https
 * @param allowRelay Whether the way may end before the enclave: http to other machines, and any TLS
 * @throws {UsageError} When it is none, or has more than host, port and path, or may not be asked
 */
export function parseEnclaveUrl(text: string, allowRelay: boolean): EnclaveAddress {
  const url = URL.canParse(text) && text.length <= MAX_URL_LENGTH ? new URL(text) : undefined;
  const isBare = url !== undefined && `${url.username}${url.password}${url.search}${url.hash}` === "" &&
    !/[?#]/.test(text);
  if (!isBare || !/^https?:$/.test(url.protocol) || url.port === "0") {
    throw new UsageError("The URL must be https://HOST[:PORT][/PATH], without user, query and fragment");
  }
  const isClear = url.protocol === "http:";
  if (isClear && !allowRelay && !isLoopback(url.hostname)) {
    throw new UsageError(
      "A URL of http must be of this machine (127.0.0.1, [::1], localhost); --allow-relay allows any",
    );
  }
  const path = url.pathname.replace(/\/+$/, "");
  const port = Number(url.port) || (isClear ? 80 : 443);
  return {
    url: `${url.origin}${path.endsWith("/attestation") ? path : `${path}/v1/attestation`}`,
    endpoint: { transport: "tcp", host: url.hostname.replace(/^\[|\]$/g, ""), port },
    channel: isClear ? "clear" : allowRelay ? "relayed" : "attested",
  };
}

/**
 * Asks an enclave for its attestation with a nonce. Nothing secret is sent, and nothing that comes is verified.
 *
 * @param address Way to it
 * @param nonce Fresh random bytes
 * @param deadline Time budget
 * @returns The answer, its form checked
 * @throws {ConnectionError} When nothing answers there, or the connection breaks
 * @throws {ProtocolError} When the answer is none, or has more than 512 KiB
 * @throws {AttestationError} When the answer is malformed
 * @throws {TimeoutError} When the time is up
 */
export async function askEnclave(
  address: EnclaveAddress,
  nonce: Uint8Array,
  deadline: Deadline,
): Promise<ParsedBootAnswer> {
  deadline.stage = "enclave";
  const fetch = fetchTo(address, deadline);
  try {
    return parseBootAnswer(
      await deadline.race(askAttestationAt(fetch, address.url, nonce, deadline.signal)),
    );
  } catch (error) {
    deadline.throwIfPassed();
    if (error instanceof EnclaveKmsError) throw error;
    throw new ConnectionError("Cannot ask the enclave: the connection failed", {
      hint: "Is there an enclave at the URL? With --allow-relay, TLS needs a certificate that browsers take",
      cause: error,
    });
  }
}

/**
 * Checks that TLS ends inside an enclave that was verified: its certificate is attested, and whoever answers has the key
 * of it.
 *
 * @param address Way to the enclave
 * @param boot Verified answer
 * @param deadline Time budget
 * @returns Finding in words
 * @throws {AttestationError} When the enclave has no TLS, or the certificate is not of its key
 * @throws {CertificateError} When another certificate is shown there
 * @throws {ConnectionError} When the connection breaks
 */
export async function checkChannel(
  address: EnclaveAddress,
  boot: BootAttestation,
  deadline: Deadline,
): Promise<string> {
  if (address.channel !== "attested") {
    return address.channel === "clear" ? "none: http" : "not checked: it may end before the enclave";
  }
  const certificate = await readAttestedCertificate(boot);
  const { socket, raw } = await connectToAttested(address.endpoint, certificate, {}, deadline);
  socket.destroy();
  raw.destroy();
  return "ends inside the enclave";
}

function fetchTo({ endpoint, channel }: EnclaveAddress, deadline: Deadline): Fetch {
  if (channel === "clear") return createFetch(endpoint);
  if (channel === "relayed") return globalThis.fetch;
  const open = async () => (await connectToAnybody(endpoint, deadline)).socket;
  return fetchOver({ protocol: "https:", open });
}

/** Tells whether a host is this machine, whatever a resolver says. `localhost` is by RFC 6761. */
function isLoopback(host: string): boolean {
  return host === "localhost" || host === "[::1]" || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(host);
}
