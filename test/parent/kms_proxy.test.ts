import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { afterAll, describe, test } from "#test";
import type { Endpoint, TcpEndpoint } from "../../lib/core/endpoint.ts";
import { connect, type Connection, ConnectionError, listen } from "../../lib/transport/mod.ts";
import { KmsProxy, type KmsProxyOptions } from "../../parent/kms_proxy.ts";
import { readKmsProxySettings } from "../../parent/kms_proxy_settings.ts";
import { until } from "../support/until.ts";

const simulationFolder = mkdtempSync(join(tmpdir(), "enclave-kms-proxy-"));
afterAll(() => rmSync(simulationFolder, { recursive: true }));

const HOST = "kms.eu-central-1.amazonaws.com";

const echo = ({ stream }: Connection) => void stream.pipe(stream);

/** Nobody listens on this address of the loopback network, and it refuses at once. */
const DEAD = "127.66.77.88";

async function ask(endpoint: Endpoint, text = "hello"): Promise<string> {
  const stream = await connect(endpoint, { timeoutMs: 60_000 });
  stream.end(text);
  return await readAll(stream);
}

async function readAll(stream: Duplex): Promise<string> {
  let text = "";
  stream.on("data", (chunk) => text += chunk);
  stream.on("error", () => {});
  await new Promise<void>((resolve) => stream.once("close", resolve));
  return text;
}

/** Opens a server that stands for KMS, and a proxy to it that finds it by a look-up of its own. */
async function openWorld(lookup: KmsProxyOptions["lookup"], options: Partial<KmsProxyOptions> = {}) {
  const kms = await listen({ transport: "tcp", host: "127.0.0.1", port: 0 }, { maxConnections: 5000 }, echo);
  const { port } = kms.endpoint as TcpEndpoint;
  const failures: unknown[] = [];
  const proxy = await KmsProxy.open({
    host: HOST,
    port,
    ports: [8000],
    simulationFolder,
    lookup,
    onFailure: (error) => failures.push(error),
    ...options,
  });
  const [bridge] = proxy.bridges;
  assert.ok(bridge !== undefined);
  return {
    kms,
    proxy,
    failures,
    endpoint: bridge.endpoint,
    async [Symbol.asyncDispose]() {
      await proxy[Symbol.asyncDispose]();
      await kms[Symbol.asyncDispose]();
    },
  };
}

