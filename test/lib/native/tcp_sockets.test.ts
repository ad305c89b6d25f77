import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { afterEach, describe, test } from "#test";
import { AF_VSOCK, encodeSockaddrVm } from "../../../ffi/layouts.ts";
import { ConnectionError, SystemCallError, TimeoutError } from "../../../lib/core/errors.ts";
import { ListeningSocket, setVsockBacklog, vsockPeer } from "../../../lib/native/listening_socket.ts";
import { libc } from "../../../lib/native/libc.ts";
import { SocketDescriptor } from "../../../lib/native/socket_descriptor.ts";
import { choosePort } from "../../../sim/free_port.ts";
import { fixErrno, replaceCalls } from "./replaced_calls.ts";
import { countDescriptors } from "../../support/descriptors.ts";

/** Over TCP a connect is under way at first, as it is over AF_VSOCK and never over AF_UNIX. */
const AF_INET = 2;
const ANY = 0xffff_ffff;

const onDeno = "Deno" in globalThis;
const REASON = onDeno ? " (skipped: Deno has sockets of its own)" : "";

function loopback(port: number): Uint8Array<ArrayBuffer> {
  const struct = new Uint8Array(new ArrayBuffer(16));
  const view = new DataView(struct.buffer);
  view.setUint16(0, AF_INET, true);
  view.setUint16(2, port, false);
  struct.set([127, 0, 0, 1], 4);
  return struct;
}

