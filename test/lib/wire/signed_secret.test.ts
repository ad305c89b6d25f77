import assert from "node:assert/strict";
import { createHash, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { describe, test } from "#test";
import { decode, encode } from "cbor2";
import { concatBytes } from "../../../lib/core/bytes.ts";
import {
  encodeSignedSecret,
  importPublisherKey,
  parseSignedSecret,
  secretStatementMessage,
  SIGNED_SECRET_MAGIC,
  type SignedSecret,
  verifySignedSecret,
} from "../../../lib/wire/signed_secret.ts";

const SEALED = new TextEncoder().encode("a ciphertext");
const STATEMENT = { name: "age-key", version: 7, sha256: sha256(SEALED) };
const P256 = generateKeyPairSync("ec", { namedCurve: "P-256" });
const ED25519 = generateKeyPairSync("ed25519");

function sha256(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash("sha256").update(bytes).digest());
}

function signed(key: KeyObject, statement: SignedSecret["statement"] = STATEMENT): SignedSecret {
  const algorithm = key.asymmetricKeyType === "ed25519" ? null : "sha256";
  const signature = sign(algorithm, secretStatementMessage(statement), { key, dsaEncoding: "ieee-p1363" });
  return { statement, signature: new Uint8Array(signature), sealed: SEALED };
}

function pem(key: KeyObject): string {
  return key.export({ type: "spki", format: "pem" }).toString();
}

describe("secretStatementMessage()", () => {
  test("is deterministic CBOR with its purpose, as another library writes it", () => {
    const expected = encode(["enclave-kms secret v1", "age-key", 7, STATEMENT.sha256]);
    assert.deepEqual([...secretStatementMessage(STATEMENT)], [...expected]);
  });

  test("refuses other statements", () => {
    for (const name of ["", "a b", "../x", "-x", "x".repeat(65), 1 as unknown as string]) {
      assert.throws(() => secretStatementMessage({ ...STATEMENT, name }), TypeError, name);
    }
    for (const version of [-1, 1.5, NaN, 2 ** 53]) {
      assert.throws(() => secretStatementMessage({ ...STATEMENT, version }), RangeError);
    }
    for (const hash of [new Uint8Array(31), "x" as unknown as Uint8Array]) {
      assert.throws(() => secretStatementMessage({ ...STATEMENT, sha256: hash }), TypeError);
    }
  });
});

