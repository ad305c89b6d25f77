import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe } from "#test";
import {
  AttestationError,
  DisposedError,
  EnclaveKmsError,
  KmsClient,
  type KmsClientOptions,
  kmsDecrypt,
  KmsError,
  SdkKmsDecryptError,
  TimeoutError,
} from "../../../mod.ts";
import { attestedKeyPolicy } from "../../../sim/mod.ts";
import { type Enclave, ENGINE_CASES, type EngineCase, startEnclave } from "../../support/engines.ts";
import { shareKeyOfDouble } from "../../support/sdk_double.ts";
import { divideTests } from "../../support/share.ts";

const test = divideTests();

const random = (length: number) => new Uint8Array(randomBytes(length));

/** KMS's refusal of a request that must not be decrypted. */
interface Refused {
  readonly name: string;
  readonly kmsCode: string;
  readonly hint: RegExp;
  readonly arrange: (enclave: Enclave) => Promise<{
    ciphertext: Uint8Array;
    request?: { keyId?: string; encryptionContext?: Record<string, string> };
    options?: Partial<KmsClientOptions>;
  }>;
}

const REFUSED: readonly Refused[] = [
  {
    name: "the wrong encryption context",
    kmsCode: "InvalidCiphertextException",
    hint: /encryption context/i,
    arrange: async ({ simulator }) => {
      const { keyId } = await simulator.createKey();
      const encryptionContext = { tenant: "a" };
      const ciphertext = await simulator.encrypt({ keyId, plaintext: "x", encryptionContext });
      return { ciphertext, request: { encryptionContext: { tenant: "b" } } };
    },
  },
  {
    name: "the wrong key",
    kmsCode: "IncorrectKeyException",
    hint: /key/i,
    arrange: async ({ simulator }) => {
      const { keyId } = await simulator.createKey();
      const other = await simulator.createKey();
      return {
        ciphertext: await simulator.encrypt({ keyId, plaintext: "x" }),
        request: { keyId: other.arn },
      };
    },
  },
  {
    name: "expired credentials",
    kmsCode: "ExpiredTokenException",
    hint: /credentials/i,
    arrange: async ({ simulator }) => {
      const { keyId } = await simulator.createKey();
      const credentials = simulator.kms.issueCredentials();
      simulator.kms.expireCredentials(credentials);
      return { ciphertext: await simulator.encrypt({ keyId, plaintext: "x" }), options: { credentials } };
    },
  },
  {
    name: "a key policy that names another PCR0",
    kmsCode: "AccessDeniedException",
    hint: /PCR/,
    arrange: async ({ simulator }) => {
      const { keyId } = await simulator.createKey({ policy: attestedKeyPolicy({ 0: "ab".repeat(48) }) });
      return { ciphertext: await simulator.encrypt({ keyId, plaintext: "x" }) };
    },
  },
  {
    name: "throttling that does not end",
    kmsCode: "ThrottlingException",
    hint: /./,
    arrange: async ({ simulator }) => {
      const { keyId } = await simulator.createKey();
      await simulator.kms.injectFault({ kind: "throttled" });
      return { ciphertext: await simulator.encrypt({ keyId, plaintext: "x" }) };
    },
  },
];

shareKeyOfDouble();

for (const engineCase of ENGINE_CASES) {
  describe.skipIf(engineCase.skip)(`engine ${engineCase.label}`, () => suite(engineCase));
}

