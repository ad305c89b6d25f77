import { setImmediate } from "node:timers";
import { type CedarImage, CedarInstance } from "./cedar_module.ts";

/**
 * An instance of Cedar that has parsed a policy, and another one in reserve.
 *
 * An instance that ran out of fuel or trapped is of no more use. The next caller gets the spare one, at once; a new
 * spare is made in a later turn of the event loop. It is copied and not parsed again, which takes 3 ms with ten
 * policies, 7 ms with 1000 (parsing them takes 0.2 s and more), and less than the fuel did that was used up. There is
 * no wait or refusal for anybody: when two instances are lost in one turn, whoever comes next waits for one copy.
 */
export class CedarSpare {
  readonly #image: CedarImage;
  #current: CedarInstance | undefined;
  #spare: CedarInstance | undefined;
  #isMaking = false;

  /**
   * Takes 3 ms or more, see above.
   *
   * @param parsed The instance that has parsed the policy, between two calls. What it did besides, such as a first
   * decision, the others need not do any more
   */
  constructor(parsed: CedarInstance) {
    this.#image = parsed.image();
    this.#current = parsed;
    this.#spare = new CedarInstance(this.#image);
  }

  /** How much memory an instance begins with, in bytes. */
  get firstBytes(): number {
    return this.#image.memory.length;
  }

  /**
   * Takes the instance that decides next. It is gone then: only {@link give} brings it back.
   *
   * @returns It
   */
  take(): CedarInstance {
    const instance = this.#current ?? this.#spare ?? new CedarInstance(this.#image);
    if (this.#current === undefined) this.#spare = undefined;
    this.#current = undefined;
    return instance;
  }

  /**
   * Ends what {@link take} began.
   *
   * @param instance The instance, if it may be used again
   */
  give(instance: CedarInstance | undefined): void {
    this.#current = instance;
    if (this.#spare !== undefined && instance !== undefined) return;
    if (this.#isMaking) return;
    this.#isMaking = true;
    // Nobody waits for it: a process that has nothing else to do may end.
    setImmediate(() => this.#replenish()).unref();
  }

  /** At most one instance in a turn. */
  #replenish(): void {
    this.#isMaking = false;
    if (this.#current === undefined) {
      this.#current = this.#spare;
      this.#spare = undefined;
    }
    this.#spare ??= new CedarInstance(this.#image);
  }
}
