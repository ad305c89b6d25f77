import type { Context, Handler } from "hono";
import { equalBytes } from "../../lib/core/bytes.ts";
import { ProtocolError } from "../../lib/core/errors.ts";
import { CHUNKED_REQUEST_TYPE, CHUNKED_RESPONSE_TYPE } from "../../lib/wire/answer_chunks.ts";
import {
  DATE_PROBLEM,
  type OpenedRequest,
  SEALED_REQUEST_TYPE,
  SEALED_RESPONSE_TYPE,
  type SealedForm,
  STALE_KEY_PROBLEM,
} from "../../lib/wire/oblivious_http.ts";
import { answerProblem } from "../http/answer_problem.ts";
import type { HttpEnv } from "../http/http_env.ts";
import { oneChunk } from "../http/one_chunk.ts";
import { type Problem, problem, PROBLEM_TYPE, problemOf } from "../http/problem.ts";
import { BadRequestError, OverloadedError } from "../service_errors.ts";
import { type ReplayVerdict, ReplayWindow, type ReplayWindowOptions } from "./replay_window.ts";
import { SealKeys, type VouchedKeys } from "./seal_keys.ts";
import type { SealingSource } from "./shared_seal_keys.ts";
import { encodeAnswer } from "./sealed_answer.ts";
import { sealInChunks } from "./sealed_stream.ts";
import { type UnsealedRequest, unsealRequest } from "./sealed_request.ts";

/** Milliseconds until a new key is made: an hour. The one before is good for another hour. */
export const SEAL_KEY_MS = 3_600_000;

/** Request that was opened, and whether other enclaves could have opened it. */
type Opened = OpenedRequest & { readonly isShared: boolean };

/** Options of {@link SealedChannel.create}. */
export interface SealedChannelOptions {
  /** Keys of this boot, which get the channel's own. */
  readonly keys: VouchedKeys;
  /** Milliseconds until a new key is made. Default: {@link SEAL_KEY_MS}. */
  readonly rotateMs?: number | undefined;
  /** Limits of the memory of requests. */
  readonly window?: ReplayWindowOptions | undefined;
}

/** Answers a request that was sealed, as `app.fetch` does. */
export type ServeUnsealed = (
  request: Request,
  bindings: HttpEnv["Bindings"],
) => Response | Promise<Response>;

/**
 * Sealed HTTP: requests that were encapsulated (RFC 9458) to a key of this boot are opened, served by the application
 * itself, and their answers sealed to their senders. The parent sees that there was a request, and its size and time.
 *
 * A request in chunks (draft-ietf-ohai-chunked-ohttp) gets an answer in chunks, which is sealed as the application makes
 * it and may have any length; another one gets an answer in one piece, at most 4 MiB.
 *
 * A request is taken once. It names its date and the id of this boot in headers inside, is remembered for as long as
 * its date is near enough, and is refused later for its date; see {@link ReplayWindow}.
 *
 * Not guaranteed: who sent a request. That is told by a token inside it.
 */
export class SealedChannel implements Disposable {
  readonly #bootId: string;
  readonly #keys: SealKeys;
  readonly #limits: ReplayWindowOptions;
  readonly #window: ReplayWindow;
  /** Window of what is sealed to a shared key, by another clock. */
  #sharedWindow: ReplayWindow | undefined;

  private constructor(bootId: string, keys: SealKeys, limits: ReplayWindowOptions) {
    this.#bootId = bootId;
    this.#keys = keys;
    this.#limits = limits;
    this.#window = new ReplayWindow(limits);
  }

  /**
   * Makes the channel's first key.
   *
   * @param options Keys of this boot, and limits
   * @returns The channel; the caller disposes it
   */
  static async create(
    { keys, rotateMs = SEAL_KEY_MS, window }: SealedChannelOptions,
  ): Promise<SealedChannel> {
    return new SealedChannel(keys.bootId, await SealKeys.create(keys, rotateMs), window ?? {});
  }

