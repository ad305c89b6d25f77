import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, test } from "#test";
import { AF_UNIX } from "../../../ffi/layouts.ts";
import { ConnectionError, DisposedError } from "../../../lib/core/errors.ts";
import { SocketDescriptor } from "../../../lib/native/socket_descriptor.ts";
import { countDescriptors } from "../../support/descriptors.ts";

const onDeno = "Deno" in globalThis;
const REASON = onDeno ? " (skipped: Deno connects vsock itself)" : "";

/** The hand-over is the same for every family; AF_VSOCK itself is tested in a guest. */
describe.skipIf(onDeno)(`SocketDescriptor${REASON}`, () => {
  const folder = mkdtempSync(join(tmpdir(), "enclave-kms-"));
  const path = join(folder, "echo.sock");
  const server = net.createServer((socket) => socket.pipe(socket));

  beforeAll(async () => {
    server.listen(path);
    await once(server, "listening");
  });

  afterAll(() => {
    server.close();
    rmSync(folder, { recursive: true });
  });

  function sockaddrUnix(target: string): Uint8Array<ArrayBuffer> {
    const struct = new Uint8Array(new ArrayBuffer(110));
    new DataView(struct.buffer).setUint16(0, AF_UNIX, true);
    struct.set(new TextEncoder().encode(target), 2);
    return struct;
  }

  const connections = () =>
    new Promise<number>((resolve, reject) =>
      server.getConnections((error, count) => error ? reject(error) : resolve(count))
    );

  test("handOver() gives the event loop a connection it did not make", async () => {
    for (let round = 0; round < 50; round++) {
      const descriptor = await SocketDescriptor.connect(AF_UNIX, sockaddrUnix(path), "echo", 1000);
      const socket = descriptor.handOver();
      assert.throws(() => descriptor.handOver(), DisposedError);
      const sent = new Uint8Array(100_000).fill(round);
      socket.end(sent);
      const received: Uint8Array[] = [];
      for await (const chunk of socket) received.push(chunk as Uint8Array);
      assert.deepEqual(Uint8Array.from(Buffer.concat(received)), sent);
    }
  });

  test("a handed-over connection ends with its socket, though a child process lives on", async () => {
    const descriptor = await SocketDescriptor.connect(AF_UNIX, sockaddrUnix(path), "echo", 1000);
    const accepted = once(server, "connection");
    const socket = descriptor.handOver();
    const [peer] = await accepted as [net.Socket];
    const child = spawn("sleep", ["60"], { stdio: "ignore" });
    try {
      await once(child, "spawn");
      socket.destroy();
      await once(peer, "end"); // hangs, if the child process had the socket, too
    } finally {
      child.kill();
      await once(child, "exit");
    }
  });

  test("a peer that is not there is a ConnectionError with a hint", async () => {
    await assert.rejects(
      SocketDescriptor.connect(AF_UNIX, sockaddrUnix(join(folder, "none.sock")), "nobody", 1000),
      (error) => {
        assert.ok(error instanceof ConnectionError);
        assert.equal(error.message, "Cannot connect to nobody: ENOENT");
        assert.match(error.hint, /proxy/);
        return true;
      },
    );
  });

  test("descriptors are closed, whether handed over, disposed or refused", async () => {
    const before = countDescriptors();
    for (let round = 0; round < 20; round++) {
      using descriptor = await SocketDescriptor.connect(AF_UNIX, sockaddrUnix(path), "echo", 1000);
      if (round % 2 === 0) {
        const socket = descriptor.handOver();
        socket.destroy();
        await once(socket, "close");
      }
      await SocketDescriptor.connect(AF_UNIX, sockaddrUnix("/none"), "nobody", 1000).catch(() => {});
    }
    while (await connections() > 0) await new Promise((resolve) => setTimeout(resolve, 1));
    assert.equal(countDescriptors(), before);
  });
});