describe("KmsProxy", () => {
  test("takes enclaves to KMS of the region, on 5000 and 8000", async () => {
    await using proxy = await KmsProxy.open({ region: "us-gov-west-1", simulationFolder });
    assert.equal(proxy.host, "kms.us-gov-west-1.amazonaws.com");
    assert.deepEqual(
      proxy.bridges.map(({ endpoint }) => endpoint),
      [5000, 8000].map((port) => ({ transport: "unix", path: join(simulationFolder, `3-${port}.sock`) })),
    );
  });

  test("has no limit of four: 200 connections at once have their answers, on each port", async () => {
    await using world = await openWorld(() => Promise.resolve(["127.0.0.1"]), { ports: [8000, 8001] });
    const streams = await Promise.all(
      Array.from(
        { length: 200 },
        (_, index) => connect(world.proxy.bridges[index % 2]?.endpoint as Endpoint, { timeoutMs: 60_000 }),
      ),
    );
    await until(() => world.kms.connectionCount === 200);
    const answers = await Promise.all(
      streams.map((stream, index) => (stream.end(`${index}`), readAll(stream))),
    );
    assert.deepEqual(answers, streams.map((_, index) => `${index}`));
    await until(() => world.proxy.counters.openCount === 0);
    assert.deepEqual([world.proxy.counters.acceptedCount, world.proxy.counters.bytesToTarget], [200, 490]);
  });

  test("tries the next address when one refuses, and the one that worked first the next time", async () => {
    let lookups = 0;
    await using world = await openWorld(() => (lookups++, Promise.resolve([DEAD, DEAD, "127.0.0.1"])));
    for (let round = 0; round < 3; round++) assert.equal(await ask(world.endpoint), "hello");
    assert.deepEqual([lookups, world.failures], [1, []]);
  });

  test("gives an address that is silent its own time only", async () => {
    // An address for documentation, which no machine has: whether it is refused or silent depends on the network.
    await using world = await openWorld(() => Promise.resolve(["192.0.2.1", "127.0.0.1"]), {
      tryTimeoutMs: 100,
    });
    assert.equal(await ask(world.endpoint), "hello");
  });

  test("closes the connection when no address answers, and stays up", async () => {
    let addresses = [DEAD];
    const lookup = () => Promise.resolve(addresses);
    await using world = await openWorld(lookup);
    assert.equal(await ask(world.endpoint), "");
    await until(() => world.failures.length === 1);
    const [failure] = world.failures;
    assert.ok(failure instanceof ConnectionError);
    assert.equal(failure.message, `Cannot connect to ${HOST}: none of its 1 address(es) answers`);
    assert.ok(failure.cause instanceof ConnectionError);
    addresses = ["127.0.0.1"];
    assert.equal(world.proxy.counters.failedCount, 1);
  });

  test("survives look-ups that fail before the first good one", async () => {
    let lookups = 0;
    const lookup = () =>
      ++lookups < 3
        ? Promise.reject(Object.assign(new Error("no"), { code: "EAI_AGAIN" }))
        : Promise.resolve(["127.0.0.1"]);
    await using world = await openWorld(lookup);
    for (let round = 1; round < 3; round++) {
      assert.equal(await ask(world.endpoint), "");
      await until(() => world.failures.length === round);
    }
    assert.equal((world.failures[0] as Error).message, `Cannot look up ${HOST} (EAI_AGAIN)`);
    assert.equal(await ask(world.endpoint), "hello");
  });

  test("opens all ports or none", async () => {
    await using _ = await openWorld(() => Promise.resolve([]), { ports: [8005] });
    await assert.rejects(
      KmsProxy.open({ region: "eu-central-1", ports: [8004, 8005], simulationFolder }),
      ConnectionError,
    );
    assert.equal(existsSync(join(simulationFolder, "3-8004.sock")), false);
  });

  test("refuses a host that is not on the allow-list, and what is malformed", async () => {
    const refused = (options: object, message: RegExp) =>
      assert.rejects(KmsProxy.open({ simulationFolder, ...options }), { message });
    const allow = [{ name: HOST, port: 443 }];
    await refused(
      { host: "evil.example", allow },
      /^The proxy must not connect to "evil.example" port 443: it is not/,
    );
    await refused({ host: HOST, port: 80, allow }, /port 80: it is not on the allow-list$/);
    await refused({ host: `${HOST}.evil.example`, allow }, /it is not on the allow-list$/);
    await refused({ host: `evil.${HOST}`, allow }, /it is not on the allow-list$/);
    await refused({ host: "169.254.169.254" }, /^Cannot use hostName/);
    await refused({ host: HOST, allow: [] }, /must have at least one host$/);
    await refused(
      { host: HOST, allow: [{ name: "*.amazonaws.com", port: 443 }] },
      /a star stands for a bucket/,
    );
    await refused(
      { host: HOST, allow: [{ name: "a b", port: 443 }] },
      /"a b": that is no DNS name and no IP address$/,
    );
    await refused(
      { host: HOST, allow: [{ name: HOST, port: 0 }] },
      /port of the allow-list must be an integer/,
    );
    await refused({}, /^Give region, or host$/);
    await refused({ region: "nowhere" }, /^Cannot use region/);
    await refused({ region: "eu-central-1", ports: [] }, /at least one port$/);
    await refused({ region: "eu-central-1", ports: [1, 1] }, /must not name a port twice$/);
    await refused({ region: "eu-central-1", ports: [0] }, /^ports must be an integer from 1/);
    await refused({ region: "eu-central-1", lookup: 1 }, /^lookup must be a function$/);
    await refused({ region: "eu-central-1", tryTimeoutMs: 1 }, /^tryTimeoutMs must be an integer from 10/);
    await refused({ region: "eu-central-1", family: "ipv5" }, /^family must be one of any, ipv4, ipv6$/);
    await refused({ regions: ["eu-central-1"] }, /no field `regions`/);
  });

  test("takes a name in capitals, and with a final dot, for the one on the allow-list", async () => {
    const allow = [{ name: HOST.toUpperCase(), port: 443 }];
    await using _ = await KmsProxy.open({ host: `${HOST}.`, allow, ports: [8006], simulationFolder });
  });
});

describe("readKmsProxySettings()", () => {
  test("reads the variables", () => {
    assert.deepEqual(
      readKmsProxySettings({
        KMS_PROXY_ENABLE: "1",
        KMS_PROXY_PORT: "5000, 8000",
        KMS_PROXY_DEST_HOST: "vpce-1.kms.eu-central-1.vpce.amazonaws.com",
        KMS_PROXY_DEST_PORT: "8443",
        AWS_REGION: "eu-central-1",
      }),
      {
        region: "eu-central-1",
        host: "vpce-1.kms.eu-central-1.vpce.amazonaws.com",
        port: 8443,
        ports: [5000, 8000],
      },
    );
    const unset = { region: undefined, host: undefined, port: undefined, ports: undefined };
    assert.deepEqual(readKmsProxySettings({ KMS_PROXY_PORT: "", KMS_PROXY_DEST_HOST: "" }), unset);
    for (const off of ["false", "0"]) {
      assert.equal(readKmsProxySettings({ KMS_PROXY_ENABLE: off }), undefined);
    }
  });

  test("names the variable that is malformed", () => {
    const refused = (env: Record<string, string>, message: RegExp) =>
      assert.throws(() => readKmsProxySettings(env), { message });
    refused({ KMS_PROXY_ENABLE: "yes" }, /^KMS_PROXY_ENABLE must be true, false, 1 or 0$/);
    refused({ KMS_PROXY_PORT: "5000,,8000" }, /^KMS_PROXY_PORT must be a port: digits only$/);
    refused({ KMS_PROXY_PORT: "5000;8000" }, /^KMS_PROXY_PORT must be a port: digits only$/);
    refused({ KMS_PROXY_PORT: "0" }, /^KMS_PROXY_PORT must be a port from 1 to 4294967294$/);
    refused({ KMS_PROXY_DEST_PORT: "65536" }, /^KMS_PROXY_DEST_PORT must be a port from 1 to 65535$/);
    refused({ KMS_PROXY_DEST_PORT: "-1" }, /^KMS_PROXY_DEST_PORT must be a port: digits only$/);
  });
});
