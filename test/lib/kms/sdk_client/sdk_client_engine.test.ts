import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import type { Worker } from "node:worker_threads";
import { afterAll, beforeAll, beforeEach, describe, test } from "#test";
import { CredentialsSource } from "../../../../lib/aws/credentials_source.ts";
import { Deadline } from "../../../../lib/core/deadline.ts";
import { SdkClientEngine } from "../../../../lib/kms/sdk_client/sdk_client_engine.ts";
import { SdkRecipient } from "../../../../lib/kms/recipient/sdk_recipient.ts";
import { SdkLibrary } from "../../../../lib/native/sdk_library.ts";
import { DisposedError, KmsClient, SdkKmsClientError, UnsupportedOperationError } from "../../../../mod.ts";
import { type ListenAddress, startSimulator } from "../../../../sim/mod.ts";
import { type Enclave, ENGINE_CASES, type EngineCase, startEnclave } from "../../../support/engines.ts";
import { doublePath, SdkDouble } from "../../../support/sdk_double.ts";

const onDeno = "Deno" in globalThis;
const NOT_NODE = onDeno ? " (skipped: Deno does not show its threads)" : "";

const HAS_IPV6 = Object.values(networkInterfaces()).flat().some((address) => address?.address === "::1");
const WITHOUT_IPV6 = HAS_IPV6 ? "" : " (IPv6 is skipped: there is none)";

for (const engineCase of ENGINE_CASES.filter(({ engine }) => engine === "sdk-client")) {
  describe.skipIf(engineCase.skip)(`the engine around the C client, ${engineCase.label}`, () => {
    suite(engineCase);
  });
}

