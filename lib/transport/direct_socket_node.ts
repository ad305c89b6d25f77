import { Buffer } from "node:buffer";
import { Socket } from "node:net";
import { MIN_READ_BYTES, ReadBuffer } from "../core/read_buffer.ts";
import type { ConnectionStream } from "./connection.ts";

/** Bytes that may wait to be sent to the target before no more are read. */
const MAX_WAITING = 65_536;

/**
 * Memory of all quiet connections: what is read into it is copied before it is sent, so that nobody holds it after a
 * read. Thousands of idle connections would have thousands of pieces.
 */
const SHARED: Uint8Array = Buffer.allocUnsafeSlow(MIN_READ_BYTES);

/** Part of a socket of Node that is its connection. */
interface Handle {
  readonly useUserBuffer?: unknown;
}

/** Socket as far as its connection goes, which the types leave out. */
interface HandleOwner {
  _handle: Handle | null;
}

/** Reads of one socket, out of memory that is used again when it can be. */
class DirectReads {
  readonly #buffer = new ReadBuffer((size) => this.#allocate(size));
  /** Pieces of memory that were held by writes, and are free again: never more than wait at once. */
  #spare: Uint8Array[] | undefined;
  #socket: Socket | undefined;
  #target: ConnectionStream | undefined;

  /** Options of the socket. */
  readonly onread = {
    buffer: (): Uint8Array => this.#buffer.target,
    callback: (count: number, memory: Uint8Array): boolean => this.#read(count, memory),
  };

  /** Puts what is read into a socket, as usual. */
  readInto(socket: Socket): void {
    this.#socket = socket;
  }

  /** Writes what is read to a target, and reads on when that is not full any more. */
  passTo(target: ConnectionStream): void {
    this.#target = target;
    target.on("drain", () => this.#socket?.resume());
  }

  #read(count: number, memory: Uint8Array): boolean {
    const isShared = memory === SHARED;
    const read = memory.subarray(0, count);
    const bytes = isShared ? Buffer.from(read) : read;
    const target = this.#target;
    let isHeld = false;
    if (target === undefined) {
      this.#buffer.release(count, isShared);
      return this.#socket?.push(bytes) ?? false;
    }
    if (!target.writable) return false;
    target.write(bytes, () => {
      if (isHeld) (this.#spare ??= []).push(memory);
    });
    // What the kernel has taken at once is copied; all else holds the memory until it is sent.
    const { writableLength } = target;
    isHeld = writableLength > 0 && !isShared;
    this.#buffer.release(count, !isHeld);
    return writableLength < MAX_WAITING;
  }

  #allocate(size: number): Uint8Array {
    if (size === MIN_READ_BYTES) {
      this.#spare = undefined;
      return SHARED;
    }
    const spare = this.#spare?.pop();
    if (spare?.length === size) return spare;
    // The connection has become quieter, or busier.
    this.#spare = undefined;
    return Buffer.allocUnsafeSlow(size);
  }
}

/**
 * Socket of Node that can pass on what it reads out of one piece of memory: a socket that a server accepted takes 64 KiB
 * anew for each read, which is a third of what a bridge costs.
 */
class DirectSocket extends Socket {
  readonly #reads: DirectReads;

  constructor(handle: Handle) {
    const reads = new DirectReads();
    super({ handle, onread: reads.onread, allowHalfOpen: true } as ConstructorParameters<typeof Socket>[0]);
    this.#reads = reads;
    reads.readInto(this);
  }

  passTo(target: ConnectionStream): boolean {
    // Streams of other kinds may hold what they have taken.
    if (!(target instanceof Socket) || this.readableEnded || this.destroyed) return false;
    const ahead = this.read() as Uint8Array | null;
    if (ahead !== null) target.write(ahead);
    this.#reads.passTo(target);
    this.once("end", () => target.end());
    this.resume();
    return true;
  }
}

/**
 * Moves a connection that was just accepted or made to a socket that passes bytes on at less cost. The given socket is
 * done with then. Only `net.connect()` can be told where to read into; so this takes the connection out of the socket,
 * as Node does to send it to another process. Where that cannot be, the socket stays as it is.
 *
 * @param stream Socket that nobody has read, or another stream
 * @returns The stream to go on with
 */
export function toDirect(stream: ConnectionStream): ConnectionStream {
  if (!(stream instanceof Socket) || stream.constructor !== Socket || !isUntouched(stream)) return stream;
  const owner = stream as unknown as HandleOwner;
  const handle = owner._handle;
  if (handle === null || typeof handle.useUserBuffer !== "function") return stream;
  owner._handle = null;
  stream.destroy();
  return new DirectSocket(handle);
}

function isUntouched(socket: Socket): boolean {
  return !socket.connecting && !socket.destroyed && !socket.readableEnded && !socket.writableEnded &&
    socket.readableLength === 0 && socket.writableLength === 0;
}
