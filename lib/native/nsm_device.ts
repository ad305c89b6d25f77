import {
  encodeNsmMessage,
  NSM_IOCTL,
  NSM_MESSAGE,
  NSM_REQUEST_MAX_BYTES,
  NSM_RESPONSE_MAX_BYTES,
  O_CLOEXEC,
  O_RDWR,
  readNsmResponseLength,
} from "../../ffi/layouts.ts";
import { AttestationError, DisposedError } from "../core/errors.ts";
import { runBlocking } from "./blocking_calls.ts";
import { Descriptor } from "./descriptor.ts";
import { cString, errno, errnoName, libc } from "./libc.ts";
import { NativeMemory } from "./native_memory.ts";

/** Path of the Nitro Secure Module's device. */
export const NSM_DEVICE_PATH = "/dev/nsm";

/**
 * Nitro Secure Module of this enclave: one CBOR request in, one CBOR answer out.
 *
 * The driver takes one request at a time and may take up to 120 s, so every request runs on another
 * thread. A device that is disposed while requests run is closed when the last one returns.
 *
 * Corresponds to `open`, `ioctl` with request 0xC0200A00, and `close`.
 */
export class NsmDevice implements Disposable {
  readonly #device: Descriptor;
  #callsInC = 0;
  #disposed = false;

  private constructor(device: Descriptor) {
    this.#device = device;
  }

  /**
   * Opens the device.
   *
   * @param path Path of the device
   * @throws {AttestationError} When there is none, or it may not be opened
   */
  static open(path: string = NSM_DEVICE_PATH): NsmDevice {
    const fd = libc().call.open(cString(path), O_RDWR | O_CLOEXEC, 0);
    if (fd >= 0) return new NsmDevice(new Descriptor(fd));
    const name = errnoName(errno());
    throw new AttestationError("UNAVAILABLE", `Cannot open ${path}: open failed with ${name}`, {
      hint: OPEN_HINTS[name] ?? NOT_INSIDE,
    });
  }

  /**
   * Sends one request.
   *
   * @param request CBOR, 1 to 4096 bytes
   * @returns The answer, CBOR of at most 12288 bytes
   * @throws {AttestationError} When the driver reports an error
   */
  async exchange(request: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
    if (this.#disposed) throw new DisposedError("NsmDevice");
    if (request.length > NSM_REQUEST_MAX_BYTES) {
      throw new RangeError(
        `An NSM request has at most ${NSM_REQUEST_MAX_BYTES} bytes, not ${request.length}`,
      );
    }
    this.#callsInC++;
    try {
      return await this.#ioctl(request);
    } finally {
      this.#callsInC--;
      this.#closeIfUnused();
    }
  }

  /** Closes the device, once no request runs. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#closeIfUnused();
  }

  async #ioctl(request: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
    using input = NativeMemory.create(request.length);
    using output = NativeMemory.create(NSM_RESPONSE_MAX_BYTES);
    using message = NativeMemory.create(NSM_MESSAGE.size);
    input.write(request);
    message.write(encodeNsmMessage(input.extent, output.extent));
    const code = await runBlocking(
      "nsm",
      () => libc().callAsync.ioctl(this.#device.fd, NSM_IOCTL, message.pointer),
    );
    const length = readNsmResponseLength(message.read(message.length));
    if (code !== 0 || length === 0 || length > NSM_RESPONSE_MAX_BYTES) throw ioctlFailure(code);
    return output.read(length);
  }

  #closeIfUnused(): void {
    if (this.#disposed && this.#callsInC === 0) this.#device[Symbol.dispose]();
  }
}

const NOT_INSIDE = "Is this process inside a Nitro Enclave? On a laptop, use the simulator and its `nsm`";
const FORBIDDEN =
  "The device is there, but not for this user: run as root, or let the user read and write it";
const NO_DESCRIPTORS =
  "There are no descriptors left: is the limit (ulimit -n) too low, or does something leak them?";

const OPEN_HINTS: Readonly<Record<string, string>> = {
  EACCES: FORBIDDEN,
  EPERM: FORBIDDEN,
  ENODEV: "The kernel has no driver behind it: is the module nsm loaded?",
  ENXIO: "The kernel has no driver behind it: is the module nsm loaded?",
  EMFILE: NO_DESCRIPTORS,
  ENFILE: NO_DESCRIPTORS,
};

function ioctlFailure(code: number): AttestationError {
  return new AttestationError("UNAVAILABLE", `Cannot ask the NSM: ioctl returned ${code}`, {
    hint: "The driver answered with an error or nothing at all; the kernel's log may say why",
  });
}
