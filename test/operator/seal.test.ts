import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { Decrypter, identityToRecipient } from "age-encryption";
import { afterAll, beforeAll, describe, test } from "#test";
import { KmsClient, KmsError, SecretBytes } from "../../mod.ts";
import { AgeKeyPair, sealWithAge, sealWithKms } from "../../operator/mod.ts";
import { type Simulator, startSimulator } from "../../sim/mod.ts";
import { ageDecrypt, ageEncrypt, ageKeygen, WITHOUT_AGE } from "../support/age.ts";
import { spyOnFill } from "../support/spy_on_fill.ts";

const SECRET = new TextEncoder().encode("attack at dawn");

function random(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536));
  return bytes;
}

/** Opens with age's library. */
async function open(keys: AgeKeyPair, sealed: Uint8Array): Promise<Uint8Array> {
  const decrypter = new Decrypter();
  decrypter.addIdentity(new TextDecoder().decode(keys.identity.bytes));
  return await decrypter.decrypt(sealed);
}

describe("AgeKeyPair", () => {
  test("is an identity and its recipient, another one each time", async () => {
    using one = await AgeKeyPair.generate();
    using other = await AgeKeyPair.generate();
    assert.notEqual(one.recipient, other.recipient);
    for (const { identity, recipient } of [one, other]) {
      const text = new TextDecoder().decode(identity.bytes);
      assert.match(text, /^AGE-SECRET-KEY-1[A-Z0-9]{58}$/);
      assert.equal(await identityToRecipient(text), recipient);
      assert.equal(`${identity}`, "[redacted]");
    }
  });

  test("wipes the key it was made of at once, and the identity on dispose", async () => {
    const wiped: number[] = [];
    using _spy = spyOnFill((bytes) => wiped.push(bytes.length));
    const keys = await AgeKeyPair.generate();
    const { bytes } = keys.identity;
    assert.deepEqual(wiped, [48, 32], "PKCS #8, and the key itself");
    keys[Symbol.dispose]();
    keys[Symbol.dispose]();
    assert.ok(bytes.every((byte) => byte === 0));
    assert.throws(() => keys.identity.bytes);
  });
});

describe("sealWithAge()", () => {
  test("makes what any of the recipients opens, and nobody else", async () => {
    using one = await AgeKeyPair.generate();
    using two = await AgeKeyPair.generate();
    using other = await AgeKeyPair.generate();
    const sealed = await sealWithAge(SECRET, [one.recipient, two.recipient]);
    assert.deepEqual(await open(one, sealed), SECRET);
    assert.deepEqual(await open(two, sealed), SECRET);
    await assert.rejects(open(other, sealed), /no identity matched/);
    using secret = SecretBytes.copyOf(SECRET);
    const again = await sealWithAge(secret, [one.recipient]);
    assert.deepEqual(await open(one, again), SECRET);
    assert.notDeepEqual(again, await sealWithAge(secret, [one.recipient]), "fresh keys each time");
    assert.deepEqual(secret.bytes, SECRET, "the caller's secret is left alone");
  });

  test(`makes what Debian's age opens, and opens what it makes${WITHOUT_AGE}`, async () => {
    if (WITHOUT_AGE !== "") return;
    const theirs = ageKeygen();
    using ours = await AgeKeyPair.generate();
    for (const length of [1, 14, 65_535, 65_536, 65_537, 200_000]) {
      const secret = random(length);
      const sealed = await sealWithAge(secret, [theirs.recipient, ours.recipient]);
      assert.ok(Buffer.from(ageDecrypt(theirs.file, sealed)).equals(secret), `${length} bytes`);
      assert.ok(Buffer.from(ageDecrypt(ours.identity.bytes, sealed)).equals(secret), `${length} bytes`);
      assert.ok(Buffer.from(await open(ours, ageEncrypt([ours.recipient], secret))).equals(secret));
    }
  });

  test("reads the secret before it returns: the caller may wipe theirs at once", async () => {
    using keys = await AgeKeyPair.generate();
    const secret = SECRET.slice();
    const sealing = sealWithAge(secret, [keys.recipient]);
    secret.fill(0);
    assert.deepEqual(await open(keys, await sealing), SECRET);
  });

  test("refuses what is no secret or no recipient, and never repeats an identity given in its place", async () => {
    using keys = await AgeKeyPair.generate();
    const identity = new TextDecoder().decode(keys.identity.bytes);
    const { recipient } = keys;
    const wrong: readonly [unknown, unknown, new () => Error][] = [
      ["attack at dawn", [recipient], TypeError],
      [undefined, [recipient], TypeError],
      [new Uint8Array(0), [recipient], RangeError],
      [new Uint8Array(2 ** 23 + 1), [recipient], RangeError],
      [SECRET, [], RangeError],
      [SECRET, Array(17).fill(recipient), RangeError],
      [SECRET, recipient, TypeError],
      [SECRET, [identity], TypeError],
      [SECRET, [`${recipient}\n`], TypeError],
      [SECRET, [recipient.toUpperCase()], TypeError],
      [SECRET, [recipient.slice(0, -1) + (recipient.endsWith("q") ? "p" : "q")], TypeError],
      [SECRET, [`age1pq1${"q".repeat(55)}`], TypeError],
      [SECRET, ["ssh-ed25519 AAAA"], TypeError],
      [SECRET, [undefined], TypeError],
    ];
    for (const [index, [secret, recipients, Class]] of wrong.entries()) {
      await assert.rejects(sealWithAge(secret as Uint8Array, recipients as string[]), (error) => {
        assert.ok(error instanceof Class, `${index}: ${error}`);
        assert.ok(!error.message.includes(identity));
        return true;
      });
    }
  });
});

