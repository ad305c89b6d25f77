import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Child } from "../child.ts";
import { commandOf, OWN_RUNTIME } from "../runtimes.ts";
import type { ServerOrder } from "../server_process.ts";
import type { Parts, RoundTripMs, Sample, Setting } from "../setting.ts";
import type { Path } from "./path.ts";

/** The server in a process of its own, on this runtime, asked over a unix socket by as little as can ask. */
export async function openServer(setting: Setting, parts: Parts, roundTripMs: RoundTripMs): Promise<Path> {
  const folder = await mkdtemp(join(tmpdir(), "enclave-kms-bench-"));
  const socket = join(folder, "http.sock");
  const server = new Child(commandOf(OWN_RUNTIME, "server_process.ts"));
  await server.ask<boolean>({ setting, parts, roundTripMs, socket } satisfies ServerOrder);
  const idle: Caller[] = [];
  const ask = async (path: string, body: unknown): Promise<string> => {
    const caller = takeOpen(idle) ?? await Caller.open(socket);
    const answer = await caller.post(path, JSON.stringify(body));
    idle.push(caller);
    return answer;
  };
  await ask("/v1/credentials", setting.credentials);
  return {
    async decrypt({ ciphertext, plaintext }: Sample) {
      const { plaintext: answer } = JSON.parse(await ask("/v1/decrypt", { ciphertext }));
      return answer === plaintext;
    },
    async [Symbol.asyncDispose]() {
      for (const caller of idle) caller[Symbol.dispose]();
      await server[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** The server closes what was idle for a minute. */
function takeOpen(idle: Caller[]): Caller | undefined {
  for (let caller = idle.pop(); caller !== undefined; caller = idle.pop()) if (caller.isOpen) return caller;
}

/** One request after the other over one connection. */
class Caller implements Disposable {
  readonly #socket: Socket;
  #received = "";
  #settle: ((body: string) => void) | undefined;
  #fail: (error: Error) => void = () => {};

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding("latin1");
    socket.on("data", (text: string) => this.#receive(text));
    socket.on("close", () => this.#fail(new Error("The server closed the connection")));
  }

  static async open(path: string): Promise<Caller> {
    const socket = connect(path);
    await once(socket, "connect");
    socket.on("error", () => {});
    return new Caller(socket);
  }

  get isOpen(): boolean {
    return !this.#socket.closed && !this.#socket.destroyed && this.#socket.readable;
  }

  post(path: string, body: string): Promise<string> {
    const head = `POST ${path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n` +
      `content-length: ${body.length}\r\n\r\n`;
    return new Promise((resolve, reject) => {
      this.#settle = resolve;
      this.#fail = reject;
      this.#socket.write(head + body);
    });
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }

  #receive(text: string): void {
    this.#received += text;
    const headLength = this.#received.indexOf("\r\n\r\n") + 4;
    if (headLength < 4) return;
    const bodyLength = Number(/content-length: *(\d+)/i.exec(this.#received)?.[1] ?? 0);
    if (this.#received.length < headLength + bodyLength) return;
    const body = this.#received.slice(headLength);
    this.#received = "";
    this.#settle?.(body);
  }
}
