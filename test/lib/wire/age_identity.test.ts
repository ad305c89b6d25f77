import assert from "node:assert/strict";
import { generateX25519Identity, identityToRecipient } from "age-encryption";
import fc from "fast-check";
import { describe, test } from "#test";
import { AGE_IDENTITY_BYTES, encodeAgeIdentity, parseAgeIdentity } from "../../../lib/wire/age_identity.ts";

const utf8 = (text: string) => new TextEncoder().encode(text);
const latin1 = (bytes: Uint8Array) => new TextDecoder("latin1").decode(bytes);

describe("age identities", () => {
  test("are what age's library writes and reads", async () => {
    for (let round = 0; round < 50; round++) {
      const theirs = await generateX25519Identity();
      const scalar = parseAgeIdentity(utf8(theirs));
      assert.ok(scalar !== undefined);
      assert.equal(latin1(encodeAgeIdentity(scalar)), theirs);
      assert.match(await identityToRecipient(latin1(encodeAgeIdentity(scalar))), /^age1/);
    }
  });

  test("survive the way there and back, whatever the key", () => {
    fc.assert(fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (scalar) => {
      const text = encodeAgeIdentity(scalar);
      assert.equal(text.length, AGE_IDENTITY_BYTES);
      assert.deepEqual(parseAgeIdentity(text), scalar.slice());
    }));
    for (const byte of [0, 0xff]) {
      const scalar = new Uint8Array(32).fill(byte);
      assert.deepEqual(parseAgeIdentity(encodeAgeIdentity(scalar)), scalar);
    }
  });

  const identity = latin1(encodeAgeIdentity(new Uint8Array(32).fill(7)));

  test("are read from a file of age-keygen, with either end of line", () => {
    const file = `# created: 2026-01-31T12:00:00Z\n# public key: age1abc\n${identity}\n`;
    for (const text of [file, file.replaceAll("\n", "\r\n"), `\n\n${identity}`, `${identity}\n# end`]) {
      assert.deepEqual(parseAgeIdentity(utf8(text)), new Uint8Array(32).fill(7), JSON.stringify(text));
    }
  });

  test("are refused when anything is changed: a digit, the case, the length, a second one, a space", () => {
    for (let index = 0; index < identity.length; index++) {
      const other = identity[index] === "Q" ? "P" : "Q";
      const changed = identity.slice(0, index) + other + identity.slice(index + 1);
      assert.equal(parseAgeIdentity(utf8(changed)), undefined, `${index}`);
    }
    const texts = [
      "",
      "\n",
      "# only a comment",
      identity.toLowerCase(),
      identity.slice(0, -1),
      `${identity}Q`,
      ` ${identity}`,
      `${identity} `,
      `${identity}\r`,
      `${identity}\n${identity}`,
      `${identity}\nAGE-SECRET-KEY-PQ-1QQ`,
      identity.replace("AGE-SECRET-KEY-1", "AGE-SECRET-KEY-PQ-1"),
      identity.slice(0, 20) + "B" + identity.slice(21),
      identity.slice(0, 20) + "\0" + identity.slice(21),
    ];
    for (const text of texts) assert.equal(parseAgeIdentity(utf8(text)), undefined, JSON.stringify(text));
  });

  test("are refused when the four bits past the key are not zero, though the checksum fits", () => {
    // Found by search: the last digit of the key is another one, and the checksum is made for it.
    const zero = latin1(encodeAgeIdentity(new Uint8Array(32)));
    const digits = "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L";
    let refused = 0;
    for (const digit of digits.slice(1, 16)) {
      const body = zero.slice(0, -7) + digit;
      assert.equal(parseAgeIdentity(utf8(body + checksumOf(body))), undefined, digit);
      refused++;
    }
    assert.equal(refused, 15);
    assert.equal(
      zero.slice(0, -6) + checksumOf(zero.slice(0, -6)),
      zero,
      "the checksum here is the right one",
    );
  });

  test("have 32 bytes of key, or are the caller's mistake", () => {
    for (const scalar of [new Uint8Array(31), new Uint8Array(33), "x".repeat(32), undefined]) {
      assert.throws(() => encodeAgeIdentity(scalar as Uint8Array), TypeError);
    }
  });
});

/** Checksum of Bech32, as the reference of BIP 173 writes it. */
function checksumOf(text: string): string {
  const digits = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
  const [name = "", data = ""] = [text.slice(0, 15).toLowerCase(), text.slice(16).toLowerCase()];
  const codes = [...name].map((character) => character.charCodeAt(0));
  const values = [
    ...codes.map((code) => code >> 5),
    0,
    ...codes.map((code) => code & 31),
    ...[...data].map((digit) => digits.indexOf(digit)),
    ...Array<number>(6).fill(0),
  ];
  let check = 1;
  for (const value of values) {
    const top = check >> 25;
    check = (check & 0x1ffffff) << 5 ^ value;
    [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3].forEach((generator, bit) => {
      if ((top >> bit & 1) === 1) check ^= generator;
    });
  }
  check ^= 1;
  return Array.from({ length: 6 }, (_, index) => digits[check >> 5 * (5 - index) & 31]).join("")
    .toUpperCase();
}
