import {
  AF_INET,
  encodeIfreq,
  IFF_UP,
  IFREQ,
  readIfreqFlags,
  SIOCGIFFLAGS,
  SIOCSIFFLAGS,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
} from "../../ffi/layouts.ts";
import { Descriptor } from "./descriptor.ts";
import { errno, errnoName, libc, systemCallError } from "./libc.ts";
import { NativeMemory } from "./native_memory.ts";

/** Likeliest causes of a failed call, by `errno`. */
const HINTS: Readonly<Record<string, string>> = {
  EPERM: "Only root, or a process with CAP_NET_ADMIN, may raise an interface: run as root in the enclave",
  ENODEV: "This kernel has no interface of that name",
  EAFNOSUPPORT: "This kernel has no IPv4",
};

/**
 * Network interface of the kernel, by its name.
 *
 * Corresponds to `ioctl` with SIOCGIFFLAGS and SIOCSIFFLAGS on a socket of `AF_INET`.
 */
export class NetworkInterface implements Disposable {
  readonly #name: string;
  readonly #socket: Descriptor;

  private constructor(name: string, socket: Descriptor) {
    this.#name = name;
    this.#socket = socket;
  }

  /**
   * Opens an interface, which need not exist yet.
   *
   * @param name Name, 1 to 15 bytes of ASCII: `lo`
   * @throws {SystemCallError} When this kernel has no IPv4, or the process no descriptor left
   */
  static open(name: string): NetworkInterface {
    const fd = libc().call.socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) throw interfaceError(`look at the network interface ${name}`, "socket");
    return new NetworkInterface(name, new Descriptor(fd));
  }

  /**
   * Whether it is up.
   *
   * @throws {SystemCallError} When there is no such interface
   */
  get isUp(): boolean {
    return (this.#flags & IFF_UP) !== 0;
  }

  /**
   * Raises the interface, and leaves its other flags. Linux gives `lo` its address 127.0.0.1 then.
   *
   * @throws {SystemCallError} When there is no such interface, or this process may not raise it
   */
  raise(): void {
    this.#control(`raise the network interface ${this.#name}`, SIOCSIFFLAGS, this.#flags | IFF_UP);
  }

  /** Closes the socket that asks. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }

  get #flags(): number {
    return readIfreqFlags(this.#control(`look at the network interface ${this.#name}`, SIOCGIFFLAGS, 0));
  }

  #control(action: string, request: number, flags: number): Uint8Array<ArrayBuffer> {
    using memory = NativeMemory.create(IFREQ.size);
    memory.write(encodeIfreq(this.#name, flags));
    if (libc().call.ioctl(this.#socket.fd, request, memory.pointer) !== 0) {
      throw interfaceError(action, "ioctl");
    }
    return memory.read(IFREQ.size);
  }
}

function interfaceError(action: string, cFunction: string): Error {
  const code = errno();
  return systemCallError(action, cFunction, HINTS[errnoName(code)] ?? "Is this Linux, with a network?", code);
}
