import { encodeCredentialsJson } from "../../lib/aws/credentials_json.ts";
import type { OwnedCredentials } from "../../lib/aws/credentials.ts";
import { Deadline, MAX_TIMEOUT_MS } from "../../lib/core/deadline.ts";
import { ConnectionError, TimeoutError } from "../../lib/core/errors.ts";
import { CredentialPusher } from "../credential_pusher.ts";
import type { PushEvent } from "../credentials/push_events.ts";
import { askSource, type CredentialSource } from "../credentials/source_question.ts";
import { sendCredentials } from "../send_secret.ts";
import { type ControlRoute, postToControl, refused } from "./connected_enclave.ts";
import type { OnParentEvent } from "./parent_state.ts";
import type { CredentialsPush } from "./parts.ts";

/** Listener of the enclave that takes credentials: `auto` is the port for secrets or, without one, the control listener. */
export type CredentialsTarget = "auto" | "port" | "control";

/** Source of credentials, and the way of them to an enclave. */
export interface KeeperOptions {
  /** Source. */
  readonly source: CredentialSource;
  /** Milliseconds before their expiration at which successors are asked for. */
  readonly aheadMs: number;
  /** Listener of the enclave. */
  readonly to: CredentialsTarget;
  /** Vsock port of the enclave for credentials. */
  readonly port: number;
  /** Is told of pushes and failures. */
  readonly onEvent: OnParentEvent;
}

/** Milliseconds for one question to the source. */
const SOURCE_MS = 30_000;

/** Time in which an enclave that has a port for credentials listens there, in milliseconds. */
const PORT_MS = 2000;

/**
 * Keeper of the credentials: one pusher for all enclaves that come and go, so that an enclave that starts while the source
 * is down gets those that were given last.
 */
export class CredentialsKeeper implements AsyncDisposable {
  readonly #options: KeeperOptions;
  #pusher: CredentialPusher | undefined;
  #route: ControlRoute | undefined;
  /** Whether this enclave takes them on its control listener. */
  #isControl = false;

  /**
   * Asks nothing yet.
   *
   * @param options Source, and the way to the enclave
   */
  constructor(options: KeeperOptions) {
    this.#options = options;
  }

  /**
   * Asks the source once, unless it has given credentials already.
   *
   * @param signal Ends the wait
   * @throws {EnclaveKmsError} When the source fails
   */
  async check(signal: AbortSignal): Promise<void> {
    if ((this.#pusher?.state.generation ?? 0) > 0) return;
    using _credentials = await askSource(this.#options.source, SOURCE_MS, signal);
  }

  /**
   * Pushes to an enclave, and goes on ahead of their expiration.
   *
   * @param route Way to the enclave
   * @param signal Ends the wait for the first push
   * @returns The pushing, which ends with this enclave when it is disposed
   * @throws {EnclaveKmsError} When the enclave does not take them
   */
  async pushTo(route: ControlRoute, signal: AbortSignal): Promise<CredentialsPush> {
    this.#route = route;
    this.#isControl = this.#options.to === "control";
    const { source, aheadMs, onEvent } = this.#options;
    let pusher = this.#pusher;
    if (pusher !== undefined) await pusher.pushNow({ signal });
    else {
      const pushed = Promise.withResolvers<void>();
      pusher = this.#pusher = CredentialPusher.start({
        source,
        aheadMs,
        sourceTimeoutMs: SOURCE_MS,
        send: (credentials, call) => this.#send(credentials, call.signal),
        onEvent: (event) => {
          if (event.type === "pushed") pushed.resolve();
          if (this.#route !== undefined) tell(onEvent, event);
        },
      });
      // It tries again by itself when it fails, and says so.
      using deadline = new Deadline("push credentials", MAX_TIMEOUT_MS, signal, "credentials");
      await deadline.race(pushed.promise);
    }
    return {
      get state() {
        return pusher.state;
      },
      noteEnclave: (hasCredentials) => pusher.noteEnclave(hasCredentials),
      [Symbol.asyncDispose]: () => Promise.resolve(void (this.#route = undefined)),
    };
  }

  /** Ends pushing, and wipes the credentials. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#route = undefined;
    await this.#pusher?.close();
  }

  async #send(credentials: OwnedCredentials, signal: AbortSignal): Promise<void> {
    const route = this.#route;
    if (route === undefined) {
      throw new ConnectionError("Cannot push credentials: there is no enclave", {
        hint: "Is it being launched?",
      });
    }
    if (this.#isControl) return await sendToControl(route, credentials, signal);
    const { to, port } = this.#options;
    const { cid: enclaveCid, simulationFolder } = route;
    const connectTimeoutMs = to === "auto" ? PORT_MS : undefined;
    try {
      const place = { enclaveCid, simulationFolder, port };
      await sendCredentials({ ...place, credentials, signal, connectTimeoutMs });
    } catch (error) {
      const isAbsent = error instanceof TimeoutError && error.stage === "connect";
      if (to !== "auto" || !isAbsent || route.controlPort === 0) throw error;
      await sendToControl(route, credentials, signal);
      this.#isControl = true;
    }
  }
}

async function sendToControl(
  route: ControlRoute,
  credentials: OwnedCredentials,
  signal: AbortSignal,
): Promise<void> {
  const json = encodeCredentialsJson(credentials);
  try {
    const status = await postToControl(route, "/v1/credentials", json, signal);
    if (status !== 204) throw refused("push credentials to the enclave", status);
  } finally {
    json.fill(0);
  }
}

function tell(onEvent: OnParentEvent, event: PushEvent): void {
  switch (event.type) {
    case "pushed":
      return onEvent({ event: "credentials", reason: event.reason, isKept: event.isKept });
    case "failed": {
      const { part, code = "ERR_UNEXPECTED", message } = event.failure;
      return onEvent({ event: "notice", message: `credentials: ${part} failed: ${code}, ${message}` });
    }
    case "expired":
      return onEvent({ event: "notice", message: "credentials: they expired, and stay in use: AWS decides" });
    default:
  }
}
