import { MFD_CLOEXEC } from "../../ffi/layouts.ts";
import { DisposedError } from "../core/errors.ts";
import { cString, libc, systemCallError } from "./libc.ts";

/** Owner of one file descriptor: closed once, on dispose. Corresponds to `close`. */
export class Descriptor implements Disposable {
  #fd: number | undefined;

  /**
   * Takes a descriptor over.
   *
   * @param fd An open descriptor, owned from now on
   */
  constructor(fd: number) {
    this.#fd = fd;
  }

  /**
   * Makes a file in memory, without a name in any folder. Corresponds to `memfd_create` and `write`.
   *
   * @param name Name that `/proc` shows
   * @param content At least one byte
   * @throws {SystemCallError} When the kernel refuses
   */
  static memoryFile(name: string, content: Uint8Array<ArrayBuffer>): Descriptor {
    const { call } = libc();
    const fd = call.memfd_create(cString(name), MFD_CLOEXEC);
    const hint = "Is the enclave out of memory or descriptors?";
    if (fd < 0) throw systemCallError(`make a file in memory for ${name}`, "memfd_create", hint);
    using file = new Descriptor(fd);
    for (let offset = 0; offset < content.length;) {
      const written = call.write(fd, content.subarray(offset), content.length - offset);
      if (written <= 0) throw systemCallError(`fill the file in memory for ${name}`, "write", hint);
      offset += written;
    }
    return new Descriptor(file.release());
  }

  /**
   * Number of the descriptor.
   *
   * @throws {DisposedError} After dispose or release
   */
  get fd(): number {
    if (this.#fd === undefined) throw new DisposedError("Descriptor");
    return this.#fd;
  }

  /** Gives up ownership: the caller closes it. */
  release(): number {
    const { fd } = this;
    this.#fd = undefined;
    return fd;
  }

  /** Closes the descriptor. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    if (this.#fd === undefined) return;
    libc().call.close(this.release());
  }
}
