import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { Buffer } from "node:buffer";
import { describe } from "#test";
import { attestBoot, type BootParts } from "../../enclave/attest_boot.ts";
import { BootKeys } from "../../enclave/boot_keys.ts";
import { OPEN_GATE } from "../../enclave/gate.ts";
import { KmsService } from "../../enclave/kms_service.ts";
import { enclaveApp, startEnclave } from "../../enclave/mod.ts";
import { BadRequestError } from "../../enclave/service_errors.ts";
import { createLogger } from "../../enclave/telemetry/log.ts";
import { RequestRecord } from "../../enclave/telemetry/request_record.ts";
import { digestBootKeys } from "../../lib/attestation/boot_key_digest.ts";
import { decodeAttestationDocument } from "../../lib/attestation/document.ts";
import { verifyEnclaveSignature } from "../../lib/attestation/enclave_signature.ts";
import type { TcpEndpoint } from "../../lib/core/endpoint.ts";
import { encodeBase64 } from "../../lib/core/encoding.ts";
import { KmsClient } from "../../lib/kms/kms_client.ts";
import { createFetch } from "../../lib/transport/mod.ts";
import type { Policy } from "../../lib/policy/policy.ts";
import type { PolicyFacts } from "../../lib/policy/facts.ts";
import { startSimulator } from "../../sim/mod.ts";
import { loadCoseOracle } from "../support/cose_oracle.ts";
import {
  ENCRYPTION_CONTEXT,
  Fixture,
  type FixtureOptions,
  PLAINTEXT,
  RecordingPolicy,
  TENANT,
} from "../server/fixture.ts";
import { divideTests } from "../support/share.ts";

const test = divideTests();

const NONCE = Uint8Array.of(1, 2, 3);
const DATA = new TextEncoder().encode("pay 100 to Alice");

/** Permits nothing, and keeps what it was asked. */
class Refusing implements Policy {
  readonly name = "refusing";
  readonly asked: PolicyFacts[] = [];

  decide(facts: PolicyFacts) {
    this.asked.push(facts);
    return { allowed: false, reason: "no", determining: [] };
  }
}

/** A service for requests over a simulated enclave. */
class Harness implements AsyncDisposable {
  readonly fixture: Fixture;
  readonly bootKeys: BootKeys;

  private constructor(fixture: Fixture, bootKeys: BootKeys) {
    this.fixture = fixture;
    this.bootKeys = bootKeys;
  }

  static async start(options: FixtureOptions = {}): Promise<Harness> {
    const bootKeys = BootKeys.create();
    const fixture = await Fixture.start({ ...options, userData: () => bootKeys.digest() });
    return new Harness(fixture, bootKeys);
  }

  get ciphertext(): Uint8Array {
    return Uint8Array.from(Buffer.from(this.fixture.ciphertext, "base64"));
  }

  /** The service of one request. */
  kms(
    record: RequestRecord = new RequestRecord("http", TENANT),
    gate: BootParts["gate"] = this.fixture.gate,
  ): KmsService {
    return new KmsService({ service: this.fixture.service, bootKeys: this.bootKeys, gate }, record);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.bootKeys[Symbol.dispose]();
    await this.fixture[Symbol.asyncDispose]();
  }
}

/** Every method of the service, by the action that it asks about. */
function callsOf(kms: KmsService, { fixture, ciphertext }: Harness): Record<string, () => unknown> {
  const credentials = fixture.simulator.credentials;
  return {
    Decrypt: () => kms.decrypt({ ciphertext, encryptionContext: ENCRYPTION_CONTEXT }),
    GenerateDataKey: () => kms.generateKey({ keyId: fixture.keyId }),
    GenerateDataKeyPair: () => kms.generateKeyPair({ keyId: fixture.keyId, keyPairSpec: "ECC_NIST_P256" }),
    GenerateRandom: () => kms.generateRandom({ numberOfBytes: 1 }),
    GetAttestation: () => kms.generateAttestation({ nonce: NONCE }),
    SignData: () => kms.signData(DATA, { purpose: "test" }),
    HashData: () => kms.secureHash(DATA),
    SetCredentials: () => kms.updateCredentials(credentials, { force: true }),
  };
}

