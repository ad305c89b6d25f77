import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { afterAll, describe, test } from "#test";
import { openEgress } from "../../enclave/egress.ts";
import { openIngress } from "../../enclave/ingress.ts";
import type { Endpoint, TcpEndpoint } from "../../lib/core/endpoint.ts";
import { connect, type Connection, ConnectionError, listen } from "../../lib/transport/mod.ts";
import { EgressBridge } from "../../parent/egress_bridge.ts";
import { until } from "../support/until.ts";
import { leaveSocket } from "../support/unix_socket.ts";
import { IngressBridge } from "../../parent/ingress_bridge.ts";

const simulationFolder = mkdtempSync(join(tmpdir(), "enclave-kms-parent-"));
afterAll(() => rmSync(simulationFolder, { recursive: true }));

const ANY_PORT = { transport: "tcp", host: "127.0.0.1", port: 0 } as const;

/** Answers with what was asked, in capitals, once the question has ended. */
const shout = async ({ stream }: Connection) => {
  stream.end((await readAll(stream)).toUpperCase());
};

async function readAll(stream: Duplex): Promise<string> {
  let text = "";
  stream.on("data", (chunk) => text += chunk);
  await new Promise<void>((resolve, reject) => {
    stream.once("end", resolve);
    stream.once("close", () => reject(new Error("closed before its end")));
  });
  return text;
}

async function ask(endpoint: Endpoint, question: string): Promise<string> {
  const stream = await connect(endpoint, { timeoutMs: 60_000 });
  stream.allowHalfOpen = true;
  stream.end(question);
  return await readAll(stream);
}

function portOf(endpoint: Endpoint): number {
  return (endpoint as TcpEndpoint).port;
}

describe("bridges in a simulation", () => {
  test("lead a caller through both halves to a server in the enclave, and keep half-close", async () => {
    await using server = await listen(ANY_PORT, {}, shout);
    await using inside = await openIngress({ simulationFolder, targetPort: portOf(server.endpoint) });
    assert.deepEqual(inside.endpoint, { transport: "unix", path: join(simulationFolder, "16-50051.sock") });
    await using outside = await IngressBridge.open({ enclaveCid: 16, port: 0, simulationFolder });
    assert.equal(await ask(outside.endpoint, "a gRPC call"), "A GRPC CALL");
    assert.deepEqual([inside.counters.bytesToTarget, outside.counters.bytesToTarget], [11, 11]);
  });

  test("lead the enclave to a service of the parent, over a free port that is printed", async () => {
    const printed: string[] = [];
    await using service = await listen(ANY_PORT, {}, shout);
    await using outside = await EgressBridge.open({ simulationFolder, targetPort: portOf(service.endpoint) });
    assert.deepEqual(outside.endpoint, { transport: "unix", path: join(simulationFolder, "3-8080.sock") });
    await using inside = await openEgress({
      simulationFolder,
      port: 8080,
      print: (line) => printed.push(line),
    });
    assert.equal(await ask(inside.endpoint, "a question"), "A QUESTION");
    const port = portOf(inside.endpoint);
    assert.notEqual(port, 8080);
    assert.deepEqual(printed, [`The enclave's way to port 8080 of the parent is 127.0.0.1:${port}`]);
  });

  test("stand beside each other, any number of them", async () => {
    await using server = await listen(ANY_PORT, {}, shout);
    const targetPort = portOf(server.endpoint);
    const ports = Array.from({ length: 20 }, (_, index) => 9000 + index);
    await using _ = await all(ports.map((port) => openIngress({ simulationFolder, port, targetPort })));
    await using outside = await all(
      ports.map((enclavePort) =>
        IngressBridge.open({ enclaveCid: 16, enclavePort, port: 0, simulationFolder })
      ),
    );
    for (const { endpoint } of outside.bridges) assert.equal(await ask(endpoint, "hello"), "HELLO");
  });

  test("work again when a half was away, and tell the caller meanwhile", async () => {
    await using server = await listen(ANY_PORT, {}, shout);
    const failures: unknown[] = [];
    await using outside = await IngressBridge.open({
      enclaveCid: 17,
      port: 0,
      simulationFolder,
      onFailure: (error) => failures.push(error),
    });
    assert.equal(await ask(outside.endpoint, "hello").catch(() => ""), "");
    await until(() => failures.length > 0);
    assert.ok(failures[0] instanceof ConnectionError);
    const options = { simulationFolder, simulatedCid: 17, targetPort: portOf(server.endpoint) };
    for (let round = 0; round < 2; round++) {
      await using _ = await openIngress(options);
      assert.equal(await ask(outside.endpoint, "hello"), "HELLO");
    }
  });

  test("take over the socket of a process that died, and not that of one that lives", async () => {
    const path = join(simulationFolder, "3-8081.sock");
    await leaveSocket(path);
    assert.ok(existsSync(path));
    await using first = await EgressBridge.open({ simulationFolder, port: 8081 });
    assert.equal(first.counters.acceptedCount, 0);
    await assert.rejects(EgressBridge.open({ simulationFolder, port: 8081 }), ConnectionError);
  });
});

