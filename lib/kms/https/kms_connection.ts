import { concatBytes } from "../../core/bytes.ts";
import type { ClientRequest, IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import type { Deadline } from "../../core/deadline.ts";
import { ConnectionError, DisposedError, ProtocolError } from "../../core/errors.ts";
import { requestError, StaleConnectionError } from "./connection_errors.ts";
import { Slots } from "../../core/slots.ts";
import { type OpenTransport, TlsAgent, type TlsRequestOptions } from "./tls_agent.ts";
import { type TlsCall, unlessAborted } from "./tls_call.ts";

/** The longest answer that is read, in bytes. KMS's own stay below 16 KiB. */
export const MAX_ANSWER_BYTES = 65_536;

/** Options of a {@link KmsConnection}. */
export interface KmsConnectionOptions {
  /** Opens the stream that TLS runs over. */
  readonly open: OpenTransport;
  /** KMS's name, as its certificate has it. */
  readonly hostName: string;
  /** Certificate authorities in PEM that may vouch for KMS, instead of the runtime's own. */
  readonly trustedCertificates?: string | readonly string[] | undefined;
  /** Number of requests, and so of connections, at once; the others wait in line. */
  readonly maxConnections: number;
  /** Milliseconds that a connection may be idle. */
  readonly maxIdleMs: number;
}

/** Request to KMS. */
export interface RequestBody {
  /** JSON. */
  readonly bytes: Uint8Array;
  /** Whether no copy of it may stay in memory. */
  readonly isSecret: boolean;
}

/** Answer of KMS. */
export interface KmsAnswer {
  /** HTTP status. */
  readonly status: number;
  /** The `x-amzn-requestid` header. */
  readonly requestId: string | undefined;
  /** The `content-type` header. */
  readonly contentType?: string | undefined;
  /** The `date` header, milliseconds since 1970 in whole seconds, if it is there and in HTTP's form. */
  readonly dateMs: number | undefined;
  /** At most {@link MAX_ANSWER_BYTES}. */
  readonly body: Uint8Array<ArrayBuffer>;
}

/**
 * HTTPS to KMS, end to end, over connections that are kept. The process can exit while they are idle.
 *
 * Disposing it while calls run makes them fail at once with a {@link DisposedError}.
 */
export class KmsConnection implements Disposable {
  readonly #agent: TlsAgent;
  readonly #slots: Slots;
  readonly #calls = new Set<AbortController>();
  #disposed = false;

  /**
   * Opens nothing yet.
   *
   * @param options Address and trust
   * @throws {TypeError} If `trustedCertificates` cannot be read
   */
  constructor(options: KmsConnectionOptions) {
    const { open, hostName, trustedCertificates, maxConnections, maxIdleMs } = options;
    this.#agent = new TlsAgent({ open, hostName, trustedCertificates, maxIdle: maxConnections, maxIdleMs });
    this.#slots = new Slots(maxConnections);
  }

  /**
   * Begins a connection for the first request, which takes it or makes its own. A failure is not reported here. Until
   * the request or {@link KmsConnection} ends it, the connection keeps the process alive.
   */
  connectAhead(): void {
    if (!this.#disposed) this.#agent.connectAhead();
  }

  /**
   * Sends one `POST /`, once.
   *
   * @param headers All of them, in lowercase, `host` included
   * @param body Any length, and whether it holds a secret
   * @param deadline Holds for waiting in line, connecting, the handshake, the request and the answer
   * @returns KMS's answer, whatever its status
   * @throws {StaleConnectionError} If it was kept from an earlier request and breaks before the answer begins;
   *   the next request goes over a new one
   * @throws {ConnectionError} If the connection cannot be made or breaks
   * @throws {CertificateError} If the peer's certificate is not accepted
   * @throws {ProtocolError} If the answer is too long or not HTTP
   * @throws {TimeoutError} If the deadline passes; if the caller aborts, the reason he gave
   * @throws {DisposedError} After dispose, or when disposed meanwhile
   */
  async request(
    headers: Readonly<Record<string, string>>,
    body: RequestBody,
    deadline: Deadline,
  ): Promise<KmsAnswer> {
    if (this.#disposed) throw new DisposedError("KmsConnection");
    deadline.throwIfPassed();
    const call = new AbortController();
    const onPassed = () => call.abort(deadline.signal.reason);
    deadline.signal.addEventListener("abort", onPassed);
    this.#calls.add(call);
    deadline.stage = "free-connection";
    try {
      using _slot = await this.#slots.take(call.signal);
      return await this.#send(headers, body, { deadline, signal: call.signal });
    } finally {
      this.#calls.delete(call);
      deadline.signal.removeEventListener("abort", onPassed);
    }
  }

  /** Fails the calls that run, and closes the connections. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    this.#disposed = true;
    for (const call of this.#calls) call.abort(new DisposedError("KmsConnection"));
    this.#agent.destroy();
  }

  async #send(
    headers: Readonly<Record<string, string>>,
    body: RequestBody,
    call: TlsCall,
  ): Promise<KmsAnswer> {
    try {
      return await exchange(this.#agent, headers, body, call);
    } catch (error) {
      // The others are most likely closed as well.
      if (error instanceof StaleConnectionError) this.#agent.destroyIdle();
      throw error;
    }
  }
}

async function exchange(
  agent: TlsAgent,
  headers: Readonly<Record<string, string>>,
  { bytes, isSecret }: RequestBody,
  call: TlsCall,
): Promise<KmsAnswer> {
  const options: TlsRequestOptions = {
    agent,
    method: "POST",
    path: "/",
    headers: { ...headers, "content-length": bytes.length },
    call,
  };
  // A connection that is kept; a new one sets its own stages.
  call.deadline.stage = "kms";
  const request = httpsRequest(options);
  let hasBegun = false;
  const answer = new Promise<KmsAnswer>((resolve, reject) => {
    request.on("error", reject);
    request.once("response", (response) => {
      hasBegun = true;
      call.deadline.stage = "body";
      readAnswer(response).then(resolve, reject);
    });
    if (isSecret) sendApart(request, bytes);
    else request.end(bytes);
  });
  try {
    return await unlessAborted(answer, call.signal);
  } catch (error) {
    request.destroy();
    if (call.signal.aborted) throw call.signal.reason;
    const failure = requestError(error);
    const isStale = agent.isReusing(request) && !hasBegun && failure instanceof ConnectionError;
    throw isStale ? new StaleConnectionError(failure) : failure;
  }
}

/**
 * Headers and body in two writes, which costs a record and a system call: Node copies what it writes at once into a
 * buffer that it frees as it is. Not guaranteed on Deno, which leaves such a copy: with two writes it does not report
 * a connection that the peer has closed.
 */
function sendApart(request: ClientRequest, body: Uint8Array): void {
  if ("Deno" in globalThis) return void request.end(body);
  request.once("socket", () => {
    request.flushHeaders();
    request.end(body);
  });
}

// Listeners, because an iterator over the stream takes 4 % of the CPU of a warm decrypt.
function readAnswer(response: IncomingMessage): Promise<KmsAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<KmsAnswer>();
  const chunks: Uint8Array[] = [];
  let length = 0;
  response.on("data", (chunk: Uint8Array) => {
    length += chunk.length;
    if (length <= MAX_ANSWER_BYTES) return void chunks.push(chunk);
    reject(oversized());
    // At once: what has ended goes back to the connections that are used again.
    response.destroy();
  });
  response.on("end", () => resolve(toAnswer(response, concatBytes(chunks))));
  response.on("error", reject);
  // An error that nobody gets would cost its stack trace, 3 % of the CPU of a warm decrypt beside RSA.
  response.on("close", () => response.readableEnded || reject(new Error("The answer was cut off")));
  return promise;
}

function toAnswer({ headers, statusCode = 0 }: IncomingMessage, body: KmsAnswer["body"]): KmsAnswer {
  const requestId = headers["x-amzn-requestid"];
  return {
    status: statusCode,
    requestId: typeof requestId === "string" ? requestId : undefined,
    contentType: headers["content-type"],
    dateMs: parseDate(headers.date),
    body,
  };
}

function parseDate(date: string | undefined): number | undefined {
  if (date === undefined || !/^[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$/.test(date)) {
    return;
  }
  const dateMs = Date.parse(date);
  return Number.isNaN(dateMs) ? undefined : dateMs;
}

function oversized(): ProtocolError {
  return new ProtocolError(`Cannot read KMS's answer: it is longer than ${MAX_ANSWER_BYTES} bytes`, {
    hint: "Does the endpoint lead to KMS? Its answers are shorter",
  });
}
