import type { ProvidedCredentials } from "./credentials.ts";
import type { Deadline } from "../core/deadline.ts";
import { CredentialsError } from "../core/errors.ts";

/** A provider that has not answered for this long, in milliseconds, is asked anew. */
const MAX_QUESTION_MS = 30_000;

/** What becomes of a question's answer, before anybody who waits for it gets it. */
export interface QuestionHandlers {
  /** Takes the answer. What it throws is what everybody who waits gets. */
  accept(answer: ProvidedCredentials): void;
  /** Notes that there is no answer that can be used. */
  fail(): void;
}

/** A provider of credentials. */
type Provider = () => ProvidedCredentials | Promise<ProvidedCredentials>;

/**
 * One question to a provider of credentials, which any number of calls may wait for. No call ends it: when a call's
 * time is up, the others go on waiting, and an answer that comes when nobody waits any more is still taken. A
 * provider that answers or throws at once leaves nothing to wait for: that is its asker's alone.
 */
export class ProviderQuestion {
  readonly #answer: Promise<ProvidedCredentials>;
  readonly #startedAt = performance.now();
  #isPending = false;
  #waiting = 0;
  #isDeserted = false;

  /**
   * Asks at once.
   *
   * @param provider Who is asked
   * @param handlers Told of the answer: at once, where the provider answers at once
   */
  constructor(provider: Provider, handlers: QuestionHandlers) {
    const accept = (answer: ProvidedCredentials) => {
      handlers.accept(answer);
      return answer;
    };
    const answer = new Promise<ProvidedCredentials>((resolve) => {
      const given = ask(provider);
      this.#isPending = given instanceof Promise;
      resolve(given instanceof Promise ? given.then(accept) : accept(given));
    });
    this.#answer = answer.finally(() => {
      this.#isPending = false;
    }).catch((error) => {
      handlers.fail();
      throw error;
    });
    // Nobody may be waiting.
    this.#answer.catch(() => {});
  }

  /**
   * Whether another call may wait for the answer. It may not once that is there, and when the provider seems to
   * hang: after 30 s, and when every call that waited has given up.
   */
  get isJoinable(): boolean {
    return this.#isPending && !this.#isDeserted && performance.now() - this.#startedAt < MAX_QUESTION_MS;
  }

  /**
   * @param deadline When to stop waiting
   * @returns The provider's answer
   * @throws {CredentialsError} If the provider fails, or its answer is not accepted
   */
  async wait(deadline: Deadline): Promise<ProvidedCredentials> {
    this.#waiting++;
    try {
      return await deadline.race(this.#answer);
    } finally {
      if (--this.#waiting === 0) this.#isDeserted = true;
    }
  }
}

/** Throws, or rejects, with a {@link CredentialsError} that says no more than what kind of failure it was. */
function ask(provider: Provider): ProvidedCredentials | Promise<ProvidedCredentials> {
  try {
    const given: unknown = provider();
    return isThenable(given) ? Promise.resolve(given).catch(fail) : given as ProvidedCredentials;
  } catch (error) {
    fail(error);
  }
}

function fail(error: unknown): never {
  throw new CredentialsError(`Cannot get credentials: the provider failed${nameOf(error)}`, {
    hint: "The provider's own error is withheld, since it may hold secrets; log it inside the provider",
  });
}

function isThenable(value: unknown): value is PromiseLike<ProvidedCredentials> {
  return typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";
}

// The name and the system's code say what happened; the message may hold a secret.
function nameOf(error: unknown): string {
  if (!(error instanceof Error)) return "";
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  const words = [error.name, code].filter((word) =>
    /^(?:[A-Za-z]{1,40}Error|Error|E[A-Z]{3,14})$/.test(word)
  );
  return words.length === 0 ? "" : ` with ${words.join(" ")}`;
}
