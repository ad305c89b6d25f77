import { once } from "node:events";
import { connect, type Socket } from "node:net";
import type { Endpoint } from "../../lib/core/endpoint.ts";
import { HttpCaller } from "../http_caller.ts";

/** Callers of which each always has a request in flight. */
export class Callers {
  /** Whether each ends after its answer. */
  isOver = false;
  /** Requests that were sent and are over. */
  requests = 0;
  /** Requests among them that were not answered with 200. */
  failures = 0;
  readonly #endpoint: Endpoint;
  readonly #request: string;

  /**
   * @param endpoint Address of the application
   * @param request A whole request, each character a byte
   */
  constructor(endpoint: Endpoint, request: string) {
    this.#endpoint = endpoint;
    this.#request = request;
  }

  /** Asks one request after the other over a connection of its own. */
  async run(): Promise<void> {
    using caller = new HttpCaller(await dial(this.#endpoint));
    while (!this.isOver) {
      const isAnswered = await caller.send(this.#request).then(({ status }) => status === 200, () => false);
      this.requests++;
      if (isAnswered) continue;
      this.failures++;
      if (!caller.isOpen) return;
    }
  }
}

/**
 * Connects over TCP or a unix socket.
 *
 * @param endpoint Address
 */
export async function dial(endpoint: Endpoint | undefined): Promise<Socket> {
  if (endpoint === undefined || endpoint.transport === "vsock") throw new Error("Not on this machine");
  const socket = endpoint.transport === "unix"
    ? connect(endpoint.path)
    : connect(endpoint.port, endpoint.host);
  await once(socket, "connect");
  return socket;
}
