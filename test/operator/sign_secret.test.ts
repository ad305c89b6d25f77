import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createPrivateKey, createPublicKey, generateKeyPairSync, verify } from "node:crypto";
import { describe, test } from "#test";
import {
  importPublisherKey,
  parseSignedSecret,
  secretStatementMessage,
  verifySignedSecret,
} from "../../lib/wire/signed_secret.ts";
import { importSigningKey, signSecret } from "../../operator/mod.ts";
import { spyOnFill } from "../support/spy_on_fill.ts";

const SEALED = new TextEncoder().encode("age-encryption.org/v1 sealed");
const utf8 = (text: string) => new TextEncoder().encode(text);

/** Runs openssl with a text on its input. */
function openssl(args: readonly string[], input = ""): string {
  const { stdout, stderr, status } = spawnSync("openssl", args, { input, encoding: "utf8" });
  assert.equal(status, 0, stderr);
  return stdout;
}

interface Keys {
  readonly pem: string;
  readonly publisher: string;
}

function generate(algorithm: string, ...options: readonly string[]): Keys {
  const pem = openssl(["genpkey", "-algorithm", algorithm, ...options.flatMap((one) => ["-pkeyopt", one])]);
  return { pem, publisher: openssl(["pkey", "-pubout"], pem) };
}

const KINDS: Readonly<Record<string, () => Keys>> = {
  "Ed25519": () => generate("ed25519"),
  "P-256": () => generate("EC", "ec_paramgen_curve:P-256"),
};

describe("signSecret()", () => {
  for (const [kind, make] of Object.entries(KINDS)) {
    test(`makes what the publisher's key verifies, ours and node:crypto's, with ${kind}`, async () => {
      const { pem, publisher } = make();
      const key = await importSigningKey(utf8(pem));
      assert.equal(key.extractable, false);
      const signed = await signSecret({ name: "orders", version: 7, sealed: SEALED, key, publisher });
      const parts = parseSignedSecret(signed);
      assert.ok(parts !== undefined);
      assert.deepEqual([parts.statement.name, parts.statement.version], ["orders", 7]);
      assert.deepEqual(parts.sealed, SEALED);
      assert.equal(await verifySignedSecret(parts, await importPublisherKey(publisher)), true);
      assert.equal(await verifySignedSecret(parts, await importPublisherKey(make().publisher)), false);

      const message = secretStatementMessage(parts.statement);
      const digest = kind === "Ed25519" ? null : "sha256";
      const verifier = { key: createPublicKey(publisher), dsaEncoding: "ieee-p1363" } as const;
      assert.equal(verify(digest, message, verifier, parts.signature), true);
      message[message.length - 1]! ^= 1;
      assert.equal(verify(digest, message, verifier, parts.signature), false);
    });
  }

  test("refuses a publisher's key of another private key", async () => {
    const [ours, theirs] = [generate("ed25519"), generate("ed25519")];
    const key = await importSigningKey(utf8(ours.pem));
    const request = { name: "orders", version: 1, sealed: SEALED, key };
    await assert.rejects(signSecret({ ...request, publisher: theirs.publisher }), RangeError);
    await assert.rejects(signSecret({ ...request, publisher: "no PEM" }), TypeError);
  });

  test("refuses what an enclave would refuse, and to sign twice", async () => {
    const key = await importSigningKey(utf8(generate("ed25519").pem));
    const good = { name: "orders", version: 1, sealed: SEALED, key };
    const pair = await crypto.subtle.generateKey({ name: "Ed25519" }, true, ["sign", "verify"]);
    const wrong: readonly [object, new () => Error][] = [
      [{ name: "" }, TypeError],
      [{ name: "-a" }, TypeError],
      [{ name: "a b" }, TypeError],
      [{ name: "a".repeat(65) }, TypeError],
      [{ name: undefined }, TypeError],
      [{ version: -1 }, RangeError],
      [{ version: 1.5 }, RangeError],
      [{ version: "1" }, TypeError],
      [{ version: 2 ** 53 }, RangeError],
      [{ sealed: new Uint8Array(0) }, TypeError],
      [{ sealed: "text" }, TypeError],
      [{ sealed: await signSecret(good) }, TypeError],
      [{ key: (pair as { publicKey?: unknown }).publicKey }, TypeError],
      [{ key: "key" }, TypeError],
      [{ sha256: new Uint8Array(32) }, TypeError],
    ];
    for (const [index, [change, Class]] of wrong.entries()) {
      await assert.rejects(signSecret({ ...good, ...change } as never), Class, `${index}`);
    }
  });

  test("signs what it was given, though the caller changes it meanwhile", async () => {
    const { pem, publisher } = generate("ed25519");
    const key = await importSigningKey(utf8(pem));
    const sealed = SEALED.slice();
    const signing = signSecret({ name: "orders", version: 1, sealed, key });
    sealed.fill(0);
    const parts = parseSignedSecret(await signing);
    assert.deepEqual(parts?.sealed, SEALED);
    assert.equal(await verifySignedSecret(parts, await importPublisherKey(publisher)), true);
  });
});