  /** Key configuration for callers (RFC 9458, section 3), of the key that new documents vouch for: 45 bytes. */
  get keyConfig(): Uint8Array {
    return this.#keys.current.config;
  }

  /**
   * Finds the key configuration of a public key that a document vouches for.
   *
   * @param publicKey Public key, 32 bytes
   * @returns The configuration; undefined when requests to that key are not taken any more
   */
  configOf(publicKey: Uint8Array): Uint8Array | undefined {
    return this.#keys.all.find((key) => equalBytes(key.publicKey, publicKey))?.config;
  }

  /** Makes the next key. The one before opens requests until the next time. */
  rotate(): Promise<void> {
    return this.#keys.rotate();
  }

  /**
   * Makes the handler of the route that sealed requests are posted to. It stands before the application's own
   * middleware, which sees the request inside.
   *
   * @param serve Serves the request inside, with the same caller and over the channel `sealed`
   */
  route(serve: ServeUnsealed): Handler<HttpEnv> {
    return async (c) => {
      // A seal in a seal would be served for the work of one.
      if (c.env.channel === "sealed") return c.notFound();
      const form = FORMS.get(c.req.header("content-type") ?? "");
      if (form === undefined) return refuseType(c);
      const sealed = new Uint8Array(await c.req.arrayBuffer());
      const opened = await this.#open(sealed, form);
      if (opened === undefined) return refuseKey(c);
      return form === "whole"
        ? await this.#answerWhole(c, opened, serve)
        : await this.#answerInChunks(c, opened, serve);
    };
  }

  /**
   * Opens what is sealed to a key that is derived from a shared one, whatever boot it names. A request is then taken
   * once by each enclave with the key, and once more after a restart.
   *
   * @param source Shared key, a data key; not owned
   * @param now Time by a clock that the parent cannot set before a restart, milliseconds since 1970
   * @throws {TypeError} When there is one already
   */
  async share(source: SealingSource, now: () => number): Promise<void> {
    if (this.#sharedWindow !== undefined) {
      throw new TypeError("Cannot seal with shared key: there is one already");
    }
    this.#sharedWindow = new ReplayWindow({ ...this.#limits, now });
    await this.#keys.share(source);
  }

  /** Stops making keys. */
  [Symbol.dispose](): void {
    this.#keys[Symbol.dispose]();
  }

