import http from "node:http";
import type { Duplex } from "node:stream";
import { Deadline } from "../../lib/core/deadline.ts";
import { connectVsock } from "../../lib/transport/connect_vsock.ts";
import { GUEST_CID } from "./guest_addresses.ts";

const CONNECT_TIMEOUT_MS = 20_000;

/** An answer over HTTP. */
export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<http.IncomingHttpHeaders>;
  readonly body: string;
}

/** An answer of the kmstool protocol. */
export interface KmstoolAnswer {
  readonly Status: string;
  readonly Message?: string;
}

/**
 * Sends one request over a vsock connection of its own.
 *
 * @param port Port of the server
 * @param path Path of the URL
 * @param body Body to post as JSON; without one it is a GET
 * @param more Further headers
 */
export async function askHttp(
  port: number,
  path: string,
  body?: unknown,
  more: Readonly<Record<string, string>> = {},
): Promise<HttpAnswer> {
  const stream = await connectToServer(port);
  const agent = new http.Agent({ keepAlive: false, maxSockets: 1 });
  agent.createConnection = () => stream;
  try {
    return await request(agent, path, body === undefined ? undefined : JSON.stringify(body), more);
  } finally {
    agent.destroy();
    stream.destroy();
  }
}

/** One connection of the kmstool protocol. */
export class KmstoolClient implements Disposable {
  readonly #stream: Duplex;
  readonly #chunks: AsyncIterator<Uint8Array>;
  #received = "";

  private constructor(stream: Duplex) {
    this.#stream = stream;
    this.#chunks = stream[Symbol.asyncIterator]();
  }

  /** @param port Port of the server */
  static async connect(port: number): Promise<KmstoolClient> {
    return new KmstoolClient(await connectToServer(port));
  }

  /**
   * Sends a message and waits for the one answer to it.
   *
   * @param message Its fields
   */
  async ask(message: Readonly<Record<string, unknown>>): Promise<KmstoolAnswer> {
    this.#stream.write(`${JSON.stringify(message)}\0`);
    while (!this.#received.includes("\0")) {
      const { value, done } = await this.#chunks.next();
      if (done === true) throw new Error("The server ended the connection instead of an answer");
      this.#received += new TextDecoder().decode(value);
    }
    const [answer = "", ...rest] = this.#received.split("\0");
    this.#received = rest.join("\0");
    if (this.#received !== "") throw new Error("The server sent more than one answer");
    return JSON.parse(answer);
  }

  [Symbol.dispose](): void {
    this.#stream.destroy();
  }
}

/** @param port Port of the server */
export async function connectToServer(port: number): Promise<Duplex> {
  using deadline = new Deadline("connect", CONNECT_TIMEOUT_MS);
  const stream = await connectVsock({ transport: "vsock", cid: GUEST_CID, port }, deadline);
  stream.on("error", () => {});
  return stream;
}

function request(
  agent: http.Agent,
  path: string,
  body: string | undefined,
  more: Readonly<Record<string, string>>,
): Promise<HttpAnswer> {
  const headers = {
    ...more,
    host: "enclave",
    ...(body === undefined ? {} : {
      "content-type": "application/json",
      "content-length": String(Buffer.byteLength(body)),
    }),
  };
  const method = body === undefined ? "GET" : "POST";
  return new Promise((resolve, reject) => {
    const sent = http.request({ agent, method, path, headers }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => text += chunk);
      response.on("end", () => {
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text });
      });
      response.on("error", reject);
    });
    sent.on("error", reject);
    sent.end(body);
  });
}
