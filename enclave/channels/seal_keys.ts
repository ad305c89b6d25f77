import { clearTimeout, setTimeout } from "node:timers";
import type { BootKeys } from "../boot_keys.ts";
import { GatewayKey } from "../../lib/wire/oblivious_http.ts";
import { NODE_PRIMITIVES } from "./node_primitives.ts";

/** Keys of this boot, as far as a sealed channel needs them: documents vouch for what is in them. */
export type VouchedKeys = Pick<BootKeys, "bootId" | "add" | "replace">;

/** Name of the key in the digest of a boot's keys. */
export const SEAL_KEY_NAME = "seal";

/**
 * Keys that requests are sealed to: the one that new documents vouch for, and the one before, which old documents do.
 * A key is used for one period, and opens requests for another.
 *
 * The private keys live in this process only, so that neither another enclave of the same image nor this one after a
 * restart opens what was sealed to them.
 */
export class SealKeys implements Disposable {
  readonly #vouched: VouchedKeys;
  readonly #timer: ReturnType<typeof setTimeout>;
  #current: GatewayKey;
  #previous: GatewayKey | undefined;

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
    return this.#current;
  }

  /**
   * Finds a key by its number.
   *
   * @param id First byte of an encapsulated request
   */
  find(id: number | undefined): GatewayKey | undefined {
    return this.all.find((key) => key.id === id);
  }

  /** Keys that open requests, the newest first. */
  get all(): readonly GatewayKey[] {
    return this.#previous === undefined ? [this.#current] : [this.#current, this.#previous];
  }

  /** Makes the next key, and forgets the one before the last. */
  async rotate(): Promise<void> {
    const key = await GatewayKey.create((this.#current.id + 1) % 0x100, { primitives: NODE_PRIMITIVES });
    this.#previous = this.#current;
    this.#current = key;
    this.#vouched.replace(SEAL_KEY_NAME, key.publicKey);
  }

  /** Stops the timer. */
  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
