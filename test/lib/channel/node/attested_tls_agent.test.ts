import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { mkdtempSync, rmSync } from "node:fs";
import type { Agent, RequestOptions } from "node:https";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, test } from "#test";
import {
  AttestationError,
  attestedTlsAgent,
  attestedTlsFetch,
  type AttestedTlsOptions,
  ConnectionError,
} from "../../../../lib/channel/node/mod.ts";
import { AttestedTls } from "../../../../lib/channel/node/attested_tls.ts";
import { Deadline } from "../../../../lib/core/deadline.ts";
import { SoftwareNsm } from "../../../../sim/mod.ts";
import { pem } from "../../../../sim/tls/certificates.ts";
import { makeAuthority, makeClient } from "../../../enclave/channels/tls_serving.ts";
import { until } from "../../../support/until.ts";
import { TestEnclave } from "./enclave.ts";

/** Asks through an agent, with a secret in a header and one in the body. */
function ask(
  agent: Agent,
  port: number,
  options: RequestOptions = {},
): Promise<{ boot: string; body: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ boot: string; body: string }>();
  const headers = { authorization: "Bearer secret" };
  const sent = request(`https://127.0.0.1:${port}/v1/echo`, { agent, method: "POST", headers, ...options });
  sent.on("error", reject);
  sent.on("response", (answer) => {
    let text = "";
    answer.setEncoding("utf8").on("data", (chunk: string) => text += chunk);
    answer.on("end", () => resolve(JSON.parse(text)));
  });
  sent.end("a secret body");
  return promise;
}

