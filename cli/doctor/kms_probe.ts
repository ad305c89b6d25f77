import type { Duplex } from "node:stream";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { Deadline } from "../../lib/core/deadline.ts";
import { DEFAULT_KMS_ENDPOINT } from "../../lib/core/endpoint.ts";
import { ConnectionError } from "../../lib/core/errors.ts";
import { kmsHostName } from "../../lib/aws/region.ts";
import { checkTrustedCertificates } from "../../lib/kms/https/check_trusted_certificates.ts";
import { ACCEPTS_FORGED_CHAINS, checkPeerChain, readRoots } from "../../lib/kms/https/peer_chain.ts";
import type { ClientOptions } from "../client.ts";

/** KMS's answer to a request without a signature. */
export interface UnsignedAnswer {
  /** HTTP status code. */
  readonly status: number;
  /** The exception's name; undefined when there is none. */
  readonly kmsCode: string | undefined;
  /** The Date header, milliseconds since 1970; undefined when there is none. */
  readonly date: number | undefined;
  /** Time of the answer's first byte by this machine's clock, milliseconds since 1970. */
  readonly receivedAt: number;
}

/** Failure of the TLS handshake. */
export class HandshakeFailure extends Error {
  /** The runtime's code, such as `CERT_HAS_EXPIRED`; empty when it has none. */
  readonly code: string;
  /** Whether any byte came back. */
  readonly wasAnswered: boolean;

  /**
   * @param code The runtime's code; empty when it has none
   * @param wasAnswered Whether any byte came back
   */
  constructor(code: string, wasAnswered: boolean) {
    super(`The TLS handshake failed (${code})`);
    this.name = "HandshakeFailure";
    this.code = code;
    this.wasAnswered = wasAnswered;
  }
}

/** Share of the whole time for connecting and the handshake. */
const HANDSHAKE_SHARE = 0.45;

/** Share of the whole time for the answer. */
const ANSWER_SHARE = 0.25;

/** Longest answer that is read, in bytes. */
const MAX_ANSWER_BYTES = 65_536;

/** Connection to KMS in steps: connect, TLS with every check, and one request that KMS must refuse. */
export class KmsProbe implements Disposable {
  /** Host name that KMS's certificate must have. */
  readonly hostName: string;
  /** Connection; settles when it is accepted or fails. */
  readonly connected: Promise<Duplex>;
  /** TLS connection. Rejects with a {@link HandshakeFailure}, or as {@link connected} does. */
  readonly secured: Promise<TLSSocket>;
  /** Answer of KMS. Rejects with a ConnectionError when it is not HTTP or breaks off. */
  readonly answer: Promise<UnsignedAnswer>;
  readonly #deadline: Deadline;
  readonly #streams: Duplex[] = [];

