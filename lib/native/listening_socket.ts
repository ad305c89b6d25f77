import type net from "node:net";
import {
  AF_UNIX,
  AF_VSOCK,
  decodeSockaddrVm,
  encodeSockaddrVm,
  O_CLOEXEC,
  SO_ACCEPTCONN,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOCKADDR_VM,
  SOL_SOCKET,
} from "../../ffi/layouts.ts";
import { ConnectionError } from "../core/errors.ts";
import { Descriptor } from "./descriptor.ts";
import { errno, errnoName, libc } from "./libc.ts";

/** Address on vsock. */
export interface VsockAddress {
  /** Context id, 0 to 2^32 - 1. */
  readonly cid: number;
  /** Port, 0 to 2^32 - 1. */
  readonly port: number;
}

/** Likeliest causes of a failed listen, by `errno`. */
const LISTEN_HINTS: Readonly<Record<string, string>> = {
  EADDRINUSE: "Another process listens on that port: is the server running twice?",
  EADDRNOTAVAIL: "This machine does not have that CID: listen on 4294967295, which stands for any",
  EACCES: "A port below 1024 needs the capability CAP_NET_BIND_SERVICE: choose 1024 or above",
  EAFNOSUPPORT: "This kernel has no vsock: is this an enclave, with the vsock module loaded?",
  EMFILE: "This process is out of descriptors: is the limit (ulimit -n) too low?",
};

/**
 * Listening stream socket made through libc, on Node, which has no vsock of its own.
 *
 * Corresponds to `socket`, `bind` and `listen`.
 */
export class ListeningSocket implements Disposable {
  readonly #descriptor: Descriptor;
  readonly #backlog: number;

  private constructor(descriptor: Descriptor, backlog: number) {
    this.#descriptor = descriptor;
    this.#backlog = backlog;
  }

  /**
   * Listens on AF_VSOCK.
   *
   * @param address CID 2^32 - 1 is any, and so is port 2^32 - 1
   * @param backlog Number of connections that may wait to be accepted
   * @throws {ConnectionError} When the address is taken or there is no vsock; the hint says what to check
   */
  static listenVsock({ cid, port }: VsockAddress, backlog: number): ListeningSocket {
    return ListeningSocket.listen(AF_VSOCK, encodeSockaddrVm(cid, port), `vsock ${cid}:${port}`, backlog);
  }

  /**
   * Listens on a stream socket of any family.
   *
   * @param family `AF_VSOCK`, or `AF_UNIX` in tests
   * @param address The `struct sockaddr`
   * @param name The address, for messages
   * @param backlog Number of connections that may wait to be accepted
   */
  static listen(
    family: number,
    address: Uint8Array<ArrayBuffer>,
    name: string,
    backlog: number,
  ): ListeningSocket {
    using descriptor = boundSocket(family, address, name);
    if (libc().call.listen(descriptor.fd, backlog) !== 0) throw listenError(name);
    return new ListeningSocket(new Descriptor(descriptor.release()), backlog);
  }

