import { createServer, type Server, type Socket } from "node:net";

/**
 * The messages of the vhost-user protocol that want an answer, and the one flag of theirs that matters here.
 */
const GET_FEATURES = 1;
const GET_VRING_BASE = 11;
const GET_PROTOCOL_FEATURES = 15;
const GET_CONFIG = 24;
const REPLY = 4;

const HEADER_BYTES = 12;
const CONFIG_HEADER_BYTES = 12;

/** VIRTIO_F_VERSION_1 and VHOST_USER_F_PROTOCOL_FEATURES. */
const FEATURES = (1n << 32n) | (1n << 30n);
/** VHOST_USER_PROTOCOL_F_CONFIG. */
const PROTOCOL_FEATURES = 1n << 9n;

/**
 * A vhost-user-vsock device for qemu that gives a guest its CID and carries nothing: its queues are never
 * looked at. What the guest sends to its own CID, the guest's kernel loops back (vsock_loopback); what it
 * sends anywhere else meets silence. No /dev/vhost-vsock and no AF_VSOCK on the host.
 *
 * See docs/interop/vhost-user in qemu, and Virtio 1.2, section 5.10.4.
 *
 * @param path The unix socket that qemu connects to
 * @param cid The guest's
 */
export function serveCid(path: string, cid: number): Promise<Server> {
  const server = createServer((socket) => answerAll(socket, cid));
  return new Promise((resolve, reject) => {
    server.on("error", reject);
    server.listen(path, () => resolve(server));
  });
}

function answerAll(socket: Socket, cid: number): void {
  let pending = Buffer.alloc(0);
  socket.on("error", () => socket.destroy());
  // Node drops the descriptors that come with some messages, which closes them: nobody here wants them.
  socket.on("data", (chunk: Buffer) => {
    pending = Buffer.concat([pending, chunk]);
    for (let end; (end = messageEnd(pending)) <= pending.length; pending = pending.subarray(end)) {
      const reply = replyTo(pending.readUInt32LE(0), pending.subarray(HEADER_BYTES, end), cid);
      if (reply !== undefined) socket.write(message(pending.readUInt32LE(0), reply));
    }
  });
}

function messageEnd(bytes: Buffer): number {
  return bytes.length < HEADER_BYTES ? HEADER_BYTES : HEADER_BYTES + bytes.readUInt32LE(8);
}

function message(request: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32LE(request, 0);
  header.writeUInt32LE(1 | REPLY, 4); // version 1
  header.writeUInt32LE(payload.length, 8);
  return Buffer.concat([header, payload]);
}

function replyTo(request: number, payload: Buffer, cid: number): Buffer | undefined {
  switch (request) {
    case GET_FEATURES:
      return encodeU64(FEATURES);
    case GET_PROTOCOL_FEATURES:
      return encodeU64(PROTOCOL_FEATURES);
    case GET_VRING_BASE:
      return Buffer.concat([payload.subarray(0, 4), Buffer.alloc(4)]);
    case GET_CONFIG:
      return Buffer.concat([payload.subarray(0, CONFIG_HEADER_BYTES), encodeU64(BigInt(cid))]);
    default:
      return undefined;
  }
}

function encodeU64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes;
}
