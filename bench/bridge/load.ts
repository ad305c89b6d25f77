import { Buffer } from "node:buffer";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { median } from "../statistics.ts";
import type { Subject } from "./subjects.ts";

/** First byte that asks the service to swallow what follows; any other is echoed. */
const SWALLOW = 0x73;

const CHUNK_BYTES = 262_144;
const QUESTION_BYTES = 32;
const GIB = 2 ** 30;

/** Service at a unix socket, and what is asked of it through bridges. */
export class Load implements AsyncDisposable {
  readonly #server: Server;
  readonly #folder: string;
  #swallowed = 0;

  private constructor(server: Server, folder: string) {
    this.#server = server;
    this.#folder = folder;
    server.on("connection", (socket) => this.#serve(socket));
  }

  /** Starts the service. */
  static async start(): Promise<Load> {
    const folder = mkdtempSync(join(tmpdir(), "enclave-kms-bench-"));
    const server = createServer({ allowHalfOpen: true });
    const load = new Load(server, folder);
    server.listen({ path: load.socket, backlog: 4096 });
    await once(server, "listening");
    return load;
  }

  /** Path of the unix socket. */
  get socket(): string {
    return join(this.#folder, "service.sock");
  }

  /**
   * Sends bytes as fast as they are taken.
   *
   * @param subject Bridge
   * @param bytes Number of bytes
   * @returns Processor time of the bridge for a GiB, in milliseconds, and GiB a second
   */
  async stream(subject: Subject, bytes: number): Promise<{ cpuMsPerGib: number; gibPerSecond: number }> {
    const socket = await dial(subject.port);
    const before = { swallowed: this.#swallowed, cpuMs: subject.cpuMs, atMs: performance.now() };
    const chunk = Buffer.alloc(CHUNK_BYTES, SWALLOW);
    for (let sent = 0; sent < bytes; sent += CHUNK_BYTES) {
      if (!socket.write(chunk)) await once(socket, "drain");
    }
    while (this.#swallowed - before.swallowed < bytes) await sleep(1);
    const seconds = (performance.now() - before.atMs) / 1000;
    const cpuMs = subject.cpuMs - before.cpuMs;
    socket.destroy();
    return { cpuMsPerGib: cpuMs / (bytes / GIB), gibPerSecond: bytes / GIB / seconds };
  }

  /**
   * Asks one question after the other over one connection.
   *
   * @param subject Bridge
   * @param count Number of questions
   * @returns Median time to the answer, in microseconds
   */
  async askInTurn(subject: Subject, count: number): Promise<number> {
    const socket = await dial(subject.port);
    const question = Buffer.alloc(QUESTION_BYTES, 1);
    const times: number[] = [];
    for (let turn = 0; turn < count; turn++) {
      const startedAt = performance.now();
      const answered = once(socket, "data");
      socket.write(question);
      await answered;
      times.push((performance.now() - startedAt) * 1000);
    }
    socket.destroy();
    return median(times.slice(count >> 2));
  }

  /**
   * Opens connections, asks over each once, leaves them idle, and asks over each once more.
   *
   * @param subject Bridge
   * @param count Number of connections, more than 500
   * @returns Resident memory for each idle connection beyond the first 500, in KiB, and those that did not answer
   */
  async keepIdle(subject: Subject, count: number): Promise<{ kibEach: number; lost: number }> {
    const first = await this.#open(subject, 500);
    await sleep(1000);
    const before = subject.residentKib;
    const all = [...first, ...await this.#open(subject, count - first.length)];
    await sleep(2000);
    const kibEach = (subject.residentKib - before) / (count - first.length);
    const answers = await Promise.all(all.map((socket) => isAnswered(socket)));
    for (const socket of all) socket.destroy();
    return { kibEach, lost: answers.filter((answered) => !answered).length };
  }

  /** Ends the service. */
  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise((resolve) => this.#server.close(resolve));
    rmSync(this.#folder, { recursive: true });
  }

  async #open(subject: Subject, count: number): Promise<Socket[]> {
    const sockets: Socket[] = [];
    while (sockets.length < count) {
      const some = Math.min(50, count - sockets.length);
      const opened = await Promise.all(Array.from({ length: some }, () => dial(subject.port)));
      await Promise.all(opened.map((socket) => isAnswered(socket)));
      sockets.push(...opened);
    }
    return sockets;
  }

  #serve(socket: Socket): void {
    socket.on("error", () => {});
    socket.on("end", () => socket.end());
    socket.once("data", (first) => {
      const isSwallowed = first[0] === SWALLOW;
      if (isSwallowed) this.#swallowed += first.length;
      else socket.write(first);
      socket.on("data", (chunk) => isSwallowed ? this.#swallowed += chunk.length : socket.write(chunk));
    });
  }
}

async function isAnswered(socket: Socket): Promise<boolean> {
  if (socket.destroyed) return false;
  const outcome = Promise.race([
    once(socket, "data").then(() => true),
    once(socket, "close").then(() => false),
  ]);
  socket.write("x");
  return await outcome.catch(() => false);
}

/** Connects, again and again until somebody listens. */
async function dial(port: number): Promise<Socket> {
  for (let tries = 0;; tries++) {
    const socket = connect({ host: "127.0.0.1", port, noDelay: true });
    try {
      await once(socket, "connect");
      return socket.on("error", () => {});
    } catch (error) {
      if (tries === 200) throw error;
      await sleep(10);
    }
  }
}
