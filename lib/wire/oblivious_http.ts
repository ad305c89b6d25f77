/**
 * Messages sealed to a key and answers bound to them, as Oblivious HTTP has them (RFC 9458): the key configuration
 * (section 3), and encapsulated requests and answers (section 4), for both ends. It runs in browsers, too.
 *
 * One choice of HPKE (RFC 9180) is spoken: DHKEM(X25519, HKDF-SHA256) with HKDF-SHA256, and of the AEADs AES-256-GCM
 * or AES-128-GCM. WebCrypto has all of them: Node.js from 22, Deno, and browsers from 2025 on.
 *
 * @see https://www.rfc-editor.org/rfc/rfc9458
 *
 * @module
 */
import type { KeyPair } from "hpke";
import { concatBytes } from "../core/bytes.ts";
import { ProtocolError } from "../core/errors.ts";
import { AnswerSealer, openAnswerChunks, openRequestChunks } from "./answer_chunks.ts";
import { answerKey, ascii, type Exchange, notForUs } from "./answer_key.ts";
import type { NextBytes } from "./byte_source.ts";
import {
  KDF_ID,
  KEM_ID,
  type Primitives,
  PUBLIC_KEY_BYTES,
  type Suite,
  suitesOver,
  TAG_BYTES,
  WEB_SUITES,
} from "./hpke_suites.ts";

/** Media type of an encapsulated request. */
export const SEALED_REQUEST_TYPE = "message/ohttp-req";
/** Media type of an encapsulated answer. */
export const SEALED_RESPONSE_TYPE = "message/ohttp-res";
/** Type of the problem document that says that a request was sealed to a key that is not known (RFC 9458, 5.3). */
export const STALE_KEY_PROBLEM = "https://iana.org/assignments/http-problem-types#ohttp-key";
/** Type of the problem document that says that a request's date is outside of the window (RFC 9458, 6.5.2). */
export const DATE_PROBLEM = "https://iana.org/assignments/http-problem-types#date";

/** Bytes that an encapsulated request has beside the request: head 7, encapsulated key 32, tag 16. */
export const SEALED_REQUEST_OVERHEAD_BYTES = 55;

/** Key configuration: what a caller needs to seal requests. */
export interface KeyConfig {
  /** Number of the key, 0 to 255. */
  readonly id: number;
  /** Public key, X25519: 32 bytes. */
  readonly publicKey: Uint8Array<ArrayBuffer>;
  /** Number of the AEAD that this side prefers of those that the other takes. */
  readonly aeadId: number;
}

/** Request that was opened. */
export interface OpenedRequest {
  /** The request, for the caller to wipe. */
  readonly request: Uint8Array;
  /** Encapsulated key, 32 bytes: no two requests have the same, unless one is a copy. */
  readonly encapsulatedKey: Uint8Array;
  /**
   * Seals the answer. Only the sender of the request can open it, and only as the answer to that request.
   *
   * @param answer The answer; the caller keeps it, and the duty to wipe it
   * @returns Encapsulated answer: 16 or 32 bytes of nonce, then the answer and 16 bytes more
   */
  sealAnswer(answer: Uint8Array): Promise<Uint8Array<ArrayBuffer>>;
  /**
   * Begins an answer in chunks, which is for a request that came so.
   *
   * @returns The sealer; the caller disposes it
   */
  sealChunks(): Promise<AnswerSealer>;
}

/** Form of an encapsulated request, whose answer has the same: in one piece, or in chunks. */
export type SealedForm = "whole" | "chunks";

/** Request that was sealed. */
export interface SealedRequest {
  /** Encapsulated request. */
  readonly message: Uint8Array<ArrayBuffer>;
  /**
   * Opens the answer.
   *
   * @param message Encapsulated answer
   * @throws {ProtocolError} When it is not the answer to this request, or was changed; it does not tell which
   */
  openAnswer(message: Uint8Array): Promise<Uint8Array>;
  /**
   * Opens an answer in chunks, which a request in chunks gets.
   *
   * @param next Gives the answer's bytes, cut anywhere
   * @returns Gives the opened chunks; undefined once the last one was opened as the last
   */
  openChunks(next: NextBytes): NextBytes;
}

