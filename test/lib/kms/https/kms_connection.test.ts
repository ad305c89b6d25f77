import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { describe, test } from "#test";
import { StaleConnectionError } from "../../../../lib/kms/https/connection_errors.ts";
import {
  CertificateError,
  ConnectionError,
  DisposedError,
  EnclaveKmsError,
} from "../../../../lib/core/errors.ts";
import {
  allClosed,
  authority,
  closed,
  connectionTo,
  echo,
  HOST,
  send,
  sendAgain,
  serveTcp,
  serveTls,
  type TestServer,
} from "./servers.ts";

const IS_DENO = "Deno" in globalThis;

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
      await allClosed(server);
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

describe("KmsConnection survives idle connections", () => {
  /** Answers the first request of each connection, and breaks it at the next. */
  function serveOnceEach(): Promise<TestServer> {
    const seen = new WeakSet<object>();
    return serveTls((request, response) => {
      if (seen.has(request.socket)) return void request.socket.destroy();
      seen.add(request.socket);
      echo(request, response);
    });
  }

  for (const isSecret of [false, true]) {
    const what = isSecret ? "a secret body" : "any body";

    test(`that the server has closed, with ${what}`, async () => {
      await using server = await serveTls(echo);
      using connection = connectionTo(server);
      const send3 = () => Promise.all([1, 2, 3].map(() => sendAgain(connection, isSecret)));
      await send3();
      for (const socket of server.sockets) socket.destroy();
      await send3();
    });

    test(`that break only when they are used again, with ${what}`, async () => {
      await using server = await serveOnceEach();
      using connection = connectionTo(server);
      for (let i = 1; i <= 4; i++) {
        assert.equal(JSON.parse(await sendAgain(connection, isSecret)).length, 4);
        assert.equal(server.sockets.length, i);
      }
    });
  }

  test("that all break when the first of them is used again: the next request is over a new one", async () => {
    await using server = await serveOnceEach();
    using connection = connectionTo(server);
    await Promise.all([1, 2, 3].map(() => send(connection)));
    assert.equal(server.sockets.length, 3);
    await assert.rejects(send(connection), (error) => {
      assert.ok(error instanceof StaleConnectionError);
      assert.deepEqual([error.name, error.code], ["ConnectionError", "ERR_CONNECTION"]);
      assert.match(error.hint, /closed an idle connection/);
      return true;
    });
    assert.equal(server.sockets.length, 3, "it is not sent again here");
    await send(connection);
    assert.equal(server.sockets.length, 4);
    await Promise.all(server.sockets.slice(0, 3).map(closed));
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
    const args = [script, JSON.stringify(server.endpoint), authority.trustedCertificates];
    const child = spawn(process.execPath, IS_DENO ? ["run", "-A", ...args] : args, {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let output = "";
    child.stdout.on("data", (chunk) => (output += chunk));
    const code = await new Promise((resolve) => child.once("close", resolve));
    assert.deepEqual([code, output.trim()], [0, "answered"]);
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
    await allClosed(server);
  });

  test("fails the calls that are still connecting", async () => {
    await using server = await serveTcp(() => {});
    const connection = connectionTo(server);
    const call = assert.rejects(send(connection), DisposedError);
    while (server.sockets.length === 0) await sleep(1);
    connection[Symbol.dispose]();
    await call;
    await allClosed(server);
  });

  test("closes what is idle, refuses what comes later, and may be done twice", async () => {
    await using server = await serveTls(echo);
    const connection = connectionTo(server);
    await send(connection);
    connection[Symbol.dispose]();
    connection[Symbol.dispose]();
    await allClosed(server);
    await assert.rejects(send(connection), (error: unknown) => {
      assert.ok(error instanceof EnclaveKmsError);
      assert.equal(error.message, "Cannot use KmsConnection: it was disposed");
      return true;
    });
  });
});
