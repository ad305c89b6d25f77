import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { cdeEncodeOptions, encode } from "cbor2";
import { describe, test } from "#test";
import { toHex } from "../../../lib/core/bytes.ts";
import {
  digestBootKeys,
  MAX_BOOT_KEY_BYTES,
  MAX_BOOT_KEYS,
} from "../../../lib/attestation/boot_key_digest.ts";
import { readPage } from "../../support/documents.ts";

const BOOT = "00112233445566778899aabbccddeeff";
const SMALL = { sign: Uint8Array.of(1, 2, 3), tls: Uint8Array.of(4, 5) };

/** Written by cbor2, and in docs/attestation.md. */
const VECTOR = {
  cbor: "a363746c7342040564626f6f745000112233445566778899aabbccddeeff647369676e43010203",
  sha256: "0d6b5a2eadeecd6b75d980625f2d414da8a657cb4c4cd5bed46349410422364a",
};

describe("digestBootKeys()", () => {
  test("makes the digest of the document's example", async () => {
    assert.equal(toHex(await digestBootKeys(BOOT, SMALL)), VECTOR.sha256);
    assert.equal(toHex(byCbor2(BOOT, SMALL)), VECTOR.cbor);
    const page = readPage("docs/attestation.md");
    for (const text of Object.values(VECTOR)) assert.ok(page.includes(text), text);
  });

  test("makes the digest of keys of every length, in whatever order, as cbor2 writes them", async () => {
    const keys = {
      sign: new Uint8Array(91).map((_, i) => i),
      tls: new Uint8Array(91).map((_, i) => 255 - i),
      seal: new Uint8Array(32).fill(7),
      "post-quantum-hybrid-key.1": new Uint8Array(1249).fill(9),
      ["n".repeat(64)]: new Uint8Array(MAX_BOOT_KEY_BYTES).fill(1),
    };
    const digest = "1cc3b795e6da90fd7aa2345982bc775249435e10b0110723980bbdaea1db5339";
    const { ["n".repeat(64)]: _, ...four } = keys;
    assert.equal(toHex(await digestBootKeys(BOOT, four)), digest);
    const expected = createHash("sha256").update(byCbor2(BOOT, keys)).digest("hex");
    for (const order of [Object.entries(keys), Object.entries(keys).toReversed()]) {
      assert.equal(toHex(await digestBootKeys(BOOT, Object.fromEntries(order))), expected);
    }
  });

  test("is another one for another boot, name, key, or split of the same bytes", async () => {
    const same = toHex(await digestBootKeys(BOOT, SMALL));
    const others: [string, Record<string, Uint8Array>][] = [
      [BOOT.replace("00", "01"), SMALL],
      [BOOT, { ...SMALL, sign: Uint8Array.of(1, 2, 4) }],
      [BOOT, { sign: SMALL.tls, tls: SMALL.sign }],
      [BOOT, { sign: SMALL.sign, tlt: SMALL.tls }],
      [BOOT, { sign: Uint8Array.of(1, 2, 3, 4), tls: Uint8Array.of(5) }],
      [BOOT, { sign: SMALL.sign }],
      [BOOT, { ...SMALL, more: SMALL.tls }],
    ];
    for (const [boot, keys] of others) assert.notEqual(toHex(await digestBootKeys(boot, keys)), same);
  });

  test("takes 1 to 32 keys of 1 to 8192 bytes", async () => {
    const many = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, i) => [`key${i}`, new Uint8Array(1)]));
    await digestBootKeys(BOOT, many(MAX_BOOT_KEYS));
    for (const keys of [{}, many(MAX_BOOT_KEYS + 1)]) {
      await assert.rejects(digestBootKeys(BOOT, keys), /^RangeError: keys must be 1 to 32$/);
    }
    for (const length of [0, MAX_BOOT_KEY_BYTES + 1]) {
      await assert.rejects(
        digestBootKeys(BOOT, { sign: new Uint8Array(length) }),
        /^RangeError: keys\.sign must have 1 to 8192 bytes$/,
      );
    }
  });

  test("refuses names that could be mistaken, the boot's own, and what is no key", async () => {
    const names = ["", "boot", "ü", "a b", ".a", "-a", "__proto__", "a\n", "a".repeat(65)];
    for (const name of names) {
      const keys = Object.fromEntries([[name, new Uint8Array(1)]]);
      await assert.rejects(
        digestBootKeys(BOOT, keys),
        /^TypeError: keys must have names of 1 to 64 letters/,
        name,
      );
    }
    for (const key of ["AQID", null, [1, 2, 3], new Uint16Array(1)]) {
      await assert.rejects(
        digestBootKeys(BOOT, { sign: key as unknown as Uint8Array }),
        /^TypeError: keys\.sign must be a Uint8Array$/,
      );
    }
    await assert.rejects(digestBootKeys(BOOT, new Map() as never), /^TypeError: keys must be a plain object/);
  });

  test("refuses boot ids that are not 32 lowercase hex digits", async () => {
    for (
      const boot of ["", BOOT.slice(1), `${BOOT}0`, BOOT.toUpperCase(), `${BOOT.slice(1)}g`, `${BOOT}\n`, 7, [
        BOOT,
      ]]
    ) {
      await assert.rejects(
        digestBootKeys(boot as string, SMALL),
        /^TypeError: bootId must be 32 lowercase hex digits$/,
        String(boot),
      );
    }
  });
});

/** Writes what is digested with another implementation. */
function byCbor2(boot: string, keys: Readonly<Record<string, Uint8Array>>): Uint8Array {
  const bytes = Uint8Array.from(boot.match(/../g) ?? [], (digits) => Number.parseInt(digits, 16));
  return encode(new Map([["boot", bytes], ...Object.entries(keys)]), cdeEncodeOptions);
}
