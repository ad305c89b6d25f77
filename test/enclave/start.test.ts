import assert from "node:assert/strict";
import { hc } from "hono/client";
import { Hono } from "hono";
import { afterAll, beforeAll, describe } from "#test";
import { enclaveApp, type EnclaveEnv, type EnclaveOptions, gate, startEnclave } from "../../enclave/mod.ts";
import type { OpenApiDocument } from "../../enclave/openapi.ts";
import type { EnclaveInfo } from "../../enclave/enclave_info.ts";
import { ConfigError } from "../../enclave/settings.ts";
import { createLogger } from "../../enclave/telemetry/log.ts";
import { AttestationError } from "../../lib/core/errors.ts";
import { createFetch } from "../../lib/transport/mod.ts";
import { type Simulator, startSimulator } from "../../sim/mod.ts";
import { divideTests } from "../support/share.ts";

const test = divideTests();

const ENVIRONMENT = {
  ENV_SETUP: "SIM",
  ENCLAVE_KMS_REQUEST_TIMEOUT_MS: "50000",
  ENCLAVE_PORT: "0",
  CONTROL_PORT: "0",
};

describe("startEnclave()", () => {
  let simulator: Simulator;
  beforeAll(async () => {
    simulator = await startSimulator();
  });
  afterAll(() => simulator.close());

  /** Options of an enclave on a free port, whose log is kept. */
  function optionsWith(
    options: Partial<EnclaveOptions> = {},
    lines: string[] = [],
  ): EnclaveOptions & { readonly lines: string[] } {
    const logger = createLogger("debug", (line) => lines.push(line));
    const { trustedCertificates } = simulator;
    // An enclave disposes its NSM when it closes; this one is shared.
    const nsm = {
      exchange: (request: Uint8Array<ArrayBuffer>) => simulator.nsm.exchange(request),
      [Symbol.dispose]() {},
    };
    const base = { name: "test", environment: ENVIRONMENT, signals: false };
    return { ...base, logger, nsm, trustedCertificates, ...options, lines } as never;
  }

  const start = <App extends Parameters<typeof startEnclave>[0]>(
    app: App,
    { lines: _, ...options }: EnclaveOptions & { readonly lines: string[] } = optionsWith(),
  ) => startEnclave(app, options);

  test("serves a chain of routes, whose types its clients know", async () => {
    const app = enclaveApp()
      .get("/v1/hello/:name", (c) => c.json({ hello: c.req.param("name"), channel: c.var.channel }))
      .post("/v1/things", (c) => c.json({ made: true }, 201));
    await using enclave = await start(app);
    const client = hc<typeof app>("http://enclave", { fetch: createFetch(enclave.endpoint) });
    const answer = await client.v1.hello[":name"].$get({ param: { name: "you" } });
    const body: { hello: string; channel: "clear" | "tls" | "sealed" } = await answer.json();
    assert.deepEqual(body, { hello: "you", channel: "clear" });
    assert.equal((await client.v1.things.$post()).status, 201);
    // @ts-expect-error: the compiler knows the routes
    assert.equal(typeof client.v1.nothing.$get, "function");
  });

  test("serves any other application of that environment, with its own handler of errors", async () => {
    const app = new Hono<EnclaveEnv>();
    app.onError((error, c) => c.text(`own: ${error.message}`, 418));
    app.get("/fails", () => {
      throw new Error("tea");
    });
    await using enclave = await start(app);
    const answer = await createFetch(enclave.endpoint)("http://enclave/fails");
    assert.deepEqual([answer.status, await answer.text()], [418, "own: tea"]);
  });

  test("answers what the application does not with problem documents", async () => {
    const app = enclaveApp().get("/fails", () => {
      throw new Error("HUSH");
    });
    const options = optionsWith();
    await using enclave = await start(app, options);
    const fetch = createFetch(enclave.endpoint);
    const codeOf = async (path: string, init?: RequestInit) => {
      const answer = await fetch(`http://enclave${path}`, init);
      const { code } = await answer.json() as { code: string };
      return [answer.status, code];
    };
    assert.deepEqual(await codeOf("/nothing"), [404, "ERR_NOT_FOUND"]);
    assert.deepEqual(await codeOf("/fails", { method: "DELETE" }), [405, "ERR_METHOD_NOT_ALLOWED"]);
    assert.deepEqual(await codeOf("/fails"), [500, "ERR_INTERNAL"]);
    assert.ok(!options.lines.join("").includes("HUSH"));
  });

  test("refuses a gate that nobody can pass, and what is no application", async () => {
    const app = enclaveApp().get("/v1/look", gate("Look"), (c) => c.text("seen"));
    await assert.rejects(start(app), { name: "TypeError", message: /gate of \/v1\/look asks about "Look"/ });
    await using _enclave = await start(app, optionsWith({ actions: ["Look"] }));
    for (const given of [undefined, {}, () => {}]) {
      await assert.rejects(start(given as never), { name: "TypeError", message: /must be one of Hono/ });
    }
  });

  test("says in the log which region it takes for want of one", async () => {
    const saidWith = async (region: object) => {
      const options = optionsWith({ environment: { ...ENVIRONMENT, ...region } });
      await using _enclave = await start(enclaveApp(), options);
      return options.lines.some((line) => line.includes("region (ENCLAVE_KMS_REGION)"));
    };
    assert.deepEqual([await saidWith({}), await saidWith({ ENCLAVE_KMS_REGION: "eu-west-1" })], [
      true,
      false,
    ]);
  });

  test("says in the log that a simulation has no NSM", async () => {
    const saidBy = async (options: ReturnType<typeof optionsWith>) => {
      await using _enclave = await start(enclaveApp(), options);
      return options.lines.some((line) => line.includes("simulatedNsm (ENCLAVE_KMS_SIMULATED_NSM)"));
    };
    const { nsm: _, ...without } = optionsWith();
    assert.deepEqual([await saidBy(without as never), await saidBy(optionsWith())], [true, false]);
  });

  test("without a policy file refuses what is gated, and says so in the log", async () => {
    const app = enclaveApp()
      .get("/gated", gate("Look"), (c) => c.text("seen"))
      .get("/open", (c) => c.text("seen"));
    const options = optionsWith({ actions: ["Look"] });
    await using enclave = await start(app, options);
    const fetch = createFetch(enclave.endpoint);
    assert.equal((await fetch("http://enclave/open")).status, 200);
    const refused = await fetch("http://enclave/gated");
    assert.equal(refused.status, 403);
    assert.equal((await refused.json() as { code: string }).code, "ERR_POLICY_DENIED");
    assert.ok(
      options.lines.some((line) => line.includes("there is no policy file: every request is refused")),
    );
    const line = options.lines.map((text) => JSON.parse(text)).find(({ outcome }) => outcome === "denied");
    assert.equal(line.operation, "Look");
  });

  test("has the built-in routes, unless they are switched off", async () => {
    const paths = [
      "/healthz",
      "/readyz",
      "/metrics",
      "/v1/info",
      "/v1/attestation?nonce=AQID",
      "/openapi.json",
    ];
    const statuses = async (options: Partial<EnclaveOptions>) => {
      await using enclave = await start(enclaveApp(), optionsWith(options));
      const fetch = createFetch(enclave.endpoint);
      return await Promise.all(paths.map(async (path) => (await fetch(`http://enclave${path}`)).status));
    };
    // Not ready without credentials and a policy, and no policy permits a document.
    assert.deepEqual(await statuses({}), [200, 503, 200, 200, 403, 200]);
    const off = {
      health: false,
      ready: false,
      metrics: false,
      info: false,
      attestation: false,
      openapi: false,
    };
    assert.deepEqual(await statuses({ routes: off }), [404, 404, 404, 404, 404, 404]);
    await assert.rejects(start(enclaveApp(), optionsWith({ routes: { helth: false } as never })), TypeError);
    await assert.rejects(start(enclaveApp(), optionsWith({ routes: { health: "no" } as never })), TypeError);
  });

  test("is ready when what the application needs is there, and asks for nothing else", async () => {
    const readiness = async (options: Partial<EnclaveOptions>, parts: Partial<EnclaveOptions> = {}) => {
      const given = optionsWith({ ...options, ...parts });
      await using enclave = await start(enclaveApp(), given);
      const answer = await createFetch(enclave.endpoint)("http://enclave/readyz");
      const warns = given.lines.some((line) => line.includes("there is no policy file"));
      return [answer.status, await answer.json(), warns];
    };
    const kms = { library: true, credentials: false };
    assert.deepEqual(await readiness({}), [503, { ...kms, nsm: true, policy: false }, true]);
    assert.deepEqual(await readiness({ needs: ["policy"] }), [503, { nsm: true, policy: false }, true]);
    assert.deepEqual(await readiness({ needs: ["kms"] }), [503, { ...kms, nsm: true }, false]);
    assert.deepEqual(await readiness({ needs: [] }), [200, { nsm: true }, false]);
    assert.deepEqual(await readiness({ ungated: true }), [503, { ...kms, nsm: true }, false]);
    assert.deepEqual(
      await readiness({ ungated: true, actions: ["Look"] }),
      [503, { ...kms, nsm: true, policy: false }, true],
    );
    const noNsm = {
      exchange: () => Promise.reject(new AttestationError("UNAVAILABLE", "gone", { hint: "-" })),
      [Symbol.dispose]() {},
    };
    assert.deepEqual(await readiness({ needs: [] }, { nsm: noNsm }), [503, { nsm: false }, false]);
    for (const needs of [["kms", "tea"], "kms", [undefined], {}]) {
      await assert.rejects(
        start(enclaveApp(), optionsWith({ needs: needs as never })),
        /needs must be a list/,
      );
    }
  });

  test("is ready when the application's own parts are there, and passes its warnings on", async () => {
    const own = { parts: { cache: false, nsm: false }, warnings: ["old"] };
    const options = optionsWith({ needs: [], readiness: () => own });
    await using enclave = await start(enclaveApp(), options);
    const readiness = async () => {
      const answer = await createFetch(enclave.endpoint)("http://enclave/readyz");
      return [answer.status, await answer.json()];
    };
    // What the base says of its own parts counts.
    assert.deepEqual(await readiness(), [503, { cache: false, nsm: true, warnings: ["old"] }]);
    own.parts.cache = true;
    own.warnings = [];
    assert.deepEqual(await readiness(), [200, { cache: true, nsm: true }]);
    enclave.logger.warn("of the application's own");
    assert.ok(options.lines.some((line) => line.includes("of the application's own")));
    await assert.rejects(
      start(enclaveApp(), optionsWith({ readiness: true as never })),
      /readiness must be a function/,
    );
  });

  test("what it does not need is refused all the same while there is none", async () => {
    const app = enclaveApp().get("/gated", gate("Look"), (c) => c.text("seen"));
    await using enclave = await start(app, optionsWith({ actions: ["Look"], needs: [] }));
    assert.equal((await createFetch(enclave.endpoint)("http://enclave/gated")).status, 403);
  });

  test("describes the enclave, and says that it is simulated", async () => {
    await using enclave = await start(enclaveApp());
    const answer = await createFetch(enclave.endpoint)("http://enclave/v1/info");
    const { bootId, versions, ...info } = await answer.json() as EnclaveInfo;
    assert.match(bootId, /^[0-9a-f]{32}$/);
    assert.deepEqual(Object.keys(versions), ["enclave-kms", "Deno" in globalThis ? "deno" : "node"]);
    const { moduleId } = simulator.nsm;
    const pcrs = Object.fromEntries(
      Object.keys(info.pcrs).map((index) => [index, simulator.nsm.pcr(Number(index))]),
    );
    assert.deepEqual(info, { name: "test", enclaveId: moduleId, isSimulated: true, pcrs });
    assert.ok(Object.keys(pcrs).length > 3);
  });

  test("refuses an application with a route that is built in, or the parent's alone", async () => {
    const own = (path: string) =>
      enclaveApp().get(path, (c) => c.text("own")).post(path, (c) => c.text("own"));
    await assert.rejects(start(own("/healthz")), /a route \/healthz of its own: switch the built-in one off/);
    for (const path of ["/v1/credentials", "/set-credentials", "/v1/shutdown"]) {
      await assert.rejects(start(own(path)), {
        name: "TypeError",
        message: /belongs to the control listener alone$/,
      });
    }
    await using enclave = await start(own("/healthz"), optionsWith({ routes: { health: false } }));
    assert.equal(await (await createFetch(enclave.endpoint)("http://enclave/healthz")).text(), "own");
  });

  test("joins the application's OpenAPI document with its own, and refuses a clash", async () => {
    const openapi = {
      info: { title: "Orders", version: "7" },
      paths: {
        "/v1/orders": { post: { operationId: "order" } },
        "/healthz": { put: { operationId: "heal" } },
      },
      schemas: { Order: { type: "object" } },
    };
    await using enclave = await start(enclaveApp(), optionsWith({ openapi }));
    const answer = await createFetch(enclave.endpoint)("http://enclave/openapi.json");
    const document = await answer.json() as OpenApiDocument;
    assert.deepEqual(document.info, openapi.info);
    assert.deepEqual(Object.keys(document.paths["/healthz"] ?? {}), ["get", "put"]);
    assert.deepEqual(document.paths["/v1/orders"], openapi.paths["/v1/orders"]);
    assert.deepEqual(Object.keys(document.components["schemas"] as object), ["Order", "Problem"]);
    for (const wrong of [{ paths: { "/healthz": { get: {} } } }, { schemas: { Problem: {} } }]) {
      await assert.rejects(start(enclaveApp(), optionsWith({ openapi: wrong })), /is there twice/);
    }
  });

  test("ends its promise when it is closed", async () => {
    const enclave = await start(enclaveApp());
    let ended = false;
    void enclave.closed.then(() => ended = true);
    await Promise.resolve();
    assert.equal(ended, false);
    await enclave.close();
    await enclave.closed;
    assert.equal(ended, true);
  });

  test("refuses options and settings that it does not know", async () => {
    const options = { ...optionsWith(), lines: undefined } as unknown as EnclaveOptions;
    await assert.rejects(startEnclave(enclaveApp(), options), TypeError);
    const wrong = { ...optionsWith(), environment: { ENV_SETUP: "LAPTOP" } };
    await assert.rejects(start(enclaveApp(), wrong), (error) => {
      assert.ok(error instanceof ConfigError);
      assert.deepEqual(error.problems, ['envSetup (ENV_SETUP): expected "NITRO" or "SIM"']);
      return true;
    });
  });
});
