import http from "node:http";
import type { Duplex } from "node:stream";

/** An answer. */
export interface Answer {
  readonly status: number;
  readonly body: string;
}

/** One request after the other over one connection, kept alive. */
export class HttpClient implements Disposable {
  readonly #agent: http.Agent;
  readonly #stream: Duplex;

  /** @param stream Connected; owned from now on */
  constructor(stream: Duplex) {
    this.#stream = stream;
    this.#agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    this.#agent.createConnection = () => stream;
  }

  /**
   * Sends a POST.
   *
   * @param path Path of the URL
   * @param body Body to post
   */
  post(path: string, body: string | Uint8Array): Promise<Answer> {
    const length = Buffer.byteLength(body);
    const headers = { host: "enclave", "content-length": String(length) };
    return new Promise((resolve, reject) => {
      const request = http.request({ agent: this.#agent, method: "POST", path, headers }, (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => text += chunk);
        response.on("end", () => resolve({ status: response.statusCode ?? 0, body: text }));
        response.on("error", reject);
      });
      request.on("error", reject);
      request.end(body);
    });
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
    this.#stream.destroy();
  }
}
