import type { ProvidedCredentials } from "./credentials.ts";
import type { Deadline } from "../core/deadline.ts";
import { CredentialsError, EnclaveKmsError } from "../core/errors.ts";

/** Milliseconds without an answer after which a provider is asked again. */
const MAX_QUESTION_MS = 30_000;

/** Handlers of a question's answer, called before any waiting call gets it. */
export interface QuestionHandlers {
  /** Takes the answer. All waiting calls get the error that it throws. */
  accept(answer: ProvidedCredentials): void;
  /** Notes that there is no usable answer. */
  fail(): void;
}

/** Provider of credentials. */
type Provider = () => ProvidedCredentials | Promise<ProvidedCredentials>;

/**
 * Question to a provider of credentials, which any number of calls may wait for. No call ends it: when a call's time is
 * up, the others go on waiting, and an answer is taken even when no call waits any more. An immediate answer or throw
 * of a provider belongs to its asker alone.
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
   * @param provider The provider
   * @param handlers Handlers of the answer, called at once where the provider answers at once
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
   * Waits for the answer.
   *
   * @param deadline Deadline of the wait
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

/**
 * Asks a provider. Fails with a {@link CredentialsError} that names only the kind of failure, unless the error is one of
 * this library's, which hold no secret.
 */
function ask(provider: Provider): ProvidedCredentials | Promise<ProvidedCredentials> {
  try {
    const given: unknown = provider();
    return isThenable(given) ? Promise.resolve(given).catch(fail) : given as ProvidedCredentials;
  } catch (error) {
    fail(error);
  }
}

function fail(error: unknown): never {
  if (error instanceof EnclaveKmsError) {
    throw new CredentialsError(error.message, { hint: error.hint, cause: error });
  }
  throw new CredentialsError(`Cannot get credentials: the provider failed${nameOfFailure(error)}`, {
    hint: "The provider's error is not shown, since it may hold secrets: log it inside the provider",
  });
}

function isThenable(value: unknown): value is PromiseLike<ProvidedCredentials> {
  return typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";
}

/**
 * Names the kind of an error: its name and the system's code say what happened; its message may hold a secret.
 *
 * @param error Anything that was thrown
 * @returns Words after "failed", such as ` with Error ECONNREFUSED`; empty when there is no name that may be shown
 */
export function nameOfFailure(error: unknown): string {
  if (!(error instanceof Error)) return "";
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  const words = [error.name, code].filter((word) =>
    /^(?:[A-Za-z]{1,40}Error|Error|E[A-Z]{3,14})$/.test(word)
  );
  return words.length === 0 ? "" : ` with ${words.join(" ")}`;
}