  private constructor(options: ClientOptions, timeoutMs: number) {
    this.hostName = options.hostName ?? kmsHostName(options.region);
    this.#deadline = new Deadline("connect to KMS", timeoutMs * HANDSHAKE_SHARE, undefined, "connect");
    this.connected = this.#connect(options);
    this.secured = this.connected.then((raw) => this.#secure(raw, options));
    this.answer = this.secured.then((socket) => this.#ask(socket, timeoutMs));
    for (const step of [this.connected, this.secured, this.answer]) step.catch(() => {});
  }

  /**
   * Starts connecting.
   *
   * @param options Endpoint, host name and trusted certificates
   * @param timeoutMs Time for the whole examination; the probe takes its share of it
   */
  static start(options: ClientOptions, timeoutMs: number): KmsProbe {
    return new KmsProbe(options, timeoutMs);
  }

  /** Closes the connection. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    this.#deadline[Symbol.dispose]();
    for (const stream of this.#streams) stream.destroy();
  }

  async #connect({ endpoint = DEFAULT_KMS_ENDPOINT }: ClientOptions): Promise<Duplex> {
    const { openTransport } = await import("../../lib/transport/open_transport.ts");
    const raw = await openTransport(endpoint, this.#deadline);
    raw.on("error", () => {});
    this.#streams.push(raw);
    return raw;
  }

  async #secure(raw: Duplex, { trustedCertificates }: ClientOptions): Promise<TLSSocket> {
    const socket = connectTls({
      socket: raw,
      servername: this.hostName,
      minVersion: "TLSv1.2",
      rejectUnauthorized: true,
      ...(trustedCertificates === undefined ? {} : { ca: [...[trustedCertificates].flat()] }),
    });
    this.#streams.push(socket);
    const wasAnswered = () => Number((raw as Duplex & { bytesRead?: number }).bytesRead ?? 1) > 0;
    try {
      await this.#deadline.race(
        new Promise<void>((resolve, reject) => {
          socket.once("secureConnect", resolve);
          socket.on("error", reject);
          // A connection that was reset at once never reports through TLS.
          for (const stream of [socket, raw]) stream.once("close", () => reject(new Error("closed")));
        }),
      );
      if (ACCEPTS_FORGED_CHAINS) {
        const trusted = trustedCertificates && checkTrustedCertificates(trustedCertificates);
        checkPeerChain(socket, readRoots(trusted || undefined));
      }
    } catch (error) {
      throw new HandshakeFailure(codeOf(error), wasAnswered());
    }
    return socket;
  }

  async #ask(socket: TLSSocket, timeoutMs: number): Promise<UnsignedAnswer> {
    using deadline = new Deadline("get an answer from KMS", timeoutMs * ANSWER_SHARE, undefined, "kms");
    socket.write(unsignedRequest(this.hostName));
    const answer = { text: "", receivedAt: 0 };
    await deadline.race(readWhole(socket, answer));
    return parseAnswer(answer);
  }
}

function codeOf(error: unknown): string {
  if (error instanceof Error && error.name === "TimeoutError") return "no answer in time";
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "closed";
}

/** Makes a request that KMS refuses, with its time in the answer's Date header. */
function unsignedRequest(hostName: string): string {
  return [
    "POST / HTTP/1.1",
    `host: ${hostName}`,
    "content-type: application/x-amz-json-1.1",
    "x-amz-target: TrentService.GenerateRandom",
    "content-length: 2",
    "connection: close",
    "",
    "{}",
  ].join("\r\n");
}

/** Resolves when the answer is complete or the connection ends for any reason. */
function readWhole(socket: TLSSocket, answer: { text: string; receivedAt: number }): Promise<void> {
  return new Promise((resolve) => {
    socket.on("data", (chunk: Uint8Array) => {
      if (answer.text === "") answer.receivedAt = Date.now();
      answer.text += new TextDecoder("latin1").decode(chunk);
      if (isWhole(answer.text) || answer.text.length > MAX_ANSWER_BYTES) resolve();
    });
    for (const event of ["end", "error", "close"]) socket.once(event, () => resolve());
  });
}

/** Tells whether head and body are complete, given a head with the body's length. */
function isWhole(text: string): boolean {
  const end = text.indexOf("\r\n\r\n");
  const length = headerOf(text, "content-length");
  return end >= 0 && length !== undefined && text.length >= end + 4 + Number(length);
}

function parseAnswer({ text, receivedAt }: { text: string; receivedAt: number }): UnsignedAnswer {
  const status = /^HTTP\/1\.[01] (\d{3})\b/.exec(text)?.[1];
  const end = text.indexOf("\r\n\r\n");
  const length = headerOf(text, "content-length");
  if (text !== "" && status === undefined) throw noAnswer("it is not HTTP");
  if (status === undefined || end < 0 || (length !== undefined && !isWhole(text))) {
    throw noAnswer(text === "" ? "the connection broke before it" : "the connection broke within it");
  }
  const date = Date.parse(headerOf(text, "date") ?? "");
  return {
    status: Number(status),
    kmsCode: /"__type"\s*:\s*"(?:[\w.]+#)?(\w{1,100})"/.exec(text.slice(end))?.[1],
    date: Number.isNaN(date) ? undefined : date,
    receivedAt,
  };
}

function headerOf(text: string, name: string): string | undefined {
  const head = text.slice(0, text.indexOf("\r\n\r\n") + 2);
  return new RegExp(`^${name}: *(.*?)\\r$`, "im").exec(head)?.[1];
}

function noAnswer(why: string): ConnectionError {
  return new ConnectionError(`Cannot read the answer to a request without a signature: ${why}`, {
    hint: "Does the endpoint lead to KMS? Is KMS or the proxy overloaded, or being restarted?",
  });
}
