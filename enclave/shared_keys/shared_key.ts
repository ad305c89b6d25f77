import { clearTimeout, setTimeout } from "node:timers";
import { disposeAll } from "../../lib/core/dispose_all.ts";
import { DisposedError, SharedKeyError } from "../../lib/core/errors.ts";
import type { KeyRecords } from "./key_records.ts";
import type { LoadedVersion, SharedKeyVersion } from "./key_version.ts";
import { type Use, useOf } from "./schedule.ts";
import type { CheckedSharedKeyOptions, SharedKeySpec } from "./shared_key_options.ts";

/** Least milliseconds between two looks for a version that a caller names. */
const MIN_LOOK_MS = 1000;

/** Key that several enclaves share, with its versions; see `sharedKey()`. */
export class SharedKey implements Disposable {
  readonly #records: KeyRecords;
  readonly #options: CheckedSharedKeyOptions;
  readonly #ended: AbortController;
  readonly #listeners = new Set<() => void>();
  readonly #timer: ReturnType<typeof setTimeout>;
  /** Loaded versions, the newest first. */
  #versions: readonly LoadedVersion[];
  #used: LoadedVersion;
  #work: Promise<unknown> = Promise.resolve();
  #looking: Promise<void> | undefined;
  #lookedAtMs = performance.now();
  #freshAtMs = performance.now();

  /** @internal */
  constructor(
    records: KeyRecords,
    options: CheckedSharedKeyOptions,
    versions: readonly LoadedVersion[],
    ended: AbortController,
  ) {
    this.#records = records;
    this.#options = options;
    this.#ended = ended;
    this.#versions = versions;
    this.#used = useOf(versions, options).current;
    this.#timer = setTimeout(() => void this.#tick().finally(() => this.#timer.refresh()), options.refreshMs);
    this.#timer.unref();
  }

  /** Name of the key. */
  get name(): string {
    return this.#options.name;
  }

  /** Kind of key. */
  get spec(): SharedKeySpec {
    return this.#options.spec;
  }

  /**
   * Version to encrypt, seal and sign with.
   *
   * @throws {DisposedError} After dispose
   */
  get current(): SharedKeyVersion {
    return this.#use().current;
  }

  /**
   * Versions that still open, the newest first. The newest may be one that is not used yet.
   *
   * @throws {DisposedError} After dispose
   */
  get open(): readonly SharedKeyVersion[] {
    return this.#use().open;
  }

  /** Whether the store has confirmed within the last `settleMs`, and two looks, that this enclave has all versions. */
  get isFresh(): boolean {
    const { settleMs, refreshMs } = this.#options;
    return !this.#ended.signal.aborted && performance.now() - this.#freshAtMs <= settleMs + 2 * refreshMs;
  }

  /**
   * Finds a version that still opens.
   *
   * @param version Version, from 1
   * @throws {DisposedError} After dispose
   */
  find(version: number): SharedKeyVersion | undefined {
    return this.open.find((loaded) => loaded.version === version);
  }

  /**
   * Makes the next version, unless another enclave has made one meanwhile. It is used `settleMs` later, by every enclave.
   *
   * @returns Newest version
   * @throws {SharedKeyError} When the store fails, or gives something else
   * @throws {DisposedError} After dispose
   * @throws The errors of `KmsService.generateKey`
   */
  async rotate(): Promise<number> {
    await this.#turn(async () => {
      if (await this.#loadNext()) return;
      await this.#makeNext();
    });
    return this.#versions[0]!.version;
  }

  /**
   * Looks for new versions now. Calls at the same time look once.
   *
   * @throws {SharedKeyError} When the store fails, or gives something else
   * @throws {DisposedError} After dispose
   * @throws The errors of `KmsService.decrypt`
   */
  refresh(): Promise<void> {
    return this.#looking ??= this.#turn(() => this.#look()).finally(() => this.#looking = undefined);
  }

  /**
   * Looks for new versions because a caller uses one that is not here, once a second at most. What fails is told to
   * `onFailure`.
   */
  async lookForUnknown(): Promise<void> {
    const { settleMs } = this.#options;
    const isRecent = performance.now() - this.#lookedAtMs < Math.min(MIN_LOOK_MS, settleMs);
    if (this.#looking === undefined && isRecent) return;
    await this.#reporting(() => this.refresh());
  }

  /**
   * Has a function called whenever other versions are used or open.
   *
   * @param listener The function
   * @returns Ends that
   */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Wipes all versions, and looks for no more. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    if (this.#ended.signal.aborted) return;
    this.#ended.abort(new DisposedError("SharedKey"));
    clearTimeout(this.#timer);
    const versions = this.#versions;
    this.#versions = [];
    this.#changed();
    disposeAll([...versions]);
  }

  #use(): Use<LoadedVersion> {
    this.#ended.signal.throwIfAborted();
    return useOf(this.#versions, this.#options);
  }

  async #tick(): Promise<void> {
    if (this.#ended.signal.aborted) return;
    this.#apply();
    await this.#reporting(() => this.refresh());
  }

  async #look(): Promise<void> {
    this.#lookedAtMs = performance.now();
    await this.#checkNewest();
    while (await this.#loadNext());
    const { rotateMs = Infinity } = this.#options;
    if (this.#versions[0]!.ageMs >= rotateMs) await this.#makeNext();
    this.#freshAtMs = performance.now();
    this.#apply();
  }

  /** Notices a record that was replaced after it was read: enclaves that start would have another key. */
  async #checkNewest(): Promise<void> {
    const { record } = this.#versions[0]!;
    const again = await this.#records.read(record.version);
    if (again?.hash === record.hash) return;
    throw new SharedKeyError(
      "CHAIN",
      `Cannot confirm shared key ${record.name}: the store has ${
        again === undefined ? "lost" : "another"
      } record of version ${record.version}`,
      { hint: "Who may delete or replace records? Enclaves that start now have another key, or none" },
    );
  }

  async #loadNext(): Promise<boolean> {
    const { record } = this.#versions[0]!;
    const next = await this.#records.read(record.version + 1);
    if (next === undefined) return false;
    this.#records.checkFollows(next, record);
    this.#add(await this.#records.open(next));
    return true;
  }

  async #makeNext(): Promise<void> {
    const { record } = this.#versions[0]!;
    this.#add(await this.#records.make(record.version + 1, record.hash));
  }

  #add(version: LoadedVersion): void {
    if (this.#ended.signal.aborted) version[Symbol.dispose]();
    this.#ended.signal.throwIfAborted();
    this.#versions = [version, ...this.#versions];
    this.#apply(true);
  }

  /** Wipes what is over, and tells the listeners what is used now. */
  #apply(isChanged = false): void {
    const { current, open, ended } = this.#use();
    const hasChanged = isChanged || ended.length > 0 || current !== this.#used;
    this.#used = current;
    this.#versions = open;
    if (hasChanged) this.#changed();
    disposeAll([...ended]);
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }

  /** One after the other: each goes on from the newest version. */
  #turn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#work.then(async () => {
      this.#ended.signal.throwIfAborted();
      return await work();
    });
    this.#work = turn.catch(() => {});
    return turn;
  }

  async #reporting(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!this.#ended.signal.aborted) this.#options.onFailure?.(error);
    }
  }
}
