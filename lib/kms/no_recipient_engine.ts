import type { Deadline } from "../core/deadline.ts";
import { UnsupportedOperationError } from "../core/errors.ts";
import type { KmsCall, KmsEngine } from "./engine.ts";
import { type Checked, type OperationName, operationOf, type Result } from "./operations/operations.ts";
import type { Recipient } from "./recipient/recipient.ts";

/**
 * Engine of a client without an NSM: does what is not attested, and refuses the rest before anything is sent. KMS would
 * send the secret in clear, to wherever this runs.
 */
export class NoRecipientEngine implements KmsEngine {
  readonly #engine: KmsEngine;

  /** @param engine Engine that sends; owned from then on */
  constructor(engine: KmsEngine) {
    this.#engine = engine;
  }

  /** See {@link KmsEngine.name}. */
  get name(): KmsEngine["name"] {
    return this.#engine.name;
  }

  /** See {@link KmsEngine.clockOffsetMs}. */
  get clockOffsetMs(): number {
    return this.#engine.clockOffsetMs;
  }

  /** See {@link KmsEngine.kmsTimeMs}. */
  get kmsTimeMs(): number | undefined {
    return this.#engine.kmsTimeMs;
  }

  /** See {@link KmsEngine.forgetDocuments}: it has none. */
  forgetDocuments(): void {}

  /** See {@link KmsEngine.askTime}. */
  askTime(deadline: Deadline): Promise<void> {
    return this.#engine.askTime(deadline);
  }

  /** See {@link KmsEngine.run}. */
  run<K extends OperationName>(name: K, checked: Checked<K>, call: KmsCall): Promise<Result<K>> {
    const { attested, what } = operationOf(name);
    return attested ? Promise.reject(needsRecipient(what)) : this.#engine.run(name, checked, call);
  }

  /** Disposes the engine that sends. */
  [Symbol.asyncDispose](): PromiseLike<void> {
    return this.#engine[Symbol.asyncDispose]();
  }
}

/** Recipient that attests nothing and opens nothing. */
export const NO_RECIPIENT: Recipient = {
  attestationDocument: () => Promise.reject(needsRecipient("attest")),
  open() {
    throw needsRecipient("open an answer");
  },
  [Symbol.dispose]() {},
};

function needsRecipient(what: string): UnsupportedOperationError {
  return new UnsupportedOperationError(`Cannot ${what}: the client was opened with recipient "none"`, {
    hint:
      "KMS would answer with the secret unencrypted: open the client inside an enclave, without `recipient`",
  });
}
