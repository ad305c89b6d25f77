import type { ClientRequest, IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { Deadline, MAX_TIMEOUT_MS } from "../lib/core/deadline.ts";
import type { Slots } from "../lib/core/slots.ts";
import type { TlsAgent, TlsRequestOptions } from "../lib/kms/https/tls_agent.ts";
import { MAX_HEADER_LINES } from "../lib/transport/http_headers.ts";
import { untilWritable } from "../lib/transport/until_writable.ts";
import { AnswerBody } from "./answer_body.ts";
import { followSignal } from "./caller_signal.ts";
import { readLength } from "./content_length.ts";
import { aborted, broken, malformed, sdkError, timedOut } from "./exchange_errors.ts";
import type { Target } from "./read_target.ts";
import { partsOf, type RequestBody } from "./request_body.ts";
import type { SdkCallOptions, SdkResponse } from "./sdk_types.ts";

/** Connections to one service. */
export interface Service {
  /** Keeps them. */
  readonly agent: TlsAgent;
  /** Bounds their number. */
  readonly slots: Slots;
}

/** Limits of one request. */
export interface ExchangeLimits {
  /** Milliseconds to connect. */
  readonly connectTimeoutMs: number;
  /** Milliseconds without progress; then the request fails. */
  readonly idleTimeoutMs: number;
  /** Largest head of an answer, in bytes. */
  readonly maxHeaderBytes: number;
}

/** Number of looks for silence within the time-out for it. */
const LOOKS_PER_TIMEOUT = 4;
const NO_BODY: readonly number[] = [204, 304];

/** One request to a service and its answer. */
export class ServiceExchange {
  readonly #service: Service;
  readonly #target: Target;
  readonly #limits: ExchangeLimits;
  /** Aborts when this side ends the request, with the reason. */
  readonly #ended = new AbortController();
  /** Has no end of its own: it notes the stage of connecting. */
  readonly #deadline = new Deadline("connect", MAX_TIMEOUT_MS, this.#ended.signal, "free-connection");
  readonly #cleanups: (() => void)[] = [];
  #progressAtMs = performance.now();
  #sent: ClientRequest | undefined;
  #isSent = false;

  /**
   * @param service Connections to the service
   * @param target Request without its body
   * @param limits Limits
   * @param onEnd Called once, when the connection is free again or closed
   */
  constructor(service: Service, target: Target, limits: ExchangeLimits, onEnd: () => void) {
    this.#service = service;
    this.#target = target;
    this.#limits = limits;
    this.#cleanups.push(() => this.#deadline[Symbol.dispose](), onEnd);
  }

  /**
   * Sends the request, once.
   *
   * @param body Its body
   * @param options Options of the caller
   * @returns The answer, whose body comes as it is read
   * @throws {unknown} As {@link sdkError} has it
   */
  async run(body: RequestBody, { abortSignal, requestTimeout = 0 }: SdkCallOptions): Promise<SdkResponse> {
    const { hostName } = this.#target;
    const { signal } = this.#ended;
    this.#follow(abortSignal);
    this.#watch();
    const limit = requestTimeout > 0 ? this.#end(Math.min(requestTimeout, MAX_TIMEOUT_MS)) : undefined;
    try {
      const slot = await this.#service.slots.take(signal);
      this.#cleanups.push(() => slot[Symbol.dispose]());
      this.#touch();
      return await this.#answer(body);
    } catch (error) {
      // What ended it here is the SDK's or the caller's already: an error of a body's source is no broken connection.
      const reason: unknown = signal.aborted ? signal.reason : sdkError(error, hostName);
      this.#fail(reason);
      throw reason;
    } finally {
      clearTimeout(limit);
    }
  }

  async #answer(body: RequestBody): Promise<SdkResponse> {
    const { signal } = this.#ended;
    signal.throwIfAborted();
    const sent = this.#start(body);
    const message = await new Promise<IncomingMessage>((resolve, reject) => {
      sent.once("response", resolve);
      sent.on("error", (cause) => reject(this.#brokenRequest(cause)));
      sent.once("close", () => reject(broken(this.#target.hostName)));
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      void this.#sendBody(sent, body);
    });
    this.#touch();
    this.#deadline.stage = "body";
    return this.#translate(message);
  }

  #start(body: RequestBody): ClientRequest {
    const { method, path, headers } = this.#target;
    const { agent } = this.#service;
    const isEmpty = body instanceof Uint8Array && body.length === 0;
    const isBodiless = isEmpty && (method === "GET" || method === "HEAD");
    const hasLength = body instanceof Uint8Array && !isBodiless && headers["transfer-encoding"] === undefined;
    const length = hasLength ? { "content-length": String(body.length) } : {};
    const options: TlsRequestOptions & { readonly maxHeaderSize: number } = {
      agent,
      method,
      path,
      headers: { ...length, ...headers },
      maxHeaderSize: this.#limits.maxHeaderBytes,
      call: { deadline: this.#deadline, signal: this.#ended.signal },
    };
    this.#deadline.stage = "kms";
    const sent = httpsRequest(options);
    this.#sent = sent;
    const connecting = this.#end(this.#limits.connectTimeoutMs);
    sent.once("socket", () => {
      clearTimeout(connecting);
      this.#touch();
    });
    sent.once("close", () => {
      clearTimeout(connecting);
      this.#cleanUp();
    });
    return sent;
  }

  async #sendBody(sent: ClientRequest, body: RequestBody): Promise<void> {
    try {
      for await (const part of partsOf(body, this.#target.length)) {
        this.#touch();
        if (sent.destroyed) return;
        if (!sent.write(part)) await untilWritable(sent);
      }
      sent.end(() => {
        this.#isSent = true;
        this.#touch();
      });
    } catch (error) {
      // Only the body itself throws here, and its error is the caller's.
      this.#fail(error);
    }
  }

  #brokenRequest(cause: unknown): unknown {
    const { agent } = this.#service;
    // The others that are idle are most likely closed as well.
    if (this.#sent !== undefined && agent.isReusing(this.#sent)) agent.destroyIdle();
    return cause;
  }

  #translate(message: IncomingMessage): SdkResponse {
    const { hostName, method } = this.#target;
    const { statusCode = 0, statusMessage = "", rawHeaders } = message;
    if (
      rawHeaders.length > 2 * MAX_HEADER_LINES || rawHeaders.join("").length > this.#limits.maxHeaderBytes
    ) {
      throw malformed(hostName, "its headers are larger than maxHeaderBytes");
    }
    const headers = Object.fromEntries(
      Object.entries(message.headers).map(([name, value]) => [name, [value].flat().join(",")]),
    );
    const hasBody = method !== "HEAD" && !NO_BODY.includes(statusCode);
    const length = hasBody ? bodyLength(headers, hostName) : undefined;
    const { signal } = this.#ended;
    const body = new AnswerBody(message, {
      onChunk: () => this.#touch(),
      onBroken: () => this.#fail(signal.reason ?? broken(hostName)),
      broken: (cause) => (signal.reason ?? sdkError(broken(hostName, cause), hostName)) as Error,
      length,
    });
    signal.addEventListener("abort", () => body.breakOff(signal.reason as Error), { once: true });
    message.once("end", () => this.#isSent || this.#sent?.destroy());
    return { statusCode, reason: statusMessage, headers, body };
  }

  #follow(abortSignal: SdkCallOptions["abortSignal"]): void {
    if (abortSignal === undefined) return;
    const abort = () => this.#fail(aborted(abortSignal));
    if (abortSignal.aborted) return abort();
    this.#cleanups.push(followSignal(abortSignal, abort));
  }

  /** Fails after silence, a quarter later at most. */
  #watch(): void {
    const { idleTimeoutMs } = this.#limits;
    const look = setInterval(() => {
      if (performance.now() - this.#progressAtMs >= idleTimeoutMs) this.#timeOut(idleTimeoutMs);
    }, Math.ceil(idleTimeoutMs / LOOKS_PER_TIMEOUT));
    this.#cleanups.push(() => clearInterval(look));
  }

  #end(timeoutMs: number): ReturnType<typeof setTimeout> {
    const timer = setTimeout(() => this.#timeOut(timeoutMs), timeoutMs);
    this.#cleanups.push(() => clearTimeout(timer));
    return timer;
  }

  #timeOut(timeoutMs: number): void {
    const { hostName } = this.#target;
    this.#fail(sdkError(timedOut(hostName, this.#deadline.stage, timeoutMs), hostName));
  }

  #touch(): void {
    this.#progressAtMs = performance.now();
  }

  #fail(reason: unknown): void {
    if (!this.#ended.signal.aborted) this.#ended.abort(reason);
    this.#sent?.destroy();
    this.#cleanUp();
  }

  #cleanUp(): void {
    for (const cleanUp of this.#cleanups.splice(0)) cleanUp();
  }
}

/**
 * Reads the length of an answer's body. One that ends with the connection could be cut anywhere, and one with two
 * lengths is read by each side as it likes.
 */
function bodyLength(headers: Readonly<Record<string, string>>, hostName: string): number | undefined {
  const { "content-length": text, "transfer-encoding": coding } = headers;
  if (coding !== undefined && text !== undefined) throw malformed(hostName, "it has two lengths");
  if (coding === "chunked") return undefined;
  if (coding !== undefined || text === undefined) throw malformed(hostName, "it does not say how long it is");
  const length = readLength(text);
  if (length === undefined) throw malformed(hostName, "its content-length is not a number");
  return length;
}
