import {
  encodeRandPoolInfo,
  EPERM,
  O_CLOEXEC,
  O_RDONLY,
  O_WRONLY,
  RAND_POOL_INFO,
  RNDADDENTROPY,
  RNDRESEEDCRNG,
} from "../../ffi/layouts.ts";
import { Descriptor } from "./descriptor.ts";
import { cString, errno, errnoName, libc, systemCallError } from "./libc.ts";
import { NativeMemory } from "./native_memory.ts";

/** Path of the device at which the kernel takes random bytes from programs. */
export const RANDOM_DEVICE_PATH = "/dev/random";

const MAX_SOURCE_LENGTH = 128;

const FORBIDDEN = /^(?:EACCES|EPERM|EROFS)$/;

/**
 * Kernel's generator of random numbers, which can be given bytes. None of its calls waits.
 *
 * Corresponds to `open`, `ioctl` with RNDADDENTROPY and RNDRESEEDCRNG, `write` and `close`.
 */
export class KernelRandom implements Disposable {
  readonly #device: Descriptor;

  private constructor(device: Descriptor) {
    this.#device = device;
  }

  /**
   * Opens the device.
   *
   * @param path Path of the device
   * @throws {SystemCallError} When there is none, or it may not be opened
   */
  static open(path: string = RANDOM_DEVICE_PATH): KernelRandom {
    const fd = libc().call.open(cString(path), O_WRONLY | O_CLOEXEC, 0);
    if (fd >= 0) return new KernelRandom(new Descriptor(fd));
    const nativeCode = errno();
    const hint = FORBIDDEN.test(errnoName(nativeCode))
      ? "May this process write to the device? Any user may by default: is it seccomp, or the device's mode?"
      : "Is /dev mounted in this enclave?";
    throw systemCallError(`open ${path}`, "open", hint, nativeCode);
  }

  /**
   * Mixes bytes into the kernel's pool, and credits every bit of them where this process is allowed to.
   *
   * @param bytes Random bytes, at least 1. Copies of them are wiped
   * @returns Whether they were credited; without CAP_SYS_ADMIN they are mixed in all the same
   * @throws {SystemCallError} When it is no such device, or does not take them
   */
  add(bytes: Uint8Array): boolean {
    const struct = encodeRandPoolInfo(bytes);
    try {
      using memory = NativeMemory.create(struct.length);
      memory.write(struct);
      if (libc().call.ioctl(this.#device.fd, RNDADDENTROPY, memory.pointer) === 0) return true;
      const nativeCode = errno();
      const hint = "Is that the kernel's own /dev/random?";
      if (nativeCode !== EPERM) throw systemCallError("seed the kernel", "ioctl", hint, nativeCode);
      this.#mix(struct.subarray(RAND_POOL_INFO.buf));
      return false;
    } finally {
      struct.fill(0);
    }
  }

  /**
   * Makes the kernel draw from its pool now, instead of up to a minute later (five minutes before Linux 5.18).
   *
   * @returns Whether the kernel reports that it did. It does not without CAP_SYS_ADMIN, before Linux 4.17, and while
   *   the pool is not full. Before Linux 5.12 and the stable releases with its fix, it reports so and only stirs its
   *   old state
   */
  reseed(): boolean {
    using unread = NativeMemory.create(1);
    return libc().call.ioctl(this.#device.fd, RNDRESEEDCRNG, unread.pointer) === 0;
  }

  /** Closes the device. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    this.#device[Symbol.dispose]();
  }

  #mix(bytes: Uint8Array<ArrayBuffer>): void {
    const written = libc().call.write(this.#device.fd, bytes, bytes.length);
    if (written === bytes.length) return;
    throw systemCallError(
      "mix bytes into the kernel's pool",
      "write",
      "Is that the kernel's own /dev/random?",
    );
  }
}

/**
 * Reads the name of the hardware that the kernel draws random bytes from. Goes through libc, since Deno's
 * `--allow-read` does not reach into /sys.
 *
 * @param path File in which the kernel names it
 * @returns A name such as `nsm-hwrng`; undefined when there is none, or it must not be read
 */
export function readHardwareSource(path: string): string | undefined {
  const { call } = libc();
  const fd = call.open(cString(path), O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0) return undefined;
  using file = new Descriptor(fd);
  const buffer = new Uint8Array(new ArrayBuffer(MAX_SOURCE_LENGTH));
  const length = call.read(file.fd, buffer, buffer.length);
  const name = new TextDecoder().decode(buffer.subarray(0, Math.max(0, length))).trim();
  return name === "" || name === "none" ? undefined : name;
}
