import { Buffer } from "node:buffer";
import { Agent, request } from "node:https";
import { connect as connectTcp } from "node:net";
import type { Duplex } from "node:stream";
import { connect } from "node:tls";
import { AwsClient } from "aws4fetch";
import type { Simulator } from "../../../sim/simulator.ts";
import type { ListenAddress } from "../../../sim/tls/tls_server.ts";
import { dialUnix } from "../../support/unix_socket.ts";

/** A client of the simulated KMS that shares no code with it: requests signed by aws4fetch. */

/** Differences between a request and a good one. */
export interface CallOptions {
  /** Another access key. */
  readonly credentials?: { accessKeyId: string; secretAccessKey: string; sessionToken?: string };
  /** Another scope. */
  readonly region?: string;
  /** Another scope. */
  readonly service?: string;
  /** Signs for this time: `20260101T000000Z`. */
  readonly datetime?: string;
  /** Changes the headers after they were signed; undefined removes one. */
  readonly headers?: Readonly<Record<string, string | undefined>>;
  /** Replaces the body after it was signed. */
  readonly body?: string;
  /** Replaces the body before it is signed. */
  readonly rawBody?: string;
  /** Another method or target than `POST /`. */
  readonly method?: string;
  /** Another path. */
  readonly path?: string;
  /** Address to connect to. Default: the simulator's first. */
  readonly address?: ListenAddress;
  /** Keeps connections. */
  readonly agent?: Agent;
}

/** Answer of KMS. */
export interface Reply {
  /** HTTP status. */
  readonly status: number;
  /** Headers by lowercase name. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** The body as it came. */
  readonly text: string;
  /** The members of a JSON body. */
  readonly members: Readonly<Record<string, unknown>>;
}

/**
 * Sends one signed request.
 *
 * @param enclave Simulator with the KMS
 * @param operation Such as `Decrypt`
 * @param members The JSON body
 * @param options Differences from the usual request
 */
export async function call(
  enclave: Simulator,
  operation: string,
  members: unknown,
  options: CallOptions = {},
): Promise<Reply> {
  const { credentials = enclave.credentials, region = enclave.region, service = "kms", datetime } = options;
  const aws = new AwsClient({ ...credentials, region, service });
  const signed = await aws.sign(`https://${enclave.hostName}/`, {
    method: options.method ?? "POST",
    headers: { "x-amz-target": `TrentService.${operation}`, "content-type": "application/x-amz-json-1.1" },
    body: options.rawBody ?? JSON.stringify(members),
    ...(datetime === undefined ? {} : { aws: { datetime } }),
  });
  const body = new TextEncoder().encode(options.body ?? await signed.text());
  const headers: Record<string, string> = { ...Object.fromEntries(signed.headers), host: enclave.hostName };
  headers["content-length"] = String(body.length);
  for (const [name, value] of Object.entries(options.headers ?? {})) {
    if (value === undefined) delete headers[name];
    else headers[name] = value;
  }
  return await exchange(enclave, headers, body, options);
}

/**
 * Makes an agent that connects to the simulator.
 *
 * @param enclave Simulator with the KMS
 * @param address Address of KMS
 * @param keepAlive Whether to keep connections
 */
export function agentFor(
  enclave: Simulator,
  address: ListenAddress = enclave.endpoint,
  keepAlive = false,
): Agent {
  const agent = new Agent({ keepAlive });
  const { hostName: servername, trustedCertificates: ca } = enclave;
  const createConnection = () => connect({ socket: rawSocket(address), servername, ca });
  return Object.assign(agent, { createConnection });
}

function rawSocket(address: ListenAddress): Duplex {
  return address.transport === "unix" ? dialUnix(address.path) : connectTcp(address.port, address.host);
}

function exchange(
  enclave: Simulator,
  headers: Record<string, string>,
  body: Uint8Array,
  { agent = agentFor(enclave), address, method = "POST", path = "/" }: CallOptions,
): Promise<Reply> {
  const used = address === undefined ? agent : agentFor(enclave, address);
  return new Promise((resolve, reject) => {
    const outgoing = request({ agent: used, host: enclave.hostName, method, path, headers }, (incoming) => {
      const chunks: Uint8Array[] = [];
      incoming.on("data", (chunk: Uint8Array) => chunks.push(chunk));
      incoming.on("error", reject);
      incoming.on("aborted", () => reject(new Error("aborted")));
      incoming.on("end", () => {
        const text = new TextDecoder().decode(Buffer.concat(chunks));
        resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, text, members: parse(text) });
      });
    });
    outgoing.on("error", reject);
    outgoing.end(body);
  });
}

function parse(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return {};
  }
}
