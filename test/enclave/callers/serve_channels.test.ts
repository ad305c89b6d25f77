import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, test } from "#test";
import { type Enclave, enclaveApp, gate, startEnclave } from "../../../enclave/mod.ts";
import { createLogger } from "../../../enclave/telemetry/log.ts";
import { sealedFetch } from "../../../lib/channel/mod.ts";
import { attestedTlsFetch } from "../../../lib/channel/node/mod.ts";
import { createFetch } from "../../../lib/transport/mod.ts";
import { type Simulator, startSimulator } from "../../../sim/mod.ts";
import { type Identity, pem } from "../../../sim/tls/certificates.ts";
import { ISSUER, TestIssuer } from "../../support/tokens.ts";
import { type ClientIdentity, makeAuthority, makeClient } from "../channels/tls_serving.ts";

const MINUTE_MS = 60_000;

describe("callers, over channels that end inside", () => {
  let folder: string;
  let simulator: Simulator;
  let own: TestIssuer;
  let client: ClientIdentity & { readonly der: Uint8Array };
  let other: ClientIdentity;
  let authority: Identity;
  let sha256: string;
  let enclave: Enclave;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "enclave-kms-callers-"));
    simulator = await startSimulator();
    own = await TestIssuer.create();
    authority = await makeAuthority();
    [client, other] = await Promise.all([makeClient(authority), makeClient(authority)]);
    sha256 = createHash("sha256").update(client.der).digest("hex");
    write("clients.pem", pem("CERTIFICATE", authority.certificate));
    const callers = { [`certificate:${sha256}`]: { tenant: "red" } };
    write("config.json", JSON.stringify({ tokens: [own.config()], callers }));
    write(
      "policy.cedar",
      `permit(principal, action == Action::"GetAttestation", resource);
permit(principal == Token::"${ISSUER}|ann", action == Action::"SignOrder", resource);
permit(principal == Certificate::"${sha256}", action == Action::"SignOrder", resource) when { principal has tenant };`,
    );
    enclave = await start();
  });
  afterAll(async () => {
    await enclave.close();
    await simulator.close();
    rmSync(folder, { recursive: true });
  });

  const write = (name: string, text: string) => writeFileSync(join(folder, name), text);

  async function start(environment: Readonly<Record<string, string>> = {}): Promise<Enclave> {
    const app = enclaveApp().post("/v1/sign", gate("SignOrder"), (c) => c.json(c.var.caller));
    const { endpoint, region, trustedCertificates } = simulator.clientOptions;
    assert.ok(endpoint?.transport === "tcp");
    return await startEnclave(app, {
      name: "test",
      actions: ["SignOrder"],
      // An enclave disposes its NSM when it closes; this one is shared.
      nsm: {
        exchange: (request: Uint8Array<ArrayBuffer>) => simulator.nsm.exchange(request),
        [Symbol.dispose]() {},
      },
      trustedCertificates,
      logger: createLogger("silent"),
      signals: false,
      environment: {
        ENV_SETUP: "SIM",
        ENCLAVE_KMS_REQUEST_TIMEOUT_MS: "50000",
        ENCLAVE_PORT: "0",
        CONTROL_PORT: "0",
        ENCLAVE_KMS_CONFIG: join(folder, "config.json"),
        ENCLAVE_KMS_KMS: `tcp:${endpoint.host}:${endpoint.port}`,
        ENCLAVE_KMS_REGION: String(region),
        ENCLAVE_KMS_POLICY_FILE: join(folder, "policy.cedar"),
        ENCLAVE_KMS_TLS: "tcp:127.0.0.1:0",
        ENCLAVE_KMS_CLIENT_AUTHORITIES_FILE: join(folder, "clients.pem"),
        ...environment,
      },
    });
  }

  async function sign(identity: Partial<ClientIdentity> = {}, authorization?: string, of = enclave) {
    const { cert, key } = identity;
    const fetch = attestedTlsFetch({
      pcrs: { 0: simulator.nsm.pcr(0) },
      root: simulator.nsm.root,
      endpoint: of.tlsEndpoint,
      cert,
      key,
    });
    const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
    const answer = await fetch("https://enclave.internal/v1/sign", { method: "POST", headers });
    return [answer.status, await answer.json() as Record<string, unknown>] as const;
  }

  test("a client's certificate is the principal, with the operator's attributes", async () => {
    assert.deepEqual(await sign(client), [200, { type: "Certificate", sha256 }]);
    const [status, { code }] = await sign(other);
    assert.deepEqual([status, code], [403, "ERR_POLICY_DENIED"], "another one of the same authority");
    assert.equal((await sign())[0], 403);
  });

  test("a certificate is valid by KMS's clock, and not by this machine's, which the parent sets", async () => {
    const now = Date.now();
    const brief = await makeClient(authority, { notBefore: now - MINUTE_MS, notAfter: now + MINUTE_MS });
    assert.equal((await sign(brief))[1]["code"], "ERR_POLICY_DENIED", "its handshake is taken");
    for (const minutes of [-2, 2]) {
      simulator.kms.clockOffsetMs = minutes * MINUTE_MS;
      try {
        await using late = await start();
        await assert.rejects(sign(brief, undefined, late), { code: "ERR_CONNECTION" });
        assert.equal((await sign({}, undefined, late))[0], 403, "who shows none is nobody as ever");
      } finally {
        simulator.kms.clockOffsetMs = 0;
      }
    }
  });

  test("until KMS has told the time certificates are 503, and others are served", async () => {
    await using early = await start({ ENCLAVE_KMS_KMS: "unix:/nowhere/kms.sock" });
    const [status, { code }] = await sign(client, undefined, early);
    assert.deepEqual([status, code], [503, "ERR_CLOCK"]);
    assert.equal((await sign({}, undefined, early))[0], 403);
    const ready = await createFetch(early.endpoint)("http://enclave/readyz");
    assert.deepEqual([ready.status, (await ready.json() as { clock?: boolean }).clock], [503, false]);
    await assert.rejects(
      start({ ENCLAVE_KMS_ENGINE: "sdk-client" }),
      /clientAuthoritiesFile: certificates are judged by KMS's clock/,
    );
  });

  test("a token is taken, with and without a certificate, and never in the clear", async () => {
    const authorization = `Bearer ${await own.sign({}, {}, Date.now())}`;
    const ann = { type: "Token", issuer: ISSUER, subject: "ann", claims: {} };
    for (const identity of [{}, client, other]) {
      assert.deepEqual(await sign(identity, authorization), [200, ann]);
    }
    const headers = { authorization };
    const clear = await createFetch(enclave.endpoint)("http://enclave/v1/sign", { method: "POST", headers });
    assert.equal(clear.status, 401);
  });

  test("a sealed token is taken, whatever the way to the enclave brings of its own", async () => {
    const way = createFetch(enclave.endpoint);
    const fetch = sealedFetch("http://enclave/", {
      pcrs: { 0: simulator.nsm.pcr(0) },
      root: simulator.nsm.root,
      fetch: (input, init) => {
        const request = new Request(input, init);
        if (request.url.endsWith("/v1/sealed")) request.headers.set("authorization", "Bearer of-the-gateway");
        return way(request);
      },
    });
    const ask = async (headers: Record<string, string>) => {
      const answer = await fetch("/v1/sign", { method: "POST", headers });
      const { subject, code } = await answer.json() as Record<string, unknown>;
      return [answer.status, subject ?? code];
    };
    assert.deepEqual(await ask({ authorization: `Bearer ${await own.sign({}, {}, Date.now())}` }), [
      200,
      "ann",
    ]);
    assert.deepEqual(await ask({ authorization: "Bearer a.b.c" }), [401, "ERR_TOKEN"]);
    assert.deepEqual(await ask({}), [403, "ERR_POLICY_DENIED"]);
  });

  test("a token that is not taken is an error, whatever certificate came with it", async () => {
    const authorization = `Bearer ${await own.sign({ aud: "other" }, {}, Date.now())}`;
    const [status, { code }] = await sign(client, authorization);
    assert.deepEqual([status, code], [401, "ERR_TOKEN"]);
  });
});
