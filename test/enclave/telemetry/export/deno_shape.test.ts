import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { afterAll, beforeAll, describe, test } from "#test";
import { enclaveApp, startEnclave } from "../../../../enclave/mod.ts";
import { createLogger } from "../../../../enclave/telemetry/log.ts";
import { createFetch } from "../../../../lib/transport/mod.ts";
import { startSimulator } from "../../../../sim/mod.ts";
import { type Collector, openCollector } from "../collector.ts";

const TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/** A server that Deno exports by itself: one request, and one line of the console. */
const PROGRAM = `
const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, () => {
  console.log("a line");
  return new Response("x");
});
const headers = { traceparent: "${TRACEPARENT}" };
await (await fetch("http://127.0.0.1:" + server.addr.port, { headers })).text();
await server.shutdown();
`;

const PATHS = ["/v1/traces", "/v1/logs", "/v1/metrics"] as const;

/** Types of JSON that a field of OTLP may have beside its reference's: 64-bit integers are texts or numbers. */
const INTEGERS = /(?:UnixNano|intValue|asInt|asDouble|count|bucketCounts\[\])$/;

const folder = mkdtempSync(join(tmpdir(), "enclave-kms-otel-"));
afterAll(() => rmSync(folder, { recursive: true }));

describe("beside Deno's own exporter", () => {
  let deno: Collector;
  let own: Collector;
  beforeAll(async () => {
    deno = await openCollector();
    await runDeno(deno);
    own = await openCollector();
    await runEnclave(own);
  });
  afterAll(async () => {
    await deno[Symbol.asyncDispose]();
    await own[Symbol.asyncDispose]();
  });

  for (const path of PATHS) {
    test(`${path} has fields that Deno's has, each of the same type`, () => {
      const reference = shapeOf(deno, path);
      const shape = shapeOf(own, path);
      assert.ok(shape.size > 8, [...shape.keys()].join("\n"));
      for (const [place, type] of shape) {
        // Deno has no gauge here, whose points are those of a sum, nor one of a fraction.
        const ofSum = place.replace(".gauge.", ".sum.").replace(".asDouble", ".asInt");
        const known = reference.get(place) ?? reference.get(ofSum);
        const isInteger = INTEGERS.test(place) && (known === "string" || known === "number");
        assert.ok(isInteger || known === type, `${place} is ${type}, and ${known} in Deno's`);
      }
    });
  }

  test("a span goes on in the same trace, as Deno's does", () => {
    const spansOf = (collector: Collector) =>
      collector.items("/v1/traces").filter(({ parentSpanId }) => parentSpanId === "b7ad6b7169203331");
    for (const collector of [deno, own]) {
      const [span] = spansOf(collector);
      assert.equal(span?.["traceId"], "0af7651916cd43dd8448eb211c80319c");
      assert.equal(span?.["kind"], 2);
      assert.match(String(span?.["startTimeUnixNano"]), /^\d{19}$/);
      assert.equal(Number(span?.["flags"]) & 1, 1);
      const log = collector.items("/v1/logs").find(({ spanId }) => spanId === span?.["spanId"]);
      assert.equal(log?.["traceId"], span?.["traceId"]);
    }
  });
});

async function runDeno({ endpoint }: Collector): Promise<void> {
  assert.ok(endpoint.transport === "tcp");
  const file = join(folder, "program.ts");
  writeFileSync(file, PROGRAM);
  const env = {
    ...process.env,
    OTEL_DENO: "true",
    OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${endpoint.port}`,
  };
  const args = ["run", "--quiet", "--no-prompt", "--no-check", "--no-config", "--allow-net", file];
  const child = spawn("deno", args, { env, stdio: ["ignore", "ignore", "inherit"] });
  const code = await new Promise((resolve) => child.once("exit", resolve));
  assert.equal(code, 0);
}

async function runEnclave({ endpoint }: Collector): Promise<void> {
  assert.ok(endpoint.transport === "tcp");
  await using simulator = await startSimulator();
  const app = enclaveApp().get("/", (c) => c.text("x"));
  await using enclave = await startEnclave(app, {
    name: "shaped",
    nsm: simulator.nsm,
    signals: false,
    logger: createLogger("info", () => {}),
    environment: {
      ...{ ENV_SETUP: "SIM", ENCLAVE_KMS_REQUEST_TIMEOUT_MS: "50000", ENCLAVE_PORT: "0", CONTROL_PORT: "0" },
      ENCLAVE_KMS_TELEMETRY: `tcp:127.0.0.1:${endpoint.port}`,
    },
  });
  const fetch = createFetch(enclave.endpoint);
  const { status } = await fetch("http://enclave/", { headers: { traceparent: TRACEPARENT } });
  assert.equal(status, 200);
  await enclave.close();
}

/** Types of all values in the exports to a path, by their places; values of attributes are left out. */
function shapeOf({ exports }: Collector, path: string): Map<string, string> {
  const shape = new Map<string, string>();
  const visit = (value: unknown, place: string): void => {
    if (Array.isArray(value)) return value.forEach((one) => visit(one, `${place}[]`));
    if (typeof value !== "object" || value === null) return void shape.set(place, typeof value);
    for (const [name, inner] of Object.entries(value)) {
      if (name !== "value") visit(inner, place === "" ? name : `${place}.${name}`);
    }
  };
  for (const one of exports.filter((got) => got.path === path)) visit(one.body, "");
  return shape;
}
