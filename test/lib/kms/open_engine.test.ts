import assert from "node:assert/strict";
import tls from "node:tls";
import { afterAll, beforeAll, describe } from "#test";
import {
  AttestationError,
  CertificateError,
  KmsClient,
  type KmsClientOptions,
  LibraryLoadError,
} from "../../../mod.ts";
import { cString, libc, readCString } from "../../../lib/native/libc.ts";
import { type Simulator, startSimulator } from "../../../sim/mod.ts";
import { ENGINE_CASES, startEnclave } from "../../support/engines.ts";
import { doublePath, SdkDouble, WITHOUT_DOUBLE } from "../../support/sdk_double.ts";
import { spyOnFill } from "../../support/spy_on_fill.ts";
import { divideTests } from "../../support/share.ts";

const test = divideTests("Deno");

let enclave: Simulator;

beforeAll(async () => {
  enclave = await startSimulator();
});
afterAll(() => enclave[Symbol.asyncDispose]());

describe("engine auto", () => {
  test("is direct with an NSM of one's own: the C SDK could not use it", async () => {
    await using client = await KmsClient.open(enclave.clientOptions);
    assert.equal(client.engine, "direct");
  });

  test.skipIf(doublePath === undefined)(`is sdk with a library that loads${WITHOUT_DOUBLE}`, async () => {
    await using client = await KmsClient.open({ ...enclave.clientOptions, library: doublePath });
    assert.equal(client.engine, "sdk");
  });

  test("does not fall back from a library that was named", async () => {
    await assert.rejects(
      KmsClient.open({ ...enclave.clientOptions, library: "/no/such/library.so" }),
      (error) => {
        assert.ok(error instanceof LibraryLoadError);
        assert.equal(error.code, "ERR_LIBRARY_LOAD");
        assert.match(error.message, /^Cannot load aws-nitro-enclaves-sdk-c: \/no\/such\/library\.so: /);
        assert.match(error.hint, /path right/);
        return true;
      },
    );
  });
});

describe("opening fails in good order", () => {
  test("engine sdk without a library names every path it tried", async () => {
    const { nsm: _, ...options } = enclave.clientOptions;
    await assert.rejects(KmsClient.open({ ...options, engine: "sdk" }), (error) => {
      assert.ok(error instanceof LibraryLoadError);
      assert.match(error.message, /\/usr\/lib64\/libaws-nitro-enclaves-sdk-c\.so\.0unstable: /);
      assert.match(error.message, /\/usr\/local\/lib\/libaws-nitro-enclaves-sdk-c\.so: /);
      return true;
    });
  });

  test("engine auto without a library is direct, which finds no NSM either", async () => {
    const { nsm: _, ...options } = enclave.clientOptions;
    await assert.rejects(KmsClient.open(options), { code: "ERR_ATTESTATION_UNAVAILABLE" });
  });

  test("a library of something else lacks a symbol, and the error names it", async () => {
    const other = libc().path ?? "/proc/self/exe";
    await assert.rejects(KmsClient.open({ ...enclave.clientOptions, library: other }), (error) => {
      assert.ok(error instanceof LibraryLoadError);
      assert.ok(error.message.includes(other));
      return true;
    });
  });

  test("engine direct outside an enclave finds no NSM", async () => {
    const { nsm: _, ...options } = enclave.clientOptions;
    await assert.rejects(KmsClient.open({ ...options, engine: "direct" }), (error) => {
      assert.ok(error instanceof AttestationError);
      assert.equal(error.code, "ERR_ATTESTATION_UNAVAILABLE");
      assert.equal(error.message, "Cannot open /dev/nsm: open failed with ENOENT");
      assert.match(error.hint, /simulator/);
      return true;
    });
  });
});

describe("certificate authorities", () => {
  const double = new SdkDouble(doublePath ?? "");

  /** With a runtime and a system that have none, opens a client without certificates of its own. */
  async function openWithout(options: Partial<KmsClientOptions>): Promise<unknown> {
    const { trustedCertificates: _, ...common } = enclave.clientOptions;
    const { getCACertificates } = tls;
    Object.assign(tls, { getCACertificates: () => [] });
    const { call } = libc();
    const variable = cString("SSL_CERT_FILE");
    const before = call.getenv(variable);
    const text = before === null ? undefined : readCString(before);
    call.setenv(variable, cString("/nonexistent/ca.pem"), 1);
    try {
      await using client = await KmsClient.open({ ...common, ...options });
      return client.engine;
    } catch (error) {
      return error;
    } finally {
      Object.assign(tls, { getCACertificates });
      if (text === undefined) call.unsetenv(variable);
      else call.setenv(variable, cString(text), 1);
    }
  }

  for (const engine of ["direct", "sdk", "sdk-client"] as const) {
    const skip = engine !== "direct" && doublePath === undefined;
    test.skipIf(skip)(`engine ${engine} does not open without any${skip ? WITHOUT_DOUBLE : ""}`, async () => {
      const nsm = { ...enclave.nsm, exchange: () => Promise.reject(new Error("never asked")), disposed: 0 };
      const own = Object.assign(nsm, { [Symbol.dispose]: () => void nsm.disposed++ });
      const parts = engine === "direct" ? { nsm: own } : { library: doublePath, nsm: undefined };
      if (!skip && engine !== "direct") double.reset();
      const error = await openWithout({ engine, ...parts });
      assert.ok(error instanceof CertificateError, String(error));
      assert.match(error.message, /^Cannot trust KMS: /);
      assert.equal(nsm.disposed, 0, "the NSM is its owner's");
      if (engine !== "direct") assert.equal(double.live(), 0);
      const { trustedCertificates } = enclave.clientOptions;
      assert.equal(await openWithout({ engine, ...parts, trustedCertificates }), engine);
      assert.equal(nsm.disposed, 0, "the NSM is its owner's");
    });
  }

  test("what was given is wiped when there will be no client", async () => {
    const wiped: string[] = [];
    const credentials = { accessKeyId: "AKIA", secretAccessKey: "the-secret-of-this-test" };
    {
      using _spy = spyOnFill((bytes) => wiped.push(new TextDecoder().decode(bytes)));
      const error = await openWithout({ engine: "direct", credentials });
      assert.ok(error instanceof CertificateError, String(error));
    }
    assert.ok(wiped.includes(credentials.secretAccessKey));
  });
});

describe("host names", () => {
  for (const engineCase of ENGINE_CASES) {
    test.skipIf(engineCase.skip)(
      `follow the partition, and may be replaced, on ${engineCase.label}`,
      async () => {
        await using china = await startEnclave({ region: "cn-north-1" });
        const { keyId } = await china.simulator.createKey();
        const ciphertext = await china.simulator.encrypt({ keyId, plaintext: "x" });
        for (const hostName of [undefined, "kms.cn-north-1.amazonaws.com.cn"]) {
          await using client = await KmsClient.open({ ...china.optionsFor(engineCase), hostName });
          using plaintext = await client.decrypt({ ciphertext });
          assert.equal(plaintext.length, 1);
        }
        await using stranger = await KmsClient.open({
          ...china.optionsFor(engineCase),
          hostName: "kms.example.com",
          maxAttempts: 1,
        });
        await assert.rejects(stranger.decrypt({ ciphertext }));
      },
    );
  }
});
