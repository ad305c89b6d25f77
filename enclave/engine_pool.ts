import { Deadline } from "../lib/core/deadline.ts";
import type { KmsEngine } from "../lib/kms/engine.ts";
import { checkOptions, type KmsClientOptions } from "../lib/kms/kms_options.ts";
import { openEngine } from "../lib/kms/open_engine.ts";
import { notSet } from "./credential_store.ts";

/** Options that the engines of all regions share. */
export type SharedEngineOptions = Omit<KmsClientOptions, "region" | "credentials">;

/** Most regions at once: each has an engine with a key pair, and callers of the kmstool protocol name regions. */
const MAX_REGIONS = 8;

/**
 * One long-lived engine for each region, with a key pair and connections that all callers share. It has no credentials
 * of its own: each call brings those that sign it.
 */
export class EnginePool implements AsyncDisposable {
  readonly #options: SharedEngineOptions;
  readonly #engines = new Map<string, Promise<KmsEngine>>();
  readonly #opened = new Set<KmsEngine>();

  /** @param options Options that all engines share */
  constructor(options: SharedEngineOptions) {
    this.#options = options;
  }

  /**
   * Opens the engine of a region, unless it is open.
   *
   * @param region Region of the keys
   * @returns The engine, which stays the pool's
   * @throws {RangeError} For one region too many
   * @throws The errors of `KmsClient.open`
   */
  open(region: string): Promise<KmsEngine> {
    const known = this.#engines.get(region);
    if (known !== undefined) return known;
    if (this.#engines.size >= MAX_REGIONS) {
      return Promise.reject(new RangeError(`No more than ${MAX_REGIONS} regions at once`));
    }
    const opening = this.#openEngine(region);
    this.#engines.set(region, opening);
    // One that failed is not kept: the library or the NSM may be there the next time.
    opening.then((engine) => this.#opened.add(engine), () => this.#engines.delete(region));
    return opening;
  }

  /**
   * Time by the answers of KMS, in milliseconds since 1970; undefined until one told it. Of several regions' the latest:
   * an answer that was held back makes the time too early.
   */
  get kmsTimeMs(): number | undefined {
    const times = [...this.#opened].flatMap(({ kmsTimeMs }) => kmsTimeMs ?? []);
    return times.length === 0 ? undefined : Math.max(...times);
  }

  /** Forgets the attestation documents that the engines keep: a register was extended since. */
  forgetDocuments(): void {
    for (const engine of this.#opened) engine.forgetDocuments();
  }

  /** Closes all engines. */
  async [Symbol.asyncDispose](): Promise<void> {
    const engines = [...this.#engines.values()];
    this.#engines.clear();
    this.#opened.clear();
    await Promise.allSettled(engines.map(async (engine) => await (await engine)[Symbol.asyncDispose]()));
  }

  async #openEngine(region: string): Promise<KmsEngine> {
    const options = checkOptions({ ...this.#options, region, credentials: neverAsked });
    using deadline = new Deadline("open the KMS client", options.timeoutMs);
    return await openEngine(options, deadline);
  }
}

function neverAsked(): never {
  throw notSet();
}