  async #open(sealed: Uint8Array, form: SealedForm): Promise<Opened | undefined> {
    await this.#keys.lookFor(sealed[0]);
    for (const key of this.#keys.find(sealed[0])) {
      try {
        const isShared = this.#keys.isShared(key);
        return { ...await key.open(sealed, form), isShared };
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error;
      }
    }
    return undefined;
  }

  async #answerWhole(c: Context<HttpEnv>, opened: Opened, serve: ServeUnsealed): Promise<Response> {
    const { record, gone } = { ...c.env, ...c.var };
    const owned = [opened.request];
    try {
      const answer = await this.#serve(c, opened, serve, owned);
      const message = await encodeAnswer(answer, gone) ??
        await encodeAnswer(this.#refuse(c, problem(500, "ERR_ANSWER_TOO_LARGE", record.id), opened), gone);
      const sealed = await opened.sealAnswer(message!);
      message!.fill(0);
      return c.body(oneChunk(sealed), 200, { "content-type": SEALED_RESPONSE_TYPE });
    } finally {
      wipeAll(owned);
    }
  }

  /** The application may read the request for as long as it makes the answer. */
  async #answerInChunks(c: Context<HttpEnv>, opened: Opened, serve: ServeUnsealed): Promise<Response> {
    const owned = [opened.request];
    const wipe = () => wipeAll(owned);
    try {
      const answer = await this.#serve(c, opened, serve, owned);
      const body = await sealInChunks(answer, await opened.sealChunks(), wipe);
      return c.body(body, 200, { "content-type": CHUNKED_RESPONSE_TYPE, incremental: "?1" });
    } catch (error) {
      wipe();
      throw error;
    }
  }

  /**
   * Serves the request inside, and adds to what is to be wiped. From here on all that is said is sealed, so that the
   * sender knows that the enclave said it.
   */
  async #serve(
    c: Context<HttpEnv>,
    opened: Opened,
    serve: ServeUnsealed,
    owned: Uint8Array[],
  ): Promise<Response> {
    const { record } = c.var;
    try {
      const { request, encapsulatedKey } = opened;
      const signal = () => c.env.gone ?? new AbortController().signal;
      const bootId = opened.isShared ? undefined : this.#bootId;
      const unsealed = unsealRequest({ message: request, encapsulatedKey, bootId, signal });
      owned.push(unsealed.content);
      const refusal = this.#refusalOf(unsealed, opened, record.id);
      if (refusal !== undefined) return this.#refuse(c, refusal, opened);
      const { cid, gone, connection } = c.env;
      record.operation = "Other";
      const { digest: requestDigest } = unsealed;
      const own = { channel: "sealed", hasWholeBody: true, record, requestDigest } as const;
      const bindings = { cid, gone, connection, ...own };
      const answer = await serve(unsealed.request, bindings as HttpEnv["Bindings"]);
      record.sealedStatus = answer.status;
      return answer;
    } catch (error) {
      if (!(error instanceof BadRequestError)) throw error;
      return this.#refuse(c, problemOf(error, record.id), opened);
    }
  }

  #refusalOf({ id, dateMs }: UnsealedRequest, opened: Opened, recordId: string): Problem | undefined {
    switch (this.#take(id, dateMs, opened)) {
      case "first":
        return undefined;
      case "outside":
        return { ...problem(400, "ERR_SEALED_DATE", recordId), type: DATE_PROBLEM };
      case "repeated":
        return problem(409, "ERR_SEALED_REPLAY", recordId);
      case "full":
        return problemOf(new OverloadedError(), recordId);
    }
  }

  /** Both windows know every id: a request may come again under the other kind of key. */
  #take(id: string, dateMs: number, opened: Opened): ReplayVerdict {
    const window = this.#windowOf(opened);
    const verdict = window.take(id, dateMs);
    const other = window === this.#window ? this.#sharedWindow : this.#window;
    return verdict === "first" && other !== undefined ? other.take(id, other.nowMs) : verdict;
  }

  #windowOf({ isShared }: Opened): ReplayWindow {
    return isShared && this.#sharedWindow !== undefined ? this.#sharedWindow : this.#window;
  }

  #refuse(c: Context<HttpEnv>, refusal: Problem, opened: Opened): Response {
    c.var.record.sealedStatus = refusal.status;
    const headers = {
      "content-type": PROBLEM_TYPE,
      // A sender whose clock is wrong may try once more by this one.
      date: new Date(this.#windowOf(opened).nowMs).toUTCString(),
      "x-request-id": c.var.record.id,
    };
    return new Response(JSON.stringify(refusal), { status: refusal.status, headers });
  }
}

function wipeAll(owned: readonly Uint8Array[]): void {
  for (const bytes of owned) bytes.fill(0);
}

/** Forms of requests, and hence of their answers, by their media types. */
const FORMS: ReadonlyMap<string, SealedForm> = new Map([
  [SEALED_REQUEST_TYPE, "whole"],
  [CHUNKED_REQUEST_TYPE, "chunks"],
]);

function refuseType(c: Context<HttpEnv>): Response {
  const wrong = { path: "content-type", expected: SEALED_REQUEST_TYPE };
  return answerProblem(c, problem(415, "ERR_MEDIA_TYPE", c.var.record.id, [wrong]));
}

/** Said in the clear, for there is no key to seal it with. */
function refuseKey(c: Context<HttpEnv>): Response {
  return answerProblem(c, { ...problem(400, "ERR_SEALED_KEY", c.var.record.id), type: STALE_KEY_PROBLEM });
}
