/**
 * Stores that are hostile or slow, and KMS of the simulator as `enclave.kms` gives it.
 *
 * @module
 */
import type { SharedKeyKms } from "../../../enclave/shared_keys/key_records.ts";
import type { SharedKeyStore } from "../../../enclave/mod.ts";
import { sharedKey } from "../../../enclave/shared_keys/load_shared_key.ts";
import type { SharedKey } from "../../../enclave/shared_keys/shared_key.ts";
import type { SharedKeyOptions } from "../../../enclave/shared_keys/shared_key_options.ts";
import { NsmClient } from "../../../lib/nsm/nsm_client.ts";
import { KmsClient } from "../../../mod.ts";
import { type Simulator, startSimulator } from "../../../sim/mod.ts";

/** Longer than any busy machine takes: what does not end is the runner's to end. */
export const PATIENCE_MS = 1_200_000;

/** Times of keys that nothing happens to by itself. */
export const STILL = {
  refreshMs: PATIENCE_MS,
  settleMs: PATIENCE_MS,
  overlapMs: PATIENCE_MS,
  timeoutMs: PATIENCE_MS,
  startTimeoutMs: PATIENCE_MS,
} as const;

/** Store in memory, each of whose calls can be put off or answered otherwise. */
export class MemoryStore implements SharedKeyStore {
  readonly records = new Map<string, Uint8Array<ArrayBuffer>>();
  /** Names of the calls, in order. */
  readonly calls: string[] = [];
  /** Answers in the place of the store; undefined for its own. */
  onRead: (name: string) => Promise<Uint8Array | undefined> | Uint8Array | undefined = () => undefined;
  /** Called before a record is written. */
  onCreate: (name: string, bytes: Uint8Array<ArrayBuffer>) => Promise<void> | void = () => {};

  async read(name: string): Promise<Uint8Array | undefined> {
    this.calls.push(`read ${name}`);
    return await this.onRead(name) ?? this.records.get(name);
  }

  async create(name: string, bytes: Uint8Array<ArrayBuffer>): Promise<boolean> {
    this.calls.push(`create ${name}`);
    await this.onCreate(name, bytes);
    if (this.records.has(name)) return false;
    this.records.set(name, bytes.slice());
    return true;
  }
}

/** KMS and its key, as several enclaves have them. */
export class KeyLab implements AsyncDisposable {
  readonly simulator: Simulator;
  readonly keyId: string;
  readonly kms: SharedKeyKms;
  readonly #client: KmsClient;

  private constructor(simulator: Simulator, keyId: string, client: KmsClient) {
    this.simulator = simulator;
    this.keyId = keyId;
    this.#client = client;
    const nsm = new NsmClient({
      exchange: (request) => simulator.nsm.exchange(request),
      [Symbol.dispose]() {},
    });
    this.kms = {
      decrypt: (request) => client.decrypt(request),
      generateKey: (request) => client.generateDataKey(request),
      generateKeyPair: (request) => client.generateDataKeyPair(request),
      generateAttestation: ({ nonce }) => nsm.attest({ nonce }),
    };
  }

  static async open(): Promise<KeyLab> {
    const simulator = await startSimulator();
    const { arn } = await simulator.createKey();
    return new KeyLab(simulator, arn, await KmsClient.open(simulator.clientOptions));
  }

  /** Loads a key as one of several enclaves. */
  load(store: SharedKeyStore, options: Partial<SharedKeyOptions> = {}): Promise<SharedKey> {
    return sharedKey(this.kms, { name: "orders", keyId: this.keyId, store, ...STILL, ...options });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client[Symbol.asyncDispose]();
    await this.simulator.close();
  }
}

/** Fails a test that should have been refused. */
export async function codeOf(work: Promise<Disposable | undefined | void | number>): Promise<string> {
  try {
    const result = await work;
    if (typeof result === "object") result[Symbol.dispose]();
    return "taken";
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

/** Reads a record as text. */
export function textOf(bytes: Uint8Array | undefined): string {
  return new TextDecoder().decode(bytes);
}

/** Changes members of a record. */
export function changed(bytes: Uint8Array | undefined, members: object): Uint8Array<ArrayBuffer> {
  const record = { ...JSON.parse(textOf(bytes)), ...members };
  return new TextEncoder().encode(`${JSON.stringify(record)}\n`);
}