describe.skipIf(onDeno)(`connections that are under way at first${REASON}`, () => {
  const servers: net.Server[] = [];

  afterEach(() => {
    for (const server of servers.splice(0)) server.close();
  });

  async function listenSomewhere(listener?: (socket: net.Socket) => void): Promise<number> {
    const server = net.createServer(listener).listen(0, "127.0.0.1");
    servers.push(server);
    await once(server, "listening");
    return (server.address() as net.AddressInfo).port;
  }

  test("are ready once the peer has answered", async () => {
    const port = await listenSomewhere((socket) => socket.end("hello"));
    const descriptor = await SocketDescriptor.connect(AF_INET, loopback(port), "somebody", 5000);
    const socket = descriptor.handOver();
    const [chunk] = await once(socket, "data") as [Uint8Array];
    assert.equal(String(chunk), "hello");
    socket.destroy();
    await once(socket, "close");
  });

  test("that the peer refuses meanwhile are ConnectionErrors, with what it most likely means", async () => {
    const port = await choosePort();
    const before = countDescriptors();
    await assert.rejects(SocketDescriptor.connect(AF_INET, loopback(port), "nobody", 5000), (error) => {
      assert.ok(error instanceof ConnectionError);
      assert.equal(error.message, "Cannot connect to nobody: ECONNREFUSED");
      assert.equal(error.hint, "Nothing listens there: is the proxy running?");
      return true;
    });
    assert.ok(countDescriptors() <= before);
  });

  test("that nobody answers are TimeoutErrors, in whole milliseconds", async () => {
    using listening = ListeningSocket.listen(AF_INET, loopback(0), "the full one", 0);
    const port = boundPort(listening);
    const before = countDescriptors();
    const held: SocketDescriptor[] = [];
    // Linux takes one or two more than the backlog says, and answers none after them.
    const error = await (async () => {
      for (;;) held.push(await SocketDescriptor.connect(AF_INET, loopback(port), "the full one", 49.5));
    })().catch((error) => error);
    assert.ok(held.length > 0 && held.length < 5, String(error));
    assert.ok(error instanceof TimeoutError, String(error));
    assert.equal(error.message, "Cannot connect to the full one: no answer within 50 ms");
    assert.match(error.hint, /^Does nobody have that CID, or is its machine overloaded/);
    for (const descriptor of held) descriptor[Symbol.dispose]();
    assert.equal(countDescriptors(), before);
  });

  test("whose outcome the kernel does not say are ConnectionErrors", async () => {
    const port = await listenSomewhere();
    const fixed: Disposable[] = [];
    using _silent = replaceCalls({
      getsockopt: () => {
        fixed.push(fixErrno(9));
        return -1;
      },
    });
    try {
      await assert.rejects(SocketDescriptor.connect(AF_INET, loopback(port), "somebody", 5000), {
        name: "ConnectionError",
        message: "Cannot connect to somebody: EBADF",
      });
    } finally {
      for (const errno of fixed) errno[Symbol.dispose]();
    }
  });

  test("that cannot be made name what is missing", async () => {
    for (
      const [code, name, hint] of [
        [97, "EAFNOSUPPORT", "This kernel has no vsock: is this an enclave, with the vsock module loaded?"],
        [13, "EACCES", "Do seccomp or SELinux forbid this process to use vsock?"],
        [24, "EMFILE", "Is the proxy running on the parent, and vsock in this kernel?"],
      ] as const
    ) {
      using _refused = replaceCalls({ socket: () => -1 });
      using _errno = fixErrno(code);
      for (const [family, what] of [[AF_INET, "a socket"], [AF_VSOCK, "vsock"]] as const) {
        await assert.rejects(SocketDescriptor.connect(family, loopback(1), "nobody", 1), {
          name: "ConnectionError",
          message: `Cannot connect to ${what}: ${name}`,
          hint,
        });
      }
    }
  });

  test("that were refused at once say why", async () => {
    for (
      const [code, name, hint] of [
        [104, "ECONNRESET", /^Nothing listens on that port, or its backlog is full/],
        [19, "ENODEV", /^No machine has that CID, or this kernel has no vsock device/],
        [101, "ENETUNREACH", /^No machine has that CID, or this kernel has no vsock device/],
      ] as const
    ) {
      using _refused = replaceCalls({ connect: () => -1 });
      using _errno = fixErrno(code);
      await assert.rejects(SocketDescriptor.connect(AF_INET, loopback(1), "nobody", 1), (error) => {
        assert.ok(error instanceof ConnectionError);
        assert.equal(error.message, `Cannot connect to nobody: ${name}`);
        assert.match(error.hint, hint);
        return true;
      });
    }
  });

  test("that Node cannot be given stay the caller's", async () => {
    const port = await listenSomewhere();
    const before = countDescriptors();
    {
      using descriptor = await SocketDescriptor.connect(AF_INET, loopback(port), "somebody", 5000);
      using _full = replaceCalls({ dup3: () => -1 });
      using _errno = fixErrno(24);
      assert.throws(() => descriptor.handOver(), (error) => {
        assert.ok(error instanceof SystemCallError);
        assert.equal(error.message, "Cannot hand the connection to Node: dup3 failed with EMFILE");
        assert.deepEqual([error.cFunction, error.hint], ["dup3", "Is the process out of descriptors?"]);
        return true;
      });
    }
    while (countDescriptors() > before) await new Promise((resolve) => setTimeout(resolve, 1));
  });

  function boundPort(listening: ListeningSocket): number {
    let port = 0;
    // Its own getter is for vsock: what the kernel tells it says the port of TCP.
    using _seen = replaceCalls({
      getsockname: ((getsockname) => (fd, struct, length) => {
        const code = getsockname(fd, struct, length);
        port = new DataView(struct.buffer).getUint16(2, false);
        return code;
      })(libc().call.getsockname),
    });
    assert.equal(listening.address, undefined);
    return port;
  }
});

