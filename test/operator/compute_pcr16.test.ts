import assert from "node:assert/strict";
import { createHash, generateKeyPairSync } from "node:crypto";
import { encode } from "cbor2";
import { describe, test } from "#test";
import { NsmClient } from "../../lib/nsm/nsm_client.ts";
import { encodeSignedSecret, SIGNED_SECRET_MAGIC } from "../../lib/wire/signed_secret.ts";
import { computePcr16, importSigningKey, SecretError, signSecret } from "../../operator/mod.ts";
import { SoftwareNsm } from "../../sim/mod.ts";

const SEALED = new TextEncoder().encode("age-encryption.org/v1 sealed");

function hash(algorithm: string, bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash(algorithm).update(bytes).digest());
}

/** Data of one ExtendPCR, written with another CBOR library. */
function measurement(name: string, version: number, sealed: Uint8Array): Uint8Array {
  return hash("sha384", encode([name, version, hash("sha256", sealed)]));
}

async function signed(name: string, version: number): Promise<Uint8Array> {
  const { privateKey } = generateKeyPairSync("ed25519");
  const key = await importSigningKey(new Uint8Array(privateKey.export({ format: "der", type: "pkcs8" })));
  return await signSecret({ name, version, sealed: SEALED, key });
}

describe("computePcr16()", () => {
  test("is what the software NSM extends to, with data from another CBOR library", async () => {
    const client = new NsmClient(await SoftwareNsm.create());
    await client.extendPcr(16, measurement("age-key", 0, SEALED));
    await client.extendPcr(16, measurement("orders", 300, SEALED));
    const { value } = await client.describePcr(16);
    const content = await signed("orders", 300);
    const computed = await computePcr16([{ name: "age-key", content: SEALED }, { name: "orders", content }]);
    assert.deepEqual(computed, new Uint8Array(value));
  });

  test("is 48 zeros when nothing is sent, and depends on the order", async () => {
    assert.deepEqual(await computePcr16([]), new Uint8Array(48));
    const [one, two] = [{ name: "a", content: SEALED }, { name: "b", content: SEALED }];
    assert.notDeepEqual(await computePcr16([one, two]), await computePcr16([two, one]));
  });

  test("hashes the sealed bytes themselves, whatever the statement says of them", async () => {
    const lie = { name: "orders", version: 0, sha256: new Uint8Array(32) };
    const content = encodeSignedSecret({ statement: lie, signature: new Uint8Array(64), sealed: SEALED });
    assert.deepEqual(
      await computePcr16([{ name: "orders", content }]),
      await computePcr16([{ name: "orders", content: SEALED }]),
    );
  });

  test("refuses a secret signed under another name, and what is none", async () => {
    const content = await signed("orders", 1);
    const wrong: readonly [unknown, new () => Error][] = [
      [[{ name: "age-key", content }], TypeError],
      [[{ name: "a b", content: SEALED }], TypeError],
      [[{ name: "a", content: "text" }], TypeError],
      [[{ name: "a" }], TypeError],
      [[{ name: "a", content: SEALED, version: 1 }], TypeError],
      [{ name: "a", content: SEALED }, TypeError],
    ];
    for (const [index, [secrets, Class]] of wrong.entries()) {
      await assert.rejects(computePcr16(secrets as never), Class, `${index}`);
    }
    const broken = new Uint8Array([...SIGNED_SECRET_MAGIC, 0x80]);
    await assert.rejects(computePcr16([{ name: "a", content: broken }]), SecretError);
  });
});