describe("sealWithKms()", () => {
  let simulator: Simulator;
  let client: KmsClient;
  let keyArn: string;
  beforeAll(async () => {
    simulator = await startSimulator();
    ({ arn: keyArn } = await simulator.createKey());
    const { nsm: _, ...options } = simulator.clientOptions;
    client = await KmsClient.open({ ...options, recipient: "none" });
  });
  afterAll(async () => {
    await client.close();
    await simulator.close();
  });

  const encryptionContext = { secret: "age key", stage: "prod" };

  test("makes what an enclave opens with the same key and context, and with no other context", async () => {
    using keys = await AgeKeyPair.generate();
    const ciphertext = await sealWithKms(client, keys.identity, { keyArn, encryptionContext });
    await using inside = await KmsClient.open({ ...simulator.clientOptions, engine: "direct" });
    using opened = await inside.decrypt({ ciphertext, keyId: keyArn, encryptionContext });
    assert.deepEqual(opened.bytes, keys.identity.bytes);
    for (const other of [{ secret: "age key" }, { ...encryptionContext, stage: "test" }]) {
      await assert.rejects(inside.decrypt({ ciphertext, keyId: keyArn, encryptionContext: other }), KmsError);
    }
  });

  test("asks for Encrypt, and for nothing else", async () => {
    const before = simulator.kms.requests.length;
    await sealWithKms(client, SECRET, { keyArn, encryptionContext });
    assert.deepEqual(simulator.kms.requests.slice(before).map(({ operation }) => operation), ["Encrypt"]);
  });

  test("refuses what leaves the enclave without a pin, and sends nothing", async () => {
    const before = simulator.kms.requests.length;
    const seal = { keyArn, encryptionContext };
    const alias = keyArn.replace(/key\/.*/, "alias/app");
    const wrong: readonly [unknown, unknown, new () => Error][] = [
      ["text", seal, TypeError],
      [new Uint8Array(0), seal, RangeError],
      [new Uint8Array(4097), seal, RangeError],
      [SECRET, { keyArn }, TypeError],
      [SECRET, { ...seal, encryptionContext: {} }, RangeError],
      [SECRET, { ...seal, encryptionContext: new Map([["a", "b"]]) }, TypeError],
      [SECRET, { ...seal, encryptionContext: { a: 1 } }, TypeError],
      [SECRET, { ...seal, keyArn: alias }, TypeError],
      [SECRET, { ...seal, keyArn: "alias/app" }, TypeError],
      [SECRET, { ...seal, keyArn: keyArn.split("/")[1] }, TypeError],
      [SECRET, { ...seal, keyArn: undefined }, TypeError],
      [SECRET, { ...seal, keyId: keyArn }, TypeError],
      [SECRET, undefined, TypeError],
    ];
    for (const [index, [secret, given, Class]] of wrong.entries()) {
      await assert.rejects(sealWithKms(client, secret as Uint8Array, given as never), Class, `${index}`);
    }
    assert.equal(simulator.kms.requests.length, before);
  });

  test("passes KMS's refusal on, and an abort", async () => {
    const unknown = keyArn.replace(/[0-9a-f]{12}$/, "0".repeat(12));
    await assert.rejects(
      sealWithKms(client, SECRET, { keyArn: unknown, encryptionContext }),
      (error) => error instanceof KmsError && error.kmsCode === "NotFoundException",
    );
    const reason = new Error("enough");
    const signal = AbortSignal.abort(reason);
    await assert.rejects(
      sealWithKms(client, SECRET, { keyArn, encryptionContext, signal }),
      (error) => error === reason,
    );
  });
});