describe.skipIf(onDeno)(`sockets that listen${REASON}`, () => {
  test("name what is wrong with their address", () => {
    for (
      const [code, hint] of [
        [98, /^Another process listens on that port/],
        [99, /^This machine does not have that CID: listen on 4294967295/],
        [13, /^A port below 1024 needs the capability/],
        [97, /^This kernel has no vsock/],
        [24, /^This process is out of descriptors/],
        [1, /^Does this machine's kernel have vsock\?$/],
      ] as const
    ) {
      for (const cFunction of ["socket", "bind", "listen"] as const) {
        using _refused = replaceCalls({ [cFunction]: () => -1 });
        using _errno = fixErrno(code);
        assert.throws(() => ListeningSocket.listen(AF_INET, loopback(0), "there", 1), (error) => {
          assert.ok(error instanceof ConnectionError, cFunction);
          assert.match(error.message, /^Cannot listen on there: E[A-Z]+$/);
          assert.match(error.hint, hint);
          return true;
        });
      }
    }
  });

  test("that Node does not take as expected stay the caller's, and the server closes", () => {
    const before = countDescriptors();
    const listening = ListeningSocket.listen(AF_INET, loopback(0), "there", 1);
    const refuses = (server: Partial<net.Server>, hint: string) =>
      assert.throws(() => listening.handOver(server as net.Server), {
        name: "ConnectionError",
        message: "Cannot hand the listening socket to Node",
        hint: `Node did not take it as expected: ${hint}`,
      });
    const nothing = () => undefined as never;
    refuses({ listening: false, listen: nothing }, "is this a worker of node:cluster?");
    const secretive = new Secretive();
    refuses(secretive as unknown as net.Server, "does this version of Node keep descriptors to itself?");
    assert.equal(secretive.closed, 1);
    {
      using _full = replaceCalls({ dup3: () => -1 });
      refuses(secretive as unknown as net.Server, "is the process out of descriptors?");
    }
    assert.equal(secretive.closed, 2);
    listening[Symbol.dispose]();
    // What a server was given is its own to close, and these two never did.
    for (const fd of secretive.given) libc().call.close(fd);
    assert.equal(countDescriptors(), before);
  });

  test("know the vsock address of a peer, and that others have none", () => {
    const socket = (fd: unknown) => ({ _handle: fd === undefined ? null : { fd } }) as unknown as net.Socket;
    for (const fd of [undefined, -1, "7"]) assert.equal(vsockPeer(socket(fd)), undefined);
    const asked: number[] = [];
    using _kernel = replaceCalls({
      getpeername: (fd, struct, length) => {
        asked.push(fd, new DataView(length.buffer).getUint32(0, true));
        struct.set(encodeSockaddrVm(16, 5000));
        return 0;
      },
    });
    assert.deepEqual(vsockPeer(socket(0)), { cid: 16, port: 5000 });
    assert.deepEqual(asked, [0, 16]);
    using _gone = replaceCalls({ getpeername: () => -1 });
    assert.equal(vsockPeer(socket(0)), undefined);
  });

  test("change their backlog by their port, if they listen", () => {
    const changed: number[][] = [];
    const bound = new Map([[5, 7000], [6, 8000], [9, 8000]]);
    const listens = new Set([9]);
    let code = 0;
    using _kernel = replaceCalls({
      getsockname: (fd, struct) => {
        const port = bound.get(fd);
        if (port === undefined) return -1;
        struct.set(encodeSockaddrVm(ANY, port));
        return 0;
      },
      getsockopt: (fd, level, option, value) => {
        assert.deepEqual([level, option], [1, 30]); // SOL_SOCKET, SO_ACCEPTCONN
        value[0] = listens.has(fd) ? 1 : 0;
        return fd === 5 ? -1 : 0;
      },
      listen: (fd, backlog) => {
        changed.push([fd, backlog]);
        return code;
      },
    });
    assert.equal(setVsockBacklog(8000, 500), true);
    for (const port of [7000, 7001]) assert.equal(setVsockBacklog(port, 500), false);
    assert.deepEqual(changed, [[9, 500]]);
    code = -1;
    assert.equal(setVsockBacklog(8000, 500), false);
  });
});

/** A server that takes descriptors and does not say which. */
class Secretive {
  readonly listening = true;
  readonly given: number[] = [];
  closed = 0;

  listen({ fd }: { fd: number }): this {
    this.given.push(fd);
    return this;
  }

  close(): this {
    this.closed++;
    return this;
  }
}
