import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "#test";
import { AttestationError, KmsClient, LibraryLoadError } from "../../../mod.ts";
import { type Simulator, startSimulator } from "../../../sim/mod.ts";
import { ENGINE_CASES, startEnclave } from "../../support/engines.ts";
import { doublePath, WITHOUT_DOUBLE } from "../../support/sdk_double.ts";

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
        assert.match(error.hint, /library/);
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

  test("a library of something else lacks a symbol, and the error names it", async () => {
    const { libc } = await import("../../../lib/native/libc.ts");
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
