import net from "node:net";
import {
  AF_UNIX,
  AF_VSOCK,
  EINPROGRESS,
  encodePollfd,
  encodeSockaddrVm,
  encodeTimeval,
  ETIMEDOUT,
  O_CLOEXEC,
  SO_ERROR,
  SO_VM_SOCKETS_CONNECT_TIMEOUT,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
} from "../../ffi/layouts.ts";
import { ConnectionError, TimeoutError } from "../core/errors.ts";
import { runBlocking } from "./blocking_calls.ts";
import { Descriptor } from "./descriptor.ts";
import { errno, errnoName, libc, systemCallError } from "./libc.ts";

/** Likeliest causes of a failed connect, by `errno`. */
const CONNECT_HINTS: Readonly<Record<string, string>> = {
  ECONNRESET: "Nothing listens on that port, or its backlog is full: is the proxy running on the parent?",
  ECONNREFUSED: "Nothing listens there: is the proxy running?",
  ENODEV: "No machine has that CID, or this kernel has no vsock device: is this an enclave?",
  ENETUNREACH: "No machine has that CID, or this kernel has no vsock device: is this an enclave?",
  EAFNOSUPPORT: "This kernel has no vsock: is this an enclave, with the vsock module loaded?",
  EACCES: "Do seccomp or SELinux forbid this process to use vsock?",
};

/**
 * Connected stream socket made through libc, on Node, which has no vsock of its own.
 *
 * Corresponds to `socket`, `connect` and `poll`.
 */
export class SocketDescriptor implements Disposable {
  readonly #descriptor: Descriptor;

  private constructor(descriptor: Descriptor) {
    this.#descriptor = descriptor;
  }

  /**
   * Connects over AF_VSOCK without blocking the event loop.
   *
   * @param cid 0 to 2^32 - 1
   * @param port 0 to 2^32 - 1
   * @param timeoutMs Milliseconds to wait, at least 1
   * @throws {ConnectionError} When the peer refuses or there is no vsock; the hint says what to check
   * @throws {TimeoutError} When there is no answer in time
   */
  static connectVsock(cid: number, port: number, timeoutMs: number): Promise<SocketDescriptor> {
    return SocketDescriptor.connect(AF_VSOCK, encodeSockaddrVm(cid, port), `vsock ${cid}:${port}`, timeoutMs);
  }

  /**
   * Connects a stream socket of any family.
   *
   * @param family `AF_VSOCK`, or `AF_UNIX` in tests
   * @param address The `struct sockaddr`
   * @param name The peer, for messages
   * @param timeoutMs Milliseconds to wait, at least 1
   */
  static async connect(
    family: number,
    address: Uint8Array<ArrayBuffer>,
    name: string,
    timeoutMs: number,
  ): Promise<SocketDescriptor> {
    using descriptor = openSocket(family);
    const { fd } = descriptor;
    if (family === AF_VSOCK) setConnectTimeout(fd, timeoutMs);
    if (libc().call.connect(fd, address, address.length) !== 0) {
      const code = errno();
      if (code !== EINPROGRESS) throw connectError(name, code);
      await waitUntilWritable(fd, name, timeoutMs);
    }
    return new SocketDescriptor(new Descriptor(descriptor.release()));
  }

  /**
   * Hands the connection to Node's event loop. Node adopts only descriptors whose kind it knows, so it is
   * given a fresh AF_UNIX socket, and in the same tick, before the loop has looked at it, this connection
   * takes that descriptor's place.
   *
   * @returns A socket that owns the connection
   */
  handOver(): net.Socket {
    const connection = this.#descriptor.fd;
    using placeholder = openSocket(AF_UNIX);
    const socket = new net.Socket({ fd: placeholder.fd, readable: true, writable: true });
    const fd = placeholder.release();
    // dup2() would let child processes inherit it, and the connection would last as long as they.
    if (libc().call.dup3(connection, fd, O_CLOEXEC) < 0) {
      socket.destroy();
      throw systemCallError("hand the connection to Node", "dup3", "Is the process out of descriptors?");
    }
    this.#descriptor[Symbol.dispose]();
    return socket;
  }

  /** Closes the connection, unless it was handed over. */
  [Symbol.dispose](): void {
    this.#descriptor[Symbol.dispose]();
  }
}

function openSocket(family: number): Descriptor {
  const fd = libc().call.socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd >= 0) return new Descriptor(fd);
  const code = errno();
  throw connectError(family === AF_VSOCK ? "vsock" : "a socket", code);
}

/** Raises the two seconds after which Linux gives up by itself. A kernel that refuses keeps its two seconds. */
function setConnectTimeout(fd: number, timeoutMs: number): void {
  const duration = encodeTimeval(timeoutMs);
  libc().call.setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, duration, duration.length);
}

async function waitUntilWritable(fd: number, name: string, timeoutMs: number): Promise<void> {
  const ready = await runBlocking(
    "other",
    () => libc().callAsync.poll(encodePollfd(fd), 1, Math.ceil(timeoutMs)),
  );
  const code = ready === 0 ? ETIMEDOUT : pendingError(fd);
  if (code === ETIMEDOUT) {
    throw new TimeoutError(`Cannot connect to ${name}: no answer within ${Math.ceil(timeoutMs)} ms`, {
      stage: "connect",
      hint: "Does nobody have that CID, or is its machine overloaded? In an enclave the parent is CID 3",
    });
  }
  if (code !== 0) throw connectError(name, code);
}

function pendingError(fd: number): number {
  const value = new Uint8Array(new ArrayBuffer(4));
  const length = new Uint8Array(new ArrayBuffer(4));
  new DataView(length.buffer).setUint32(0, value.length, true);
  if (libc().call.getsockopt(fd, SOL_SOCKET, SO_ERROR, value, length) !== 0) return errno();
  return new DataView(value.buffer).getInt32(0, true);
}

function connectError(name: string, code: number): ConnectionError {
  return new ConnectionError(`Cannot connect to ${name}: ${errnoName(code)}`, {
    hint: CONNECT_HINTS[errnoName(code)] ?? "Is the proxy running on the parent, and vsock in this kernel?",
  });
}
