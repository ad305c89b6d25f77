import {
  type BootAttestation,
  type BootAttestationOptions,
  checkBootOptions,
} from "../attestation/boot_attestation.ts";
import { toHex } from "../core/bytes.ts";
import { checkTimeout } from "../core/call_options.ts";
import { checkFields, checkInteger, checkOneOf } from "../core/checks.ts";
import { Deadline, MAX_TIMEOUT_MS } from "../core/deadline.ts";
import { ChannelError, ChannelRenewedError } from "../core/errors.ts";
import { CHUNKED_REQUEST_TYPE, CHUNKED_RESPONSE_TYPE } from "../wire/answer_chunks.ts";
import { SEALED_REQUEST_TYPE, SEALED_RESPONSE_TYPE, sealRequest } from "../wire/oblivious_http.ts";
import { SEALED_PATH } from "../wire/sealed_fields.ts";
import { askInClear, readBounded } from "./clear_http.ts";
import { isStaleKey, judge, type Outcome } from "./sealed_outcome.ts";
import { openStreamed } from "./sealed_stream.ts";
import { RequestDate } from "./request_date.ts";
import {
  encodeFor,
  isIdempotent,
  type PlainRequest,
  readPlainRequest,
  toRequest,
  toResponse,
} from "./sealed_exchange.ts";
import { openSession, type SealedSession, type SessionParts } from "./sealed_session.ts";

/** Trust in enclaves, and the way to them. `pcrs` must be given; the rest has defaults. */
export interface SealedFetchOptions extends Omit<BootAttestationOptions, "nonce" | "at" | "maxAgeMs"> {
  /**
   * Milliseconds for which a verified enclave is trusted, 1 to 2147483647: then it is asked for a new document, before
   * the next request. Default: 300000, five minutes.
   */
  readonly maxAgeMs?: number | undefined;
  /** Milliseconds for a request, with a document before it, 1 to 2147483647. Default: 30000. */
  readonly timeoutMs?: number | undefined;
  /**
   * Requests that are sent once more to an enclave that was replaced meanwhile, which cannot know whether the one before
   * served them. Default: `idempotent`, those with GET, HEAD, OPTIONS, PUT or DELETE; others end with
   * `ERR_CHANNEL_RENEWED`.
   */
  readonly resend?: "idempotent" | "always" | undefined;
  /**
   * Form of answers. `whole`: an answer is held until its last byte has come, at most 4 MiB. `streamed`: it is opened in
   * chunks as they come, of any length; `timeoutMs` is then for the head, and again for each wait after it. Default:
   * `whole`.
   */
  readonly answers?: "whole" | "streamed" | undefined;
  /** Way to the enclave: nothing that passes there is read or believed unless it is sealed. Default: the runtime's. */
  readonly fetch?: typeof globalThis.fetch | undefined;
  /** Called with each enclave that passes, and awaited; what it throws refuses it: to pin a boot id, or to log. */
  readonly onAttested?: ((boot: BootAttestation) => unknown) | undefined;
}

/** Function that asks an enclave, with the signature of `fetch`. A path such as `/v1/orders` will do for a URL. */
export type SealedFetch = (input: string | URL | Request, init?: RequestInit) => Promise<Response>;

