import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Duplex } from "node:stream";
import { afterEach, beforeEach, describe, test } from "#test";
import type { Endpoint } from "../../lib/core/endpoint.ts";
import { readConfig } from "../../server/config.ts";
import { KMSTOOL_ERRORS, MAX_MALFORMED_MESSAGES } from "../../lib/wire/kmstool_messages.ts";
import { createLogger } from "../../enclave/telemetry/log.ts";
import { type Server, startServer } from "../../server/server.ts";
import { type Simulator, startSimulator } from "../../sim/mod.ts";
import { Fixture, PARENT } from "./fixture.ts";
import { dial, Serving } from "./serving.ts";

/** Bytes in one write of an attacker. */
const FLOOD = 65_536;

/** Messages that are refused and do not end the connection. */
const REFUSED = 4000;

/** Most messages of an attacker that may be handled during one request of the victim. */
const MAX_BETWEEN = 60;

const NOT_JSON = JSON.stringify({ Status: "Error", Message: KMSTOOL_ERRORS.notJson });
const NO_OPERATION = JSON.stringify({ Status: "Error", Message: KMSTOOL_ERRORS.noOperation });

/** Attacker and victim have the same CID, as everybody has on real hardware. */
describe("a flood of kmstool messages", () => {
  let folder: string;
  let simulator: Simulator;
  let server: Server;
  let lines: Record<string, unknown>[];

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "enclave-kms-flood-"));
    simulator = await startSimulator();
    lines = [];
    const config = readConfig({
      ENCLAVE_KMS_REGION: "us-east-1",
      ENCLAVE_KMS_HTTP: `unix:${join(folder, "http")}`,
      ENCLAVE_KMS_KMSTOOL: `unix:${join(folder, "kmstool")}`,
      ENCLAVE_KMS_DEVELOPMENT_CID: String(PARENT),
    });
    const { nsm, trustedCertificates } = simulator;
    const logger = createLogger("info", (line) => lines.push(JSON.parse(line)));
    server = await startServer({ ...config, engine: "direct" }, { nsm, trustedCertificates, logger });
  });
  afterEach(async () => {
    await server.close();
    await simulator.close();
    rmSync(folder, { recursive: true });
  });

  const places = () => {
    const { httpEndpoint: http, kmstoolEndpoint: kmstool } = server;
    assert.ok(http !== undefined && kmstool !== undefined);
    return { http, kmstool };
  };

  for (
    const [how, send] of [
      ["in one write", (socket: Duplex) => void socket.write("\0".repeat(FLOOD))],
      ["in many small writes", (socket: Duplex) => {
        for (let index = 0; index < 2000; index++) socket.write("\0");
      }],
    ] as const
  ) {
    test(`of NUL bytes ${how} is cut off after ${MAX_MALFORMED_MESSAGES} messages, with two lines`, async () => {
      const socket = dial(places().kmstool);
      const answers = readAll(socket);
      send(socket);
      assert.deepEqual(await answers, Array.from({ length: MAX_MALFORMED_MESSAGES }, () => NOT_JSON));
      const logged = await refusalsIn(lines);
      assert.deepEqual(logged.map(({ msg }) => msg), ["request", "repeated on the same connection"]);
      const [first, rest] = logged;
      assert.deepEqual([first?.["answer"], first?.["outcome"]], [KMSTOOL_ERRORS.notJson, "refused"]);
      assert.equal(rest?.["count"], MAX_MALFORMED_MESSAGES - 1);
      assert.deepEqual(rest?.["answers"], { [KMSTOOL_ERRORS.notJson]: MAX_MALFORMED_MESSAGES - 1 });
    });

    test(`of refused messages ${how} lets others in between`, async () => {
      const socket = dial(places().kmstool);
      let answered = 0;
      socket.on("data", (chunk) => answered += String(chunk).split("\0").length - 1);
      const pieces = how === "in one write" ? 1 : REFUSED;
      for (let piece = 0; piece < pieces; piece++) socket.write("{}\0".repeat(REFUSED / pieces));
      const seen: number[] = [];
      for (let round = 0; round < 20; round++) seen.push(await countRefused(places().http));
      const between = seen.slice(1).map((count, index) => count - (seen[index] ?? 0));
      assert.ok(Math.max(...between) <= MAX_BETWEEN, `messages between two requests: ${between}`);
      assert.ok((seen.at(-1) ?? 0) < REFUSED, `${seen}: the victim did not have to wait for the last`);
      assert.ok((seen.at(-1) ?? 0) > 0, "the attacker is served as well");
      while (answered < REFUSED && !socket.destroyed) await once(socket, "data");
      socket.destroy();
      const logged = await refusalsIn(lines);
      assert.equal(logged.length, 2);
      assert.equal(logged[1]?.["count"], REFUSED - 1);
    });
  }

  test("of many connections is handled one message of each after the other", async () => {
    await using fixture = await Fixture.start();
    await using serving = new Serving(fixture);
    const order: string[] = [];
    const streams = ["a", "b", "c"].map((name) => new Memory(() => order.push(name)));
    for (const stream of streams) serving.kmstool.accept(stream, PARENT);
    const [first, second, third] = streams;
    first?.push("{}\0".repeat(1000));
    second?.push("{}\0".repeat(10));
    third?.push("{}\0".repeat(10));
    await until(() => order.length === 1020);
    assert.equal(order.slice(0, 30).sort().join(""), `${"a".repeat(10)}${"b".repeat(10)}${"c".repeat(10)}`);
    assert.deepEqual(first?.answers.slice(0, 2), [NO_OPERATION, NO_OPERATION]);
    for (const stream of streams) stream.destroy();
  });

  async function refusalsIn(logged: readonly Record<string, unknown>[]): Promise<Record<string, unknown>[]> {
    const refusals = () => logged.filter((line) => line["protocol"] === "kmstool");
    await until(() => refusals().some(({ msg }) => msg !== "request"));
    return refusals();
  }
});

/** A connection in memory: tells of each answer when it is written. */
class Memory extends Duplex {
  readonly answers: string[] = [];
  readonly #told: () => void;

  constructor(told: () => void) {
    super();
    this.#told = told;
  }

  override _read(): void {}

  override _write(chunk: Uint8Array, _encoding: string, done: () => void): void {
    this.answers.push(String(chunk).slice(0, -1));
    this.#told();
    done();
  }
}

/** Reads the answers until the other side ends the connection. */
async function readAll(socket: Duplex): Promise<string[]> {
  let text = "";
  socket.on("data", (chunk) => text += String(chunk));
  await once(socket, "end");
  socket.end();
  return text.split("\0").slice(0, -1);
}

/** Asks for the metrics, over a connection of its own, how many kmstool messages were refused so far. */
async function countRefused(endpoint: Endpoint): Promise<number> {
  const socket = dial(endpoint);
  socket.write("GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
  let text = "";
  for await (const chunk of socket) text += String(chunk);
  assert.match(text, /^HTTP\/1\.1 200 /);
  return Number(/\{protocol="kmstool",operation="Other",outcome="refused"\} (\d+)/.exec(text)?.[1] ?? 0);
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}
