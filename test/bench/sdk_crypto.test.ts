import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { nameOfSdkCrypto } from "../../bench/sdk_crypto.ts";
import { describe, test } from "#test";

/** Names the library of a C SDK that lies beside other files. */
async function nameIn(files: Readonly<Record<string, string>>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "enclave-kms-bench-"));
  try {
    for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
    return await nameOfSdkCrypto(join(folder, "libsdk.so"));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

describe("the library under a C SDK", () => {
  test("is named by what it says itself, inside or beside the SDK", async () => {
    assert.equal(
      await nameIn({ "libsdk.so": "\0\xffOpenSSL 1.1.1 (compatible; AWS-LC 1.12.0)\0" }),
      "AWS-LC 1.12.0",
    );
    const apart = {
      "libsdk.so": "\0",
      "libcrypto.so": "\0AWS-LC FIPS 3.0.1\0",
      "libother.so": "AWS-LC 9.9.9",
    };
    assert.equal(await nameIn(apart), "AWS-LC FIPS 3.0.1");
  });

  test("is not guessed", async () => {
    const files = { "libsdk.so": "AWS-LC", "libother.so": "AWS-LC 9.9.9" };
    assert.equal(await nameIn(files), "an AWS-LC that does not say its version");
    assert.equal(await nameOfSdkCrypto("/nowhere/sdk-double.so"), "OpenSSL");
  });
});
