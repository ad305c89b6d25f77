import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Hono } from "hono";
import { hc } from "hono/client";
import { afterAll, beforeAll, describe, test } from "#test";
import {
  type Enclave,
  enclaveApp,
  type EnclaveEnv,
  type HashSchema,
  type RouteOptions,
  type SignSchema,
  startEnclave,
} from "../../../enclave/mod.ts";
import type { BootAttestationAnswer } from "../../../lib/attestation/boot_attestation.ts";
import { verifyEnclaveSignature } from "../../../lib/attestation/enclave_signature.ts";
import { decodeBase64, encodeBase64 } from "../../../lib/core/encoding.ts";
import { createFetch } from "../../../lib/transport/mod.ts";
import { type Simulator, startSimulator } from "../../../sim/mod.ts";

const DATA = new TextEncoder().encode("a note");
const PURPOSE = "notes/v1";
const ROUTES: RouteOptions = { sign: { purpose: PURPOSE }, hash: true };
type Routes = Hono<EnclaveEnv, SignSchema & HashSchema>;

describe("POST /v1/sign and /v1/hash", () => {
  let simulator: Simulator;
  let folder: string;

  beforeAll(async () => {
    simulator = await startSimulator();
    folder = mkdtempSync(join(tmpdir(), "enclave-kms-sign-"));
    const signing = 'permit(principal, action in [Action::"SignData", Action::"GetAttestation"], resource);';
    writeFileSync(join(folder, "sign.cedar"), signing);
    writeFileSync(join(folder, "hash.cedar"), 'permit(principal, action == Action::"HashData", resource);');
  });
  afterAll(async () => {
    rmSync(folder, { recursive: true });
    await simulator.close();
  });

  const start = (routes: RouteOptions | undefined, policy: string, ungated = false): Promise<Enclave> => {
    const { trustedCertificates } = simulator;
    const nsm = {
      exchange: (request: Uint8Array<ArrayBuffer>) => simulator.nsm.exchange(request),
      [Symbol.dispose]() {},
    };
    const environment = {
      ENV_SETUP: "SIM",
      ENCLAVE_KMS_REQUEST_TIMEOUT_MS: "50000",
      ENCLAVE_PORT: "0",
      CONTROL_PORT: "0",
      ENCLAVE_KMS_LOG_LEVEL: "silent",
      ENCLAVE_KMS_POLICY_FILE: join(folder, policy),
    };
    const base = { name: "test", signals: false, nsm, trustedCertificates, environment };
    return startEnclave(enclaveApp(), { ...base, routes, ungated });
  };

  const post = async (enclave: Enclave, path: string, body: unknown) => {
    const answer = await createFetch(enclave.endpoint)(`http://enclave${path}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    return [answer.status, await answer.json() as Record<string, unknown>] as const;
  };

  test("sign for the application's purpose, and what they sign is verified from outside", async () => {
    await using enclave = await start(ROUTES, "sign.cedar");
    const fetch = createFetch(enclave.endpoint);
    const client = hc<Routes>("http://enclave", { fetch });
    const answer = await client.v1.sign.$post({ json: { data: encodeBase64(DATA) } });
    const { signature, purpose } = await answer.json();
    assert.equal(purpose, PURPOSE);
    const nonce = Uint8Array.of(1, 2, 3);
    const attested = await fetch(
      `http://enclave/v1/attestation?nonce=${encodeURIComponent(encodeBase64(nonce))}`,
    );
    const expected = {
      document: await attested.json() as BootAttestationAnswer,
      nonce,
      maxAgeMs: 60_000,
      pcrs: { 0: simulator.nsm.pcr(0) },
      root: simulator.nsm.root,
    };
    const bytes = decodeBase64(signature);
    assert.equal((await verifyEnclaveSignature(bytes, DATA, { ...expected, purpose })).purpose, PURPOSE);
    await assert.rejects(verifyEnclaveSignature(bytes, DATA, { ...expected, purpose: "orders/v1" }), {
      code: "ERR_ATTESTATION_PURPOSE",
    });
  });

  test("hash", async () => {
    await using enclave = await start(ROUTES, "hash.cedar");
    const client = hc<Routes>("http://enclave", { fetch: createFetch(enclave.endpoint) });
    for (const algorithm of [undefined, "SHA-512"] as const) {
      const answer = await client.v1.hash.$post({ json: { data: encodeBase64(DATA), algorithm } });
      const { hash, algorithm: told } = await answer.json();
      assert.equal(told, algorithm ?? "SHA-256");
      assert.equal(hash, createHash(told.replace("-", "")).update(DATA).digest("base64"));
    }
  });

  test("are not there unless they are named", async () => {
    for (const routes of [undefined, {}, { hash: false }]) {
      await using enclave = await start(routes, "sign.cedar");
      for (const path of ["/v1/sign", "/v1/hash"]) {
        const [status, { code }] = await post(enclave, path, { data: "" });
        assert.deepEqual([status, code], [404, "ERR_NOT_FOUND"], path);
      }
    }
  });

  test("ask the policy, each about its own action, even when the application is ungated", async () => {
    for (const ungated of [false, true]) {
      await using signing = await start(ROUTES, "sign.cedar", ungated);
      assert.equal((await post(signing, "/v1/hash", { data: "AQID" }))[0], 403);
      assert.equal((await post(signing, "/v1/sign", { data: "AQID" }))[0], 200);
      await using hashing = await start(ROUTES, "hash.cedar", ungated);
      assert.equal((await post(hashing, "/v1/sign", { data: "AQID" }))[0], 403);
      assert.equal((await post(hashing, "/v1/hash", { data: "AQID" }))[0], 200);
    }
  });

  test("sign for the purposes that the policy permits only", async () => {
    writeFileSync(
      join(folder, "purpose.cedar"),
      'permit(principal, action == Action::"SignData", resource == Key::"boot:notes/v1");',
    );
    await using enclave = await start(ROUTES, "purpose.cedar");
    assert.equal((await post(enclave, "/v1/sign", { data: "AQID" }))[0], 200);
    await using other = await start({ sign: { purpose: "notes/v2" } }, "purpose.cedar");
    assert.equal((await post(other, "/v1/sign", { data: "AQID" }))[0], 403);
  });

  test("take no purpose from the caller, and no body that is wrong in form", async () => {
    await using enclave = await start(ROUTES, "sign.cedar");
    const cases: readonly (readonly [string, unknown, string])[] = [
      ["/v1/sign", { data: "AQID", purpose: "orders/v1" }, "purpose"],
      ["/v1/sign", { data: "AQID", keyId: "alias/x" }, "keyId"],
      ["/v1/sign", {}, "data"],
      ["/v1/sign", { data: 7 }, "data"],
      ["/v1/sign", { data: "AQI" }, "data"],
      ["/v1/sign", [], ""],
      ["/v1/hash", { data: "AQID", algorithm: "SHA-1" }, "algorithm"],
    ];
    for (const [path, body, place] of cases) {
      const [status, answer] = await post(enclave, path, body);
      assert.deepEqual([status, answer["code"]], [400, "ERR_BAD_REQUEST"], JSON.stringify(body));
      assert.equal((answer["errors"] as { path: string }[])[0]?.path, place);
    }
    const large = { data: "AAAA".repeat(20_000) };
    assert.equal((await post(enclave, "/v1/sign", large))[0], 413);
  });

  test("are in the OpenAPI document when they are there", async () => {
    await using enclave = await start(ROUTES, "sign.cedar");
    const answer = await createFetch(enclave.endpoint)("http://enclave/openapi.json");
    const { paths } = await answer.json() as { paths: object };
    for (const path of ["/v1/sign", "/v1/hash"]) assert.ok(path in paths, path);
  });

  test("refuse options that would sign for nothing, or anything", async () => {
    const cases: readonly (readonly [unknown, RegExp])[] = [
      [{ sign: true }, /^TypeError: The routes\.sign must be a plain object/],
      [{ sign: {} }, /^TypeError: purpose must be a string$/],
      [{ sign: { purpose: "" } }, /^RangeError: purpose must have 1 to 128 characters$/],
      [{ sign: { purpose: PURPOSE, purposes: [] } }, /^TypeError: The routes\.sign has no field `purposes`/],
      [{ hash: "yes" }, /^TypeError: routes\.hash must be a boolean$/],
    ];
    for (const [routes, message] of cases) {
      await assert.rejects(start(routes as RouteOptions, "sign.cedar"), message);
    }
  });
});
