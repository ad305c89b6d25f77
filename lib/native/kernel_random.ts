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

/** Where the kernel takes random bytes from its programs. */
export const RANDOM_DEVICE_PATH = "/dev/random";

const MAX_SOURCE_LENGTH = 128;

const FORBIDDEN = /^(?:EACCES|EPERM|EROFS)$/;

/**
 * The kernel's generator of random numbers, to be given bytes. None of its calls waits for anything.
 *
 * Corresponds to `open`, `ioctl` with RNDADDENTROPY and RNDRESEEDCRNG, `write` and `close`.
 */
export class KernelRandom implements Disposable {
  readonly #device: Descriptor;

  private constructor(device: Descriptor) {
    this.#device = device;
  }

  /**
   * @param path The device
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
   * Mixes bytes into the kernel's pool, and has it count every bit of them where this process may.
   *
   * @param bytes Random ones, at least 1. What is copied of them is wiped
   * @returns Whether they count; without CAP_SYS_ADMIN they are mixed in all the same
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
   * Has the kernel draw from its pool now, and not when it would have next: up to a minute later, or five
   * before Linux 5.18.
   *
   * @returns Whether it says so; not without CAP_SYS_ADMIN, before Linux 4.17, and while the pool is not full.
   *   Before Linux 5.12, and its stable releases' copies of that mend, it says so and only stirs what it had
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
 * The hardware that the kernel draws random bytes from. Read through libc: Deno's own `--allow-read` does not
 * reach into /sys.
 *
 * @param path Where the kernel names it
 * @returns Such as `nsm-hwrng`; undefined when there is none, or its name may not be read
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