/**
 * Makes a `fetch` whose requests and answers are sealed between this side and a verified enclave: method, path, headers
 * and body. Whoever carries them, the parent or a proxy that ends TLS, learns their sizes and times.
 *
 * Before the first request, and again after `maxAgeMs`, the enclave is asked for its attestation with a new nonce. Not a
 * byte of a request leaves before the document is as expected. An answer counts if it was sealed to its own request;
 * one in the clear is an error, whatever its status. When the enclave's key has changed, a new document is asked for,
 * and the request sent once more with the same id, so that the same enclave does not serve it twice.
 *
 * Redirects are not followed, bodies are held as a whole (answers up to 4 MiB), and there are no cookies. An aborted call
 * rejects with the signal's reason. With `answers: "streamed"` the body of an answer comes as the enclave makes it. Each
 * of its chunks is the enclave's, in its place; one that was cut off ends with an error, after the chunks before the cut.
 *
 * Not guaranteed: that it is always the same enclave. Any that has the expected PCRs passes; `onAttested` tells them
 * apart. Nor that a request which failed was not served: the parent may have kept the answer.
 *
 * @param url URL of the enclave, up to the slash before `v1`: `https://enclave.example/`
 * @param options Expectations of the document, as for `verifyAttestation`, and limits
 * @returns A function with the signature of `fetch`
 * @throws {TypeError} When the URL is none, an option is unknown or of a wrong type, or `pcrs` is missing or empty
 * @throws {RangeError} When an option is empty or out of range
 * @example
 * ```ts
 * import { resolve } from "node:path";
 * import { sealedFetch } from "enclave-kms/channel";
 * import { enclaveApp, startEnclave } from "enclave-kms/enclave";
 * import { startSimulator } from "enclave-kms/sim";
 * import { createFetch } from "enclave-kms/vsock";
 *
 * const app = enclaveApp().post("/v1/hello", async (c) => c.json({ hello: await c.req.text() }));
 * await using simulator = await startSimulator(); // in an enclave: no parts, and no environment
 * await using enclave = await startEnclave(app, {
 *   name: "hello",
 *   nsm: simulator.nsm,
 *   environment: {
 *     ...{ ENV_SETUP: "SIM", ENCLAVE_PORT: "0", CONTROL_PORT: "0", ENCLAVE_KMS_LOG_LEVEL: "silent" },
 *     ENCLAVE_KMS_POLICY_FILE: resolve("examples/policies/attest.cedar"),
 *   },
 * });
 *
 * const fetch = sealedFetch("http://enclave/", {
 *   pcrs: { 0: simulator.nsm.pcr(0) }, // those that the image's build printed
 *   root: simulator.nsm.root, // for the simulator only
 *   fetch: createFetch(enclave.endpoint), // in a browser: its own
 * });
 * const answer = await fetch("/v1/hello", { method: "POST", body: "enclave" });
 * await answer.text(); // '{"hello":"enclave"}'
 * ```
 */
export function sealedFetch(url: string | URL, options: SealedFetchOptions): SealedFetch {
  const channel = new SealedCaller(checkOptions(url, options));
  return (input, init) => channel.fetch(input, init);
}

/** Forms of requests and answers on the wire. */
const FORMS = {
  whole: { form: "whole", requestType: SEALED_REQUEST_TYPE, responseType: SEALED_RESPONSE_TYPE },
  streamed: { form: "chunks", requestType: CHUNKED_REQUEST_TYPE, responseType: CHUNKED_RESPONSE_TYPE },
} as const;

/** Request as it is sealed, and the signal by which its caller ends it. */
interface CallerRequest {
  readonly plain: PlainRequest;
  readonly signal: AbortSignal;
}

/** An answer of 4 MiB, its headers, and the seal. */
const MAX_ANSWER_BYTES = (4 << 20) + 65_536;

const DEFAULT_MAX_AGE_MS = 300_000;
const DEFAULT_TIMEOUT_MS = 30_000;
const ID_BYTES = 16;

class SealedCaller {
  readonly #options: CheckedOptions;
  #session: SealedSession | undefined;
  #opening: Promise<SealedSession> | undefined;

  constructor(options: CheckedOptions) {
    this.#options = options;
  }

  async fetch(input: string | URL | Request, init?: RequestInit): Promise<Response> {
    const { base, timeoutMs } = this.#options;
    const { request, path } = toRequest(base, input, init);
    request.signal.throwIfAborted();
    using deadline = new Deadline("ask the enclave", timeoutMs, request.signal, "enclave");
    const id = toHex(crypto.getRandomValues(new Uint8Array(ID_BYTES)));
    const plain = await deadline.race(readPlainRequest(request, path, id));
    try {
      return await this.#send({ plain, signal: request.signal }, deadline);
    } finally {
      plain.content.fill(0);
    }
  }

  async #send(request: CallerRequest, deadline: Deadline): Promise<Response> {
    const { plain } = request;
    let session = await this.#verified(deadline);
    let [isRenewed, date] = [false, new RequestDate(Date.now() + session.clockMs)];
    for (;;) {
      const outcome = await this.#ask(session, request, date.ms, deadline);
      if (outcome.kind === "answer") return outcome.response;
      if (outcome.kind === "wrong date") {
        session.clockMs = outcome.dateMs - Date.now();
        if (!date.isUnserved(outcome.dateMs) && !this.#mayResend(plain)) throw dateRefused();
        if (date.isCorrected) return outcome.response;
        date.correct(outcome.dateMs);
        await outcome.response.body?.cancel();
        continue;
      }
      if (isRenewed) throw staleTwice();
      isRenewed = true;
      const renewed = await this.#renewed(session, deadline);
      if (renewed.bootId !== session.bootId) {
        if (!this.#mayResend(plain)) throw new ChannelRenewedError();
        date = new RequestDate(Date.now() + renewed.clockMs);
      }
      session = renewed;
    }
  }

  #mayResend(plain: PlainRequest): boolean {
    return this.#options.resend === "always" || isIdempotent(plain);
  }

