import { Deadline } from "../core/deadline.ts";
import { KmsCalls } from "./kms_calls.ts";
import { KmsMethods } from "./kms_methods.ts";
import { checkOptions, type KmsClientOptions } from "./kms_options.ts";
import { openEngine } from "./open_engine.ts";

/** Client for one call, which comes at once: it connects to KMS while its key pair is made. */
export class OneCallClient extends KmsMethods implements AsyncDisposable {
  readonly #calls: KmsCalls;

  private constructor(calls: KmsCalls) {
    super((name, request) => calls.run(name, request));
    this.#calls = calls;
  }

  /**
   * Opens a client as `KmsClient.open` does, and speaks to KMS already.
   *
   * @param options Options of a client
   * @returns The client; dispose it with `await using`
   * @throws {EnclaveKmsError} The errors of `KmsClient.open`. That KMS cannot be reached, the call reports
   */
  static async open(options: KmsClientOptions): Promise<OneCallClient> {
    const checked = checkOptions(options);
    using deadline = new Deadline("open the KMS client", checked.timeoutMs);
    const engine = await openEngine(checked, deadline, { connectsAhead: true });
    return new OneCallClient(new KmsCalls(engine, checked.timeoutMs));
  }

  /** Ends the connections, destroys the key pair and wipes the credentials. Disposing twice is harmless. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#calls.close();
  }
}
