import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { afterAll, beforeAll, describe, test } from "#test";
import { fromParentOnly } from "../../enclave/control_app.ts";
import { type Enclave, enclaveApp, startEnclave } from "../../enclave/mod.ts";
import { removeStaleSocket } from "../../lib/transport/vsock_place.ts";
import { createLogger } from "../../enclave/telemetry/log.ts";
import { sealedFetch } from "../../lib/channel/mod.ts";
import { attestedTlsFetch } from "../../lib/channel/node/mod.ts";
import type { Endpoint } from "../../lib/core/endpoint.ts";
import { createFetch, listen } from "../../lib/transport/mod.ts";
import { type Simulator, startSimulator } from "../../sim/mod.ts";
import { policyFile } from "../support/policy_file.ts";
import { dialUnix, leaveSocket } from "../support/unix_socket.ts";
import { dial } from "../server/serving.ts";

/** Routes that only the parent may ask. */
const CONTROL = ["/v1/credentials", "/set-credentials", "/v1/shutdown"];

describe("the control listener", () => {
  let simulator: Simulator;
  beforeAll(async () => {
    simulator = await startSimulator();
  });
  afterAll(() => simulator.close());

  async function start(
    controlPort: number,
    lines: string[] = [],
    settings: Readonly<Record<string, string>> = {},
  ): Promise<Enclave> {
    const { trustedCertificates, endpoint, region } = simulator;
    // An enclave disposes its NSM when it closes; this one is shared.
    const nsm = {
      exchange: (request: Uint8Array<ArrayBuffer>) => simulator.nsm.exchange(request),
      [Symbol.dispose]() {},
    };
    assert.ok(endpoint.transport === "tcp");
    return await startEnclave(enclaveApp(), {
      name: "test",
      nsm,
      trustedCertificates,
      signals: false,
      logger: createLogger("debug", (line) => lines.push(line)),
      environment: {
        ENV_SETUP: "SIM",
        ENCLAVE_KMS_REQUEST_TIMEOUT_MS: "50000",
        ENCLAVE_PORT: "0",
        CONTROL_PORT: String(controlPort),
        ENCLAVE_KMS_REGION: region,
        ENCLAVE_KMS_ENGINE: "direct",
        ENCLAVE_KMS_KMS: `tcp:${endpoint.host}:${endpoint.port}`,
        ...settings,
      },
    });
  }

  function post(endpoint: Endpoint, path: string, body?: unknown): Promise<Response> {
    return createFetch(endpoint)(`http://enclave${path}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  }

  test("takes credentials of the parent, which count for everybody, and logs no secret", async () => {
    const lines: string[] = [];
    await using enclave = await start(freePort(), lines);
    const { credentials } = simulator;
    const ready = async () => {
      const answer = await createFetch(enclave.endpoint)("http://enclave/readyz");
      return (await answer.json() as { credentials: boolean }).credentials;
    };
    assert.equal(await ready(), false);
    assert.ok(enclave.controlEndpoint !== undefined);
    for (const path of CONTROL.slice(0, 2)) {
      assert.equal((await post(enclave.controlEndpoint, path, credentials)).status, 204, path);
    }
    assert.equal(await ready(), true);
    assert.ok(lines.some((line) => line.includes('"caller":{"type":"Parent"}')));
    assert.ok(!lines.join("").includes(credentials.secretAccessKey));
  });

  test("ends the enclave, which answers what runs first", async () => {
    await using enclave = await start(freePort());
    assert.ok(enclave.controlEndpoint !== undefined);
    const { controlEndpoint, endpoint } = enclave;
    assert.equal((await post(controlEndpoint, "/v1/shutdown")).status, 202);
    await enclave.closed;
    await assert.rejects(createFetch(endpoint)("http://enclave/healthz"), { code: "ERR_CONNECTION" });
    await assert.rejects(post(controlEndpoint, "/v1/shutdown"), { code: "ERR_CONNECTION" });
  });

  test("has nothing else, and no other listener has its routes, through a bridge or not", async () => {
    await using enclave = await start(freePort());
    const { endpoint, controlEndpoint } = enclave;
    assert.ok(controlEndpoint !== undefined);
    // A bridge of the parent: whoever comes through it has the parent's CID on hardware.
    await using bridge = await listen({ transport: "tcp", host: "127.0.0.1", port: 0 }, {}, ({ stream }) => {
      const inside = dial(endpoint);
      stream.pipe(inside).pipe(stream);
      stream.on("error", () => inside.destroy());
      stream.on("close", () => inside.destroy());
      inside.on("close", () => stream.destroy());
    });
    for (const path of CONTROL) {
      for (const listener of [endpoint, bridge.endpoint]) {
        const answer = await post(listener, path, simulator.credentials);
        assert.deepEqual([answer.status, await codeOf(answer)], [404, "ERR_NOT_FOUND"], path);
      }
    }
    assert.equal((await createFetch(controlEndpoint)("http://enclave/healthz")).status, 404);
    assert.equal((await createFetch(controlEndpoint)("http://enclave/v1/shutdown")).status, 405);
    assert.equal((await post(controlEndpoint, "/v1/credentials", { accessKeyId: "HUSH" })).status, 400);
  });

  test("is not to be had over TLS or sealed HTTP either, whose callers may be anybody", async () => {
    using policy = policyFile('permit(principal, action == Action::"GetAttestation", resource);');
    const settings = { ENCLAVE_KMS_TLS: "tcp:127.0.0.1:0", ENCLAVE_KMS_POLICY_FILE: policy.path };
    await using enclave = await start(0, [], settings);
    const expected = { pcrs: { 0: simulator.nsm.pcr(0) }, root: simulator.nsm.root };
    const overTls = attestedTlsFetch({ ...expected, endpoint: enclave.tlsEndpoint });
    const sealed = sealedFetch("http://enclave/", { ...expected, fetch: createFetch(enclave.endpoint) });
    const headers = { "content-type": "application/json" };
    const body = JSON.stringify(simulator.credentials);
    for (const path of CONTROL) {
      for (
        const [fetch, origin] of [[overTls, "https://enclave.internal"], [sealed, "http://enclave"]] as const
      ) {
        const answer = await fetch(`${origin}${path}`, { method: "POST", headers, body });
        assert.deepEqual([answer.status, await codeOf(answer)], [404, "ERR_NOT_FOUND"], `${origin}${path}`);
      }
    }
    const ready = await createFetch(enclave.endpoint)("http://enclave/readyz");
    assert.equal((await ready.json() as { credentials: boolean }).credentials, false);
  });

  test("is left out with port 0", async () => {
    await using enclave = await start(0);
    assert.equal(enclave.controlEndpoint, undefined);
  });

  test("closes connections from every CID but the parent's unheard", async () => {
    const heard: number[] = [];
    const handler = fromParentOnly({
      accept: (_stream, cid) => void heard.push(cid),
      giveWay: () => undefined,
      close: () => Promise.resolve(),
    });
    for (const cid of [0, 1, 2, 3, 4, 16, 0xffff_ffff, Number.NaN]) {
      const stream = new PassThrough();
      handler.accept(stream, cid);
      assert.equal(stream.destroyed, cid !== 3, `CID ${cid}`);
    }
    assert.deepEqual(heard, [3]);
    await handler.close(0);
  });
});

describe("removeStaleSocket()", () => {
  test("removes a socket that nobody listens on, and leaves one that is served", async () => {
    const folder = mkdtempSync(join(tmpdir(), "enclave-kms-control-"));
    const path = join(folder, "control.sock");
    try {
      await removeStaleSocket(path); // nothing there
      await using _listener = await listen(
        { transport: "unix", path },
        {},
        ({ stream }) => void stream.end("served"),
      );
      await removeStaleSocket(path);
      const socket = dialUnix(path);
      const [chunk] = await once(socket, "data");
      assert.equal(String(chunk), "served");
      socket.destroy();
      const stale = join(folder, "stale.sock");
      await leaveSocket(stale);
      assert.ok(existsSync(stale));
      await removeStaleSocket(stale);
      assert.ok(!existsSync(stale));
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

let lastPort = 0;

/** Chooses a number for the control socket that no other test of this process has. */
function freePort(): number {
  lastPort ||= 20_000 + Math.floor(Math.random() * 1_000_000_000);
  return ++lastPort;
}

async function codeOf(answer: Response): Promise<string> {
  return (await answer.json() as { code: string }).code;
}
