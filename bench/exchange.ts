import type { Buffer } from "node:buffer";
import { once } from "node:events";
import { connect, type ConnectionOptions, type TLSSocket } from "node:tls";

/** One HTTP request after the other over one TLS connection, as bytes that are ready. */
export class Exchange implements Disposable {
  readonly #socket: TLSSocket;
  #chunks: Buffer[] = [];
  #missing = 0;
  #settle: ((chunks: readonly Buffer[]) => void) | undefined;
  #fail: (error: Error) => void = () => {};

  private constructor(socket: TLSSocket) {
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("error", (error) => this.#fail(error));
    socket.on("close", () => this.#fail(new Error("KMS closed the connection")));
  }

  /**
   * Connects.
   *
   * @param options Address, authority and name of the server
   */
  static async open(options: ConnectionOptions): Promise<Exchange> {
    const socket = connect(options);
    await once(socket, "secureConnect");
    return new Exchange(socket);
  }

  /**
   * Sends a request. Only the length of the answer is read.
   *
   * @param bytes Head and body
   * @returns The pieces of the answer, head and body
   * @throws {Error} When the status is not 200, or the connection ends
   */
  send(bytes: Uint8Array): Promise<readonly Buffer[]> {
    this.#missing = 0;
    this.#chunks = [];
    return new Promise((resolve, reject) => {
      this.#settle = resolve;
      this.#fail = reject;
      this.#socket.write(bytes);
    });
  }

  /** Breaks the connection. */
  [Symbol.dispose](): void {
    this.#socket.destroy();
  }

  #receive(chunk: Buffer): void {
    try {
      if (this.#missing === 0) this.#missing = lengthOfAnswer(chunk);
    } catch (error) {
      return this.#fail(error as Error);
    }
    this.#missing -= chunk.length;
    this.#chunks.push(chunk);
    if (this.#missing === 0) this.#settle?.(this.#chunks);
  }
}

function lengthOfAnswer(chunk: Buffer): number {
  const text = chunk.toString("latin1");
  if (!text.startsWith("HTTP/1.1 200 ")) throw new Error(`KMS refused: ${text}`);
  return text.indexOf("\r\n\r\n") + 4 + Number(/content-length: *(\d+)/i.exec(text)?.[1]);
}
