import assert from "node:assert/strict";
import { createPublicKey } from "node:crypto";
import { Buffer } from "node:buffer";
import { describe, test } from "#test";
import { digestBootKeys } from "../../lib/attestation/boot_key_digest.ts";
import { BootKeys } from "../../enclave/boot_keys.ts";

describe("BootKeys", () => {
  test("makes another boot id and key each time", () => {
    using first = BootKeys.create();
    using second = BootKeys.create();
    assert.match(first.bootId, /^[0-9a-f]{32}$/);
    assert.notEqual(first.bootId, second.bootId);
    assert.notDeepEqual(first.publicKeys["sign"], second.publicKeys["sign"]);
  });

  for (const [algorithm, type] of [["ES256", "ec"], ["EdDSA", "ed25519"]] as const) {
    test(`has its signing key of ${algorithm} as SPKI, as the runtime's own import reads it`, () => {
      using keys = BootKeys.create({ algorithm });
      const der = Buffer.from(keys.publicKeys["sign"]!);
      const key = createPublicKey({ key: der, format: "der", type: "spki" });
      assert.equal(key.asymmetricKeyType, type);
    });
  }

  test("refuses options that are not known, and other algorithms", () => {
    assert.throws(
      () => BootKeys.create({ algorithm: "RS256" as "ES256" }),
      /^TypeError: algorithm must be one of/,
    );
    assert.throws(() => BootKeys.create({ alg: "EdDSA" } as never), /have no field `alg`/);
  });

  test("adds keys, each under a name of its own, until a document may hold the digest", async () => {
    using keys = BootKeys.create();
    const tls = Uint8Array.of(1, 2, 3);
    keys.add("tls", tls);
    tls.fill(0);
    assert.deepEqual(keys.publicKeys["tls"], Uint8Array.of(1, 2, 3));
    for (const name of ["tls", "sign"]) {
      assert.throws(() => keys.add(name, tls), /Cannot add key \w+: there is one/);
    }
    assert.throws(() => keys.add("boot", tls), TypeError);
    assert.throws(() => keys.add("seal", new Uint8Array(0)), RangeError);
    const digest = await keys.digest();
    assert.deepEqual(digest, await digestBootKeys(keys.bootId, keys.publicKeys));
    assert.throws(() => keys.add("seal", tls), /^TypeError: Cannot add key seal: documents hold the digest/);
    digest.fill(0);
    assert.notDeepEqual(await keys.digest(), digest);
  });

  test("replaces a channel's key, whose digest new documents hold, and no other", async () => {
    using keys = BootKeys.create();
    keys.add("seal", Uint8Array.of(1));
    const before = await keys.digest();
    const [same, { seal }] = [keys.digest(), keys.publicKeys];
    keys.replace("seal", Uint8Array.of(2));
    assert.deepEqual(
      [await same, seal],
      [before, Uint8Array.of(1)],
      "those that were asked for together fit",
    );
    assert.deepEqual(await keys.digest(), await digestBootKeys(keys.bootId, keys.publicKeys));
    assert.notDeepEqual(await keys.digest(), before);
    for (const name of ["sign", "tls", "boot", ""]) {
      assert.throws(() => keys.replace(name, Uint8Array.of(2)), TypeError, name);
    }
    assert.throws(() => keys.replace("seal", new Uint8Array(0)), RangeError);
    assert.throws(
      () => keys.add("tls", Uint8Array.of(2)),
      /documents hold the digest/,
      "nothing is added for all that",
    );
  });

  test("lets nobody change its keys", () => {
    using keys = BootKeys.create();
    assert.throws(() => Object.assign(keys.publicKeys, { sign: new Uint8Array(1) }), TypeError);
    keys.publicKeys["sign"]?.fill(0);
    assert.ok(keys.publicKeys["sign"]?.some((byte) => byte !== 0));
  });

  test("adds 32 keys at most", async () => {
    using keys = BootKeys.create();
    for (let i = 1; i < 32; i++) keys.add(`key${i}`, Uint8Array.of(i));
    assert.throws(
      () => keys.add("one-more", Uint8Array.of(1)),
      /^RangeError: Cannot add key one-more: there are 32/,
    );
    await keys.digest();
  });

  test("signs nothing after dispose; disposing twice is harmless", async () => {
    const keys = BootKeys.create();
    keys[Symbol.dispose]();
    keys[Symbol.dispose]();
    await assert.rejects(keys.sign(Uint8Array.of(1), "test"), { code: "ERR_DISPOSED" });
  });
});
