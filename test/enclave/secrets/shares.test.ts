import assert from "node:assert/strict";
import { describe, test } from "#test";
import { ageSecret, kmsSecret, type SecretDeclaration, sharesOf } from "../../../enclave/mod.ts";
import { ShareCollector } from "../../../enclave/secrets/share_collector.ts";
import { joinStatements } from "../../../lib/wire/secret_measurement.ts";
import { concatBytes } from "../../../lib/core/bytes.ts";
import { encodeHex } from "../../../lib/core/encoding.ts";
import { splitIntoShares } from "../../../lib/wire/key_shares.ts";
import { encodeSecretShare } from "../../../lib/wire/secret_shares.ts";
import { codeOf, CONTEXT, encryptWithAge, SecretsLab, sha256 } from "./secrets_lab.ts";

const KEY = new Uint8Array(32).map((_, i) => i * 7 + 1);
const STATEMENT = { name: "key-shares", version: 1, sha256: new Uint8Array(32) };

/** Splits a secret, and writes the shares as they lie in what is sealed. */
async function split(secret: Uint8Array, { shares = 3, threshold = 2, id = 1 } = {}): Promise<Uint8Array[]> {
  const splitId = new Uint8Array(8).fill(id);
  const made = await splitIntoShares(secret, { shares, threshold });
  return made.map((share) => encodeSecretShare({ splitId, threshold, share }));
}

function collect(threshold = 2): ShareCollector {
  return new ShareCollector({ name: "key-shares", source: { threshold, sha256: sha256(KEY) } });
}

describe("ShareCollector", () => {
  test("joins the shares of one file, or of several, in whatever order", async () => {
    const [first, second, third] = await split(KEY);
    using one = collect();
    const joined = await one.take(concatBytes([third!, first!]), STATEMENT);
    assert.deepEqual([...joined!.secret.bytes], [...KEY]);
    using several = collect();
    assert.equal(await several.take(second!, STATEMENT), undefined);
    assert.equal(await several.take(second!, STATEMENT), undefined, "the same one again is no second one");
    assert.deepEqual([...(await several.take(first!, STATEMENT))!.secret.bytes], [...KEY]);
  });

  test("drops the shares of a split that give another secret, and takes the honest ones after it", async () => {
    using collector = collect();
    const other = await split(new Uint8Array(32).fill(9), { id: 2 });
    await assert.rejects(collector.take(concatBytes(other), STATEMENT), { code: "ERR_SECRET_HASH" });
    const [first, second] = await split(KEY);
    assert.equal(await collector.take(first!, STATEMENT), undefined);
    assert.deepEqual([...(await collector.take(second!, STATEMENT))!.secret.bytes], [...KEY]);
  });

  test("keeps splits apart: a share of another split spoils nothing", async () => {
    using collector = collect();
    const [first, second] = await split(KEY);
    assert.equal(await collector.take(first!, STATEMENT), undefined);
    const [foreign] = await split(new Uint8Array(32).fill(9), { id: 2 });
    assert.equal(await collector.take(foreign!, STATEMENT), undefined);
    assert.deepEqual([...(await collector.take(second!, STATEMENT))!.secret.bytes], [...KEY]);
  });

  test("keeps no more than four splits", async () => {
    using collector = collect();
    const [first, second] = await split(KEY);
    assert.equal(await collector.take(first!, STATEMENT), undefined);
    for (const id of [2, 3, 4, 5]) {
      const [foreign] = await split(new Uint8Array(32).fill(9), { id });
      assert.equal(await collector.take(foreign!, STATEMENT), undefined);
    }
    assert.equal(await collector.take(second!, STATEMENT), undefined, "the first one was pushed out");
    assert.deepEqual([...(await collector.take(first!, STATEMENT))!.secret.bytes], [...KEY]);
  });

  test("refuses shares of another threshold, and what is none", async () => {
    using collector = collect(3);
    await assert.rejects(collector.take(concatBytes(await split(KEY)), STATEMENT), {
      code: "ERR_SECRET_OPEN",
    });
    await assert.rejects(collector.take(KEY, STATEMENT), { code: "ERR_SECRET_FRAME" });
  });
});

describe("joinStatements()", () => {
  test("keeps one as it is, and joins several whatever their order", async () => {
    const [a, b] = [
      { name: "x", version: 3, sha256: new Uint8Array(32).fill(1) },
      { name: "x", version: 2, sha256: new Uint8Array(32).fill(2) },
    ];
    assert.equal(await joinStatements([a]), a);
    const joined = await joinStatements([b, a]);
    assert.deepEqual(joined, await joinStatements([a, b]));
    assert.deepEqual([joined.version, encodeHex(joined.sha256)], [
      2,
      encodeHex(sha256(concatBytes([a.sha256, b.sha256]))),
    ]);
  });
});

describe("an enclave that waits for shares", () => {
  test("joins k of n from several connections, and tells the sender about each", async () => {
    await using lab = await SecretsLab.create();
    const { pair: { recipient } } = lab;
    const from = sharesOf({
      from: ageSecret({ identity: "age-key", recipient }),
      threshold: 2,
      sha256: encodeHex(sha256(KEY)),
    });
    const starting = lab.start([lab.recipe[0], { name: "key-shares", from }]);
    await lab.sendCredentials();
    await lab.send(7101, await lab.identity());
    const [first, , third] = await split(KEY);
    const wrong = await split(new Uint8Array(32), { id: 3 });
    assert.equal(codeOf(await lab.send(7102, await encryptWithAge(third!, recipient))), "taken");
    assert.equal(codeOf(await lab.send(7102, await encryptWithAge(concatBytes(wrong), recipient))), "HASH");
    assert.equal(codeOf(await lab.send(7102, await encryptWithAge(first!, recipient))), "taken");
    assert.deepEqual([...(await starting).secrets.get("key-shares")!.bytes], [...KEY]);
    assert.equal(codeOf(await lab.send(7102, await encryptWithAge(first!, recipient))), "TAKEN");
  });

  test("takes shares that KMS encrypted, too", async () => {
    await using lab = await SecretsLab.create();
    const { keyArn } = lab;
    const from = sharesOf({
      from: kmsSecret({ keyArn, encryptionContext: CONTEXT }),
      threshold: 2,
      sha256: encodeHex(sha256(KEY)),
    });
    const declaration: SecretDeclaration = { name: "key-shares", from };
    const starting = lab.start([declaration]);
    await lab.sendCredentials();
    const plaintext = concatBytes((await split(KEY)).slice(1));
    const sealed = await lab.simulator.encrypt({ keyId: keyArn, plaintext, encryptionContext: CONTEXT });
    assert.equal(codeOf(await lab.send(7102, sealed, { framed: true })), "taken");
    assert.deepEqual([...(await starting).secrets.get("key-shares")!.bytes], [...KEY]);
  });
});
