import { Deadline } from "../../lib/core/deadline.ts";
import { EnclaveKmsError, ProtocolError } from "../../lib/core/errors.ts";
import { SecretRefusedError } from "../../lib/core/secret_error.ts";
import { createFetch } from "../../lib/transport/create_fetch.ts";
import { vsockToConnect } from "../../lib/transport/vsock_place.ts";
import type { EnclaveConnector } from "../connector/enclave_connector.ts";
import { missingParts } from "../connector/until_ready.ts";
import { sendSecret } from "../send_secret.ts";
import type { EnclaveConversation, EnclaveReadiness, SealedSecret } from "./parts.ts";
import { MAX_METRICS_LENGTH } from "./relay_metrics.ts";

/** Longest time for a secret, in milliseconds: the enclave asks KMS meanwhile. */
const SECRET_MS = 60_000;

/** Code of an enclave on whose port another connection is open, and the longest pause before the next try. */
const BUSY_CODE = "ERR_SECRET_BUSY";
const BUSY_PAUSE_MS = 200;

/** Longest time for metrics, in milliseconds. */
const METRICS_MS = 2000;

/** Way to the ports of an enclave that are the parent's only. */
export interface ControlRoute {
  /** CID of the enclave. */
  readonly cid: number;
  /** Vsock port of its control listener; 0 for none. */
  readonly controlPort: number;
  /** Folder in which unix sockets stand for vsock. */
  readonly simulationFolder: string | undefined;
}

/** Conversation with an enclave over its HTTP, its control listener and its ports for secrets. */
export class ConnectedEnclave implements EnclaveConversation {
  readonly #connector: EnclaveConnector;
  readonly #route: ControlRoute;

  /**
   * Connects to nothing yet.
   *
   * @param connector Connector to its HTTP, which becomes this object's
   * @param route Way to the ports that are the parent's only
   */
  constructor(connector: EnclaveConnector, route: ControlRoute) {
    this.#connector = connector;
    this.#route = route;
  }

  /** See {@link EnclaveConversation.askReadiness}. */
  async askReadiness(signal: AbortSignal): Promise<EnclaveReadiness | undefined> {
    const answer = await this.#connector.sendRequest({ path: "/readyz" }, { signal });
    if (answer.status === 200) return { isReady: true, missing: [] };
    const missing = missingParts(answer);
    return missing && { isReady: false, missing };
  }

  /** See {@link EnclaveConversation.readMetrics}. */
  async readMetrics(signal: AbortSignal): Promise<string | undefined> {
    try {
      const answer = await this.#connector.sendRequest({ path: "/metrics" }, {
        signal,
        timeoutMs: METRICS_MS,
      });
      if (answer.status !== 200 || answer.body.length > MAX_METRICS_LENGTH) return undefined;
      return answer.text();
    } catch (error) {
      if (error instanceof EnclaveKmsError) return undefined;
      throw error;
    }
  }

  /**
   * See {@link EnclaveConversation.sendSecret}. Every process of this machine can occupy the port for a while: an enclave
   * that says so has taken nothing, and is asked again.
   */
  async sendSecret({ port, content }: SealedSecret, signal: AbortSignal): Promise<void> {
    const { cid: enclaveCid, simulationFolder } = this.#route;
    const route = { enclaveCid, port, content, simulationFolder };
    using deadline = new Deadline("send secret", SECRET_MS, signal, "enclave");
    for (;;) {
      try {
        return void await sendSecret({ ...route, signal: deadline.signal, timeoutMs: SECRET_MS });
      } catch (error) {
        const isBusy = error instanceof SecretRefusedError && error.enclaveCode === BUSY_CODE;
        if (!isBusy || deadline.remainingMs <= BUSY_PAUSE_MS) throw error;
      }
      await deadline.sleep(BUSY_PAUSE_MS * Math.random());
    }
  }

  /** See {@link EnclaveConversation.shutDown}. */
  async shutDown(signal: AbortSignal): Promise<void> {
    const status = await postToControl(this.#route, "/v1/shutdown", new TextEncoder().encode("{}"), signal);
    if (status !== 202) throw refused("shut the enclave down", status);
  }

  /** Breaks off what runs. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connector[Symbol.asyncDispose]();
  }
}

/**
 * Posts JSON to the control listener of an enclave.
 *
 * @param route Way there
 * @param path Path
 * @param body JSON in UTF-8, which stays the caller's to wipe
 * @param signal Ends the request
 * @returns Status of the answer
 * @throws {ConnectionError} When the listener cannot be reached, or the connection breaks
 */
export async function postToControl(
  { cid, controlPort, simulationFolder }: ControlRoute,
  path: string,
  body: Uint8Array<ArrayBuffer>,
  signal: AbortSignal,
): Promise<number> {
  using deadline = new Deadline("ask the enclave's control listener", CONTROL_MS, signal, "enclave");
  const answer = await createFetch(vsockToConnect(cid, controlPort, simulationFolder))(
    `http://enclave${path}`,
    { method: "POST", headers: { "content-type": "application/json" }, body, signal: deadline.signal },
  );
  await answer.body?.cancel();
  return answer.status;
}

const CONTROL_MS = 10_000;

/**
 * Makes the error of an answer of the control listener.
 *
 * @param what Action that was refused
 * @param status Status of the answer
 */
export function refused(what: string, status: number): ProtocolError {
  return new ProtocolError(`Cannot ${what}: its control listener answers ${status}`, {
    hint: "Does CONTROL_PORT lead to the control listener of the application?",
  });
}
