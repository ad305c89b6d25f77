import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { describe, test } from "#test";
import { MAX_ANSWER_BYTES } from "../../../../lib/engine/https/kms_connection.ts";
import {
  CertificateError,
  ConnectionError,
  DisposedError,
  EnclaveKmsError,
  ProtocolError,
  TimeoutError,
} from "../../../../lib/errors.ts";
import { connectionTo, echo, HOST, send, serveTcp, serveTls, type TestServer } from "./servers.ts";

const IS_DENO = "Deno" in globalThis;

async function closed(socket: Socket | undefined): Promise<void> {
  if (socket === undefined || socket.destroyed) return;
  await new Promise((resolve) => socket.once("close", resolve));
}

async function assertAllClosed(server: TestServer): Promise<void> {
  await Promise.all(server.sockets.map(closed));
}

describe("KmsConnection", () => {
  test("sends POST / and returns status, request id and body", async () => {
    await using server = await serveTls(echo);
    using connection = connectionTo(server);
    const answer = JSON.parse(await send(connection));
    assert.deepEqual([answer.method, answer.url, answer.length], ["POST", "/", 4]);
    assert.equal(answer.headers.host, HOST);
    assert.equal(answer.headers["content-length"], "4");
  });

  test("returns refusals as they are", async () => {
    await using server = await serveTls((_request, response) => response.writeHead(503).end("busy"));
    using connection = connectionTo(server);
    assert.equal(await send(connection), "busy");
  });

  test("keeps its connection", async () => {
    await using server = await serveTls(echo);
    using connection = connectionTo(server);
    for (let i = 0; i < 5; i++) await send(connection);
    assert.equal(server.sockets.length, 1);
  });

  test("works over a unix socket", async () => {
    const folder = mkdtempSync(join(tmpdir(), "enclave-kms-"));
    try {
      await using server = await serveTls(echo, { path: join(folder, "socket") });
      using connection = connectionTo(server);
      assert.equal(JSON.parse(await send(connection)).length, 4);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test("opens no more connections than allowed; the others wait in line", async () => {
    await using server = await serveTls((request, response) =>
      void setTimeout(() => echo(request, response), 5)
    );
    using connection = connectionTo(server, { maxConnections: 2 });
    await Promise.all(Array.from({ length: 9 }, () => send(connection)));
    assert.equal(server.sockets.length, 2);
  });
});

describe("KmsConnection trusts", () => {
  const refusals = [
    // Deno does not tell an expired certificate from an unknown one.
    ["expired", IS_DENO ? /\([A-Z_]+\)$/ : /\(CERT_HAS_EXPIRED\)$/, /clock/],
    ["wrongName", /\(ERR_TLS_CERT_ALTNAME_INVALID\)$/, new RegExp(`Does the endpoint lead to ${HOST}\\?`)],
    ["unknownCa", /^Cannot trust KMS: the certificate was refused \([A-Z_]+\)$/, /trustedCertificates/],
  ] as const;
  for (const [kind, message, hint] of refusals) {
    test(`nobody with a certificate that is ${kind}`, async () => {
      await using server = await serveTls(echo, { kind });
      using connection = connectionTo(server);
      await assert.rejects(send(connection), (error: unknown) => {
        assert.ok(error instanceof CertificateError);
        assert.match(error.message, message);
        assert.match(error.hint, hint);
        return true;
      });
      assert.equal(server.sockets.length, 1);
      await assertAllClosed(server);
    });
  }

  test("only the runtime's own authorities when it is given none", async () => {
    await using server = await serveTls(echo);
    using connection = connectionTo(server, { trustedCertificates: undefined });
    await assert.rejects(send(connection), CertificateError);
  });

  test("no certificates that it cannot read", () => {
    const broken = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    for (const trustedCertificates of ["", "no PEM", [], broken, ["x", broken]]) {
      assert.throws(
        () => connectionTo({ endpoint: { transport: "unix", path: "x" } }, { trustedCertificates }),
        {
          name: "TypeError",
          message: /^Cannot use trustedCertificates: /,
        },
      );
    }
  });

  // Deno's server offers TLS 1.2 and later only.
  test.skipIf(IS_DENO)("no TLS before 1.2", async () => {
    const tls = { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" } as const;
    await using server = await serveTls(echo, { tls });
    using connection = connectionTo(server);
    await assert.rejects(send(connection), ConnectionError);
  });
});

describe("KmsConnection turns into a ConnectionError", () => {
  test("a port where nothing listens, and a path where nothing is", async () => {
    const server = await serveTcp(() => {});
    await server[Symbol.asyncDispose]();
    for (const endpoint of [server.endpoint, { transport: "unix", path: "/nonexistent/socket" }] as const) {
      using connection = connectionTo({ endpoint });
      await assert.rejects(send(connection), (error: unknown) => {
        assert.ok(error instanceof ConnectionError);
        assert.match(error.message, /^Cannot connect to KMS: .* does not answer \((ECONNREFUSED|ENOENT)\)$/);
        assert.match(error.hint, /listening/);
        return true;
      });
    }
  });

  const beforeTls: readonly (readonly [string, (socket: Socket) => void])[] = [
    ["a reset", (socket) => void socket.resetAndDestroy()],
    ["an end", (socket) => void socket.end()],
    ["plain HTTP", (socket) => void socket.end("HTTP/1.1 400 Bad Request\r\n\r\n")],
  ];
  for (const [name, act] of beforeTls) {
    test(`${name} in place of the TLS handshake`, async () => {
      await using server = await serveTcp(act);
      using connection = connectionTo(server);
      await assert.rejects(send(connection), (error: unknown) => {
        assert.ok(error instanceof ConnectionError);
        assert.match(error.message, /^Cannot connect to KMS: /);
        return true;
      });
      await assertAllClosed(server);
    });
  }

  test("a connection that breaks before the answer, without a second try", async () => {
    await using server = await serveTls((request) => request.socket.destroy());
    using connection = connectionTo(server);
    await assert.rejects(send(connection), ConnectionError);
    assert.equal(server.sockets.length, 1);
  });

  test("a connection that breaks within the answer", async () => {
    await using server = await serveTls((request, response) => {
      response.writeHead(200, { "content-length": "100" });
      response.write("some");
      setTimeout(() => request.socket.destroy(), 20);
    });
    using connection = connectionTo(server);
    await assert.rejects(send(connection), {
      name: "ConnectionError",
      message: /^Cannot complete the request to KMS: the connection broke/,
    });
  });
});

describe("KmsConnection turns into a ProtocolError", () => {
  test("an answer of more than 64 KiB", async () => {
    let length = MAX_ANSWER_BYTES;
    await using server = await serveTls((_request, response) => response.end("x".repeat(length)));
    using connection = connectionTo(server);
    assert.equal((await send(connection)).length, MAX_ANSWER_BYTES);
    length++;
    await assert.rejects(send(connection), {
      name: "ProtocolError",
      message: "Cannot read KMS's answer: longer than 65536 bytes",
    });
    await assertAllClosed(server);
  });

  test("an answer that never ends", async () => {
    await using server = await serveTls((_request, response) => {
      const more = () => {
        while (response.write("x".repeat(4096)));
      };
      response.on("drain", more);
      more();
    });
    using connection = connectionTo(server);
    await assert.rejects(send(connection), ProtocolError);
    await assertAllClosed(server);
  });

  test("an answer that is not HTTP", async () => {
    await using server = await serveTls((request) => request.socket.end("\0garbage\r\n\r\n"));
    using connection = connectionTo(server);
    await assert.rejects(send(connection), {
      name: "ProtocolError",
      message: /^Cannot read KMS's answer: not HTTP\/1.1 \(HPE_/,
    });
  });
});

describe("KmsConnection keeps the deadline", () => {
  const never = new Promise<never>(() => {});
  const silentTcp = () => serveTcp(() => {});
  const silentTls = () => serveTls(() => {});
  const silentBody = () =>
    serveTls((_request, response) => {
      response.writeHead(200, { "content-length": "100" });
      response.write("some");
    });
  for (
    const [phase, serve] of [["handshake", silentTcp], ["answer", silentTls], ["body", silentBody]] as const
  ) {
    test(`in the ${phase}`, async () => {
      await using server = await serve();
      using connection = connectionTo(server);
      await assert.rejects(send(connection, 60), TimeoutError);
      const reason = new Error("enough");
      await assert.rejects(
        send(connection, 5000, AbortSignal.any([AbortSignal.timeout(60), abortSoon(reason)])),
        reason,
      );
      assert.equal(server.sockets.length, 2);
      await assertAllClosed(server);
    });
  }

  test("while it connects, and closes what opens too late", async () => {
    await using server = await serveTls(echo);
    using pending = connectionTo(server, { open: () => never });
    await assert.rejects(send(pending, 20), TimeoutError);

    const good = connectionTo(server);
    let late: Socket | undefined;
    const { openTransport } = await import("../../../../lib/transport.ts");
    using slow = connectionTo(server, {
      open: async (deadline) => {
        late = (await openTransport(server.endpoint, deadline)) as Socket;
        await sleep(60);
        return late;
      },
    });
    await assert.rejects(send(slow, 30), TimeoutError);
    await sleep(60);
    assert.equal(late?.destroyed, true);
    good[Symbol.dispose]();
  });

  test("while it waits in line, and the line moves on", async () => {
    await using server = await serveTls((request, response) =>
      void setTimeout(() => echo(request, response), 100)
    );
    using connection = connectionTo(server, { maxConnections: 1 });
    const first = send(connection);
    const second = send(connection, 20);
    const third = send(connection);
    await assert.rejects(second, TimeoutError);
    assert.equal(JSON.parse(await first).length, 4);
    assert.equal(JSON.parse(await third).length, 4);
  });

  test("when it has passed before the start", async () => {
    await using server = await serveTls(echo);
    using connection = connectionTo(server);
    const reason = new Error("no");
    await assert.rejects(send(connection, 1000, AbortSignal.abort(reason)), reason);
    assert.equal(server.sockets.length, 0);
  });

  test("and works on after all of that", async () => {
    let isSilent = true;
    await using server = await serveTls((request, response) => {
      if (!isSilent) echo(request, response);
    });
    using connection = connectionTo(server, { maxConnections: 1 });
    for (let i = 0; i < 3; i++) await assert.rejects(send(connection, 30), TimeoutError);
    isSilent = false;
    assert.equal(JSON.parse(await send(connection)).length, 4);
  });
});

describe("KmsConnection survives idle connections", () => {
  test("that the server has closed", async () => {
    await using server = await serveTls(echo);
    using connection = connectionTo(server);
    await Promise.all([send(connection), send(connection), send(connection)]);
    for (const socket of server.sockets) socket.destroy();
    await Promise.all([send(connection), send(connection), send(connection)]);
  });

  test("that break only when they are used again", async () => {
    const seen = new WeakSet<object>();
    await using server = await serveTls((request, response) => {
      if (seen.has(request.socket)) return void request.socket.destroy();
      seen.add(request.socket);
      echo(request, response);
    });
    using connection = connectionTo(server);
    for (let i = 1; i <= 4; i++) {
      assert.equal(JSON.parse(await send(connection)).length, 4);
      assert.equal(server.sockets.length, i);
    }
  });

  test("for no longer than maxIdleMs", async () => {
    await using server = await serveTls(echo);
    using connection = connectionTo(server, { maxIdleMs: 30 });
    await send(connection);
    await closed(server.sockets[0]);
  });

  test("which let the process exit", async () => {
    await using server = await serveTls(echo);
    const script = fileURLToPath(new URL("./idle_client.ts", import.meta.url));
    const { authority } = await import("./servers.ts");
    const args = [script, JSON.stringify(server.endpoint), authority.trustedCertificates];
    const started = performance.now();
    const child = spawn(process.execPath, IS_DENO ? ["run", "-A", ...args] : args, {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let output = "";
    child.stdout.on("data", (chunk) => (output += chunk));
    const code = await new Promise((resolve) => child.once("close", resolve));
    assert.deepEqual([code, output.trim()], [0, "answered"]);
    assert.ok(performance.now() - started < 4000, "well before the connection's 30 seconds are over");
  });
});

describe("disposing a KmsConnection", () => {
  test("fails the calls that run, at once, and those in line", async () => {
    await using server = await serveTls(() => {});
    const connection = connectionTo(server, { maxConnections: 1 });
    const calls = [send(connection), send(connection)];
    const outcomes = Promise.allSettled(calls);
    while (server.sockets.length === 0) await sleep(1);
    connection[Symbol.dispose]();
    for (const outcome of await outcomes) {
      assert.ok(outcome.status === "rejected" && outcome.reason instanceof DisposedError);
    }
    await assertAllClosed(server);
  });

  test("fails the calls that are still connecting", async () => {
    await using server = await serveTcp(() => {});
    const connection = connectionTo(server);
    const call = assert.rejects(send(connection), DisposedError);
    while (server.sockets.length === 0) await sleep(1);
    connection[Symbol.dispose]();
    await call;
    await assertAllClosed(server);
  });

  test("closes what is idle, refuses what comes later, and may be done twice", async () => {
    await using server = await serveTls(echo);
    const connection = connectionTo(server);
    await send(connection);
    connection[Symbol.dispose]();
    connection[Symbol.dispose]();
    await assertAllClosed(server);
    await assert.rejects(send(connection), (error: unknown) => {
      assert.ok(error instanceof EnclaveKmsError);
      assert.equal(error.message, "Cannot use KmsConnection: it was disposed");
      return true;
    });
  });
});

function abortSoon(reason: Error): AbortSignal {
  const controller = new AbortController();
  setTimeout(() => controller.abort(reason), 30);
  return controller.signal;
}
