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
import { ReplayWindow, type ReplayWindowOptions } from "./replay_window.ts";
import { SealKeys, type VouchedKeys } from "./seal_keys.ts";
import { encodeAnswer } from "./sealed_answer.ts";
import { sealInChunks } from "./sealed_stream.ts";
import { type UnsealedRequest, unsealRequest } from "./sealed_request.ts";

/** Milliseconds until a new key is made: an hour. The one before is good for another hour. */
export const SEAL_KEY_MS = 3_600_000;

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
  readonly #window: ReplayWindow;

  private constructor(bootId: string, keys: SealKeys, window: ReplayWindow) {
    this.#bootId = bootId;
    this.#keys = keys;
    this.#window = window;
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
    return new SealedChannel(keys.bootId, await SealKeys.create(keys, rotateMs), new ReplayWindow(window));
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

  /** Stops making keys. */
  [Symbol.dispose](): void {
    this.#keys[Symbol.dispose]();
  }

  async #open(sealed: Uint8Array, form: SealedForm): Promise<OpenedRequest | undefined> {
    try {
      return await this.#keys.find(sealed[0])?.open(sealed, form);
    } catch (error) {
      if (error instanceof ProtocolError) return undefined;
      throw error;
    }
  }

  async #answerWhole(c: Context<HttpEnv>, opened: OpenedRequest, serve: ServeUnsealed): Promise<Response> {
    const { record, gone } = { ...c.env, ...c.var };
    const owned = [opened.request];
    try {
      const answer = await this.#serve(c, opened, serve, owned);
      const message = await encodeAnswer(answer, gone) ??
        await encodeAnswer(this.#refuse(c, problem(500, "ERR_ANSWER_TOO_LARGE", record.id)), gone);
      const sealed = await opened.sealAnswer(message!);
      message!.fill(0);
      return c.body(oneChunk(sealed), 200, { "content-type": SEALED_RESPONSE_TYPE });
    } finally {
      wipeAll(owned);
    }
  }

  /** The application may read the request for as long as it makes the answer. */
  async #answerInChunks(c: Context<HttpEnv>, opened: OpenedRequest, serve: ServeUnsealed): Promise<Response> {
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
    opened: OpenedRequest,
    serve: ServeUnsealed,
    owned: Uint8Array[],
  ): Promise<Response> {
    const { record } = c.var;
    try {
      const { request, encapsulatedKey } = opened;
      const signal = () => c.env.gone ?? new AbortController().signal;
      const unsealed = unsealRequest({ message: request, encapsulatedKey, bootId: this.#bootId, signal });
      owned.push(unsealed.content);
      const refusal = this.#refusalOf(unsealed, record.id);
      if (refusal !== undefined) return this.#refuse(c, refusal);
      const { cid, gone, connection } = c.env;
      record.operation = "Other";
      const bindings = { cid, gone, connection, channel: "sealed", hasWholeBody: true, record } as const;
      const answer = await serve(unsealed.request, bindings as HttpEnv["Bindings"]);
      record.sealedStatus = answer.status;
      return answer;
    } catch (error) {
      if (!(error instanceof BadRequestError)) throw error;
      return this.#refuse(c, problemOf(error, record.id));
    }
  }

  #refusalOf({ id, dateMs }: UnsealedRequest, recordId: string): Problem | undefined {
    switch (this.#window.take(id, dateMs)) {
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

  #refuse(c: Context<HttpEnv>, refusal: Problem): Response {
    c.var.record.sealedStatus = refusal.status;
    const headers = {
      "content-type": PROBLEM_TYPE,
      // A sender whose clock is wrong may try once more by this one.
      date: new Date(this.#window.nowMs).toUTCString(),
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
