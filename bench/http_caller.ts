import type { Duplex } from "node:stream";

/** Answer of the server. */
export interface HttpAnswer {
  readonly status: number;
  /** Body, each character a byte. */
  readonly body: string;
  /** Status line and headers. */
  readonly head: string;
}

/** One request after the other over one connection, by as little as can ask. */
export class HttpCaller implements Disposable {
  readonly #stream: Duplex;
  #received = "";
  #settle: ((answer: HttpAnswer) => void) | undefined;
  #fail: (error: Error) => void = () => {};

  /** @param stream Connected; owned from now on */
  constructor(stream: Duplex) {
    this.#stream = stream;
    stream.setEncoding("latin1");
    stream.on("error", () => {});
    stream.on("data", (text: string) => this.#receive(text));
    stream.on("close", () => this.#fail(new Error("The server closed the connection")));
  }

  /** Tells whether the connection is open. */
  get isOpen(): boolean {
    return !this.#stream.closed && !this.#stream.destroyed && this.#stream.readable;
  }

  /**
   * Sends a POST and waits for the answer.
   *
   * @param path Path of the URL
   * @param body ASCII
   * @throws {Error} When the connection ends instead
   */
  post(path: string, body: string): Promise<HttpAnswer> {
    return this.send(
      `POST ${path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n` +
        `content-length: ${body.length}\r\n\r\n${body}`,
    );
  }

  /**
   * @param request A whole request, each character a byte
   * @throws {Error} When the connection ends instead of an answer
   */
  send(request: string): Promise<HttpAnswer> {
    return new Promise((resolve, reject) => {
      this.#settle = resolve;
      this.#fail = reject;
      this.#stream.write(request, "latin1");
    });
  }

  /** Closes the connection. */
  [Symbol.dispose](): void {
    this.#stream.destroy();
  }

  #receive(text: string): void {
    this.#received += text;
    const headLength = this.#received.indexOf("\r\n\r\n") + 4;
    if (headLength < 4) return;
    const head = this.#received.slice(0, headLength);
    const bodyLength = Number(/content-length: *(\d+)/i.exec(head)?.[1] ?? 0);
    if (this.#received.length < headLength + bodyLength) return;
    const body = this.#received.slice(headLength);
    this.#received = "";
    this.#settle?.({ status: Number(head.slice(9, 12)), body, head });
  }
}
