import { checkCall } from "../core/call_options.ts";
import { Deadline } from "../core/deadline.ts";
import { DisposedError } from "../core/errors.ts";
import type { KmsEngine } from "./engine.ts";
import {
  type Checked,
  type OperationName,
  operationOf,
  type Requested,
  type Result,
} from "./operations/operations.ts";

/** Calls of a client: each is checked, and runs under its deadline on the client's engine, until that is closed. */
export class KmsCalls {
  /** The engine that does them. */
  readonly engine: KmsEngine;
  readonly #timeoutMs: number;
  #closing: Promise<void> | undefined;

  /**
   * @param engine Engine, owned from then on
   * @param timeoutMs Milliseconds for a call that names no time of its own
   */
  constructor(engine: KmsEngine, timeoutMs: number) {
    this.engine = engine;
    this.#timeoutMs = timeoutMs;
  }

  /**
   * Checks a request and has KMS do its operation.
   *
   * @param name Name of the operation
   * @param request Request as the caller gave it
   * @param change Changes the checked request, which shares no memory with the caller's
   * @returns KMS's answer, read and opened
   * @throws {DisposedError} After {@link KmsCalls.close}
   * @throws The errors of the client's method
   */
  async run<K extends OperationName>(
    name: K,
    request: Requested<K>,
    change: (checked: Checked<K>) => Checked<K> = (checked) => checked,
  ): Promise<Result<K>> {
    if (this.#closing !== undefined) throw new DisposedError("KmsClient");
    const operation = operationOf(name);
    const checked = operation.check(request);
    try {
      const { signal, timeoutMs } = checkCall(request, this.#timeoutMs);
      using deadline = new Deadline(operation.what, timeoutMs, signal);
      deadline.throwIfPassed();
      return await this.engine.run(name, change(checked), { deadline });
    } finally {
      operation.release?.(checked);
    }
  }

  /** Disposes the engine. Closing twice is harmless. */
  close(): Promise<void> {
    return this.#closing ??= Promise.resolve(this.engine[Symbol.asyncDispose]());
  }
}
