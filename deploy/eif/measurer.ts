import type { SectionType } from "./format.ts";
import { extendZeros, type NewSha384, type Sha384 } from "./sha384.ts";

/** Measurements of an image, 48 bytes each. */
export interface ImagePcrs {
  /** Kernel, command line and all ramdisks. */
  readonly 0: Uint8Array;
  /** Kernel, command line and the first ramdisk. */
  readonly 1: Uint8Array;
  /** Ramdisks after the first one. With one ramdisk it is the value of no bytes at all, the same for every image. */
  readonly 2: Uint8Array;
}

/**
 * Measures an image as the hypervisor does: each PCR is SHA-384 over 48 zero bytes and the SHA-384 of the contents. The
 * header, metadata and the signature are not measured.
 */
export class Measurer {
  readonly #image: Sha384;
  readonly #bootstrap: Sha384;
  readonly #application: Sha384;
  #ramdisks = 0;

  /** @param newHash Maker of the hashes */
  constructor(newHash: NewSha384) {
    this.#image = newHash();
    this.#bootstrap = newHash();
    this.#application = newHash();
  }

  /**
   * Begins a section.
   *
   * @param type Its kind
   * @returns Takes the section's content in, piece by piece
   */
  begin(type: SectionType): (bytes: Uint8Array) => void {
    if (type === "metadata" || type === "signature") return () => {};
    const isApplication = type === "ramdisk" && this.#ramdisks++ > 0;
    const part = isApplication ? this.#application : this.#bootstrap;
    return (bytes) => {
      this.#image.update(bytes);
      part.update(bytes);
    };
  }

  /** Ends the measuring. */
  async finish(): Promise<ImagePcrs> {
    const [image, bootstrap, application] = await Promise.all(
      [this.#image, this.#bootstrap, this.#application].map(async (hash) => extendZeros(await hash.digest())),
    );
    return { 0: image!, 1: bootstrap!, 2: application! };
  }
}
