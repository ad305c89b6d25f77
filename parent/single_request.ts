import { type ClientRequest, type IncomingMessage, request as requestInClear } from "node:http";
import { request as requestOverTls } from "node:https";
import { clearTimeout, setTimeout } from "node:timers";
import { CertificateError, ConnectionError } from "../lib/core/errors.ts";
import { missingRight } from "../lib/core/missing_right.ts";
import { isCertificateFault } from "../lib/transport/tls_handshake.ts";

/** Way to a service, and the limits on it. */
export interface RequestWay {
  /** Name of the service, in messages: `S3`. */
  readonly peer: string;
  /** Certificates to trust in place of the runtime's, PEM. */
  readonly trustedCertificates: string | undefined;
  /** Milliseconds without a byte after which the request is given up. */
  readonly idleTimeoutMs: number;
}

/** Request to send. */
export interface SingleRequest {
  /** Address, with `https:` or `http:`. */
  readonly url: URL;
  /** Method, such as `GET`. */
  readonly method: "GET" | "POST";
  /** Headers beside `host` and `content-length`. */
  readonly headers: Readonly<Record<string, string>>;
  /** Body of a POST. */
  readonly body?: Uint8Array | undefined;
}

/** An answer whose body is still to be read. */
export interface SingleAnswer {
  /** HTTP status. */
  readonly status: number;
  /** Reads a header by its name in lowercase. */
  header(name: string): string | undefined;
  /** Reads the body, which ends with a throw when the connection breaks. */
  body(): AsyncIterable<Uint8Array>;
  /** Breaks the connection off. */
  [Symbol.dispose](): void;
}

/**
 * Sends a request on a connection of its own, and follows no redirect.
 *
 * @param request Address, headers and body
 * @param way Certificates, time limit, and the service's name
 * @param signal Ends the request, also while the answer is read
 * @returns The answer; dispose it
 * @throws {ConnectionError} When the connection fails or breaks, or is silent for too long
 * @throws {CertificateError} When the peer's certificate is not trusted, or for another host
 * @throws The signal's reason
 */
export async function sendSingleRequest(
  request: SingleRequest,
  way: RequestWay,
  signal: AbortSignal,
): Promise<SingleAnswer> {
  signal.throwIfAborted();
  const { url, body } = request;
  const watch = new SilenceWatch(way);
  const sent = start(request, way);
  const stop = () => void sent.destroy();
  signal.addEventListener("abort", stop, { once: true });
  watch.onSilence = stop;
  const end = () => {
    watch.stop();
    signal.removeEventListener("abort", stop);
    sent.destroy();
  };
  const reasonOf = (cause: unknown) =>
    signal.aborted ? signal.reason : watch.error ?? failure(cause, url, way);
  try {
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      sent.once("response", resolve);
      sent.on("error", reject);
      sent.once("close", () => reject(undefined));
      sent.end(body);
    });
    return answerOf(answer, watch, reasonOf, end);
  } catch (cause) {
    end();
    throw reasonOf(cause);
  }
}

function start({ url, method, headers, body }: SingleRequest, way: RequestWay): ClientRequest {
  const length = body === undefined ? {} : { "content-length": String(body.length) };
  const ca = way.trustedCertificates === undefined ? {} : { ca: way.trustedCertificates };
  const options = { method, headers: { ...headers, ...length }, agent: false, ...ca };
  return url.protocol === "https:" ? requestOverTls(url, options) : requestInClear(url, options);
}

function answerOf(
  answer: IncomingMessage,
  watch: SilenceWatch,
  reasonOf: (cause: unknown) => unknown,
  end: () => void,
): SingleAnswer {
  // A connection that breaks before the body is read must not end the process.
  answer.on("error", () => {});
  return {
    status: answer.statusCode ?? 0,
    header(name) {
      const value = answer.headers[name];
      return typeof value === "string" ? value : undefined;
    },
    async *body() {
      try {
        for await (const chunk of answer) {
          watch.noteByte();
          yield chunk as Uint8Array;
        }
      } catch (cause) {
        throw reasonOf(cause);
      }
      // Deno ends the stream of a connection that broke, and says nothing.
      if (!answer.complete) throw reasonOf(undefined);
    },
    [Symbol.dispose]: end,
  };
}

/** Timer that runs out when no byte comes. */
class SilenceWatch {
  onSilence: () => void = () => {};
  error: ConnectionError | undefined;
  readonly #way: RequestWay;
  #timer: ReturnType<typeof setTimeout>;

  constructor(way: RequestWay) {
    this.#way = way;
    this.#timer = this.#start();
  }

  noteByte(): void {
    clearTimeout(this.#timer);
    this.#timer = this.#start();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #start(): ReturnType<typeof setTimeout> {
    const { peer, idleTimeoutMs } = this.#way;
    return setTimeout(() => {
      this.error = new ConnectionError(`Cannot ask ${peer}: no byte came for ${idleTimeoutMs} ms`, {
        hint: `Does a firewall, or a VPC without an endpoint of ${peer}'s, swallow the connection?`,
      });
      this.onSilence();
    }, idleTimeoutMs);
  }
}

function failure(cause: unknown, { host }: URL, { peer }: RequestWay): Error {
  const code = String((cause as { code?: unknown } | undefined)?.code ?? "");
  if (isCertificateFault(code)) {
    return new CertificateError(`Cannot ask ${peer}: the certificate of ${host} is not accepted (${code})`, {
      hint: "Does something inspect TLS on the way, or does the endpoint need trustedCertificates?",
      cause,
    });
  }
  const why = /^[A-Z0-9_]{1,60}$/.test(code) ? ` (${code})` : "";
  return new ConnectionError(`Cannot ask ${peer}: the connection to ${host} failed or broke${why}`, {
    hint: missingRight(cause, host) ?? `Can this machine reach ${peer}, and does it listen there?`,
    cause,
  });
}