describe("KmsService", () => {
  test("decrypts, makes keys and random bytes, over the simulator", async () => {
    await using harness = await Harness.start();
    const { fixture, ciphertext } = harness;
    await fixture.setCredentials();
    const kms = harness.kms();
    using plaintext = await kms.decrypt({ ciphertext, encryptionContext: ENCRYPTION_CONTEXT });
    assert.equal(new TextDecoder().decode(plaintext.bytes), PLAINTEXT);
    using dataKey = await kms.generateKey({ keyId: fixture.keyId, numberOfBytes: 24 });
    assert.equal(dataKey.plaintext.length, 24);
    using random = await kms.generateRandom({ numberOfBytes: 7 });
    assert.equal(random.length, 7);
  });

  test("asks the policy in each method, with the request's principal, and does nothing without a yes", async () => {
    const [policy, credentialPolicy] = [new Refusing(), new Refusing()];
    await using harness = await Harness.start({ policy, credentialPolicy });
    const { fixture } = harness;
    const record = new RequestRecord("http", TENANT);
    record.principal = { type: "Token", issuer: "https://id.example", subject: "3", claims: {} };
    const kms = harness.kms(record);
    const calls = callsOf(kms, harness);
    const before = fixture.simulator.nsm.requestCount;
    for (const [action, call] of Object.entries(calls)) {
      await assert.rejects(async () => await call(), { code: "ERR_POLICY_DENIED" }, action);
      const asked = (action === "SetCredentials" ? credentialPolicy : policy).asked.at(-1);
      assert.deepEqual([asked?.action, asked?.principal.type], [action, "Token"]);
    }
    await assert.rejects(kms.initCrypto(), { code: "ERR_POLICY_DENIED" });
    assert.equal(fixture.simulator.nsm.requestCount, before);
    assert.equal(fixture.service.scope.credentials.isSet, false);
    const methods = Object.getOwnPropertyNames(KmsService.prototype).filter((name) => name !== "constructor");
    assert.equal(methods.length, Object.keys(calls).length + 1, "a method is not tried here");
  });

  test("tells the policy what goes to KMS", async () => {
    const policy = new Refusing();
    await using harness = await Harness.start({ policy });
    const { fixture, ciphertext } = harness;
    const kms = harness.kms();
    const request = { ciphertext, keyId: fixture.keyId, encryptionContext: { tenant: "red" } };
    await assert.rejects(kms.decrypt(request), { code: "ERR_POLICY_DENIED" });
    await assert.rejects(kms.signData(DATA, { purpose: 'a "b" \\c' }), { code: "ERR_POLICY_DENIED" });
    const [asked, signing] = policy.asked;
    assert.equal(signing?.resource.key, 'boot:a "b" \\c');
    assert.equal(asked?.resource.key, fixture.keyId);
    assert.deepEqual({ ...asked?.context.encryptionContext }, { tenant: "red" });
    assert.equal(asked?.context.ciphertextSha256, createHash("sha256").update(ciphertext).digest("hex"));
  });

  test("without a gate does all of it, and asks nobody", async () => {
    const policy = new Refusing();
    await using harness = await Harness.start({ policy, credentialPolicy: policy });
    const { SetCredentials, ...calls } = callsOf(harness.kms(undefined, OPEN_GATE), harness);
    await SetCredentials!();
    for (const call of Object.values(calls)) {
      const result = await call();
      if (typeof result === "object" && result !== null && Symbol.dispose in result) {
        (result as Disposable)[Symbol.dispose]();
      }
    }
    assert.deepEqual(policy.asked, []);
  });

  test("signs for its purpose, with the key that its documents vouch for", async () => {
    await using harness = await Harness.start();
    const kms = harness.kms();
    const signature = await kms.signData(DATA, { purpose: "orders/v1" });
    const { bootId, keys, document, algorithm } = await kms.initCrypto();
    const encoded = Object.entries(keys).map(([name, key]) => [name, encodeBase64(key)]);
    const answer = { document: encodeBase64(document), bootId, keys: Object.fromEntries(encoded) };
    const { nsm } = harness.fixture.simulator;
    const expected = { pcrs: { 0: nsm.pcr(0) }, root: nsm.root };
    const verified = await verifyEnclaveSignature(signature, DATA, {
      ...expected,
      document: answer,
      purpose: "orders/v1",
      maxAgeMs: 60_000,
    });
    assert.equal(verified.bootId, harness.bootKeys.bootId);
    assert.equal(algorithm, "ES256");
  });

  test("signs with a key of KMS only where the application names one, and tells it apart", async () => {
    await using harness = await Harness.start();
    const { fixture, bootKeys } = harness;
    await fixture.setCredentials();
    const cose = await loadCoseOracle();
    const options = { purpose: "orders/v1", key: "unattested-kms" } as const;
    await assert.rejects(harness.kms().signData(DATA, options), { code: "ERR_UNSUPPORTED_OPERATION" });

    const { keyId } = await fixture.simulator.createKey({ spec: "ECC_NIST_P256", usage: "SIGN_VERIFY" });
    const parts = { service: fixture.service, bootKeys, gate: fixture.gate, unattestedKmsKey: keyId };
    const kms = new KmsService(parts, new RequestRecord("http", TENANT));
    const signature = await kms.signData(DATA, options);
    await using client = await KmsClient.open(fixture.simulator.clientOptions);
    const { publicKey } = await client.getPublicKey({ keyId });
    const message = cose.Sign1Message.fromBytes(cose.ECDSAKey.fromPublic(publicKey.subarray(-65)), signature);
    assert.equal(message.protected?.getText(3), "application/enclave-kms-unattested-signature+cbor");
    const { bootId, keys, document } = await kms.initCrypto();
    const encoded = Object.entries(keys).map(([name, key]) => [name, encodeBase64(key)]);
    const { nsm } = fixture.simulator;
    const refused = verifyEnclaveSignature(signature, DATA, {
      document: { document: encodeBase64(document), bootId, keys: Object.fromEntries(encoded) },
      purpose: "orders/v1",
      maxAgeMs: 60_000,
      pcrs: { 0: nsm.pcr(0) },
      root: nsm.root,
    });
    await assert.rejects(refused, { code: "ERR_ATTESTATION_ALGORITHM" });
  });

  test("asks the policy about Sign and the key before a key of KMS signs", async () => {
    const policy = new Refusing();
    await using harness = await Harness.start({ policy });
    const { fixture, bootKeys } = harness;
    const unattestedKmsKey = "alias/signing";
    const parts = { service: fixture.service, bootKeys, gate: fixture.gate, unattestedKmsKey };
    const kms = new KmsService(parts, new RequestRecord("http", TENANT));
    const signing = kms.signData(DATA, { purpose: "test", key: "unattested-kms" });
    await assert.rejects(signing, { code: "ERR_POLICY_DENIED" });
    const [asked] = policy.asked;
    assert.deepEqual([asked?.action, asked?.resource.key], ["Sign", unattestedKmsKey]);
  });

  test("gives one document again for a while, and asks the policy each time", async () => {
    const policy = new RecordingPolicy();
    await using harness = await Harness.start({ policy });
    const { nsm } = harness.fixture.simulator;
    const first = await harness.kms().initCrypto();
    const before = nsm.requestCount;
    first.document.fill(0);
    for (const key of Object.values(first.keys)) key.fill(0);
    const second = await harness.kms().initCrypto();
    assert.equal(nsm.requestCount, before);
    assert.equal(policy.asked.filter(({ action }) => action === "GetAttestation").length, 2);
    const { userData, nonce, publicKey } = decodeAttestationDocument(second.document);
    assert.deepEqual(userData, await harness.bootKeys.digest());
    assert.deepEqual([nonce, publicKey, second.keys], [undefined, undefined, harness.bootKeys.publicKeys]);
  });

  test("gives another document after a key was replaced, which vouches for the keys beside it", async () => {
    await using harness = await Harness.start();
    const { bootKeys, fixture } = harness;
    bootKeys.add("seal", Uint8Array.of(1));
    await harness.kms().initCrypto();
    bootKeys.replace("seal", Uint8Array.of(2));
    const vouched = async (
      { document, keys }: { document: Uint8Array; keys: Readonly<Record<string, Uint8Array>> },
    ) => {
      const { userData } = decodeAttestationDocument(document);
      assert.deepEqual(userData, await digestBootKeys(bootKeys.bootId, keys));
    };
    const again = await harness.kms().initCrypto();
    await vouched(again);
    assert.deepEqual(again.keys["seal"], Uint8Array.of(2));

    const parts = { service: fixture.service, bootKeys, gate: fixture.gate };
    const asked = attestBoot(parts, NONCE, new RequestRecord("http", TENANT));
    bootKeys.replace("seal", Uint8Array.of(3));
    const boot = await asked;
    await vouched(boot);
    assert.deepEqual(boot.keys["seal"], Uint8Array.of(3));
  });

  test("makes documents with the caller's nonce, the digest of the boot's keys, and never a public key", async () => {
    await using harness = await Harness.start();
    const kms = harness.kms();
    const document = decodeAttestationDocument(await kms.generateAttestation({ nonce: NONCE }));
    assert.deepEqual(document.nonce, NONCE);
    assert.deepEqual(document.userData, await harness.bootKeys.digest());
    assert.equal(document.publicKey, undefined);
    for (const request of [{ nonce: NONCE, publicKey: NONCE }, { nonce: NONCE, userData: NONCE }]) {
      await assert.rejects(kms.generateAttestation(request), { code: "ERR_BAD_REQUEST" });
    }
    const route = await (await harness.fixture.call("/v1/attestation?nonce=AQID")).json() as {
      document: string;
    };
    const { userData } = decodeAttestationDocument(Buffer.from(route.document, "base64"));
    assert.deepEqual(userData, document.userData);
  });

  test("hashes", async () => {
    await using harness = await Harness.start();
    const kms = harness.kms();
    for (const algorithm of ["SHA-256", "SHA-384", "SHA-512"] as const) {
      const expected = createHash(algorithm.replace("-", "")).update(DATA).digest();
      assert.deepEqual(Buffer.from(await kms.secureHash(DATA, algorithm)), expected);
    }
    assert.equal((await kms.secureHash(new Uint8Array(0))).length, 32);
  });

  test("refuses what is wrong in form before it asks anybody, and repeats nothing of it", async () => {
    const policy = new Refusing();
    await using harness = await Harness.start({ policy, credentialPolicy: policy });
    const { ciphertext } = harness;
    const kms = harness.kms();
    const cases: readonly (readonly [string, () => unknown])[] = [
      ["ciphertext", () => kms.decrypt({ ciphertext: new Uint8Array(0) })],
      ["", () => kms.decrypt("HUSH" as never)],
      ["", () => kms.decrypt(undefined as never)],
      ["", () => kms.decrypt({ ciphertext, HUSH: 1 } as never)],
      ["timeoutMs", () => kms.decrypt({ ciphertext, timeoutMs: 1 } as never)],
      ["signal", () => kms.decrypt({ ciphertext, signal: AbortSignal.abort("HUSH") } as never)],
      ["numberOfBytes", () => kms.generateRandom({ numberOfBytes: 0 })],
      ["nonce", () => kms.generateAttestation({ nonce: new Uint8Array(0) })],
      ["nonce", () => kms.generateAttestation({ nonce: new Uint8Array(513) })],
      ["nonce", () => kms.generateAttestation({ nonce: "HUSH" as never })],
      ["data", () => kms.signData("HUSH" as never, { purpose: "test" })],
      ["purpose", () => kms.signData(DATA, { purpose: "" })],
      ["purpose", () => kms.signData(DATA, { purpose: "HÜSH" })],
      ["", () => kms.signData(DATA, { purpose: "test", keyId: "HUSH" } as never)],
      ["key", () => kms.signData(DATA, { purpose: "test", key: "HUSH" } as never)],
      ["data", () => kms.secureHash([] as never)],
      ["algorithm", () => kms.secureHash(DATA, "SHA-1" as never)],
    ];
    for (const [path, call] of cases) {
      await assert.rejects(async () => await call(), (error) => {
        assert.ok(error instanceof BadRequestError, String(error));
        assert.equal(error.problems[0]?.path, path, JSON.stringify(error.problems));
        assert.doesNotMatch(JSON.stringify(error.problems), /"[^"]*(?<!`)HUSH/);
        return true;
      });
    }
    assert.deepEqual(policy.asked, []);
  });

  test("is broken off when the caller goes away", async () => {
    await using harness = await Harness.start();
    await harness.fixture.setCredentials();
    const gone = new AbortController();
    const kms = harness.kms(new RequestRecord("http", TENANT, { gone: gone.signal }));
    harness.fixture.simulator.nsm.injectFault({ kind: "silent" });
    const waits = kms.generateAttestation({ nonce: NONCE });
    gone.abort(new Error("gone"));
    await assert.rejects(waits);
  });
});

describe("c.var.kms", () => {
  const app = enclaveApp()
    .post("/decrypt", async (c) => {
      using plaintext = await c.var.kms.decrypt({ ciphertext: Uint8Array.of(1, 2, 3) });
      return c.json({ length: plaintext.length });
    })
    .post("/sign", async (c) => {
      const signature = await c.var.kms.signData(DATA, { purpose: "orders/v1" });
      return c.body(Uint8Array.from(signature));
    });

  /** Asks an enclave whose policy permits nothing. */
  async function ask(
    path: string,
    options: { readonly ungated?: boolean },
  ): Promise<[number, string, string[]]> {
    await using simulator = await startSimulator();
    const lines: string[] = [];
    const { nsm, trustedCertificates } = simulator;
    await using enclave = await startEnclave(app, {
      name: "test",
      environment: {
        ENV_SETUP: "SIM",
        ENCLAVE_KMS_REQUEST_TIMEOUT_MS: "50000",
        ENCLAVE_PORT: "0",
        CONTROL_PORT: "0",
      },
      signals: false,
      logger: createLogger("debug", (line) => lines.push(line)),
      nsm,
      trustedCertificates,
      ...options,
    });
    const answer = await createFetch(enclave.endpoint)(`http://enclave${path}`, { method: "POST" });
    const body = await answer.text();
    return [answer.status, body.startsWith("{") ? JSON.parse(body).code : "", lines];
  }

  test("in a route without a gate is refused by a policy that permits nothing", async () => {
    for (const path of ["/decrypt", "/sign"]) {
      const [status, code, lines] = await ask(path, {});
      assert.deepEqual([status, code], [403, "ERR_POLICY_DENIED"]);
      assert.ok(!lines.some((line) => line.includes("ungated")));
    }
  });

  test("does without it when the application is ungated, and the log says so", async () => {
    // It gets as far as the credentials, which nobody has sent.
    const [status, code, lines] = await ask("/decrypt", { ungated: true });
    assert.deepEqual([status, code], [503, "ERR_CREDENTIALS"]);
    assert.ok(lines.some((line) => line.includes("ungated: the policy is not asked")));
    const [signed] = await ask("/sign", { ungated: true });
    assert.equal(signed, 200);
  });

  test("signs nothing after the enclave has closed", async () => {
    await using simulator = await startSimulator();
    const kept: KmsService[] = [];
    const keeping = enclaveApp().get("/keep", (c) => {
      kept.push(c.var.kms);
      return c.text("kept");
    });
    const { nsm, trustedCertificates } = simulator;
    await using enclave = await startEnclave(keeping, {
      name: "test",
      environment: {
        ENV_SETUP: "SIM",
        ENCLAVE_KMS_REQUEST_TIMEOUT_MS: "50000",
        ENCLAVE_PORT: "0",
        CONTROL_PORT: "0",
        ENCLAVE_KMS_LOG_LEVEL: "silent",
      },
      signals: false,
      ungated: true,
      nsm,
      trustedCertificates,
    });
    await createFetch(enclave.endpoint)("http://enclave/keep");
    const [kms] = kept;
    await kms!.signData(DATA, { purpose: "test" });
    await enclave.close();
    await assert.rejects(kms!.signData(DATA, { purpose: "test" }), { code: "ERR_DISPOSED" });
  });

  test("is there for the application itself, which needs credentials and no policy", async () => {
    await using simulator = await startSimulator();
    const { nsm, trustedCertificates, credentials } = simulator;
    const { host, port } = simulator.endpoint as TcpEndpoint;
    await using enclave = await startEnclave(app, {
      name: "test",
      environment: {
        ENV_SETUP: "SIM",
        ENCLAVE_KMS_REQUEST_TIMEOUT_MS: "50000",
        ENCLAVE_PORT: "0",
        CONTROL_PORT: "0",
        ENCLAVE_KMS_LOG_LEVEL: "silent",
        ENCLAVE_KMS_KMS: `tcp:${host}:${port}`,
        ENCLAVE_KMS_REGION: simulator.region,
      },
      signals: false,
      nsm,
      trustedCertificates,
    });
    const { kms } = enclave;
    const before = kms.generateRandom({ numberOfBytes: 8 });
    await assert.rejects(before, { code: "ERR_CREDENTIALS" });
    kms.updateCredentials(credentials);
    using random = await kms.generateRandom({ numberOfBytes: 8 });
    assert.equal(random.length, 8);
    const refused = await createFetch(enclave.endpoint)("http://enclave/sign", { method: "POST" });
    assert.equal(refused.status, 403);
    await enclave.close();
    await assert.rejects(kms.signData(DATA, { purpose: "test" }), { code: "ERR_DISPOSED" });
  });

  test("refuses a word for ungated, and algorithms that are none", async () => {
    const key = { name: "test", environment: {}, unattestedKmsKey: "" };
    await assert.rejects(startEnclave(app, key), /^RangeError: keyId must have 1 to /);
    const wrong = { name: "test", environment: {}, ungated: "yes" as never };
    await assert.rejects(startEnclave(app, wrong), /^TypeError: ungated must be a boolean$/);
    const none = { name: "test", environment: { ENV_SETUP: "SIM" }, signatureAlgorithm: "RS256" as never };
    await assert.rejects(startEnclave(app, none), /^TypeError: algorithm must be one of ES256, EdDSA$/);
  });
});