  async #ask(
    session: SealedSession,
    { plain, signal }: CallerRequest,
    dateMs: number,
    deadline: Deadline,
  ): Promise<Outcome> {
    const { base, fetch, timeoutMs } = this.#options;
    const message = encodeFor(plain, { bootId: session.bootId, dateMs });
    const { form, requestType, responseType } = FORMS[this.#options.answers];
    const sealed = await sealRequest(session.config, message, form);
    message.fill(0);
    const headers = { "content-type": requestType };
    const init = { method: "POST", headers, body: sealed.message };
    const answer = await askInClear(fetch, `${base}${SEALED_PATH.slice(1)}`, init, deadline);
    if (answer.status === 200 && answer.headers.get("content-type") === responseType) {
      if (form === "chunks") {
        return await judge(await openStreamed(answer, sealed, { deadline, signal, timeoutMs }));
      }
      const body = await readBounded(answer, MAX_ANSWER_BYTES, deadline);
      return await judge(toResponse(await deadline.race(sealed.openAnswer(body))));
    }
    if (await isStaleKey(answer, deadline)) return { kind: "stale key" };
    throw inTheClear(answer.status);
  }

  /** Gives the enclave that was verified last, unless that is too long ago. */
  async #verified(deadline: Deadline): Promise<SealedSession> {
    const session = this.#session;
    if (session !== undefined && session.ageMs() <= this.#options.maxAgeMs) return session;
    return await this.#open(deadline);
  }

  /** Gives an enclave that was verified after another one was found to be stale. */
  async #renewed(stale: SealedSession, deadline: Deadline): Promise<SealedSession> {
    if (this.#session !== undefined && this.#session !== stale) return this.#session;
    return await this.#open(deadline);
  }

  /** Verifies once for all who wait: none of them ends it for the others. */
  #open(deadline: Deadline): Promise<SealedSession> {
    this.#opening ??= this.#openAlone().finally(() => this.#opening = undefined);
    return deadline.race(this.#opening);
  }

  async #openAlone(): Promise<SealedSession> {
    using deadline = new Deadline("attest the enclave", this.#options.timeoutMs, undefined, "enclave");
    return this.#session = await openSession(this.#options, deadline);
  }
}

type CheckedOptions = ReturnType<typeof checkOptions>;

const OPTIONS = [
  "pcrs",
  "root",
  "allowDebug",
  "maxAgeMs",
  "timeoutMs",
  "resend",
  "answers",
  "fetch",
  "onAttested",
];

function checkOptions(url: string | URL, options: SealedFetchOptions) {
  const given = checkFields("options of sealedFetch", options, OPTIONS);
  const { maxAgeMs, timeoutMs, resend, answers, fetch = globalThis.fetch, onAttested, ...expectations } =
    given;
  for (const [name, value] of Object.entries({ fetch, onAttested })) {
    if (value !== undefined && typeof value !== "function") throw new TypeError(`${name} must be a function`);
  }
  const range = { min: 1, max: MAX_TIMEOUT_MS, default: DEFAULT_MAX_AGE_MS };
  return {
    base: checkBase(url),
    expectations: checkBootOptions({ ...expectations }),
    maxAgeMs: checkInteger("maxAgeMs", maxAgeMs, range),
    timeoutMs: checkTimeout(timeoutMs, DEFAULT_TIMEOUT_MS),
    resend: checkOneOf("resend", resend, ["idempotent", "always"]) ?? "idempotent",
    answers: checkOneOf("answers", answers, ["whole", "streamed"] as const) ?? "whole",
    // A browser's own refuses to be called as a method.
    fetch: ((input, init) => fetch(input, init)) as typeof fetch,
    onAttested,
  } satisfies SessionParts & Record<string, unknown>;
}

function checkBase(url: string | URL): string {
  const { protocol, username, password, origin, pathname, search, hash } = new URL(url);
  if (!/^https?:$/.test(protocol) || username + password + search + hash !== "") {
    throw new TypeError("url must begin with https: or http:, and have no user, query or fragment");
  }
  return `${origin}${pathname}${pathname.endsWith("/") ? "" : "/"}`;
}

function inTheClear(status: number): ChannelError {
  return new ChannelError(`Cannot read answer: it is not sealed, and has status ${status}`, {
    hint: "Is sealed HTTP on in the enclave? Whoever is on the way may have answered in its place",
    status,
  });
}

function dateRefused(): ChannelRenewedError {
  return new ChannelRenewedError("it was on its way for so long that its date is refused");
}

function staleTwice(): ChannelError {
  return new ChannelError("Cannot ask the enclave: it refuses the key of its own new document", {
    hint: "Do requests and documents go to different enclaves, or does somebody on the way refuse them?",
    status: 400,
  });
}
