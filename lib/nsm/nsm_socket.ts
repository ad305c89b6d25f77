import { Buffer } from "node:buffer";
import type { Duplex } from "node:stream";
import { connectUnix } from "#connect-unix";
import type { NsmTransport } from "./nsm_transport.ts";
import { AttestationError } from "../core/errors.ts";
import { missingRight } from "../core/missing_right.ts";

const HEADER_LENGTH = 4;

/** Longest answer of a real module: 12288 bytes. */
const MAX_ANSWER_LENGTH = 0x3000;

/**
 * Transport to a simulated Nitro Secure Module in another process, as `SoftwareNsm.listen` of `enclave-kms/sim`
 * serves it: a length as an unsigned 32-bit big-endian number, then CBOR, both ways; here one connection to a
 * request.
 */
export class NsmSocket implements NsmTransport {
  readonly #path: string;
  readonly #sockets = new Set<Duplex>();

  /**
   * Connects nothing yet.
   *
   * @param path Path of the unix socket
   */
  constructor(path: string) {
    this.#path = path;
  }

  /** Exchanges as {@link NsmTransport.exchange} does. */
  async exchange(request: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
    let socket: Duplex | undefined;
    try {
      socket = await connectUnix(this.#path);
      this.#sockets.add(socket);
      const header = Buffer.alloc(HEADER_LENGTH);
      header.writeUInt32BE(request.length);
      socket.write(Buffer.concat([header, request]));
      return await readMessage(socket);
    } catch (cause) {
      const right = missingRight(cause);
      throw new AttestationError("UNAVAILABLE", "Cannot ask the simulated NSM: its socket does not answer", {
        hint: right ??
          "Is a simulator listening on the socket that --nsm names? In an enclave, leave --nsm out",
        cause,
      });
    } finally {
      if (socket !== undefined) this.#sockets.delete(socket);
      socket?.destroy();
    }
  }

  /** Breaks off the running requests. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}

async function readMessage(socket: Duplex): Promise<Uint8Array> {
  let pending = Buffer.alloc(0);
  for await (const chunk of socket) {
    pending = Buffer.concat([pending, chunk as Buffer]);
    if (pending.length < HEADER_LENGTH) continue;
    const end = HEADER_LENGTH + pending.readUInt32BE();
    if (end > HEADER_LENGTH + MAX_ANSWER_LENGTH) break;
    if (pending.length >= end) return new Uint8Array(pending.subarray(HEADER_LENGTH, end));
  }
  throw new Error("The socket ended before the answer");
}