/** Choices for a {@link GatewayKey}. */
export interface GatewayKeyOptions {
  /** Key pair of WebCrypto to use. Default: a new one, whose private key cannot be exported. */
  readonly pair?: KeyPair | undefined;
  /** X25519, HMAC and AES-GCM in the place of WebCrypto's. Default: WebCrypto's. */
  readonly primitives?: Primitives | undefined;
}

/**
 * Key of the end that requests are sealed to.
 *
 * Not guaranteed: that a request arrives once, or from whom; and that the private key is wiped, which WebCrypto or the
 * primitives hold until it is collected.
 */
export class GatewayKey {
  /** Number of the key, 0 to 255. */
  readonly id: number;
  /** Public key, X25519: 32 bytes. */
  readonly publicKey: Uint8Array<ArrayBuffer>;
  /** Key configuration for callers: 45 bytes. */
  readonly config: Uint8Array<ArrayBuffer>;
  readonly #pair: KeyPair;
  readonly #suites: readonly Suite[];

  private constructor(
    id: number,
    publicKey: Uint8Array<ArrayBuffer>,
    pair: KeyPair,
    suites: readonly Suite[],
  ) {
    this.id = id;
    this.publicKey = publicKey;
    this.config = encodeKeyConfig(id, publicKey);
    this.#pair = pair;
    this.#suites = suites;
  }

  /**
   * Makes a key.
   *
   * @param id Number of the key, 0 to 255: tells it from the others of the same gateway
   * @param options The pair, and the encryption of answers
   */
  static async create(id: number, { pair, primitives }: GatewayKeyOptions = {}): Promise<GatewayKey> {
    const suites = primitives === undefined ? WEB_SUITES : suitesOver(primitives);
    const { hpke } = suites[0]!;
    const own = pair ?? await hpke.GenerateKeyPair(false);
    return new GatewayKey(id, new Uint8Array(await hpke.SerializePublicKey(own.publicKey)), own, suites);
  }