describe("importSigningKey()", () => {
  const { pem } = generate("ed25519");
  const der = new Uint8Array(createPrivateKey(pem).export({ format: "der", type: "pkcs8" }));
  const isSame = (one: Uint8Array, other: Uint8Array) =>
    one.length === other.length && one.every((byte, index) => byte === other[index]);

  test("reads PEM with either end of line, among other text, and DER", async () => {
    for (
      const text of [pem, pem.replaceAll("\n", "\r\n"), `The publisher's key\n${pem}\n# end`, pem.trimEnd()]
    ) assert.equal((await importSigningKey(utf8(text))).algorithm.name, "Ed25519");
    assert.equal((await importSigningKey(der)).type, "private");
  });

  test("wipes what it decoded, whether it is a key or not, and leaves the caller's alone", async () => {
    const file = utf8(pem);
    const wiped: Uint8Array[] = [];
    using _spy = spyOnFill((bytes) => wiped.push(bytes.slice()));
    await importSigningKey(file);
    assert.ok(wiped.some((bytes) => isSame(bytes, der)));
    assert.equal(new TextDecoder().decode(file), pem);
    wiped.length = 0;
    const half = der.slice(0, 40);
    await assert.rejects(importSigningKey(half), TypeError);
    assert.ok(wiped.some((bytes) => isSame(bytes, half)));
  });

  test("refuses everything else, and says what it wants", async () => {
    const body = /-----\n([^-]+)-----/.exec(pem)?.[1] ?? "";
    const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
    const wrong: Readonly<Record<string, string | Uint8Array>> = {
      "nothing": "",
      "text": "hello",
      "SEC 1": openssl(["ec"], generate("EC", "ec_paramgen_curve:P-256").pem),
      "encrypted": openssl(["pkcs8", "-topk8", "-passout", "pass:x"], pem),
      "a public key": openssl(["pkey", "-pubout"], pem),
      "RSA": rsa.export({ format: "pem", type: "pkcs8" }) as string,
      "Ed448": generate("ed448").pem,
      "X25519": generate("x25519").pem,
      "P-384": generate("EC", "ec_paramgen_curve:P-384").pem,
      "no end": pem.slice(0, 60),
      "an end before the beginning": "-----END PRIVATE KEY-----\n-----BEGIN PRIVATE KEY-----",
      "a digit that is none": pem.replace("MC4", "M*4"),
      "padding in the middle": pem.replace("MC4", "M=4"),
      "a digit too many": pem.replace(body, `${body.trim()}A\n`),
      "cut DER": der.subarray(0, der.length - 1),
      "long": "-".repeat(5000) + pem,
    };
    for (const [what, key] of Object.entries(wrong)) {
      await assert.rejects(importSigningKey(typeof key === "string" ? utf8(key) : key), (error) => {
        assert.ok(error instanceof TypeError, `${what}: ${error}`);
        assert.match(error.message, /must be PKCS #8 of a P-256 or Ed25519 key/, what);
        return true;
      });
    }
    await assert.rejects(importSigningKey(pem as never), TypeError);
  });
});
