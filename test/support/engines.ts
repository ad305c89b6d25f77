import { join } from "node:path";
import process from "node:process";
import type { EngineName, KmsClientOptions } from "../../mod.ts";
import { SUPERVISED_VARIABLE } from "../../sim/instruments.ts";
import { type Simulator, type SimulatorOptions, startSimulator } from "../../sim/mod.ts";
import { doublePath } from "./sdk_double.ts";

/** One way to run the engine suite. */
export interface EngineCase {
  /** For the test's name: engine, what stands behind it, and why it is skipped. */
  readonly label: string;
  readonly engine: EngineName;
  /** Options of the client besides the simulator's own. */
  readonly options: Partial<KmsClientOptions>;
  /** Whether it tells KMS's errors apart, retries, and survives every fault. */
  readonly speaksHttps: boolean;
  readonly skip: boolean;
}

/** Three times the client's own: a key pair alone can take seconds on a busy machine. */
const PATIENCE_MS = 30_000;

const sockets = process.env[SUPERVISED_VARIABLE];
const realPath = process.env["ENCLAVE_KMS_SDK_LIBRARY"];

const WITHOUT_DEVICE = sockets === undefined ? "no /dev/nsm: run through npm test, with a C compiler" : "";
const WITHOUT_DOUBLE = doublePath === undefined ? "no C compiler" : WITHOUT_DEVICE;
const WITHOUT_REAL = realPath === undefined ? "ENCLAVE_KMS_SDK_LIBRARY is not set" : WITHOUT_DEVICE;

/**
 * Every engine, over every part that can stand behind it here. The real C client is not among them: it
 * crashes its host too often to run in a test's own process
 * (test/lib/kms/sdk_client/sdk_client_real.test.ts).
 */
export const ENGINE_CASES: readonly EngineCase[] = [
  engineCase("direct", "software NSM", undefined, ""),
  engineCase("direct", "/dev/nsm", undefined, WITHOUT_DEVICE),
  engineCase("sdk", "double", doublePath, WITHOUT_DOUBLE),
  engineCase("sdk", "real C SDK", realPath, WITHOUT_REAL),
  engineCase("sdk-client", "double", doublePath, WITHOUT_DOUBLE),
];

/**
 * The same without the software NSM where there is a device: for what happens between the client and KMS,
 * which does not depend on how the NSM is reached. Engine `direct` is the same code over both.
 */
export const WIRE_CASES: readonly EngineCase[] = ENGINE_CASES.filter(({ label }) =>
  sockets === undefined || !label.includes("software")
);

/** Starts a simulated enclave. Its NSM answers at `/dev/nsm` as well, when this process is supervised. */
export async function startEnclave(options: SimulatorOptions = {}): Promise<Enclave> {
  const simulator = await startSimulator(options);
  const device = sockets === undefined
    ? undefined
    : await simulator.nsm.listen(join(sockets, `nsm-${process.pid}.sock`));
  return new Enclave(simulator, device);
}

/** See {@link startEnclave}. */
export class Enclave implements AsyncDisposable {
  readonly simulator: Simulator;
  readonly #device: AsyncDisposable | undefined;

  constructor(simulator: Simulator, device: AsyncDisposable | undefined) {
    this.simulator = simulator;
    this.#device = device;
  }

  /** Makes the options of a client for one case, which waits as long as a busy machine may take. */
  optionsFor({ engine, options, label }: EngineCase): KmsClientOptions {
    const { nsm, ...common } = this.simulator.clientOptions;
    const inProcess = engine === "direct" && label.includes("software");
    return { ...common, timeoutMs: PATIENCE_MS, ...options, engine, ...(inProcess ? { nsm } : {}) };
  }

  /** Encrypts under a key of its own, for tests to which the key does not matter. */
  async encryptUnderNewKey(plaintext: string | Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
    const { keyId } = await this.simulator.createKey();
    return await this.simulator.encrypt({ keyId, plaintext });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#device?.[Symbol.asyncDispose]();
    await this.simulator[Symbol.asyncDispose]();
  }
}

function engineCase(
  engine: EngineName,
  behind: string,
  library: string | undefined,
  reason: string,
): EngineCase {
  return {
    label: `${engine} over ${behind}${reason === "" ? "" : ` (skipped: ${reason})`}`,
    engine,
    options: library === undefined ? {} : { library },
    speaksHttps: engine !== "sdk-client",
    skip: reason !== "",
  };
}
