import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { createInterface } from "node:readline";
import { type Duplex, PassThrough } from "node:stream";
import { fileURLToPath } from "node:url";
import { describe, test } from "#test";
import {
  type Bridge,
  type BridgeCounters,
  connect,
  type ConnectionStream,
  type Endpoint,
  listen,
  openBridge,
  type TcpEndpoint,
} from "../../../lib/transport/mod.ts";
import { isOutOfDescriptors } from "../../../lib/transport/out_of_descriptors.ts";
import { until } from "../../support/until.ts";

const CHILD = fileURLToPath(new URL("../../support/bridge_child.ts", import.meta.url));
const RUN = "Deno" in globalThis ? ["run", "--quiet", "--no-prompt", "--no-check", "--allow-all"] : [];

const DESCRIPTORS = 96;
/** More than are served, and no more than are served and wait to be accepted. */
const CLIENTS = 128;
const host = "127.0.0.1";

/** Starts a bridge in a process that may have only so many descriptors. */
async function startBridge(target: number, ...options: readonly "starved"[]) {
  const limited = [
    "prlimit",
    `--nofile=${DESCRIPTORS}:${DESCRIPTORS}`,
    process.execPath,
    ...RUN,
    CHILD,
    `${target}`,
    ...options,
  ];
  const child = spawn(limited[0] as string, limited.slice(1), { stdio: ["pipe", "pipe", "inherit"] });
  const exited = once(child, "exit");
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async () => {
    const { value, done } = await lines.next();
    assert.equal(done, false, `the bridge has ended: ${child.exitCode ?? child.signalCode}`);
    return value as string;
  };
  const port = Number(await next());
  return {
    endpoint: { transport: "tcp", host, port } as const,
    async counters(): Promise<BridgeCounters> {
      child.stdin.write("\n");
      return JSON.parse(await next()) as BridgeCounters;
    },
    async [Symbol.asyncDispose]() {
      child.kill();
      await exited;
    },
  };
}

/** Client whose connection may be refused at any time. */
class Client {
  readonly stream: Duplex;
  answers = 0;

  constructor(stream: Duplex) {
    this.stream = stream;
    stream.on("error", () => {});
    stream.on("data", () => this.answers++);
    stream.write("hello");
  }

  get isSettled(): boolean {
    return this.answers > 0 || this.stream.closed;
  }
}

/** Connects as often as it takes: while those that have gone are still accepted, there may be no room. */
async function connectUntilServed(endpoint: Endpoint): Promise<Client> {
  for (;;) {
    const client = new Client(await connect(endpoint));
    await until(() => client.isSettled);
    if (client.answers > 0) return client;
  }
}

/** Target of which there can be no more than a process of 62 descriptors has left, shared with accepted connections. */
class CountedTarget {
  static readonly DESCRIPTORS = 62;
  static readonly BURST = 60;
  bridge: Bridge | undefined;
  openCount = 0;
  readonly #accepted = Promise.withResolvers<void>();

  /** Opens an echo as soon as the whole burst has been accepted. */
  readonly open = async (): Promise<ConnectionStream> => {
    const acceptedCount = () => this.bridge?.counters.openCount ?? 0;
    if (this.openCount > 0) {
      if (acceptedCount() === 1 + CountedTarget.BURST) this.#accepted.resolve();
      await this.#accepted.promise;
    }
    if (acceptedCount() + this.openCount >= CountedTarget.DESCRIPTORS) {
      throw Object.assign(new Error("no"), { code: "EMFILE" });
    }
    this.openCount++;
    return new PassThrough() as Duplex as ConnectionStream;
  };
}

describe("a bridge that is out of descriptors", () => {
  test("refuses some of a burst that has taken all of them, and serves the others", async () => {
    const target = new CountedTarget();
    const limits = { connectTimeoutMs: 2000 };
    await using bridge = await openBridge({ transport: "tcp", host, port: 0 }, target.open, limits);
    target.bridge = bridge;
    const first = new Client(await connect(bridge.endpoint));
    await until(() => first.answers === 1);
    const burst = await Promise.all(
      Array.from({ length: CountedTarget.BURST }, async () => new Client(await connect(bridge.endpoint))),
    );
    await until(() => burst.every(({ isSettled }) => isSettled));
    const served = burst.filter(({ answers }) => answers > 0).length;
    assert.ok(served >= CountedTarget.BURST / 3, `${served} served`);
    for (const { stream } of [first, ...burst]) stream.destroy();
  });

  test("goes on after its first seconds without any", async () => {
    await using target = await listen(
      { transport: "tcp", host, port: 0 },
      {},
      ({ stream }) => void stream.pipe(stream),
    );
    await using bridge = await startBridge((target.endpoint as TcpEndpoint).port, "starved");
    const client = new Client(await connect(bridge.endpoint));
    await until(() => client.answers === 1);
    client.stream.destroy();
  });

  test("keeps what it has, turns others away, and goes on when there is room", async () => {
    const target = await listen(
      { transport: "tcp", host, port: 0 },
      {},
      ({ stream }) => void stream.pipe(stream),
    );
    await using _target = target;
    await using bridge = await startBridge((target.endpoint as TcpEndpoint).port);
    const first = new Client(await connect(bridge.endpoint));
    await until(() => first.answers === 1);
    const clients = await Promise.all(
      Array.from({ length: CLIENTS }, async () => new Client(await connect(bridge.endpoint))),
    );
    // The others are closed, or, on Deno, wait to be accepted.
    const served = () => clients.filter(({ answers }) => answers > 0).length;
    await until(() => served() > DESCRIPTORS / 6);
    // Those that were there before go on.
    first.stream.write("again");
    await until(() => first.answers === 2);
    for (const { stream } of clients) stream.destroy();
    await until(async () => (await bridge.counters()).openCount === 1);
    const later = await Promise.all(Array.from({ length: 10 }, () => connectUntilServed(bridge.endpoint)));
    for (const { stream } of [first, ...later]) stream.destroy();
  });
});

describe("isOutOfDescriptors()", () => {
  test("finds it in codes and messages of either runtime, and in causes", () => {
    const coded = (code: string) => Object.assign(new Error("no"), { code });
    for (
      const error of [
        coded("EMFILE"),
        coded("ENFILE"),
        new Error("Cannot connect to vsock: EMFILE"),
        new Error("Too many open files (os error 24)"),
        new Error("outer", { cause: coded("EMFILE") }),
      ]
    ) assert.equal(isOutOfDescriptors(error), true, error.message);
    for (const other of [coded("ECONNREFUSED"), new Error("no"), "EMFILE", undefined]) {
      assert.equal(isOutOfDescriptors(other), false);
    }
  });
});