function suite(engineCase: EngineCase): void {
  const double = new SdkDouble(doublePath ?? "");
  const folder = mkdtempSync(join(tmpdir(), "enclave-kms-"));
  const threads: (Worker & { readonly threadName?: string | null })[] = [];
  const remember = (thread: Worker) => threads.push(thread);
  let enclave: Enclave;
  let ciphertext: Uint8Array;

  beforeAll(async () => {
    process.on("worker", remember);
    enclave = await startEnclave();
    ciphertext = await enclave.encryptUnderNewKey("hello");
  });
  beforeEach(() => double.reset());
  afterAll(async () => {
    process.off("worker", remember);
    await enclave[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  });

  test("says what C has no call for, and which engine has one", async () => {
    await using client = await KmsClient.open(enclave.optionsFor(engineCase));
    const keyId = "alias/any";
    const grantTokens = ["token"];
    const plaintext = new Uint8Array(1);
    const macRequest = { keyId, message: plaintext, macAlgorithm: "HMAC_SHA_256" } as const;
    const signRequest = { keyId, message: plaintext, signingAlgorithm: "ECDSA_SHA_256" } as const;
    const cases: readonly (readonly [what: string, ask: () => Promise<unknown>])[] = [
      ["decrypt with grant tokens", () => client.decrypt({ ciphertext, grantTokens })],
      ["encrypt with grant tokens", () => client.encrypt({ keyId, plaintext, grantTokens })],
      [
        "encrypt under an asymmetric key",
        () => client.encrypt({ keyId, plaintext, encryptionAlgorithm: "RSAES_OAEP_SHA_256" }),
      ],
      ["generate a data key with grant tokens", () => client.generateDataKey({ keyId, grantTokens })],
      [
        "generate a data key with an encryption context",
        () => client.generateDataKey({ keyId, encryptionContext: { a: "b" } }),
      ],
      ["generate a data key by numberOfBytes", () => client.generateDataKey({ keyId, numberOfBytes: 32 })],
      [
        "generate a data key pair",
        () => client.generateDataKeyPair({ keyId, keyPairSpec: "ECC_NIST_P256" }),
      ],
      [
        "derive a shared secret",
        () => client.deriveSharedSecret({ keyId, publicKey: new Uint8Array([1]) }),
      ],
      ["generate a MAC", () => client.generateMac(macRequest)],
      ["verify a MAC", () => client.verifyMac({ ...macRequest, mac: plaintext })],
      ["sign", () => client.sign(signRequest)],
      ["verify a signature", () => client.verify({ ...signRequest, signature: plaintext })],
      ["get a public key", () => client.getPublicKey({ keyId })],
    ];
    for (const [what, ask] of cases) {
      await assert.rejects(ask(), (error) => {
        assert.ok(error instanceof UnsupportedOperationError);
        assert.equal(error.message, `Cannot ${what} on engine sdk-client: the C client has no call for it`);
        assert.equal(error.hint, "Use engine direct or sdk");
        return true;
      });
    }
  });

  test("leaves the library when there are no credentials", async () => {
    const credentials = () => {
      throw new RangeError("no role");
    };
    const client = await KmsClient.open({ ...enclave.optionsFor(engineCase), credentials });
    await assert.rejects(client.decrypt({ ciphertext }), { code: "ERR_CREDENTIALS" });
    assert.equal(double.live(), 1);
    await client.close();
    assert.equal(double.live(), 0);
  });

  test("leaves the library once, however often it is disposed, and is of no use then", async () => {
    using library = SdkLibrary.acquire(doublePath);
    const { region, credentials, endpoint, trustedCertificates } = enclave.simulator.clientOptions;
    const engine = new SdkClientEngine({
      library: library.share(),
      credentials: new CredentialsSource(credentials),
      hostName: undefined,
      ...{ region, endpoint, trustedCertificates },
    });
    for (let round = 0; round < 3; round++) await engine[Symbol.asyncDispose]();
    assert.equal(double.live(), 1);
    assert.equal(library.path, doublePath);
    using deadline = new Deadline("generate random bytes", 60_000);
    await assert.rejects(
      engine.run("generateRandom", { numberOfBytes: 1 }, { deadline }),
      (error) => error instanceof DisposedError && /KmsClient/.test(error.message),
    );
    assert.equal(double.live(), 1);
  });

  const ADDRESSES: Readonly<Record<string, ListenAddress>> = {
    "a unix socket": { transport: "unix", path: join(folder, "kms.sock") },
    "IPv6": { transport: "tcp", host: "::1", port: 0 },
  };

  for (const [name, listen] of Object.entries(ADDRESSES)) {
    test.skipIf(name === "IPv6" && !HAS_IPV6)(`reaches KMS over ${name}${WITHOUT_IPV6}`, async () => {
      await using simulator = await startSimulator({ listen });
      const { nsm: _, ...options } = simulator.clientOptions;
      await using client = await KmsClient.open({
        ...options,
        ...engineCase.options,
        engine: "sdk-client",
      });
      const { keyId } = await simulator.createKey();
      const encrypted = await client.encrypt({ keyId, plaintext: new Uint8Array([7]) });
      assert.ok(encrypted.ciphertext.length > 1);
    });
  }

  test("a deadline that has passed makes no key pair", async () => {
    using library = SdkLibrary.acquire(doublePath);
    using deadline = new Deadline("open", 60_000, AbortSignal.abort(new RangeError("enough")));
    await assert.rejects(SdkRecipient.create(library, deadline), /^RangeError: enough$/);
    // C would have made one by the time that it has made the next.
    using later = new Deadline("open", 60_000);
    (await SdkRecipient.create(library, later))[Symbol.dispose]();
    const made = double.log().filter((line) => line.startsWith("acquire aws_attestation_rsa_keypair_new"));
    assert.equal(made.length, 1);
  });

  test.skipIf(onDeno)(`a thread that dies takes one call along, and is replaced${NOT_NODE}`, async () => {
    for (const event of ["exit", "error"] as const) {
      await using client = await KmsClient.open(enclave.optionsFor(engineCase));
      using plaintext = await client.decrypt({ ciphertext });
      assert.equal(plaintext.length, 5);
      const started = threads.length;
      double.stall("aws_kms_decrypt_blocking");
      const lost = client.decrypt({ ciphertext });
      while (double.stalled() === 0) await turn();
      threads.at(-1)?.emit(event, new RangeError("out of memory"));
      await assert.rejects(lost, (error) => {
        assert.ok(error instanceof SdkKmsClientError);
        assert.equal(error.message, "Cannot ask KMS: the C client's thread ended");
        assert.equal(error.cFunction, "aws_kms_decrypt_blocking");
        assert.match(error.hint, /^Is the file sdk_client_worker next to the library's own/);
        return true;
      });
      double.releaseStalls();
      while (double.stalled() > 0) await turn();
      using again = await client.decrypt({ ciphertext });
      assert.equal(again.length, 5);
      assert.equal(threads.length, started + 1);
      assert.equal(threads.at(-1)?.threadName, "enclave-kms sdk-client");
    }
  });
}

function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 5));
}
