import { connectUnix } from "#connect-unix";
import { Agent, request } from "node:http";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConnectionError } from "../lib/core/errors.ts";
import type { SimulatedCredentials } from "./kms/kms_credentials.ts";
import type { Simulator } from "./simulator.ts";
import type { ListenAddress } from "./tls/tls_server.ts";

/**
 * Environment of a process that takes a simulator for its enclave: its NSM on a unix socket, its KMS, and a control
 * socket over which this process is its parent.
 */
export class SimulatedEnvironment implements AsyncDisposable {
  /** Environment variables, which `startEnclave()` of `enclave-kms/enclave` reads. */
  readonly variables: Readonly<Record<string, string>>;
  readonly #folder: string;
  readonly #control: string;
  readonly #nsm: AsyncDisposable;

  private constructor(folder: string, nsm: AsyncDisposable, simulator: Simulator, control?: string) {
    this.#folder = folder;
    this.#nsm = nsm;
    this.#control = control ?? join(folder, "control.sock");
    const files = { certificates: join(folder, "kms.pem"), nsm: join(folder, "nsm.sock") };
    this.variables = {
      ...enclaveVariables({ region: simulator.region, kms: addressOf(simulator.endpoint), ...files }),
      ENCLAVE_KMS_CONTROL_SOCKET: this.#control,
    };
  }

  /**
   * Serves the simulator's NSM on a unix socket, in a folder of its own.
   *
   * @param simulator The simulator, which stays the caller's
   * @param options Absolute path of the control listener's socket, at most 107 bytes; default: one in that folder
   * @returns The environment; the caller disposes it after the processes that use it
   * @example
   * ```ts
   * import { SimulatedEnvironment, startSimulator } from "enclave-kms/sim";
   *
   * await using simulator = await startSimulator();
   * await using environment = await SimulatedEnvironment.create(simulator);
   * environment.variables["ENV_SETUP"]; // "SIM"
   * ```
   */
  static async create(
    simulator: Simulator,
    { controlSocket }: { readonly controlSocket?: string | undefined } = {},
  ): Promise<SimulatedEnvironment> {
    const folder = await mkdtemp(join(tmpdir(), "enclave-kms-sim-"));
    try {
      await writeFile(join(folder, "kms.pem"), simulator.trustedCertificates);
      const nsm = await simulator.nsm.listen(join(folder, "nsm.sock"));
      return new SimulatedEnvironment(folder, nsm, simulator, controlSocket);
    } catch (error) {
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
  }

  /**
   * Sets the credentials of the process, as the parent does with those of its instance role.
   *
   * @param credentials Credentials that KMS knows, such as {@link Simulator.credentials}
   * @throws {ConnectionError} When the process does not listen, yet or any more
   * @throws {Error} When it does not take them
   */
  async pushCredentials(credentials: SimulatedCredentials): Promise<void> {
    const status = await this.#post("/v1/credentials", credentials);
    if (status !== 204) throw new Error(`Cannot set credentials: the enclave answered ${status}`);
  }

  /**
   * Ends the process in good order, as the parent may.
   *
   * @throws {ConnectionError} When the process does not listen, yet or any more
   * @throws {Error} When it refuses
   */
  async shutDown(): Promise<void> {
    const status = await this.#post("/v1/shutdown");
    if (status !== 202) throw new Error(`Cannot shut the enclave down: it answered ${status}`);
  }

  /** Stops serving the NSM, and removes the sockets. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#nsm[Symbol.asyncDispose]();
    await rm(this.#folder, { recursive: true, force: true });
  }

  // By node:http: what listens on vsock needs the C library, and the simulator is to do without.
  async #post(path: string, body: object = {}): Promise<number> {
    const hint = "Has the process started, with the variables of this environment?";
    const unreachable = (cause: unknown) =>
      new ConnectionError("Cannot reach the enclave's control listener", { hint, cause });
    const stream = await connectUnix(this.#control).catch((cause) => Promise.reject(unreachable(cause)));
    const agent = Object.assign(new Agent(), { createConnection: () => stream });
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const sent = request({ agent, path, method: "POST", headers: { "content-type": "application/json" } });
    sent.on("response", (answer) => {
      answer.resume();
      resolve(answer.statusCode ?? 0);
    });
    sent.on("error", (cause) => reject(unreachable(cause)));
    sent.end(JSON.stringify(body));
    return await promise;
  }
}

/** Places of a simulated enclave, as other processes reach them. */
export interface SimulatedPlaces {
  /** The region. */
  readonly region: string;
  /** Address of KMS: `tcp:HOST:PORT` or `unix:PATH`. */
  readonly kms: string;
  /** File of KMS's certificate authority, PEM. */
  readonly certificates: string;
  /** Socket of the NSM. */
  readonly nsm: string;
}

/**
 * Makes the variables that `startEnclave()` reads in another process.
 *
 * @param places Places of the simulated enclave
 */
export function enclaveVariables(
  { region, kms, certificates, nsm }: SimulatedPlaces,
): Record<string, string> {
  return {
    ENV_SETUP: "SIM",
    ENCLAVE_KMS_REGION: region,
    ENCLAVE_KMS_KMS: kms,
    ENCLAVE_KMS_ENGINE: "direct",
    ENCLAVE_KMS_TRUSTED_CERTIFICATES_FILE: certificates,
    ENCLAVE_KMS_SIMULATED_NSM: nsm,
  };
}

/** Formats an address as settings have it. */
export function addressOf(endpoint: ListenAddress): string {
  return endpoint.transport === "unix" ? `unix:${endpoint.path}` : `tcp:${endpoint.host}:${endpoint.port}`;
}