describe("attestedTlsAgent()", () => {
  let nsm: SoftwareNsm;
  let trust: Pick<AttestedTlsOptions, "pcrs" | "root">;
  beforeAll(async () => {
    nsm = await SoftwareNsm.create();
    trust = { pcrs: { 0: nsm.pcr(0) }, root: nsm.root };
  });
  afterAll(() => nsm[Symbol.dispose]());

  test("sends requests to an enclave that is as expected, over connections that it keeps", async () => {
    await using enclave = await TestEnclave.start({ nsm });
    const agent = attestedTlsAgent(trust);
    for (let index = 0; index < 3; index++) {
      const { boot, body } = await ask(agent, enclave.port);
      assert.deepEqual([boot, body], [enclave.bootKeys.bootId, "a secret body"]);
    }
    assert.equal(enclave.questions, 1);
    assert.equal(enclave.seen.length, 3);
    assert.ok(enclave.seen.every(({ authorization }) => authorization === "Bearer secret"));
    assert.equal(Object.values(agent.freeSockets).flat().length, 1);
    agent.destroy();
  });

  test("asks once for many connections at a time", async () => {
    await using enclave = await TestEnclave.start({ nsm });
    const agent = attestedTlsAgent(trust);
    await Promise.all(Array.from({ length: 10 }, () => ask(agent, enclave.port)));
    assert.equal(enclave.questions, 1);
    agent.destroy();
  });

  test("goes to the endpoint that it is given, whatever the URL says", async () => {
    const folder = mkdtempSync(join(tmpdir(), "enclave-kms-agent-"));
    try {
      await using enclave = await TestEnclave.start({
        nsm,
        endpoint: { transport: "unix", path: join(folder, "tls") },
      });
      const agent = attestedTlsAgent({ ...trust, endpoint: enclave.endpoint });
      assert.equal((await ask(agent, 1)).boot, enclave.bootKeys.bootId);
      assert.equal((await ask(agent, 2)).boot, enclave.bootKeys.bootId);
      agent.destroy();
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test("trusts each address for itself", async () => {
    await using first = await TestEnclave.start({ nsm });
    await using second = await TestEnclave.start({ nsm });
    const agent = attestedTlsAgent(trust);
    assert.equal((await ask(agent, first.port)).boot, first.bootKeys.bootId);
    assert.equal((await ask(agent, second.port)).boot, second.bootKeys.bootId);
    assert.deepEqual([first.questions, second.questions], [1, 1]);
    agent.destroy();
  });

  test("asks once more when a renewed enclave shows another certificate", async () => {
    const agent = attestedTlsAgent(trust);
    const old = await TestEnclave.start({ nsm });
    const { endpoint, port } = old;
    await ask(agent, port);
    await old[Symbol.asyncDispose]();
    await until(() => Object.values(agent.freeSockets).flat().length === 0);
    await using renewed = await TestEnclave.start({ nsm, endpoint });
    assert.equal((await ask(agent, port)).boot, renewed.bootKeys.bootId);
    assert.equal(renewed.questions, 1);
    agent.destroy();
  });

  test("refuses a redeployed enclave whose PCRs are not the pinned ones", async () => {
    // The root of a simulated module is its own, so the pinned ones change here instead of the enclave's.
    const expectations = { ...trust };
    const tls = new AttestedTls({ expectations, identity: {}, timeoutMs: 10_000 });
    using deadline = new Deadline("test", 60_000);
    const old = await TestEnclave.start({ nsm });
    const { endpoint } = old;
    (await tls.connect(endpoint, deadline)).socket.destroy();
    await old[Symbol.asyncDispose]();
    await using redeployed = await TestEnclave.start({ nsm, endpoint });
    expectations.pcrs = { 0: "ab".repeat(48) };
    for (let attempt = 1; attempt <= 2; attempt++) {
      await assert.rejects(tls.connect(endpoint, deadline), { code: "ERR_ATTESTATION_PCR" });
      assert.equal(redeployed.questions, attempt);
    }
    assert.equal(redeployed.seen.length, 0);
  });

  test("tells which enclave it was led to, and refuses those that the application refuses", async () => {
    await using first = await TestEnclave.start({ nsm });
    await using sibling = await TestEnclave.start({ nsm });
    const boots: string[] = [];
    const agent = attestedTlsAgent({
      ...trust,
      onAttested: ({ bootId, document }) => {
        boots.push(bootId);
        assert.equal(document.moduleId, nsm.moduleId);
        if (bootId === sibling.bootKeys.bootId) throw new RangeError("another boot");
      },
    });
    await ask(agent, first.port);
    await assert.rejects(ask(agent, sibling.port), /another boot/);
    assert.deepEqual(boots, [first.bootKeys.bootId, sibling.bootKeys.bootId]);
    assert.equal(sibling.seen.length, 0);
    agent.destroy();
  });

  test("shows its own certificate to verified enclaves only", async () => {
    const authority = await makeAuthority();
    const { cert, key } = await makeClient(authority);
    const clientAuthorities = pem("CERTIFICATE", authority.certificate);
    await using enclave = await TestEnclave.start({ nsm, clientAuthorities });
    for (const identity of [{ cert, key }, { cert: Buffer.from(cert), key: Buffer.from(key) }]) {
      const agent = attestedTlsAgent({ ...trust, ...identity });
      await ask(agent, enclave.port);
      agent.destroy();
    }
    assert.deepEqual(enclave.seen.map(({ hasCertificate }) => hasCertificate), [true, true]);
    assert.deepEqual([enclave.questions, enclave.questionsWithCertificate], [2, 0]);
  });

  test("does not read what a request says of trust", async () => {
    await using enclave = await TestEnclave.start({ nsm });
    const agent = attestedTlsAgent({ ...trust, pcrs: { 0: "ab".repeat(48) } });
    const lax: RequestOptions = {
      rejectUnauthorized: false,
      ca: enclave.channel.certificatePem,
      servername: "enclave.internal",
      checkServerIdentity: () => undefined,
    };
    await assert.rejects(ask(agent, enclave.port, lax), { code: "ERR_ATTESTATION_PCR" });
    assert.equal(enclave.seen.length, 0);
    agent.destroy();
  });

  test("does not keep a failure", async () => {
    let isDown = true;
    const change = (answer: unknown) => isDown ? new Response("down", { status: 503 }) : answer;
    await using enclave = await TestEnclave.start({ nsm, change });
    const agent = attestedTlsAgent(trust);
    await assert.rejects(ask(agent, enclave.port), /it answers with status 503/);
    isDown = false;
    assert.equal((await ask(agent, enclave.port)).boot, enclave.bootKeys.bootId);
    agent.destroy();
  });

  test("checks its options", () => {
    const wrong: readonly (readonly [options: object, expected: RegExp])[] = [
      [{}, /^TypeError: pcrs must name a register/],
      [{ pcrs: {} }, /^TypeError: pcrs must name a register/],
      [{ pcrs: { 0: "ab" } }, /^TypeError: pcrs\[0\] must be/],
      [{ ...trust, nonce: new Uint8Array(16) }, /^TypeError: .* no field `nonce`/],
      [{ ...trust, rejectUnauthorized: false }, /^TypeError: .* no field `rejectUnauthorized`/],
      [{ ...trust, timeoutMs: 0 }, /^RangeError: timeoutMs/],
      [{ ...trust, endpoint: { transport: "tcp" } }, /^(Type|Range)Error: endpoint/],
      [{ ...trust, cert: "HUSH" }, /^TypeError: key must be PEM/],
      [{ ...trust, key: "HUSH" }, /^TypeError: cert must be PEM/],
      [{ ...trust, onAttested: 1 }, /^TypeError: onAttested must be a function/],
    ];
    for (const [options, expected] of wrong) {
      assert.throws(() => attestedTlsAgent(options as AttestedTlsOptions), expected);
      assert.throws(() => attestedTlsFetch(options as AttestedTlsOptions), expected);
    }
    assert.throws(() => attestedTlsAgent(trust as AttestedTlsOptions).createConnection({}), TypeError);
  });
});

describe("attestedTlsFetch()", () => {
  let nsm: SoftwareNsm;
  let trust: Pick<AttestedTlsOptions, "pcrs" | "root">;
  beforeAll(async () => {
    nsm = await SoftwareNsm.create();
    trust = { pcrs: { 0: nsm.pcr(0) }, root: nsm.root };
  });
  afterAll(() => nsm[Symbol.dispose]());

  test("is a fetch that asks for the attestation once", async () => {
    await using enclave = await TestEnclave.start({ nsm });
    const fetch = attestedTlsFetch(trust);
    for (let index = 0; index < 3; index++) {
      const answer = await fetch(`https://127.0.0.1:${enclave.port}/v1/echo`, {
        method: "POST",
        headers: { authorization: "Bearer secret" },
        body: "a secret body",
      });
      assert.deepEqual(await answer.json(), { boot: enclave.bootKeys.bootId, body: "a secret body" });
    }
    assert.equal(enclave.questions, 1);
  });

  test("refuses URLs without TLS, and rejects as the agent does", async () => {
    await using enclave = await TestEnclave.start({ nsm });
    const pcrs = { 0: "ab".repeat(48) };
    const fetch = attestedTlsFetch({ ...trust, pcrs, endpoint: enclave.endpoint });
    await assert.rejects(
      fetch(`http://127.0.0.1:${enclave.port}/`),
      /^TypeError: The URL must begin with https/,
    );
    await assert.rejects(fetch("https://enclave.internal/"), (error: unknown) => {
      assert.ok(error instanceof AttestationError, String(error));
      assert.equal(error.code, "ERR_ATTESTATION_PCR");
      return true;
    });
    const nowhere = attestedTlsFetch({ ...trust, endpoint: { transport: "unix", path: "/nowhere" } });
    await assert.rejects(nowhere("https://enclave.internal/"), ConnectionError);
    assert.equal(enclave.seen.length, 0);
  });
});