  /** Vsock address that it is bound to; `undefined` for another family. Corresponds to `getsockname`. */
  get address(): VsockAddress | undefined {
    return vsockAddress(this.#descriptor.fd, libc().call.getsockname);
  }

  /**
   * Hands the socket to a server of Node's, which accepts from then on. Node adopts only descriptors whose kind
   * it knows, so it is given a fresh AF_UNIX socket, and in the same tick, before the loop has looked at it,
   * this socket takes that descriptor's place.
   *
   * @param server A server that does not listen yet; it owns the socket afterwards
   * @throws {ConnectionError} In a worker of node:cluster, whose servers do not listen themselves
   */
  handOver(server: net.Server): void {
    const listening = this.#descriptor.fd;
    using placeholder = boundSocket(AF_UNIX, encodeUnnamed(), "a socket");
    server.listen({ fd: placeholder.fd, backlog: this.#backlog });
    if (!server.listening) throw notHandedOver("is this a worker of node:cluster?");
    const fd = placeholder.release();
    // dup2() would let child processes inherit it, and the port would listen as long as they live.
    if (libc().call.dup3(listening, fd, O_CLOEXEC) < 0) {
      server.close();
      throw notHandedOver("is the process out of descriptors?");
    }
    if (descriptorOf(server) !== fd) {
      server.close();
      throw notHandedOver("does this version of Node keep descriptors to itself?");
    }
    this.#descriptor[Symbol.dispose]();
  }

  /** Stops listening, unless it was handed over. */
  [Symbol.dispose](): void {
    this.#descriptor[Symbol.dispose]();
  }
}

/**
 * Reads the address of the peer of a connection that a handed-over server accepted. The kernel says it, and the peer
 * cannot forge it. Corresponds to `getpeername`.
 *
 * @param socket Socket that the server gave
 * @returns The address; `undefined` when it is no vsock connection, or gone already
 */
export function vsockPeer(socket: net.Socket): VsockAddress | undefined {
  const fd = descriptorOf(socket);
  return fd === undefined ? undefined : vsockAddress(fd, libc().call.getpeername);
}

/**
 * Changes the backlog of a vsock socket of this process that listens already. Deno's listeners have a fixed backlog
 * of 128 and do not show their descriptors. Corresponds to `listen`.
 *
 * @param port Port that it listens on
 * @param backlog Number of connections that may wait to be accepted
 * @returns Whether there is such a socket
 */
export function setVsockBacklog(port: number, backlog: number): boolean {
  for (let fd = 0; fd < MAX_DESCRIPTORS; fd++) {
    if (vsockAddress(fd, libc().call.getsockname)?.port !== port || !isListening(fd)) continue;
    return libc().call.listen(fd, backlog) === 0;
  }
  return false;
}

/** Highest descriptor that is looked at: far more than a server opens before it listens. */
const MAX_DESCRIPTORS = 4096;

function isListening(fd: number): boolean {
  const value = new Uint8Array(new ArrayBuffer(4));
  const length = encodeLength(value);
  if (libc().call.getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, value, length) !== 0) return false;
  return value[0] === 1;
}

/**
 * Reads a socket's descriptor, for which Node has no public way. `_handle.fd` is undocumented and old (0.x to 26);
 * handOver() checks it before anything is accepted.
 */
function descriptorOf(owner: net.Server | net.Socket): number | undefined {
  const fd = (owner as { _handle?: { fd?: unknown } | null })._handle?.fd;
  return typeof fd === "number" && fd >= 0 ? fd : undefined;
}

function boundSocket(family: number, address: Uint8Array<ArrayBuffer>, name: string): Descriptor {
  const { call } = libc();
  const fd = call.socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) throw listenError(name);
  using descriptor = new Descriptor(fd);
  if (call.bind(fd, address, address.length) !== 0) throw listenError(name);
  return new Descriptor(descriptor.release());
}

/** Encodes an address of AF_UNIX for which Linux picks an abstract name: unix(7), "Autobind". */
function encodeUnnamed(): Uint8Array<ArrayBuffer> {
  const struct = new Uint8Array(new ArrayBuffer(2));
  new DataView(struct.buffer).setUint16(0, AF_UNIX, true);
  return struct;
}

type NameCall = (fd: number, address: Uint8Array<ArrayBuffer>, length: Uint8Array<ArrayBuffer>) => number;

function vsockAddress(fd: number, call: NameCall): VsockAddress | undefined {
  const struct = new Uint8Array(new ArrayBuffer(SOCKADDR_VM.size));
  return call(fd, struct, encodeLength(struct)) === 0 ? decodeSockaddrVm(struct) : undefined;
}

/** Encodes a `socklen_t` that C reads and writes. */
function encodeLength(struct: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const length = new Uint8Array(new ArrayBuffer(4));
  new DataView(length.buffer).setUint32(0, struct.length, true);
  return length;
}

function listenError(name: string): ConnectionError {
  const code = errnoName(errno());
  return new ConnectionError(`Cannot listen on ${name}: ${code}`, {
    hint: LISTEN_HINTS[code] ?? "Does this machine's kernel have vsock?",
  });
}

function notHandedOver(hint: string): ConnectionError {
  return new ConnectionError("Cannot hand the listening socket to Node", {
    hint: `Node did not take it as expected: ${hint}`,
  });
}
