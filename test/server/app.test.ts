import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { hc } from "hono/client";
import { denyAll, type Policy } from "../../lib/policy/policy.ts";
import type { AppType } from "../../server/app.ts";
import { OPENAPI_DOCUMENT } from "../../server/openapi.ts";
import { afterAll, beforeAll, describe, test } from "#test";
import { decodeAttestationDocument } from "../../lib/attestation/mod.ts";
import {
  ENCRYPTION_CONTEXT,
  Fixture,
  PARENT,
  PLAINTEXT,
  RecordingPolicy,
  STRANGER,
  TENANT,
} from "./fixture.ts";

describe("the HTTP app", () => {
  let fixture: Fixture;

  beforeAll(async () => {
    fixture = await Fixture.start();
    assert.equal((await fixture.setCredentials()).status, 204);
  });
  afterAll(() => fixture[Symbol.asyncDispose]());

  test("POST /v1/decrypt answers the plaintext in base64", async () => {
    const answer = await fixture.call("/v1/decrypt", fixture.decryptBody);
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get("content-type"), "application/json");
    assert.equal(answer.headers.get("cache-control"), "no-store");
    const { plaintext } = await answer.json() as { plaintext: string };
    assert.equal(Buffer.from(plaintext, "base64").toString(), PLAINTEXT);
    const { id, protocol, cid, operation, outcome, decision, ciphertextSha256 } = fixture.lastLine;
    assert.equal(id, answer.headers.get("x-request-id"));
    assert.deepEqual({ protocol, cid, operation, outcome }, {
      protocol: "http",
      cid: TENANT,
      operation: "Decrypt",
      outcome: "ok",
    });
    assert.deepEqual(decision, {
      policy: "recording",
      allowed: true,
      reason: "a tenant",
      determining: ["p1"],
    });
    assert.equal(ciphertextSha256, sha256(fixture.ciphertext));
  });

  test("a typed client decrypts", async () => {
    const client = hc<AppType>("http://enclave", {
      fetch: (input: string | URL | Request, init?: RequestInit) =>
        fixture.app.request(String(input), init, { cid: TENANT }),
    });
    const answer = await client.v1.decrypt.$post({
      json: { ciphertext: fixture.ciphertext, encryptionContext: ENCRYPTION_CONTEXT },
    });
    if (answer.status !== 200) assert.fail(`status ${answer.status}`);
    const { plaintext } = await answer.json();
    assert.equal(Buffer.from(plaintext, "base64").toString(), PLAINTEXT);
    const ready = await (await client.readyz.$get()).json();
    assert.deepEqual(ready, { library: true, nsm: true, credentials: true, policy: true });
    const attested = await client.v1.attestation.$get({ query: { nonce: "AQID" } });
    assert.ok(attested.ok);
    assert.ok((await attested.json()).document.length > 1000);
  });

  test("GET /v1/attestation puts the nonce into the document, from base64 and from hex", async () => {
    for (const query of ["nonce=AQL_", "nonce=AQL%2F", "nonce=0102ff&encoding=hex"]) {
      const answer = await fixture.call(`/v1/attestation?${query}`);
      const { document } = await answer.json() as { document: string };
      const { nonce } = decodeAttestationDocument(Buffer.from(document, "base64"));
      assert.deepEqual(nonce, new Uint8Array([1, 2, 255]), query);
    }
    for (
      const query of ["", "?nonce=", "?nonce=*", "?nonce=abc&encoding=hex", `?nonce=${"A".repeat(1024)}`]
    ) {
      assert.equal((await fixture.call(`/v1/attestation${query}`)).status, 400, query);
    }
  });

  test("health, readiness, metrics and the OpenAPI document", async () => {
    assert.deepEqual(await (await fixture.call("/healthz")).json(), { status: "ok" });
    assert.equal((await fixture.call("/readyz")).status, 200);
    assert.deepEqual(await (await fixture.call("/openapi.json")).json(), OPENAPI_DOCUMENT);
    const metrics = await (await fixture.call("/metrics")).text();
    assert.match(
      metrics,
      /^enclave_kms_requests_total\{protocol="http",operation="Decrypt",outcome="ok"\} \d+$/m,
    );
    assert.match(metrics, /^enclave_kms_credentials_set 1$/m);
    assert.doesNotMatch(metrics, /tenant|arn:/);
  });

  test("the OpenAPI document has exactly the routes", () => {
    const routes = [...fixture.app.routes, ...fixture.control.routes].filter(({ method }) => method !== "ALL")
      .map(({ method, path }) => `${method} ${path}`);
    const documented = Object.entries(OPENAPI_DOCUMENT.paths).flatMap(([path, operations]) =>
      Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`)
    );
    const alias = "POST /set-credentials";
    assert.deepEqual([...new Set(routes)].filter((route) => route !== alias).sort(), documented.sort());
  });

  test("what the policy refuses is 403 with a code and no reason", async () => {
    const answer = await fixture.call("/v1/decrypt", fixture.decryptBody, STRANGER);
    assert.equal(answer.status, 403);
    assert.equal(answer.headers.get("content-type"), "application/problem+json");
    assert.deepEqual(await answer.json(), {
      type: "about:blank",
      title: "Forbidden",
      status: 403,
      code: "ERR_POLICY_DENIED",
      instance: `urn:uuid:${answer.headers.get("x-request-id")}`,
    });
    assert.equal(fixture.lastLine["outcome"], "denied");
    assert.match(JSON.stringify(fixture.lastLine["decision"]), /a stranger, for a secret reason/);
  });

  test("only the parent sets credentials, and nobody gets them back", async () => {
    const { credentials } = fixture.simulator;
    for (const cid of [PARENT, TENANT, STRANGER]) {
      assert.equal((await fixture.call("/v1/credentials", credentials, cid)).status, 404);
    }
    const answer = await fixture.callControl("/v1/credentials", credentials);
    assert.equal(answer.status, 204);
    assert.equal(await answer.text(), "");
  });

  test("methods and paths that there are none of", async () => {
    const method = await fixture.call("/v1/decrypt");
    assert.equal(method.status, 405);
    assert.equal(method.headers.get("allow"), "POST");
    assert.equal((await fixture.call("/v2/decrypt")).status, 404);
    assert.equal((await fixture.call("/v1/decrypt/../x", {})).status, 404);
  });

  test("the log has no secret, no plaintext and no whole ciphertext", () => {
    const { credentials } = fixture.simulator;
    const log = fixture.logged.join("");
    for (
      const secret of [
        PLAINTEXT,
        Buffer.from(PLAINTEXT).toString("base64"),
        credentials.secretAccessKey,
        credentials.sessionToken ?? PLAINTEXT,
        fixture.ciphertext,
      ]
    ) assert.ok(!log.includes(secret));
  });
});

describe("what the policy judges", () => {
  test("is what KMS gets, to the byte", async () => {
    const policy = new RecordingPolicy();
    await using fixture = await Fixture.start({ policy });
    await fixture.setCredentials();
    const encryptionContext = { tenant: "red", constructor: "x", ["__proto__"]: "y", "é\u2028": "ü" };
    const bytes = await fixture.simulator.encrypt({
      keyId: fixture.keyId,
      plaintext: "odd",
      encryptionContext: JSON.parse(JSON.stringify(encryptionContext)),
    });
    const ciphertext = Buffer.from(bytes).toString("base64");
    const body = `{"ciphertext":"${ciphertext}","keyId":"${fixture.keyId}","encryptionContext":` +
      `{"tenant":"red","constructor":"x","__proto__":"y","é\u2028":"ü"}}`;
    const before = fixture.simulator.kms.requests.length;
    const answer = await fixture.call("/v1/decrypt", body);
    const facts = policy.asked.at(-1);
    assert.equal(facts?.context.ciphertextSha256, sha256(ciphertext));
    assert.equal(facts?.context.ciphertextLength, bytes.length);
    assert.equal(facts?.resource.key, fixture.keyId);
    assert.deepEqual(facts?.principal, { type: "Caller", cid: TENANT, attributes: { tenant: "red" } });
    assert.equal(facts?.context.pcrs["pcr0"], fixture.simulator.nsm.pcr(0));
    assert.deepEqual(Object.keys(facts?.context.encryptionContext ?? {}), [
      "tenant",
      "constructor",
      "__proto__",
      "é\u2028",
    ]);
    const sent = fixture.simulator.kms.requests.slice(before);
    assert.equal(sent.length, 1);
    assert.equal(answer.status, 200);
  });

  test("counts with the caller's requests; a refused one is given back", async () => {
    const policy = new RecordingPolicy();
    await using fixture = await Fixture.start({ policy });
    await fixture.call("/v1/attestation?nonce=AQID");
    await fixture.call("/v1/attestation?nonce=AQID");
    await fixture.call("/v1/attestation?nonce=AQID", undefined, STRANGER);
    await fixture.call("/v1/attestation?nonce=AQID", undefined, STRANGER);
    assert.deepEqual(policy.asked.map(({ context }) => context.recentCount), [1, 2, 1, 1]);
  });

  test("counts what the policy is asked about only: who may set credentials alone uses up nobody's rate", async () => {
    const policy = new RecordingPolicy();
    const counts = async (credentialPolicy?: Policy) => {
      await using fixture = await Fixture.start({ policy, ...(credentialPolicy && { credentialPolicy }) });
      for (let set = 0; set < 3; set++) {
        const answer = credentialPolicy === undefined
          ? await fixture.setCredentials()
          : await fixture.call("/v1/credentials", fixture.simulator.credentials, PARENT);
        assert.equal(answer.status, 204);
      }
      await fixture.call("/v1/attestation?nonce=AQID", undefined, PARENT);
      return policy.asked.at(-1)?.context.recentCount;
    };
    assert.deepEqual([await counts(), await counts(policy)], [1, 4]);
  });

  test("is refused when there is no policy, or one that throws", async () => {
    const broken = {
      name: "broken",
      decide: () => {
        throw new Error("no");
      },
    };
    for (const policy of [denyAll, broken]) {
      await using fixture = await Fixture.start({ policy });
      await fixture.setCredentials();
      assert.equal((await fixture.call("/v1/decrypt", fixture.decryptBody)).status, 403);
      assert.equal(
        fixture.simulator.kms.requests.filter(({ operation }) => operation === "Decrypt").length,
        0,
      );
    }
  });
});

function sha256(base64: string): string {
  return createHash("sha256").update(Buffer.from(base64, "base64")).digest("hex");
}
