/**
 * Unix sockets for tests. Deno 2.9.5 closes those of node:net twice, and so what another thread, such as one that
 * loads a module or the C library, has opened in between: a test that has nothing to do with it fails.
 *
 * @module
 */
import { renameSync } from "node:fs";
import { connect } from "node:net";
import type { Duplex } from "node:stream";
import { type ByteConn, ConnStream } from "../../lib/core/conn_stream.ts";
import { listen } from "../../lib/transport/listen.ts";

/** Connection over a unix socket. */
export type UnixStream = Duplex & { setTimeout(timeoutMs: number, callback?: () => void): unknown };

/**
 * Connects in the background, as `connect()` of node:net does.
 *
 * @param path Path of the socket
 * @param options `allowHalfOpen`: whether it stays open after the peer has ended. Default: false
 * @returns The stream, which emits `connect`, and may be written to before
 */
export function dialUnix(path: string, options: { allowHalfOpen?: boolean } = {}): UnixStream {
  const { Deno } = globalThis as unknown as { Deno?: DenoPart };
  if (Deno === undefined) return connect({ path, ...options });
  const opening = Deno.connect({ transport: "unix", path });
  const stream = new ConnStream(new OpeningConn(opening), options);
  opening.then(() => stream.emit("connect"), (error: Error) => stream.destroy(error));
  return stream;
}

/**
 * Leaves a socket behind as a process does that is killed.
 *
 * @param path Path of the socket, which nobody serves
 */
export async function leaveSocket(path: string): Promise<void> {
  const hidden = `${path}.alive`;
  await using _listener = await listen({ transport: "unix", path: hidden }, {}, () => {});
  // Under another name the listener does not find it to remove it.
  renameSync(hidden, path);
}

/** Part of Deno that connects. */
interface DenoPart {
  connect(options: { readonly transport: "unix"; readonly path: string }): Promise<ByteConn>;
}

/** Connection that is used before it is open. */
class OpeningConn implements ByteConn {
  readonly #opening: Promise<ByteConn>;

  constructor(opening: Promise<ByteConn>) {
    this.#opening = opening;
  }

  async read(buffer: Uint8Array): Promise<number | null> {
    return await (await this.#opening).read(buffer);
  }

  async write(bytes: Uint8Array): Promise<number> {
    return await (await this.#opening).write(bytes);
  }

  async closeWrite(): Promise<void> {
    await (await this.#opening).closeWrite();
  }

  close(): void {
    this.#opening.then((conn) => conn.close(), () => {});
  }

  ref(): void {
    this.#opening.then((conn) => conn.ref(), () => {});
  }

  unref(): void {
    this.#opening.then((conn) => conn.unref(), () => {});
  }
}
