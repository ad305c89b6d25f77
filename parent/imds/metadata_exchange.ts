import { connect, type Socket } from "node:net";
import type { Deadline } from "../../lib/core/deadline.ts";
import type { TcpEndpoint } from "../../lib/core/endpoint.ts";
import { TimeoutError } from "../../lib/core/errors.ts";
import { missingRight } from "../../lib/core/missing_right.ts";
import { allocateOffHeap } from "../../lib/core/secret_bytes.ts";
import { type AnswerHead, type MetadataAnswer, readAnswerHead } from "./http_answer.ts";
import { type ImdsError, imdsError, type ImdsQuestion } from "./imds_error.ts";

/** Longest answer with its headers, in bytes. */
const MAX_ANSWER_BYTES = 65_536;

/** Memory of one read, in bytes. */
const READ_BYTES = 16_384;

/** Request to the metadata service. It has no body. */
export interface MetadataRequest {
  /** Question that it asks, for errors. */
  readonly question: ImdsQuestion;
  /** Method; a token is asked for with `PUT`. */
  readonly method: "GET" | "PUT";
  /** Path, in characters that need no escape. */
  readonly path: string;
  /** Further headers. */
  readonly headers: Readonly<Record<string, string>>;
}

/**
 * Sends a request on a connection of its own, and reads the answer into memory that is wiped. The runtimes' own clients
 * leave copies of an answer in buffers that nobody can wipe.
 *
 * @param target Address of the metadata service
 * @param request The request
 * @param deadline End of the attempt
 * @returns The answer, for the caller to dispose
 * @throws {ImdsError} `UNREACHABLE`, `SILENT`, `CUT` or `ANSWER`
 * @throws The reason of the deadline's signal, when that was aborted for another reason than its time
 */
export function exchange(
  target: TcpEndpoint,
  request: MetadataRequest,
  deadline: Deadline,
): Promise<MetadataAnswer> {
  return new Exchange(target, request, deadline).run();
}

class Exchange {
  readonly #target: TcpEndpoint;
  readonly #request: MetadataRequest;
  readonly #deadline: Deadline;
  readonly #memory = allocateOffHeap(MAX_ANSWER_BYTES);
  readonly #chunk = allocateOffHeap(READ_BYTES);
  readonly #settled = Promise.withResolvers<MetadataAnswer>();
  #length = 0;
  #isConnected = false;
  #isOver = false;

  constructor(target: TcpEndpoint, request: MetadataRequest, deadline: Deadline) {
    this.#target = target;
    this.#request = request;
    this.#deadline = deadline;
  }

  async run(): Promise<MetadataAnswer> {
    const { signal } = this.#deadline;
    if (signal.aborted) throw this.#timedOut();
    const onAbort = () => this.#fail(this.#timedOut());
    signal.addEventListener("abort", onAbort, { once: true });
    const socket = this.#open();
    try {
      return await this.#settled.promise;
    } finally {
      signal.removeEventListener("abort", onAbort);
      socket?.destroy();
    }
  }

  #open(): Socket | undefined {
    const { host, port } = this.#target;
    try {
      const callback = (count: number) => (this.#take(count), true);
      const socket = connect({ host, port, noDelay: true, onread: { buffer: this.#chunk, callback } });
      socket.once("connect", () => {
        this.#isConnected = true;
        socket.write(encodeRequest(this.#request, this.#target));
      });
      socket.on("error", (error) => this.#fail(this.#broken(error)));
      socket.once("end", () => this.#end());
      socket.once("close", () => this.#end());
      return socket;
    } catch (error) {
      // Deno throws at once when it lacks the permission.
      this.#fail(this.#broken(error));
      return undefined;
    }
  }

  #take(count: number): void {
    const bytes = this.#chunk.subarray(0, count);
    if (!this.#isOver && this.#length + count > MAX_ANSWER_BYTES) {
      this.#fail(this.#unreadable(`the answer is longer than ${MAX_ANSWER_BYTES} bytes`));
    }
    if (!this.#isOver) {
      this.#memory.set(bytes, this.#length);
      this.#length += count;
      this.#read(false);
    }
    bytes.fill(0);
  }

  #read(isEnd: boolean): void {
    const head = readAnswerHead(this.#memory.subarray(0, this.#length));
    if (head === "incomplete") return isEnd ? this.#fail(this.#cut()) : undefined;
    if ("reason" in head) return this.#fail(this.#unreadable(head.reason));
    const end = head.bodyEnd ?? (isEnd ? this.#length : undefined);
    if (end !== undefined && end > MAX_ANSWER_BYTES) {
      return this.#fail(this.#unreadable(`the answer is longer than ${MAX_ANSWER_BYTES} bytes`));
    }
    if (end !== undefined && end <= this.#length) return this.#finish(head, end);
    if (isEnd) this.#fail(this.#cut());
  }

  #end(): void {
    if (!this.#isOver) this.#read(true);
  }

  #finish({ status, headers, bodyStart }: AnswerHead, end: number): void {
    this.#isOver = true;
    const memory = this.#memory;
    const body = memory.subarray(bodyStart, end);
    this.#settled.resolve({ status, headers, body, [Symbol.dispose]: () => void memory.fill(0) });
  }

  #fail(error: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#memory.fill(0);
    this.#settled.reject(error);
  }

  #timedOut(): unknown {
    const reason: unknown = this.#deadline.signal.reason;
    // The caller's own signal may have another error of that name.
    if (!(reason instanceof TimeoutError)) return reason;
    if (!this.#isConnected) return this.#error("UNREACHABLE", "no connection in time", reason);
    const isBegun = this.#length > 0;
    return this.#error("SILENT", isBegun ? "the answer did not end in time" : "no answer in time", reason);
  }

  #broken(error: unknown): ImdsError {
    const { host, port } = this.#target;
    const hint = missingRight(error, `${host}:${port}`);
    const code = error instanceof Error && "code" in error ? ` (${String(error.code)})` : "";
    const failure = this.#isConnected ? "CUT" : "UNREACHABLE";
    const reason = `${this.#isConnected ? "the connection broke" : "no connection"}${code}`;
    return imdsError(failure, this.#request.question, { reason, cause: error, hint });
  }

  #cut(): ImdsError {
    return this.#error("CUT", "the connection ended before the answer did");
  }

  #unreadable(reason: string): ImdsError {
    return this.#error("ANSWER", reason);
  }

  #error(failure: "UNREACHABLE" | "SILENT" | "CUT" | "ANSWER", reason: string, cause?: unknown): ImdsError {
    return imdsError(failure, this.#request.question, { reason, cause });
  }
}

function encodeRequest({ method, path, headers }: MetadataRequest, { host, port }: TcpEndpoint): string {
  const authority = `${host.includes(":") ? `[${host}]` : host}${port === 80 ? "" : `:${port}`}`;
  const lines = Object.entries({ host: authority, accept: "*/*", ...headers, connection: "close" })
    .map(([name, value]) => `${name}: ${value}\r\n`);
  // Without a length some proxies wait for the body of a PUT.
  const length = method === "PUT" ? "content-length: 0\r\n" : "";
  return `${method} ${path} HTTP/1.1\r\n${lines.join("")}${length}\r\n`;
}
