import assert from "node:assert/strict";
import process from "node:process";
import { afterEach, describe, test } from "#test";
import { chooseRuntimeCrypto, describeCrypto, runtimeCrypto } from "../../../lib/kms/runtime_crypto.ts";
import { findLibcrypto, openLibcrypto } from "../../../lib/native/libcrypto.ts";
import { KmsClient, LibraryLoadError } from "../../../mod.ts";
import { type Simulator, startSimulator } from "../../../sim/mod.ts";

const { deno, node } = process.versions as Readonly<Record<string, string | undefined>>;
const runtime = deno === undefined ? ["node", node] as const : ["deno", deno] as const;
const OFF = {
  provider: "node:crypto",
  version: runtime[1],
  origin: runtime[0],
  reason: "OpenSSL is switched off",
  hint: "Is ENCLAVE_KMS_LIBCRYPTO off?",
};

/** A library with a path: Node.js finds its own first, which has none. */
const [named] = [`/usr/lib/${process.arch === "x64" ? "x86_64" : "aarch64"}-linux-gnu`, "/usr/lib64"]
  .map((folder) => `${folder}/libcrypto.so.3`).filter((path) => openLibcrypto({ path }) !== undefined);
const WHY = named === undefined ? " (skipped: no libcrypto.so.3)" : "";

describe("runtimeCrypto()", () => {
  afterEach(() => chooseRuntimeCrypto(undefined));

  test("says what openLibcrypto() found, or why it found nothing", () => {
    const { libcrypto, reason, hint } = findLibcrypto();
    if (libcrypto !== undefined) {
      const { version, origin } = libcrypto;
      assert.deepEqual(runtimeCrypto(), { provider: "openssl", version, origin });
      assert.equal(
        describeCrypto(),
        `OpenSSL ${version}${origin === "node" ? " of Node.js" : `, ${origin}`}`,
      );
    } else {
      assert.deepEqual(runtimeCrypto(), { ...OFF, reason, hint });
    }
  });

  test("of a path that was named, or was switched off, is node:crypto, with the reason", () => {
    assert.deepEqual(runtimeCrypto("off"), OFF);
    assert.match(runtimeCrypto("/no/libcrypto.so.3").reason ?? "", /^no OpenSSL 3: \/no\/libcrypto\.so\.3: /);
  });

  test("is of the process once it is chosen, until it is chosen again", () => {
    const before = runtimeCrypto();
    chooseRuntimeCrypto("off");
    assert.equal(openLibcrypto(), undefined);
    assert.deepEqual(runtimeCrypto(), OFF);
    const owner = deno === undefined ? "Node.js" : "Deno";
    assert.equal(describeCrypto(), `node:crypto of ${owner} ${runtime[1]}: OpenSSL is switched off`);
    chooseRuntimeCrypto(undefined);
    assert.deepEqual(runtimeCrypto(), before);
  });

  test.skipIf(named === undefined)(`that a client names has its key pair${WHY}`, async () => {
    await using enclave = await startSimulator();
    const options = { ...enclave.clientOptions, libcryptoPath: named };
    await using client = await KmsClient.open(options);
    assert.equal(client.crypto.origin, named);
    await assertDecrypts(enclave, client);
  });

  test("that the process uses has the key pair of a client that names none", async () => {
    await using enclave = await startSimulator();
    await using client = await KmsClient.open(enclave.clientOptions);
    assert.deepEqual(client.crypto, runtimeCrypto());
    await assertDecrypts(enclave, client);
  });

  test("is node:crypto for a client that says off, or in a process that does", async () => {
    await using enclave = await startSimulator();
    await using own = await KmsClient.open({ ...enclave.clientOptions, libcryptoPath: "off" });
    chooseRuntimeCrypto("off");
    await using everybodys = await KmsClient.open(enclave.clientOptions);
    chooseRuntimeCrypto(undefined);
    for (const client of [own, everybodys]) {
      assert.deepEqual(client.crypto, OFF);
      await assertDecrypts(enclave, client);
    }
  });

  test("that a client names, and that is not there, is not replaced", async () => {
    await using enclave = await startSimulator();
    await assert.rejects(
      KmsClient.open({ ...enclave.clientOptions, libcryptoPath: "/no/libcrypto.so.3" }),
      (error) =>
        error instanceof LibraryLoadError &&
        /^Cannot have the key pair in OpenSSL: .*\/no\//.test(error.message),
    );
  });
});

/** Opens on this thread, and on others. */
async function assertDecrypts(enclave: Simulator, client: KmsClient): Promise<void> {
  const { keyId } = await enclave.createKey();
  const ciphertext = await enclave.encrypt({ keyId, plaintext: "hello" });
  const decrypt = async () => {
    using secret = await client.decrypt({ ciphertext, keyId });
    assert.equal(new TextDecoder().decode(secret.bytes), "hello");
  };
  await decrypt();
  await Promise.all(Array.from({ length: 8 }, decrypt));
}
