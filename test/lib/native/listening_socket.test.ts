import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, test } from "#test";
import { AF_UNIX } from "../../../ffi/layouts.ts";
import { ConnectionError, DisposedError } from "../../../lib/core/errors.ts";
import { ListeningSocket, vsockPeer } from "../../../lib/native/listening_socket.ts";
import { countDescriptors } from "../../support/descriptors.ts";

const onDeno = "Deno" in globalThis;
const REASON = onDeno ? " (skipped: Deno listens on vsock itself)" : "";

/** The hand-over is the same for every family; AF_VSOCK itself is tested in a guest. */
describe.skipIf(onDeno)(`ListeningSocket${REASON}`, () => {
  const folder = mkdtempSync(join(tmpdir(), "enclave-kms-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  let count = 0;

  function listenSomewhere(): { path: string; listening: ListeningSocket } {
    const path = join(folder, `${count++}.sock`);
    return { path, listening: ListeningSocket.listen(AF_UNIX, sockaddrUnix(path), "echo", 128) };
  }

  test("handOver() gives a server of Node's a socket that it did not make", async () => {
    const { path, listening } = listenSomewhere();
    const peers: unknown[] = [];
    const server = net.createServer({ allowHalfOpen: true }, (socket) => {
      peers.push(vsockPeer(socket));
      socket.pipe(socket);
    });
    listening.handOver(server);
    assert.throws(() => listening.handOver(net.createServer()), DisposedError);
    for (let round = 0; round < 50; round++) {
      const socket = net.connect(path);
      const sent = Buffer.alloc(100_000, round);
      socket.end(sent);
      const received: Uint8Array[] = [];
      for await (const chunk of socket) received.push(chunk as Uint8Array);
      assert.deepEqual(Buffer.concat(received), sent);
    }
    assert.deepEqual(peers, new Array(50).fill(undefined));
    server.close();
    await once(server, "close");
    await assert.rejects(once(net.connect(path), "connect"), { code: "ECONNREFUSED" });
  });

  test("a handed-over socket stops listening with its server, though a child process lives on", async () => {
    const { path, listening } = listenSomewhere();
    const server = net.createServer();
    listening.handOver(server);
    const child = spawn("sleep", ["60"], { stdio: "ignore" });
    try {
      await once(child, "spawn");
      server.close();
      await once(server, "close");
      await assert.rejects(once(net.connect(path), "connect"), { code: "ECONNREFUSED" });
    } finally {
      child.kill();
      await once(child, "exit");
    }
  });

  test("an address in use is a ConnectionError with a hint", () => {
    const { path, listening } = listenSomewhere();
    using _ = listening;
    assert.throws(() => ListeningSocket.listen(AF_UNIX, sockaddrUnix(path), "echo", 1), (error) => {
      assert.ok(error instanceof ConnectionError);
      assert.equal(error.message, "Cannot listen on echo: EADDRINUSE");
      assert.match(error.hint, /^Another process/);
      return true;
    });
  });

  test("a server that listens already is not given another socket", async () => {
    const server = net.createServer().listen(join(folder, "taken.sock"));
    await once(server, "listening");
    const { listening } = listenSomewhere();
    using _ = listening;
    assert.throws(() => listening.handOver(server), { code: "ERR_SERVER_ALREADY_LISTEN" });
    server.close();
  });

  test("binding AF_VSOCK, which connects nothing, says what it is bound to", () => {
    let listening;
    try {
      listening = ListeningSocket.listenVsock({ cid: 0xffff_ffff, port: 0xffff_ffff }, 1);
    } catch (error) {
      // No vsock in this kernel: its own error is what there is to check.
      assert.match((error as ConnectionError).hint, /vsock/);
      return;
    }
    using bound = listening;
    assert.equal(bound.address?.cid, 0xffff_ffff);
    assert.ok((bound.address?.port ?? 0) >= 1024);
  });

  test("descriptors are closed, whether handed over, disposed or refused", async () => {
    const before = countDescriptors();
    for (let round = 0; round < 20; round++) {
      const { path, listening } = listenSomewhere();
      using _ = listening;
      assert.throws(() => ListeningSocket.listen(AF_UNIX, sockaddrUnix(path), "echo", 1), ConnectionError);
      if (round % 2 === 0) continue;
      const server = net.createServer();
      listening.handOver(server);
      server.close();
      await once(server, "close");
    }
    assert.equal(countDescriptors(), before);
  });
});

function sockaddrUnix(target: string): Uint8Array<ArrayBuffer> {
  const struct = new Uint8Array(new ArrayBuffer(110));
  new DataView(struct.buffer).setUint16(0, AF_UNIX, true);
  struct.set(new TextEncoder().encode(target), 2);
  return struct;
}
