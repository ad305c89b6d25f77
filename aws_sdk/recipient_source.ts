import { Deadline } from "../lib/core/deadline.ts";
import { DisposedError } from "../lib/core/errors.ts";
import { openRecipients, type RecipientParts } from "../lib/kms/open_engine.ts";
import type { RecipientLease, RecipientRotation } from "../lib/kms/recipient/recipient_rotation.ts";

/** Recipients of one client, whose first key pair is made when it is needed. */
export class RecipientSource implements Disposable {
  readonly #parts: RecipientParts;
  readonly #timeoutMs: number;
  #opening: Promise<RecipientRotation> | undefined;
  #disposed = false;

  /**
   * Makes nothing yet.
   *
   * @param parts Options of the recipients, checked
   * @param timeoutMs Milliseconds for making the first one
   */
  constructor(parts: RecipientParts, timeoutMs: number) {
    this.#parts = parts;
    this.#timeoutMs = timeoutMs;
  }

  /** Tells whether it was disposed. */
  get isDisposed(): boolean {
    return this.#disposed;
  }

  /**
   * Takes the recipient in use for one request. Those that come while the first is made wait for the same one; when it
   * cannot be made, the next request has it tried again.
   *
   * @param deadline Deadline of the wait
   * @returns The lease, for the caller to dispose
   * @throws {LibraryLoadError} When the engine needs a library that does not load
   * @throws {AttestationError} When there is no NSM
   * @throws {TimeoutError} When the time is up
   * @throws {DisposedError} After dispose
   */
  async take(deadline: Deadline): Promise<RecipientLease> {
    if (this.#disposed) throw new DisposedError("RecipientPlugin");
    deadline.stage = "key-pair";
    const recipients = await deadline.race(this.#opening ??= this.#open());
    return recipients.take();
  }

  /** Destroys the key pairs. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#opening?.then((recipients) => recipients[Symbol.dispose](), () => {});
  }

  async #open(): Promise<RecipientRotation> {
    try {
      using deadline = new Deadline("make a key pair", this.#timeoutMs);
      return await openRecipients(this.#parts, deadline);
    } catch (error) {
      this.#opening = undefined;
      throw error;
    }
  }
}