describe("a hostile or mistaken configuration", () => {
  const isControlPort = /must not be 7099: on an enclave's control port every caller counts as the parent$/;
  const takesSecrets = /must not be 710\d: on 7100, 7101, 7102 an enclave takes its secrets$/;

  test("cannot lead a bridge to the control port, the default or another one", async () => {
    const cases: readonly (() => Promise<AsyncDisposable>)[] = [
      () => IngressBridge.open({ enclaveCid: 16, enclavePort: 7099, port: 0, simulationFolder }),
      () =>
        IngressBridge.open({ enclaveCid: 16, enclavePort: 7099, port: 0, controlPort: 0, simulationFolder }),
      () => openIngress({ port: 7099, targetPort: 50_051, simulationFolder }),
      () => openIngress({ port: 50_051, targetPort: 7099, simulationFolder }),
      () => openIngress({ port: 7099, targetPort: 50_051, controlPort: 6000, simulationFolder }),
      () => openEgress({ parentPort: 7099, simulationFolder }),
      () => EgressBridge.open({ port: 7099, simulationFolder }),
    ];
    for (const open of cases) await assert.rejects(open(), isRangeError(isControlPort), String(open));
    const other = /must not be 6000: on an enclave's control port/;
    for (
      const open of [
        () => IngressBridge.open({ enclaveCid: 16, enclavePort: 6000, controlPort: 6000, simulationFolder }),
        () => openIngress({ port: 6000, controlPort: 6000, simulationFolder }),
      ]
    ) await assert.rejects(open(), isRangeError(other), String(open));
  });

  test("cannot lead a bridge to the ports of the secrets", async () => {
    for (const port of [7100, 7101, 7102]) {
      for (
        const open of [
          () => IngressBridge.open({ enclaveCid: 16, enclavePort: port, port: 0, simulationFolder }),
          () => openIngress({ port, simulationFolder }),
          () => openIngress({ targetPort: port, simulationFolder }),
          () => openEgress({ parentPort: port, simulationFolder }),
          () => EgressBridge.open({ port, simulationFolder }),
        ]
      ) await assert.rejects(open(), isRangeError(takesSecrets), String(open));
    }
  });

  test("cannot lead a bridge to a port of the application's own secrets", async () => {
    const own = { enclaveCid: 16, port: 0, secretPorts: [7200, 7201], simulationFolder };
    const message =
      /^enclavePort must not be 7201: on 7100, 7101, 7102, 7200, 7201 an enclave takes its secrets$/;
    await assert.rejects(IngressBridge.open({ ...own, enclavePort: 7201 }), { name: "RangeError", message });
    await assert.rejects(
      IngressBridge.open({ ...own, secretPorts: 7201 as never }),
      /^TypeError: secretPorts/,
    );
    await using _ = await IngressBridge.open({ ...own, enclavePort: 7203 });
  });

  test("cannot take the parent itself, or another machine's port, for an enclave", async () => {
    const refused = async (options: object, message: RegExp) => {
      await assert.rejects(IngressBridge.open({ enclaveCid: 16, simulationFolder, ...options }), { message });
    };
    for (const enclaveCid of [0, 1, 2, 3, -1, 1.5, 0xffff_ffff]) {
      await refused({ enclaveCid }, /^enclaveCid must be an integer from 4 to 4294967294$/);
    }
    await refused({ enclaveCid: "16" }, /^enclaveCid must be a number$/);
    await refused({ enclavePort: 0 }, /^enclavePort must be an integer from 1/);
    await refused({ enclavePort: 0xffff_ffff }, /^enclavePort must be an integer/);
    await refused({ controlPort: "7099" }, /^controlPort must be a number$/);
    await refused({ port: 65_536 }, /^port must be an integer from 0 to 65535$/);
    await refused({ host: "" }, /^host must have 1 to 253 characters$/);
    await refused({ enclave_port: 7099 }, /no field `enclave_port`/);
    await refused({ simulationFolder: "x".repeat(100) }, /^endpoint.path must have/);
    await assert.rejects(
      openIngress({ port: 70_000, simulationFolder }),
      /targetPort must be an integer from 1 to 65535/,
    );
    await assert.rejects(openEgress({ print: 1 as never, simulationFolder }), /print must be a function/);
    await assert.rejects(
      EgressBridge.open({ targetPort: 0, simulationFolder }),
      /targetPort must be an integer/,
    );
  });
});

function isRangeError(message: RegExp) {
  return (error: unknown) => error instanceof RangeError && message.test(error.message);
}

/** Bridges that are closed together. */
async function all<T extends AsyncDisposable>(
  opening: readonly Promise<T>[],
): Promise<AsyncDisposable & { bridges: T[] }> {
  const bridges = await Promise.all(opening);
  return {
    bridges,
    [Symbol.asyncDispose]: async () =>
      void await Promise.all(bridges.map((bridge) => bridge[Symbol.asyncDispose]())),
  };
}
