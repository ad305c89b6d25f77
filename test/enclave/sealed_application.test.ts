import assert from "node:assert/strict";
import { hc } from "hono/client";
import { afterAll, beforeAll, describe, test } from "#test";
import {
  type Enclave,
  enclaveApp,
  type EnclaveOptions,
  requireChannel,
  startEnclave,
} from "../../enclave/mod.ts";
import { createLogger } from "../../enclave/telemetry/log.ts";
import { narrow, sealedFetch } from "../../lib/channel/mod.ts";
import { createFetch } from "../../lib/transport/mod.ts";
import { SEALED_REQUEST_TYPE } from "../../lib/wire/oblivious_http.ts";
import { type Simulator, startSimulator } from "../../sim/mod.ts";
import { type PolicyFile, policyFile } from "../support/policy_file.ts";
import { until } from "../support/until.ts";

const ENVIRONMENT = {
  ENV_SETUP: "SIM",
  ENCLAVE_KMS_REQUEST_TIMEOUT_MS: "50000",
  ENCLAVE_PORT: "0",
  CONTROL_PORT: "0",
};

describe("an application's sealed HTTP", () => {
  let simulator: Simulator;
  let policy: PolicyFile;
  const lines: Record<string, unknown>[] = [];
  beforeAll(async () => {
    simulator = await startSimulator();
    policy = policyFile(`permit(principal, action == Action::"GetAttestation", resource);`);
  });
  afterAll(async () => {
    policy[Symbol.dispose]();
    await simulator.close();
  });

  const app = enclaveApp()
    .get("/v1/channel", (c) => c.json({ channel: c.var.channel, caller: c.var.caller.type }))
    .get("/v1/guarded", requireChannel("sealed"), (c) => c.text("for the caller only"))
    .get("/v1/trace", (c) => c.text(c.var.traceparent))
    .post("/v1/echo", (c) => new Response(c.req.raw.body))
    .get("/v1/stream", () => new Response(streams.shift() ?? null));

  /** Answers of `/v1/stream`, in order. */
  const streams: ReadableStream<Uint8Array<ArrayBuffer>>[] = [];

  async function start(options: Partial<EnclaveOptions> = {}): Promise<Enclave> {
    const nsm = {
      exchange: (request: Uint8Array<ArrayBuffer>) => simulator.nsm.exchange(request),
      [Symbol.dispose]() {},
    };
    const { trustedCertificates } = simulator;
    const { environment = {}, ...rest } = options;
    return await startEnclave(app, {
      name: "sealed",
      nsm,
      trustedCertificates,
      logger: createLogger("debug", (line) => lines.push(JSON.parse(line))),
      signals: false,
      environment: { ...ENVIRONMENT, ENCLAVE_KMS_POLICY_FILE: policy.path, ...environment },
      ...rest,
    });
  }

  const sealedOf = ({ endpoint }: Enclave, answers: "whole" | "streamed" = "whole") =>
    sealedFetch("http://enclave/", {
      answers,
      pcrs: { 0: simulator.nsm.pcr(0) },
      root: simulator.nsm.root,
      fetch: createFetch(endpoint),
    });

  test("has the trace that was sealed, never that of the request that carries it", async () => {
    await using enclave = await start();
    const [inside, outside] = ["a", "b"].map((digit) => `00-${digit.repeat(32)}-${digit.repeat(16)}-01`);
    const carry = createFetch(enclave.endpoint);
    const fetch = sealedFetch("http://enclave/", {
      pcrs: { 0: simulator.nsm.pcr(0) },
      root: simulator.nsm.root,
      fetch: (input, init) => {
        const headers = new Headers(init?.headers ?? (input instanceof Request ? input.headers : {}));
        headers.set("traceparent", outside ?? "");
        return carry(input, { ...init, headers });
      },
    });
    const traced = await fetch("/v1/trace", { headers: { traceparent: inside ?? "" } });
    assert.match(await traced.text(), /^00-a{32}-[0-9a-f]{16}-01$/);
    assert.doesNotMatch(await (await fetch("/v1/trace")).text(), /b{16}/);
    assert.match(
      await (await carry("http://enclave/v1/trace", { headers: { traceparent: outside ?? "" } })).text(),
      /^00-b{32}-/,
    );
  });

  test("serves its routes by the same types, each request as one line of the log", async () => {
    await using enclave = await start();
    const client = hc<typeof app>("http://enclave", { fetch: sealedOf(enclave) });
    lines.length = 0;
    const answer = await narrow(client.v1.channel.$get());
    assert.ok(answer.ok);
    assert.deepEqual(answer.answer, { channel: "sealed", caller: "Caller" });
    const requests = lines.filter(({ msg }) => msg === "request").map(({ operation }) => operation);
    assert.deepEqual(requests, ["GetAttestation", "Other"]);
    const clear = await createFetch(enclave.endpoint)("http://enclave/v1/guarded");
    assert.equal(clear.status, 403);
    assert.equal(await (await sealedOf(enclave)("/v1/guarded")).text(), "for the caller only");
  });

  test("streams an answer over a connection as it is made, beyond 4 MiB, and stops when its caller has gone", async () => {
    await using enclave = await start();
    const fetch = sealedOf(enclave, "streamed");
    const { readable, writable } = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>();
    const writer = writable.getWriter();
    streams.push(readable);
    const events = await fetch("/v1/stream");
    const reader = events.body!.getReader();
    for (const word of ["one", "two"]) {
      const writing = writer.write(new TextEncoder().encode(word));
      assert.equal(new TextDecoder().decode((await reader.read()).value), word);
      await writing;
    }
    let isOver = false;
    writer.closed.catch(() => isOver = true);
    await reader.cancel();
    // What is written next shows the enclave that nobody is there.
    await until(() => {
      writer.write(new TextEncoder().encode("three")).catch(() => {});
      return isOver;
    });

    const mebibyte = 1 << 20;
    let made = 0;
    streams.push(
      new ReadableStream({
        pull(controller) {
          if (made++ === 6) controller.close();
          else controller.enqueue(new Uint8Array(mebibyte).fill(made));
        },
      }, { highWaterMark: 0 }),
    );
    const large = await (await fetch("/v1/stream")).bytes();
    assert.equal(large.length, 6 * mebibyte);
    assert.ok(large.every((byte, index) => byte === 1 + Math.floor(index / mebibyte)));

    // The request is there for as long as the answer reads it.
    const echo = await fetch("/v1/echo", { method: "POST", body: "x".repeat(60_000) });
    assert.equal(await echo.text(), "x".repeat(60_000));
  });

  test("an answer that breaks off never looks like one that has ended", async () => {
    await using enclave = await start();
    for (const after of [0, 1, 2]) {
      let made = 0;
      streams.push(
        new ReadableStream({
          pull(controller) {
            if (made++ === after) controller.error(new Error("a defect"));
            else controller.enqueue(new TextEncoder().encode("part"));
          },
        }, { highWaterMark: 0 }),
      );
      const reading = sealedOf(enclave, "streamed")("/v1/stream").then((answer) => answer.text());
      await assert.rejects(reading, { name: /^(?:ConnectionError|ProtocolError)$/ });
    }
    assert.equal((await sealedOf(enclave, "streamed")("/v1/guarded")).status, 200);
  });

  test("serves nothing that only the parent may do", async () => {
    await using enclave = await start();
    const fetch = sealedOf(enclave);
    const init = { method: "POST", headers: { "content-type": "application/json" }, body: "{}" };
    for (const path of ["/v1/credentials", "/set-credentials", "/v1/shutdown"]) {
      assert.equal((await fetch(path, init)).status, 404, path);
    }
    assert.equal((await fetch("/healthz")).status, 200);
  });

  test("is not there when a setting or the application switches it off, and no key is vouched for", async () => {
    for (
      const options of [
        { routes: { sealed: false } },
        { environment: { ENCLAVE_KMS_SEALED: "off" } },
      ]
    ) {
      await using enclave = await start(options);
      const fetch = createFetch(enclave.endpoint);
      const headers = { "content-type": SEALED_REQUEST_TYPE };
      const posted = await fetch("http://enclave/v1/sealed", { method: "POST", headers, body: "x" });
      assert.equal(posted.status, 404);
      const attested = await (await fetch("http://enclave/v1/attestation?nonce=AAAA")).json() as {
        keys: Record<string, string>;
        sealing?: string;
      };
      assert.deepEqual([Object.keys(attested.keys), attested.sealing], [["sign"], undefined]);
      await assert.rejects(sealedOf(enclave)("/v1/channel"), { code: "ERR_ATTESTATION_FIELD_MISSING" });
    }
  });

  test("a request of one enclave is nothing to another, nor to the same after a restart", async () => {
    const kept: RequestInit[] = [];
    let isReplayed = false;
    {
      await using first = await start();
      const direct = createFetch(first.endpoint);
      const fetch = sealedFetch("http://enclave/", {
        pcrs: { 0: simulator.nsm.pcr(0) },
        root: simulator.nsm.root,
        fetch: async (input, init) => {
          if (init?.method === "POST") {
            kept.push({ method: "POST", headers: init.headers!, body: init.body! });
          }
          return await direct(input, init);
        },
      });
      assert.equal((await fetch("/v1/channel")).status, 200);
    }
    await using second = await start();
    for (const init of kept) {
      const answer = await createFetch(second.endpoint)("http://enclave/v1/sealed", init);
      assert.deepEqual([answer.status, (await answer.json() as { code: string }).code], [
        400,
        "ERR_SEALED_KEY",
      ]);
      isReplayed = true;
    }
    assert.ok(isReplayed);
  });

  test("takes a body as large as the listener's, with the seal, and refuses a larger one before it is opened", async () => {
    await using enclave = await start();
    const fetch = sealedOf(enclave);
    const post = (bytes: number) => fetch("/missing", { method: "POST", body: new Uint8Array(bytes) });
    assert.equal((await post(65_000)).status, 404);
    await assert.rejects(post(66_000), { code: "ERR_CHANNEL", status: 413 });
    const headers = { "x-long": "a".repeat(17_000) };
    assert.equal(
      (await fetch("/v1/channel", { headers })).status,
      400,
      "headers are bounded as in the clear",
    );
    const many = Object.fromEntries(Array.from({ length: 101 }, (_, i) => [`x-${i}`, "a"]));
    assert.equal((await fetch("/v1/channel", { headers: many })).status, 400);
    assert.equal((await fetch("/v1/channel")).status, 200);
  });

  test("many at once are answered, each with its own answer", async () => {
    await using enclave = await start();
    const fetch = sealedOf(enclave);
    const answers = await Promise.all(
      Array.from(
        { length: 40 },
        async (_, i) => await (await fetch(`/missing-${i}`)).json() as { instance: string },
      ),
    );
    assert.equal(new Set(answers.map(({ instance }) => instance)).size, 40);
  });
});
