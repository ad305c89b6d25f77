/**
 * Answers and requests that are sealed in chunks, as Chunked Oblivious HTTP has them (draft-ietf-ohai-chunked-ohttp, in
 * the form of revision 08). Each chunk is authenticated with its place; only the last one is sealed as the last, so that
 * an answer that was cut off is told from a whole one.
 *
 * @see https://datatracker.ietf.org/doc/draft-ietf-ohai-chunked-ohttp/
 *
 * @module
 */
import { concatBytes } from "../core/bytes.ts";
import { ProtocolError } from "../core/errors.ts";
import { answerKey, ascii, type Exchange, notForUs } from "./answer_key.ts";
import { ByteSource, type NextBytes } from "./byte_source.ts";
import { TAG_BYTES } from "./hpke_suites.ts";
import { encodeVarint, MessageReader } from "./varint.ts";

/** Media type of an encapsulated request in chunks, which asks for an answer in chunks. */
export const CHUNKED_REQUEST_TYPE = "message/ohttp-chunked-req";
/** Media type of an encapsulated answer in chunks. */
export const CHUNKED_RESPONSE_TYPE = "message/ohttp-chunked-res";

/** Most bytes of a chunk that is sealed, before sealing: every receiver takes as many. */
export const MAX_CHUNK_BYTES = 16_384;

/** Most bytes of a chunk that is opened, before sealing. */
const MAX_OPENED_CHUNK_BYTES = 65_536;

/** Most chunks of a request: each costs a decryption, however small it is. */
const MAX_REQUEST_CHUNKS = 64;

const FINAL = ascii("final");
const NO_DATA = new Uint8Array(0);

/** Context of HPKE that opens the chunks of a request in their order. */
interface Opener {
  Open(sealed: Uint8Array, aad?: Uint8Array): Promise<Uint8Array>;
}

/**
 * Opens the chunks of a request.
 *
 * @param context Context of HPKE
 * @param message Chunks, without the head and the encapsulated key
 * @returns The request, for the caller to wipe
 * @throws When a chunk was changed, is missing or has another place, or there are more than 64
 */
export async function openRequestChunks(context: Opener, message: Uint8Array): Promise<Uint8Array> {
  const reader = new MessageReader(message);
  const chunks: Uint8Array[] = [];
  try {
    for (let count = 1; count <= MAX_REQUEST_CHUNKS; count++) {
      const sealed = reader.lengthAndBytes();
      if (sealed.length > 0) {
        chunks.push(await context.Open(sealed, NO_DATA));
        continue;
      }
      chunks.push(await context.Open(reader.rest, FINAL));
      return concatBytes(chunks);
    }
  } finally {
    for (const chunk of chunks) chunk.fill(0);
  }
  throw notForUs("request");
}

/** Sender's end of an answer in chunks. Its caller waits for one chunk before the next. */
export class AnswerSealer implements Disposable {
  /** Nonce that the answer begins with: 16 or 32 bytes. */
  readonly nonce: Uint8Array<ArrayBuffer>;
  readonly #chunks: ChunkKey;

  private constructor(nonce: Uint8Array<ArrayBuffer>, chunks: ChunkKey) {
    this.nonce = nonce;
    this.#chunks = chunks;
  }

  /**
   * Makes the key of an answer.
   *
   * @param exchange The request
   * @returns The sealer; the caller disposes it
   */
  static async create(exchange: Exchange): Promise<AnswerSealer> {
    const nonce = crypto.getRandomValues(new Uint8Array(exchange.suite.aead.Nk));
    return new AnswerSealer(nonce, await ChunkKey.create(exchange, nonce));
  }

  /**
   * Seals a chunk that others follow.
   *
   * @param chunk At most {@link MAX_CHUNK_BYTES} bytes; the caller keeps it, and the duty to wipe it
   * @returns The chunk as it is sent, with its length before it
   */
  async seal(chunk: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
    const sealed = await this.#chunks.seal(chunk, NO_DATA);
    return concatBytes([encodeVarint(sealed.length), sealed]);
  }

