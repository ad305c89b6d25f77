import { clearTimeout, setTimeout } from "node:timers";
import type { BootKeys } from "../boot_keys.ts";
import { GatewayKey } from "../../lib/wire/oblivious_http.ts";
import { NODE_PRIMITIVES } from "./node_primitives.ts";
import { type SealingSource, SharedSealKeys } from "./shared_seal_keys.ts";

/** Keys of this boot, as far as a sealed channel needs them: documents vouch for what is in them. */
export type VouchedKeys = Pick<BootKeys, "bootId" | "add" | "replace">;

/** Name of the key in the digest of a boot's keys. */
export const SEAL_KEY_NAME = "seal";

/**
 * Keys that requests are sealed to: the one that new documents vouch for, and the one before, which old documents do.
 * A key is used for one period, and opens requests for another.
 *
 * The private keys of a boot live in this process only, so that neither another enclave of the same image nor this one
 * after a restart opens what was sealed to them. Those of a shared key are every enclave's that has it: see
 * {@link SealKeys.share}.
 */
export class SealKeys implements Disposable {
  readonly #vouched: VouchedKeys;
  readonly #timer: ReturnType<typeof setTimeout>;
  #current: GatewayKey;
  #previous: GatewayKey | undefined;
  #shared: SharedSealKeys | undefined;

  private constructor(vouched: VouchedKeys, current: GatewayKey, rotateMs: number) {
    this.#vouched = vouched;
    this.#current = current;
    this.#timer = setTimeout(() => {
      // Without a new key the old one stays, until the next time.
      void this.rotate().catch(() => {}).finally(() => this.#timer.refresh());
    }, rotateMs);
    this.#timer.unref();
  }

  /**
   * Makes the first key.
   *
   * @param vouched Keys of this boot, which get the key under the name `seal`
   * @param rotateMs Milliseconds until the next key
   */
  static async create(vouched: VouchedKeys, rotateMs: number): Promise<SealKeys> {
    const [id = 0] = crypto.getRandomValues(new Uint8Array(1));
    const key = await GatewayKey.create(id, { primitives: NODE_PRIMITIVES });
    vouched.add(SEAL_KEY_NAME, key.publicKey);
    return new SealKeys(vouched, key, rotateMs);
  }

  /** Key that new documents vouch for. */
  get current(): GatewayKey {
    return this.#shared?.current ?? this.#current;
  }

  /**
   * Finds the keys with a number. A key of this boot may have the same one as a shared key.
   *
   * @param id First byte of an encapsulated request
   */
  find(id: number | undefined): readonly GatewayKey[] {
    return this.all.filter((key) => key.id === id);
  }

  /** Keys that open requests, the newest of a shared key first. */
  get all(): readonly GatewayKey[] {
    const own = this.#previous === undefined ? [this.#current] : [this.#current, this.#previous];
    return [...this.#shared?.all ?? [], ...own];
  }

  /**
   * Tells a key that other enclaves have, too.
   *
   * @param key Key of {@link SealKeys.all}
   */
  isShared(key: GatewayKey): boolean {
    return this.#shared?.all.includes(key) ?? false;
  }

  /**
   * Has documents vouch for keys that are derived from a shared key, until that is disposed. Keys of this boot still
   * open what was sealed to them.
   *
   * @param source Shared key, a data key; not owned
   * @throws {TypeError} When there is one already
   */
  async share(source: SealingSource): Promise<void> {
    if (this.#shared !== undefined) throw new TypeError("Cannot seal with shared key: there is one already");
    this.#shared = new SharedSealKeys(source, () => this.#vouch());
    await this.#shared.settle();
  }

  /**
   * Looks for the version of a shared key that a request may have been sealed to.
   *
   * @param id First byte of an encapsulated request
   */
  async lookFor(id: number | undefined): Promise<void> {
    if (id !== undefined && this.find(id).length === 0) await this.#shared?.lookForUnknown();
  }

  /** Makes the next key, and forgets the one before the last. */
  async rotate(): Promise<void> {
    const key = await GatewayKey.create((this.#current.id + 1) % 0x100, { primitives: NODE_PRIMITIVES });
    this.#previous = this.#current;
    this.#current = key;
    this.#vouch();
  }

  /** Stops the timer, and forgets shared keys. */
  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#shared?.[Symbol.dispose]();
  }

  #vouch(): void {
    this.#vouched.replace(SEAL_KEY_NAME, this.current.publicKey);
  }
}