  /**
   * Opens a request.
   *
   * @param message Encapsulated request
   * @param form Form of the request, by its media type
   * @throws {ProtocolError} When it is none, or sealed to another key, or was changed; it does not tell which
   */
  async open(message: Uint8Array, form: SealedForm = "whole"): Promise<OpenedRequest> {
    const head = message.subarray(0, HEAD_BYTES);
    const encapsulatedKey = message.slice(HEAD_BYTES, HEAD_BYTES + PUBLIC_KEY_BYTES);
    const suite = this.#suites.find((known) => isHeadOf(head, this.id, known));
    if (suite === undefined || message.length < SEALED_REQUEST_OVERHEAD_BYTES) throw notForUs("request");
    try {
      const info = infoOf(head, form);
      const context = await suite.hpke.SetupRecipient(this.#pair, encapsulatedKey, { info });
      const sealed = message.subarray(HEAD_BYTES + PUBLIC_KEY_BYTES);
      const request = await (form === "whole" ? context.Open(sealed) : openRequestChunks(context, sealed));
      const exchange = { context, suite, encapsulatedKey };
      return {
        request,
        encapsulatedKey,
        sealAnswer: (answer) => sealAnswer(exchange, answer),
        sealChunks: () => AnswerSealer.create(exchange),
      };
    } catch {
      throw notForUs("request");
    }
  }
}

/**
 * Reads a key configuration.
 *
 * @param bytes One configuration, as {@link GatewayKey} has it
 * @throws {ProtocolError} When it is none, or for algorithms that are not spoken here
 */
export function readKeyConfig(bytes: Uint8Array): KeyConfig {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const algorithmsAt = 3 + PUBLIC_KEY_BYTES + 2;
  if (bytes.length < algorithmsAt + 4 || view.getUint16(1) !== KEM_ID) throw unreadableConfig();
  const length = view.getUint16(algorithmsAt - 2);
  if (length % 4 !== 0 || bytes.length !== algorithmsAt + length) throw unreadableConfig();
  const offered = Array.from({ length: length / 4 }, (_, i) => view.getUint32(algorithmsAt + 4 * i));
  const chosen = WEB_SUITES.find(({ aeadId }) => offered.includes(KDF_ID * 0x10000 + aeadId));
  if (chosen === undefined) throw unreadableConfig();
  return { id: view.getUint8(0), publicKey: bytes.slice(3, 3 + PUBLIC_KEY_BYTES), aeadId: chosen.aeadId };
}

/**
 * Seals a request.
 *
 * @param config Key to seal to: the caller has made sure of its owner
 * @param request The request; the caller keeps it, and the duty to wipe it
 * @param form Form of the request. One in chunks has a single chunk, and is known by its media type
 * @throws {ProtocolError} When the key is none
 */
export async function sealRequest(
  config: KeyConfig,
  request: Uint8Array,
  form: SealedForm = "whole",
): Promise<SealedRequest> {
  const suite = WEB_SUITES.find(({ aeadId }) => aeadId === config.aeadId);
  if (suite === undefined) throw unreadableConfig();
  const head = headOf(config.id, suite);
  const { encapsulatedSecret, ctx } = await setUpSender(suite, config.publicKey, infoOf(head, form));
  const sealed = form === "whole"
    ? [await ctx.Seal(request)]
    : [[0], await ctx.Seal(request, ascii("final"))];
  const exchange = { context: ctx, suite, encapsulatedKey: encapsulatedSecret };
  return {
    message: concatBytes([head, encapsulatedSecret, ...sealed]),
    openAnswer: (answer) => openAnswer(exchange, answer),
    openChunks: (next) => openAnswerChunks(exchange, next),
  };
}

const HEAD_BYTES = 7;
const NO_DATA = new Uint8Array(0);

function encodeKeyConfig(id: number, publicKey: Uint8Array): Uint8Array<ArrayBuffer> {
  const algorithms = WEB_SUITES.flatMap(({ aeadId }) => [...uint16(KDF_ID), ...uint16(aeadId)]);
  return concatBytes([[id], uint16(KEM_ID), publicKey, uint16(algorithms.length), algorithms]);
}

function headOf(id: number, { aeadId }: Suite): Uint8Array<ArrayBuffer> {
  return concatBytes([[id], uint16(KEM_ID), uint16(KDF_ID), uint16(aeadId)]);
}

function isHeadOf(head: Uint8Array, id: number, suite: Suite): boolean {
  return headOf(id, suite).every((byte, i) => byte === head[i]);
}

function infoOf(head: Uint8Array, form: SealedForm): Uint8Array {
  const label = form === "whole" ? "message/bhttp request" : "message/bhttp chunked request";
  return concatBytes([ascii(label), [0], head]);
}

async function setUpSender({ hpke }: Suite, publicKey: Uint8Array, info: Uint8Array) {
  try {
    return await hpke.SetupSender(await hpke.DeserializePublicKey(publicKey), { info });
  } catch {
    throw unreadableConfig();
  }
}

async function sealAnswer(exchange: Exchange, answer: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
  const { aead } = exchange.suite;
  // As many bytes as the key has, which are no fewer than those of the nonce.
  const answerNonce = crypto.getRandomValues(new Uint8Array(aead.Nk));
  const { key, nonce } = await answerKey(exchange, answerNonce, "message/bhttp response");
  const sealed = await aead.Seal(key, nonce, NO_DATA, answer);
  key.fill(0);
  return concatBytes([answerNonce, sealed]);
}

async function openAnswer(exchange: Exchange, message: Uint8Array): Promise<Uint8Array> {
  const { aead } = exchange.suite;
  if (message.length < aead.Nk + TAG_BYTES) throw notForUs("answer");
  const { key, nonce } = await answerKey(
    exchange,
    message.subarray(0, aead.Nk),
    "message/bhttp response",
  );
  try {
    return await aead.Open(key, nonce, NO_DATA, message.subarray(aead.Nk));
  } catch {
    throw notForUs("answer");
  }
}

function uint16(value: number): readonly number[] {
  return [value >> 8, value & 0xff];
}

function unreadableConfig(): ProtocolError {
  return new ProtocolError("Cannot read key configuration: it is malformed, or for other algorithms", {
    hint: "Does it name X25519 with HKDF-SHA256, and AES-256-GCM or AES-128-GCM? No others are supported",
  });
}
