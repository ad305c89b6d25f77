import type { TLSSocket } from "node:tls";
import { Deadline, MAX_TIMEOUT_MS } from "../../core/deadline.ts";
import { type TlsCall, unlessAborted } from "./tls_call.ts";

/**
 * Connection that is made before there is a call for it. When it fails or closes before a call takes it, the call
 * makes its own and reports what happens to that.
 */
export class ConnectingAhead implements Disposable {
  readonly #ending = new AbortController();
  /** Its time is up when {@link ConnectingAhead} ends it: nobody waits yet. */
  readonly #deadline = new Deadline("connect", MAX_TIMEOUT_MS, this.#ending.signal);
  readonly #connecting: Promise<TLSSocket>;
  #waiting: Deadline | undefined;
  #socket: TLSSocket | undefined;
  #hasFailed = false;

  /**
   * Begins to connect.
   *
   * @param connect Makes a connection for a call, and ends it when the call's signal aborts
   */
  constructor(connect: (call: TlsCall) => Promise<TLSSocket>) {
    const onStage: TlsCall["onStage"] = (stage) => {
      if (this.#waiting !== undefined) this.#waiting.stage = stage;
    };
    this.#connecting = connect({ deadline: this.#deadline, signal: this.#deadline.signal, onStage });
    this.#connecting.then((socket) => this.#settle(socket), () => this.#settle(undefined));
  }

  /** Whether it failed, or was closed since. */
  get isOver(): boolean {
    return this.#hasFailed || this.#socket?.destroyed === true;
  }

  /**
   * Takes the connection for a call, which owns it from then on.
   *
   * @param call The call; when it aborts first, the connection ends
   * @returns The connection
   * @throws {unknown} As connecting does, or the reason of the abort
   */
  async take({ deadline, signal }: TlsCall): Promise<TLSSocket> {
    this.#waiting = deadline;
    deadline.stage = this.#socket === undefined ? this.#deadline.stage : "kms";
    try {
      return await unlessAborted(this.#connecting, signal, (late) => late.destroy());
    } catch (error) {
      this.#ending.abort(error);
      throw error;
    } finally {
      this.#waiting = undefined;
    }
  }

  /** Ends the connection, which no call has taken. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    this.#ending.abort(new Error("Nobody waits for the connection"));
    this.#socket?.destroy();
  }

  #settle(socket: TLSSocket | undefined): void {
    this.#socket = socket;
    this.#hasFailed = socket === undefined;
    // Disposed between the handshake's end and now: nobody else ends it.
    if (this.#ending.signal.aborted) socket?.destroy();
    // Stops the timer, which would keep the process alive.
    this.#deadline[Symbol.dispose]();
  }
}