  /**
   * Seals the last chunk.
   *
   * @param chunk At most {@link MAX_CHUNK_BYTES} bytes
   * @returns The chunk as it is sent, after which the answer ends
   */
  async sealFinal(chunk: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
    return concatBytes([encodeVarint(0), await this.#chunks.seal(chunk, FINAL)]);
  }

  /** Wipes the key. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    this.#chunks[Symbol.dispose]();
  }
}

/**
 * Opens an answer in chunks, as they arrive.
 *
 * @param exchange The request
 * @param next Gives the answer's bytes, cut anywhere
 * @returns Gives the opened chunks, some of which may be empty; undefined once the last one was opened as the last
 * @throws {ProtocolError} When a chunk was changed, is missing, repeated or of another answer, is larger than 65536
 *   bytes, or the answer ends before its last chunk
 */
export function openAnswerChunks(exchange: Exchange, next: NextBytes): NextBytes {
  const opening = openEach(exchange, new ByteSource(next));
  let failure: unknown;
  return async () => {
    // A generator that has thrown says that it has ended: that must not look like the answer's end.
    if (failure !== undefined) throw failure;
    try {
      return (await opening.next()).value ?? undefined;
    } catch (error) {
      failure = error;
      throw error;
    }
  };
}

async function* openEach(exchange: Exchange, source: ByteSource): AsyncGenerator<Uint8Array, undefined> {
  const most = MAX_OPENED_CHUNK_BYTES + TAG_BYTES;
  using chunks = await ChunkKey.create(exchange, await source.take(exchange.suite.aead.Nk));
  for (;;) {
    const length = await source.varint();
    if (length > most) throw tooLarge();
    if (length > 0) {
      yield await chunks.open(await source.take(length), NO_DATA);
      continue;
    }
    const last = await source.rest(most);
    if (last === undefined) throw tooLarge();
    yield await chunks.open(last, FINAL);
    return undefined;
  }
}

/** Key of an answer, and the nonces of its chunks in their order. */
class ChunkKey implements Disposable {
  readonly #aead: Exchange["suite"]["aead"];
  readonly #key: Uint8Array;
  readonly #nonce: Uint8Array;
  #count = 0;

  private constructor(aead: Exchange["suite"]["aead"], key: Uint8Array, nonce: Uint8Array) {
    this.#aead = aead;
    this.#key = key;
    this.#nonce = nonce;
  }

  static async create(exchange: Exchange, answerNonce: Uint8Array): Promise<ChunkKey> {
    const { key, nonce } = await answerKey(exchange, answerNonce, "message/bhttp chunked response");
    return new ChunkKey(exchange.suite.aead, key, nonce);
  }

  seal(chunk: Uint8Array, aad: Uint8Array): Promise<Uint8Array> {
    return this.#aead.Seal(this.#key, this.#nextNonce(), aad, chunk);
  }

  async open(sealed: Uint8Array, aad: Uint8Array): Promise<Uint8Array> {
    try {
      return await this.#aead.Open(this.#key, this.#nextNonce(), aad, sealed);
    } catch {
      throw notForUs("answer");
    }
  }

  [Symbol.dispose](): void {
    this.#key.fill(0);
  }

  #nextNonce(): Uint8Array {
    const nonce = this.#nonce.slice();
    for (let at = nonce.length - 1, rest = this.#count++; rest > 0; at--, rest = Math.floor(rest / 0x100)) {
      nonce[at] = nonce[at]! ^ (rest % 0x100);
    }
    return nonce;
  }
}

function tooLarge(): ProtocolError {
  return new ProtocolError(
    `Cannot open sealed answer: a chunk has more than ${MAX_OPENED_CHUNK_BYTES} bytes`,
    {
      hint: "Does the enclave seal answers in chunks of at most 16 KiB, as the draft asks?",
    },
  );
}