describe("a signed secret", () => {
  for (const [kind, { publicKey, privateKey }] of [["ES256", P256], ["Ed25519", ED25519]] as const) {
    test(`by ${kind} is read as it was written, and verified`, async () => {
      const secret = signed(privateKey);
      const parsed = parseSignedSecret(encodeSignedSecret(secret));
      assert.ok(parsed);
      assert.deepEqual(parsed.statement.name, "age-key");
      assert.deepEqual(parsed.statement.version, 7);
      assert.deepEqual([...parsed.sealed], [...SEALED]);
      assert.equal(await verifySignedSecret(parsed, await importPublisherKey(pem(publicKey))), true);
    });

    test(`by ${kind} is refused when any part of it was changed`, async () => {
      const key = await importPublisherKey(pem(publicKey));
      const secret = signed(privateKey);
      const other = sha256(Uint8Array.of(1));
      for (
        const changed of [
          { ...secret, statement: { ...STATEMENT, name: "shares" } },
          { ...secret, statement: { ...STATEMENT, version: 8 } },
          { ...secret, statement: { ...STATEMENT, sha256: other } },
          { ...secret, sealed: concatBytes([SEALED, [0]]) },
          { ...secret, sealed: SEALED.subarray(1) },
          { ...secret, signature: secret.signature.map((byte, i) => i === 9 ? byte ^ 1 : byte) },
          { ...secret, signature: new Uint8Array(64) },
          { ...signed(kind === "ES256" ? ED25519.privateKey : P256.privateKey) },
        ]
      ) assert.equal(await verifySignedSecret(changed, key), false);
    });
  }

  test("is not taken for the other, over the same hash with other sealed bytes", async () => {
    const key = await importPublisherKey(pem(P256.publicKey));
    const secret = signed(P256.privateKey);
    const swapped = parseSignedSecret(encodeSignedSecret({ ...secret, sealed: Uint8Array.of(1, 2, 3) }));
    assert.ok(swapped);
    assert.equal(await verifySignedSecret(swapped, key), false);
  });

  test("is CBOR that another library reads", () => {
    const bytes = encodeSignedSecret(signed(P256.privateKey));
    const [name, version, hash, signature, sealed] = decode(bytes.subarray(4)) as [
      string,
      number,
      ...Uint8Array[],
    ];
    assert.deepEqual([name, version, hash?.length, signature?.length], ["age-key", 7, 32, 64]);
    assert.deepEqual([...sealed!], [...SEALED]);
  });

  test("is told from raw bytes", () => {
    for (
      const raw of [new Uint8Array(), SEALED, Uint8Array.of(0x89, 0x45, 0x4b), Uint8Array.of(1, 2, 2, 0)]
    ) {
      assert.equal(parseSignedSecret(raw), undefined);
    }
  });

  test("has one form: every other is refused", () => {
    const { signature } = signed(P256.privateKey);
    const parts: readonly unknown[] = ["age-key", 7, STATEMENT.sha256, signature, SEALED];
    const malformed = [
      ...[parts.slice(0, 4), [...parts, 1], new Map([[1, 2]]), "text", 1],
      ...[0, 1, 2, 3, 4].map((at) => parts.with(at, [])),
      ...["", "a b", "x".repeat(65)].map((name) => parts.with(0, name)),
      ...[-1, 1.5, 2n ** 60n, "7"].map((version) => parts.with(1, version)),
      ...[parts.with(2, new Uint8Array(31)), parts.with(3, new Uint8Array(65)), parts.with(4, "text")],
    ].map((value) => new Uint8Array(encode(value)));
    const whole = encodeSignedSecret(signed(P256.privateKey));
    const cut = Array.from({ length: whole.length - 5 }, (_, i) => whole.subarray(4, 4 + i));
    // The head of `7` in two bytes, the array and the last bytes of open length, something behind it.
    const body = [...whole.subarray(4)];
    const at = 1 + 1 + "age-key".length;
    const longer = [...body.slice(0, at), 0x18, 7, ...body.slice(at + 1)];
    const open = [0x9f, ...body.slice(1), 0xff];
    for (const cbor of [...malformed, ...cut, longer, open, [...body, 0]]) {
      assert.throws(() => parseSignedSecret(concatBytes([SIGNED_SECRET_MAGIC, cbor])), {
        code: "ERR_SECRET_FRAME",
      });
    }
  });

  test("cannot be written with a signature of another length", () => {
    assert.throws(
      () => encodeSignedSecret({ ...signed(P256.privateKey), signature: new Uint8Array(70) }),
      TypeError,
    );
  });
});

describe("importPublisherKey()", () => {
  test("refuses everything but the two kinds of public keys", async () => {
    const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const p384 = generateKeyPairSync("ec", { namedCurve: "P-384" });
    const x25519 = generateKeyPairSync("x25519");
    const good = pem(P256.publicKey);
    for (
      const text of [
        "",
        "x".repeat(2000),
        pem(rsa.publicKey),
        pem(p384.publicKey),
        pem(x25519.publicKey),
        P256.privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
        `${good}${good}`,
        good.replace("PUBLIC", "EC PUBLIC"),
        good.replace("\n", "\n!"),
        undefined as unknown as string,
      ]
    ) await assert.rejects(importPublisherKey(text), TypeError, text);
  });

  test("refuses a point off the curve, which Deno finds when a key is used", async () => {
    const der = P256.publicKey.export({ type: "spki", format: "der" });
    der[der.length - 1]! ^= 1;
    const text = `-----BEGIN PUBLIC KEY-----\n${der.toString("base64")}\n-----END PUBLIC KEY-----\n`;
    await assert.rejects(importPublisherKey(text), TypeError);
  });

  test("takes a key with white space around it", async () => {
    const key = await importPublisherKey(`\n ${pem(ED25519.publicKey).replaceAll("\n", "\r\n")} \n`);
    assert.deepEqual(key.usages, ["verify"]);
    assert.equal(key.type, "public");
  });
});
