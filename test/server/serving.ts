import { connect } from "node:net";
import type { Duplex } from "node:stream";
import type { Endpoint } from "../../lib/core/endpoint.ts";
import { listen, type Listener, type ListenOptions } from "../../lib/transport/listen.ts";
import { DEFAULT_HTTP_TIMEOUTS, HttpListener, type HttpTimeouts } from "../../enclave/http/http_listener.ts";
import { DEFAULT_KMSTOOL_TIMEOUTS, KmstoolListener } from "../../server/kmstool/kmstool_listener.ts";
import { dialUnix } from "../support/unix_socket.ts";
import { type Fixture, PARENT } from "./fixture.ts";

/** Both protocols of a fixture on sockets; every caller is the parent. */
export class Serving implements AsyncDisposable {
  readonly http: HttpListener;
  readonly kmstool: KmstoolListener;
  readonly listeners: Listener[] = [];

  constructor({ app, service, logger, metrics, refusals }: Fixture, timeouts: Partial<HttpTimeouts> = {}) {
    this.http = new HttpListener({
      logger,
      metrics,
      refusals,
      timeouts: { ...DEFAULT_HTTP_TIMEOUTS, ...timeouts },
      fetch: (request, env) => app.fetch(request, env),
    });
    this.kmstool = new KmstoolListener({
      logger,
      metrics,
      refusals,
      service,
      region: undefined,
      timeouts: DEFAULT_KMSTOOL_TIMEOUTS,
    });
  }

  async listen(
    protocol: "http" | "kmstool",
    endpoint: Endpoint = ANY,
    limits: ListenOptions = {},
  ): Promise<Endpoint> {
    const giveWay = () => this[protocol].giveWay();
    const listener = await listen(
      endpoint,
      { backlog: 1024, giveWay, ...limits },
      ({ stream }) => this[protocol].accept(stream, PARENT),
    );
    this.listeners.push(listener);
    return listener.endpoint;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.http.close(200), this.kmstool.close(200)]);
    for (const listener of this.listeners) await listener[Symbol.asyncDispose]();
  }
}

const ANY: Endpoint = { transport: "tcp", host: "127.0.0.1", port: 0 };

/** Opens a socket to a test server; its errors need no listener. */
export function dial(endpoint: Endpoint): Duplex {
  if (endpoint.transport === "vsock") throw new Error("Not on this machine");
  const socket = endpoint.transport === "unix"
    ? dialUnix(endpoint.path)
    : connect(endpoint.port, endpoint.host);
  socket.on("error", () => {});
  return socket;
}

/** Sends messages of the kmstool protocol, which leaves its connection open, and collects the replies. */
export async function exchangeMessages(
  endpoint: Endpoint,
  text: string,
  replies: number,
): Promise<unknown[]> {
  const socket = dial(endpoint);
  let answer = "";
  socket.on("data", (chunk) => {
    answer += String(chunk);
    if (answer.split("\0").length > replies) socket.destroy();
  });
  socket.write(text);
  await new Promise((resolve) => socket.once("close", resolve));
  return answer.split("\0").filter((reply) => reply !== "").map((reply) => JSON.parse(reply));
}

/** Sends raw text, and collects the answer until the server ends the connection. */
export async function exchange(endpoint: Endpoint, text: string | Uint8Array): Promise<string> {
  const socket = dial(endpoint);
  let answer = "";
  socket.on("data", (chunk) => (answer += String(chunk)));
  socket.write(text);
  await new Promise((resolve) => socket.once("close", resolve));
  return answer;
}
