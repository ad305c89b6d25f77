import { Deadline } from "../../lib/core/deadline.ts";
import type { TcpEndpoint } from "../../lib/core/endpoint.ts";
import { Pauses } from "../../lib/core/pauses.ts";
import type { MetadataAnswer } from "./http_answer.ts";
import { ImdsError, imdsError, type ImdsQuestion } from "./imds_error.ts";
import { exchange } from "./metadata_exchange.ts";

/** Time to live that a token is asked for with, in seconds: the longest. */
const TOKEN_SECONDS = 21_600;

/** Part of its time to live after which a token is renewed. */
const RENEWAL = 0.9;

const TOKEN_PATH = "/latest/api/token";
const TTL_HEADER = "x-aws-ec2-metadata-token-ttl-seconds";

/** Pauses between tries, in milliseconds. */
const PAUSES = { firstMs: 100, maxMs: 1000 };

/** Address and limits of a {@link MetadataClient}. */
export interface MetadataClientOptions {
  /** Address of the service. */
  readonly target: TcpEndpoint;
  /** Milliseconds for each try. */
  readonly tryTimeoutMs: number;
  /** Most tries of one request. */
  readonly maxAttempts: number;
}

/**
 * Client of the metadata service, version 2. It keeps a token, renews it before its time, and once more when the
 * service takes it no longer. It never sends a request without one.
 */
export class MetadataClient {
  readonly #options: MetadataClientOptions;
  #token: { readonly text: string; readonly renewAtMs: number } | undefined;

  /**
   * Starts without a token.
   *
   * @param options Address and limits
   */
  constructor(options: MetadataClientOptions) {
    this.#options = options;
  }

  /**
   * Gets something.
   *
   * @param question The question
   * @param path Path below the service's root
   * @param deadline Deadline of all tries and pauses
   * @returns The answer with status 200, for the caller to dispose
   * @throws {ImdsError} When there is none
   */
  async get(question: ImdsQuestion, path: string, deadline: Deadline): Promise<MetadataAnswer> {
    for (let isRenewed = false;; isRenewed = true) {
      const token = await this.#getToken(deadline);
      const headers = { "x-aws-ec2-metadata-token": token };
      const answer = await this.#try(
        deadline,
        (attempt) => exchange(this.#options.target, { question, method: "GET", path, headers }, attempt),
        question,
      );
      if (answer.status === 200) return answer;
      answer[Symbol.dispose]();
      // Also where the service was restarted, or the instance moved.
      if (answer.status !== 401 || isRenewed) throw refused(question, answer.status);
      this.#token = undefined;
    }
  }

  async #getToken(deadline: Deadline): Promise<string> {
    const kept = this.#token;
    if (kept !== undefined && performance.now() < kept.renewAtMs) return kept.text;
    const headers = { [TTL_HEADER]: String(TOKEN_SECONDS) };
    const request = { question: "token", method: "PUT", path: TOKEN_PATH, headers } as const;
    const startedAt = performance.now();
    using answer = await this.#try(
      deadline,
      (attempt) => exchange(this.#options.target, request, attempt),
      "token",
    );
    if (answer.status !== 200) throw refused("token", answer.status);
    const text = new TextDecoder().decode(answer.body).trimEnd();
    if (!/^[!-~]{1,1024}$/.test(text)) {
      throw imdsError("ANSWER", "token", { reason: "the answer is no token" });
    }
    this.#token = { text, renewAtMs: startedAt + secondsOf(answer) * 1000 * RENEWAL };
    return text;
  }

  /** Tries until there is an answer other than that the service is busy. */
  async #try(
    deadline: Deadline,
    ask: (attempt: Deadline) => Promise<MetadataAnswer>,
    question: ImdsQuestion,
  ): Promise<MetadataAnswer> {
    const pauses = new Pauses(PAUSES);
    for (let left = this.#options.maxAttempts - 1;; left--) {
      try {
        using attempt = new Deadline("ask the metadata service", this.#options.tryTimeoutMs, deadline.signal);
        const answer = await ask(attempt);
        if (!isBusy(answer.status)) return answer;
        answer[Symbol.dispose]();
        throw refused(question, answer.status);
      } catch (error) {
        if (!(error instanceof ImdsError) || !error.isTransient || left === 0) throw error;
        pauses.begin();
        // With no time left for another try, what failed says more than that the time is up.
        if (deadline.remainingMs <= pauses.remainingMs) throw error;
        await deadline.sleep(pauses.remainingMs);
      }
    }
  }
}

function isBusy(status: number): boolean {
  return status === 429 || status >= 500 && status !== 501;
}

/** Reads the time to live that the service gave the token. */
function secondsOf({ headers }: MetadataAnswer): number {
  const text = headers.get(TTL_HEADER) ?? "";
  return /^\d{1,5}$/.test(text) ? Math.min(Number(text), TOKEN_SECONDS) : TOKEN_SECONDS;
}

/** Makes the error of an answer with another status than 200. */
function refused(question: ImdsQuestion, httpStatus: number): ImdsError {
  const reason = `it answers status ${httpStatus}`;
  return imdsError(failureOf(question, httpStatus), question, { reason, httpStatus });
}

function failureOf(question: ImdsQuestion, status: number): Parameters<typeof imdsError>[0] {
  if (isBusy(status)) return "BUSY";
  switch (status) {
    case 403:
      return "FORBIDDEN";
    case 400:
    case 401:
      return "TOKEN";
    case 404:
    case 405:
    case 501:
      if (question === "token") return "VERSION_1";
      if (question === "role") return "NO_ROLE";
      return question === "credentials" ? "ROLE" : "ANSWER";
    default:
      return "ANSWER";
  }
}