function suite(engineCase: EngineCase): void {
  const { engine, speaksHttps } = engineCase;
  let enclave: Enclave;
  let client: KmsClient;

  beforeAll(async () => {
    enclave = await startEnclave();
    client = await KmsClient.open(enclave.optionsFor(engineCase));
  });
  beforeEach(() => enclave.simulator.kms.clearFaults());
  afterAll(async () => {
    await client.close();
    await enclave[Symbol.asyncDispose]();
  });

  test("is the engine that was asked for", () => assert.equal(client.engine, engine));

  for (const length of [1, 32, 4096]) {
    test(`decrypts ${length} bytes, more than once`, async () => {
      const plaintext = random(length);
      const ciphertext = await enclave.encryptUnderNewKey(plaintext);
      for (let round = 0; round < 3; round++) {
        using decrypted = await client.decrypt({ ciphertext });
        assert.deepEqual(decrypted.bytes, plaintext);
      }
    });
  }

  test("decrypts with a key id, an ARN, an alias and an encryption context, from bytes and base64", async () => {
    const plaintext = random(32);
    const key = await enclave.simulator.createKey({ alias: `alias/${engineCase.label.replace(/\W/g, "-")}` });
    const encryptionContext = { tenant: "a", "grüße": '日本 "quoted" \\ \n' };
    const ciphertext = await enclave.simulator.encrypt({ keyId: key.keyId, plaintext, encryptionContext });
    for (const keyId of [key.keyId, key.arn, `alias/${engineCase.label.replace(/\W/g, "-")}`]) {
      using decrypted = await client.decrypt({ ciphertext, keyId, encryptionContext });
      assert.deepEqual(decrypted.bytes, plaintext);
    }
    const base64 = Buffer.from(ciphertext).toString("base64");
    using decrypted = await client.decrypt({ ciphertext: base64, encryptionContext });
    assert.deepEqual(decrypted.bytes, plaintext);
  });

  test("decrypts under an asymmetric key", async () => {
    const plaintext = random(100);
    const { keyId } = await enclave.simulator.createKey({ spec: "RSA_2048" });
    const encryptionAlgorithm = "RSAES_OAEP_SHA_256";
    const ciphertext = await enclave.simulator.encrypt({ keyId, plaintext, encryptionAlgorithm });
    using decrypted = await client.decrypt({ ciphertext, keyId, encryptionAlgorithm });
    assert.deepEqual(decrypted.bytes, plaintext);
  });

  test("attests: a policy that names this PCR0 lets it decrypt", async () => {
    const { simulator } = enclave;
    const { keyId } = await simulator.createKey({ policy: attestedKeyPolicy({ 0: simulator.nsm.pcr(0) }) });
    const ciphertext = await simulator.encrypt({ keyId, plaintext: "attested" });
    using decrypted = await client.decrypt({ ciphertext });
    assert.equal(new TextDecoder().decode(decrypted.bytes), "attested");
  });

  for (const { name, kmsCode, hint, arrange } of REFUSED) {
    test(`does not decrypt with ${name}`, async () => {
      const { ciphertext, request, options } = await arrange(enclave);
      await using own = options === undefined
        ? undefined
        : await KmsClient.open({ ...enclave.optionsFor(engineCase), ...options });
      await assert.rejects((own ?? client).decrypt({ ciphertext, ...request }), (error) => {
        if (!speaksHttps) {
          assert.ok(error instanceof SdkKmsDecryptError, String(error));
          assert.equal(error.code, "ERR_SDK_KMS_DECRYPT");
          assert.match(error.hint, /engine direct or sdk/);
          return true;
        }
        assert.ok(error instanceof KmsError, String(error));
        assert.equal(error.code, "ERR_KMS");
        assert.equal(error.kmsCode, kmsCode);
        assert.equal(error.retryable, kmsCode === "ThrottlingException");
        assert.match(error.requestId ?? "", /^[0-9a-f-]{36}$/);
        assert.match(error.hint, hint);
        return true;
      });
    });
  }

  test("an empty encryption context is none", async () => {
    const ciphertext = await enclave.encryptUnderNewKey("x");
    using decrypted = await client.decrypt({ ciphertext, encryptionContext: {} });
    assert.equal(decrypted.length, 1);
  });

  test("asks a provider of credentials before every request", async () => {
    let asked = 0;
    const ciphertext = await enclave.encryptUnderNewKey("x");
    const credentials = () => {
      asked++;
      return Promise.resolve(enclave.simulator.credentials);
    };
    await using other = await KmsClient.open({ ...enclave.optionsFor(engineCase), credentials });
    for (let round = 1; round <= 2; round++) {
      using _decrypted = await other.decrypt({ ciphertext });
      assert.equal(asked, round);
    }
  });

  test("takes credentials as bytes", async () => {
    const { accessKeyId, secretAccessKey, sessionToken } = enclave.simulator.credentials;
    const encode = (text: string) => new TextEncoder().encode(text);
    const credentials = {
      accessKeyId: encode(accessKeyId),
      secretAccessKey: encode(secretAccessKey),
      sessionToken: encode(sessionToken),
    };
    const ciphertext = await enclave.encryptUnderNewKey("x");
    using decrypted = await kmsDecrypt({ ...enclave.optionsFor(engineCase), credentials, ciphertext });
    assert.equal(decrypted.length, 1);
  });

  test("aborts with the signal's reason, before and during the call", async () => {
    const ciphertext = await enclave.encryptUnderNewKey("x");
    const reason = new Error("changed my mind");
    const rejectsWithReason = (error: unknown) => error === reason;
    await assert.rejects(
      client.decrypt({ ciphertext, signal: AbortSignal.abort(reason) }),
      rejectsWithReason,
    );
    if (!speaksHttps) return;
    await enclave.simulator.kms.injectFault({ kind: "hang" });
    const aborter = new AbortController();
    setTimeout(() => aborter.abort(reason), 50);
    await assert.rejects(client.decrypt({ ciphertext, signal: aborter.signal }), rejectsWithReason);
  });

  test("a client that was closed says so, closing twice is harmless", async () => {
    const other = await KmsClient.open(enclave.optionsFor(engineCase));
    await other.close();
    await other.close();
    await assert.rejects(other.decrypt({ ciphertext: random(10) }), DisposedError);
  });

  const atOnce = speaksHttps ? 64 : 8;
  test(`decrypts ${atOnce} at once, each answer to its own request`, async () => {
    const { keyId } = await enclave.simulator.createKey();
    const plaintexts = Array.from({ length: atOnce }, (_, index) => random(1 + index));
    const ciphertexts = await Promise.all(
      plaintexts.map((plaintext) => enclave.simulator.encrypt({ keyId, plaintext })),
    );
    await Promise.all(ciphertexts.map(async (ciphertext, index) => {
      using decrypted = await client.decrypt({ ciphertext, timeoutMs: 30_000 });
      assert.deepEqual(decrypted.bytes, plaintexts[index]);
    }));
  });

  if (!speaksHttps) return;

  test("survives throttling, internal errors and broken connections that end", async () => {
    const ciphertext = await enclave.encryptUnderNewKey("x");
    for (const kind of ["throttled", "internalError", "unavailable"] as const) {
      await enclave.simulator.kms.injectFault({ kind }, { times: 2 });
      using decrypted = await client.decrypt({ ciphertext });
      assert.equal(decrypted.length, 1);
    }
  });

  test("a silent NSM is a TimeoutError, an absent one an AttestationError", async () => {
    const ciphertext = await enclave.encryptUnderNewKey("x");
    for (
      const [fault, code] of [
        [{ kind: "silent" }, "ERR_TIMEOUT"],
        [{ kind: "refuse", errorName: "InternalError" }, /^ERR_ATTESTATION_(REFUSED|UNAVAILABLE)$/],
        [{ kind: "garbage" }, /^ERR_ATTESTATION_(ANSWER|UNAVAILABLE)$/],
      ] as const
    ) {
      await using other = await KmsClient.open(enclave.optionsFor(engineCase));
      using _fault = enclave.simulator.nsm.injectFault(fault, { times: 1 });
      const timeoutMs = fault.kind === "silent" ? 3000 : 60_000;
      await assert.rejects(other.decrypt({ ciphertext, timeoutMs }), (error) => {
        assert.ok(error instanceof TimeoutError || error instanceof AttestationError, String(error));
        if (typeof code === "string") assert.equal(error.code, code);
        else assert.match(error.code, code);
        assert.notEqual(error.hint, "");
        return true;
      });
      // A question that runs is not asked again, for the driver would not serve it: another client is not held up.
      const isHeldUp: boolean = fault.kind === "silent" && speaksHttps;
      await using next: KmsClient | undefined = isHeldUp
        ? await KmsClient.open(enclave.optionsFor(engineCase))
        : undefined;
      using decrypted = await (next ?? other).decrypt({ ciphertext });
      assert.equal(decrypted.length, 1);
    }
  });

  test("every error says what to check", async () => {
    await using other = await KmsClient.open({
      ...enclave.optionsFor(engineCase),
      endpoint: { transport: "tcp", host: "127.0.0.1", port: 1 },
    });
    await assert.rejects(other.decrypt({ ciphertext: random(100), timeoutMs: 3000 }), (error) => {
      assert.ok(error instanceof EnclaveKmsError);
      assert.equal(error.code, "ERR_CONNECTION");
      assert.match(error.hint, /proxy/);
      return true;
    });
  });
}
