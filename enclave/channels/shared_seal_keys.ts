import { GatewayKey } from "../../lib/wire/oblivious_http.ts";
import { deriveSealingPair } from "../shared_keys/derive_keys.ts";
import type { SharedKey } from "../shared_keys/shared_key.ts";
import { NODE_PRIMITIVES, ownPairOf } from "./node_primitives.ts";

/** Shared key, as far as keys to seal to are derived from it. */
export type SealingSource = Pick<SharedKey, "spec" | "current" | "open" | "onChange" | "lookForUnknown">;

/** Keys of one moment. */
interface Derived {
  /** Key that new documents vouch for. */
  readonly current: GatewayKey;
  /** Keys that open requests, the newest first. */
  readonly all: readonly GatewayKey[];
}

/** Keys to seal to that several enclaves have: one for each version of a shared key, for as long as it opens. */
export class SharedSealKeys implements Disposable {
  readonly #source: SealingSource;
  readonly #changed: () => void;
  readonly #unsubscribe: () => void;
  /** Keys by version: the version's own bytes may be wiped before a key is made. */
  readonly #made = new Map<number, Promise<GatewayKey>>();
  #derived: Derived | undefined;
  #updating: Promise<void>;
  #turn = 0;

  /**
   * @param source Shared key, a data key; not owned
   * @param changed Called when there are other keys, or none any more
   */
  constructor(source: SealingSource, changed: () => void) {
    this.#source = source;
    this.#changed = changed;
    this.#updating = this.#update();
    this.#unsubscribe = source.onChange(() => {
      this.#updating = this.#update();
      // Whoever waits for it gets it.
      this.#updating.catch(() => {});
    });
  }

  /** Key that new documents vouch for; undefined before the first one, and after the shared key was disposed. */
  get current(): GatewayKey | undefined {
    return this.#derived?.current;
  }

  /** Keys that open requests, the newest first. */
  get all(): readonly GatewayKey[] {
    return this.#derived?.all ?? [];
  }

  /** Waits until the keys are those of the versions that are loaded. */
  async settle(): Promise<void> {
    for (let last; last !== this.#updating;) await (last = this.#updating);
  }

  /** Looks for a version that a sibling has already, once a second at most; a failure is the shared key's to tell. */
  async lookForUnknown(): Promise<void> {
    await this.#source.lookForUnknown();
    await this.settle();
  }

  /** Forgets the keys. The shared key stays. */
  [Symbol.dispose](): void {
    this.#unsubscribe();
    this.#forget();
  }

  /** Derives before the first wait: whoever tells of a change wipes what has ended after that. */
  async #update(): Promise<void> {
    const turn = ++this.#turn;
    const versions = this.#versions();
    if (versions === undefined) return this.#forget();
    const { open, current } = versions;
    for (const version of this.#made.keys()) {
      if (!open.some((kept) => kept.version === version)) this.#made.delete(version);
    }
    for (const { version, secret } of open) {
      if (!this.#made.has(version)) this.#made.set(version, keyOf(version, deriveSealingPair(secret)));
    }
    const all = await Promise.all(open.map(({ version }) => this.#made.get(version)!));
    if (turn !== this.#turn) return;
    this.#derived = { all, current: all[open.findIndex(({ version }) => version === current.version)]! };
    this.#changed();
  }

  #versions(): Pick<SealingSource, "open" | "current"> | undefined {
    try {
      const { open, current } = this.#source;
      return { open, current };
    } catch {
      // It was disposed.
      return undefined;
    }
  }

  #forget(): void {
    this.#turn++;
    this.#made.clear();
    if (this.#derived === undefined) return;
    this.#derived = undefined;
    this.#changed();
  }
}

/** The number is the same in every enclave: the last byte of the version. */
function keyOf(version: number, pair: ReturnType<typeof deriveSealingPair>): Promise<GatewayKey> {
  const own = ownPairOf(pair);
  return GatewayKey.create(version % 0x100, { primitives: { ...NODE_PRIMITIVES, generate: () => own } });
}
