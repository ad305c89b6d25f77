import assert from "node:assert/strict";
import { decode, encode } from "cbor2";
import { describe, test } from "#test";
import {
  type AttestationDocument,
  decodeAttestationDocument,
  MAX_ATTESTATION_DOCUMENT_BYTES,
} from "../../../lib/attestation/document.ts";
import { MAX_UNKNOWN_HEIGHT } from "../../../lib/attestation/document_items.ts";
import { decodeHex, encodeHex } from "../../../lib/core/encoding.ts";
import { type AttestationCheck, AttestationError } from "../../../lib/core/errors.ts";

type Entry = readonly [key: string, value: string];

/** Whether the length of each container is left open. */
interface Form {
  readonly payload: boolean;
  readonly pcrs: boolean;
  readonly cabundle: boolean;
  readonly unprotected: boolean;
}

const CLOSED: Form = { payload: false, pcrs: false, cabundle: false, unprotected: false };
const TODAY: Form = { ...CLOSED, payload: true };
const EVERY_FORM: readonly Form[] = Array.from({ length: 16 }, (_, i) => ({
  payload: (i & 1) !== 0,
  pcrs: (i & 2) !== 0,
  cabundle: (i & 4) !== 0,
  unprotected: (i & 8) !== 0,
}));

const PCRS: readonly Entry[] = [0, 1, 16].map((index) => [hex(index), hex(new Uint8Array(48).fill(index))]);
const CABUNDLE = [hex(Uint8Array.of(0x30, 0)), hex(Uint8Array.of(0x30, 1, 0))];

/** All written by hand in hex, since no encoder writes what is wrong. */
function entries({ pcrs, cabundle }: Form): Entry[] {
  return [
    [hex("module_id"), hex("i-0-enc0")],
    [hex("digest"), hex("SHA384")],
    [hex("timestamp"), hex(1_700_000_000_000)],
    [hex("pcrs"), map(PCRS, pcrs)],
    [hex("certificate"), hex(Uint8Array.of(0x30, 0))],
    [hex("cabundle"), cabundle ? `9f${CABUNDLE.join("")}ff` : `82${CABUNDLE.join("")}`],
    [hex("public_key"), "f6"],
    [hex("user_data"), hex(Uint8Array.of(7))],
    [hex("nonce"), "f6"],
  ];
}

function map(content: readonly Entry[], isOpen: boolean): string {
  const all = content.flat().join("");
  return isOpen ? `bf${all}ff` : (0xa0 + content.length).toString(16) + all;
}

function document(payload: string, unprotected = "a0"): Uint8Array {
  const signature = hex(new Uint8Array(96));
  return decodeHex(`8444a1013822${unprotected}${hex(decodeHex(payload))}${signature}`);
}

function inForm(form: Form, more: readonly Entry[] = [], unprotected: readonly Entry[] = []): Uint8Array {
  return document(map([...entries(form), ...more], form.payload), map(unprotected, form.unprotected));
}

/** A document in which something else stands for one value. */
function withValue(form: Form, name: string, value: string): Uint8Array {
  return document(
    map(entries(form).map(([key, old]) => [key, key === hex(name) ? value : old]), form.payload),
  );
}

function assertRefused(check: AttestationCheck, bytes: Uint8Array, why: string): AttestationError {
  try {
    decodeAttestationDocument(bytes);
  } catch (error) {
    assert.ok(error instanceof AttestationError, String(error));
    assert.equal(error.code, `ERR_ATTESTATION_${check}`, why);
    return error;
  }
  throw new assert.AssertionError({ message: `accepted: ${why}` });
}

describe("documents with containers of either form", () => {
  test("are read to the same, which is what cbor2 reads", () => {
    const signedPart = ({ payload: _, ...rest }: AttestationDocument) => rest;
    const expected = signedPart(decodeAttestationDocument(inForm(CLOSED)));
    for (const form of EVERY_FORM) {
      const read = decodeAttestationDocument(inForm(form));
      assert.deepEqual(signedPart(read), expected);
      const fields = decode<Map<string, unknown>>(read.payload, { preferMap: true });
      assert.deepEqual(fields.get("pcrs"), read.pcrs);
      assert.deepEqual(fields.get("cabundle"), read.cabundle);
      assert.deepEqual(fields.get("user_data"), read.userData);
      assert.equal(fields.get("timestamp"), read.timestamp);
    }
  });

  test("are refused when they are cut short anywhere, or have a byte more", () => {
    for (const form of EVERY_FORM) {
      const good = inForm(form);
      for (let end = 0; end < good.length; end++) assertRefused("CBOR", good.slice(0, end), `${end} bytes`);
      assertRefused("CBOR", Uint8Array.of(...good, 0xff), "a break behind it");
      const payload = decodeAttestationDocument(good).payload;
      for (const more of ["00", "ff", "f6", "0000"]) {
        assertRefused("CBOR", document(plain(payload) + more), `${more} behind the payload`);
      }
      for (let end = 1; end < payload.length; end++) {
        assertRefused("CBOR", document(plain(payload.subarray(0, end))), `a payload of ${end} bytes`);
      }
    }
  });

  test("are refused with a key twice, wherever it stands and however it is written", () => {
    for (const form of EVERY_FORM) {
      for (const entry of entries(form)) assertRefused("DUPLICATE_KEY", inForm(form, [entry]), entry[0]);
      assertRefused("DUPLICATE_KEY", inForm(form, [[hex("new"), "01"], [hex("new"), "02"]]), "a new field");
      assertRefused("DUPLICATE_KEY", inForm(form, [], [["04", "40"], ["04", "f6"]]), "unprotected");
      assertRefused("DUPLICATE_KEY", inForm(form, [], [["01", "26"]]), "the algorithm, once more");
      const twice = map([...PCRS, [hex(16), hex(new Uint8Array(48))]], form.pcrs);
      assertRefused("DUPLICATE_KEY", withValue(form, "pcrs", twice), "a register");
      assertRefused(
        "NOT_CANONICAL",
        inForm(form, [["7809" + plain("module_id"), "f6"]]),
        "module_id, in a longer form",
      );
      assertRefused("NOT_CANONICAL", inForm(form, [["7f69" + plain("module_id") + "ff", "f6"]]), "in chunks");
      assertRefused("NOT_CANONICAL", inForm(form, [["1817", "f6"]]), "a number in a longer form");
    }
  });

  test("are refused with what AWS writes shortest and in one piece in any other way", () => {
    const longer: readonly Entry[] = [
      ["module_id", "7808" + plain("i-0-enc0")],
      ["module_id", "7f68" + plain("i-0-enc0") + "ff"],
      ["digest", "7806" + plain("SHA384")],
      ["timestamp", "1b0000000000000001"],
      ["pcrs", "b803" + PCRS.flat().join("")],
      ["pcrs", "a11800" + PCRS[0]![1]],
      ["pcrs", "a100590030" + plain(new Uint8Array(48))],
      ["pcrs", "a1005f5830" + plain(new Uint8Array(48)) + "ff"],
      ["certificate", "58023000"],
      ["certificate", "5f423000ff"],
      ["cabundle", "9802" + CABUNDLE.join("")],
      ["cabundle", "8158023000"],
      ["cabundle", "9f5f423000ffff"],
      ["public_key", "580101"],
      ["user_data", "5f4101ff"],
      ["nonce", "5f40ff"],
    ];
    for (const form of [CLOSED, TODAY]) {
      for (const [name, value] of longer) {
        assertRefused("NOT_CANONICAL", withValue(form, name, value), `${name} ${value}`);
      }
      const payload = map(entries(form), form.payload);
      assertRefused("NOT_CANONICAL", document(payload, "b800"), "the unprotected header");
    }
    assertRefused("NOT_CANONICAL", document("b809" + map(entries(CLOSED), false).slice(2)), "the payload");
  });

  test("are refused with tags, and with what is no field's type", () => {
    for (const form of [CLOSED, TODAY]) {
      for (const [key, value] of entries(form)) {
        const name = new TextDecoder().decode(decodeHex(key).subarray(1));
        assertRefused("FIELD", withValue(form, name, `c1${value}`), `${name}, tagged`);
        assertRefused("FIELD", withValue(form, name, "f5"), `${name} is true`);
        assertRefused("CBOR", withValue(form, name, "f7"), `${name} is undefined`);
        assertRefused("CBOR", withValue(form, name, "f93c00"), `${name} is a float`);
        assertRefused("TOO_DEEP", withValue(form, name, "81818100"), `${name} is deep`);
      }
      assertRefused("COSE", document(`c0${map(entries(form), form.payload)}`), "the payload, tagged");
      for (
        const [key, what] of [["40", "bytes"], ["f6", "null"], ["80", "a list"], ["c000", "a tag"]] as const
      ) {
        assertRefused("FIELD", inForm(form, [[key, "00"]]), `a name that is ${what}`);
      }
      assertRefused("CBOR", inForm(form, [["61ff", "00"]]), "a name that is not UTF-8");
      assertRefused("COSE", document(map(entries(form), form.payload), "80"), "an unprotected list");
    }
  });

  test("whose outer array has no fixed length are refused", () => {
    for (const form of EVERY_FORM) {
      const open = Uint8Array.of(0x9f, ...inForm(form).subarray(1), 0xff);
      assertRefused("NOT_CANONICAL", open, "an outer array of open length");
    }
  });
});

/** Well-formed, and of every kind that AWS may come up with. */
const ANYTHING: Readonly<Record<string, string>> = {
  "a float": "fb3ff8000000000000",
  "a big integer": "c249010000000000000000",
  "the largest integer": "1bffffffffffffffff",
  "undefined": "f7",
  "a simple value": "f8ff",
  "a tag": "d9d9f7c100",
  "a text in chunks": "7f61616162ff",
  "a text that is not UTF-8": "62c328",
  "bytes in chunks": "5f41014102ff",
  "a number in nine bytes": "1b0000000000000001",
  "a list of open length": "9f0102ff",
  "a map of open length": "bf0102ff",
  "a map with the same key twice": "a201020103",
  "a map with anything as keys": "a3f602fb3ff800000000000003804100",
  "lists, 16 deep": `${"81".repeat(16)}00`,
  "maps and tags, 16 deep": `${"a100c1".repeat(8)}00`,
  "many registers": hex(new Map(Array.from({ length: 64 }, (_, i) => [i, new Uint8Array(64)]))),
};

/** Hex of an item, as cbor2 writes it. */
function hex(value: unknown): string {
  return plain(encode(value));
}

/** Hex of bytes or of a text, without a head. */
function plain(value: Uint8Array | string): string {
  const bytes = typeof value === "string" ? new TextEncoder().encode(value) : value;
  return encodeHex(bytes);
}

describe("fields that are not known", () => {
  for (const [what, value] of Object.entries(ANYTHING)) {
    test(`may hold ${what}, and change nothing`, () => {
      for (const form of [CLOSED, TODAY]) {
        const { payload: _, unknownFields, ...rest } = decodeAttestationDocument(
          inForm(form, [[hex("new"), value]]),
        );
        const { payload: __, unknownFields: none, ...expected } = decodeAttestationDocument(inForm(form));
        assert.deepEqual([unknownFields, none], [["new"], []]);
        assert.deepEqual(rest, expected);
        const outside = decodeAttestationDocument(inForm(form, [], [[hex("new"), value]]));
        assert.deepEqual(outside.unknownFields, ["unprotected new"]);
        assert.deepEqual(outside.payload, decodeAttestationDocument(inForm(form)).payload);
      }
    });
  }

  test("are refused when they are not well-formed, or deeper than 16", () => {
    assert.equal(MAX_UNKNOWN_HEIGHT, 16);
    for (const form of EVERY_FORM) {
      for (const bad of ["1c", "f818", "5f00ff", "81", "a100", "ff"]) {
        assertRefused("CBOR", inForm(form, [[hex("new"), bad]]), bad);
      }
      for (
        const deep of [`${"81".repeat(17)}00`, `${"9f".repeat(17)}${"ff".repeat(17)}`, `${"c1".repeat(17)}00`]
      ) {
        assertRefused("TOO_DEEP", inForm(form, [[hex("new"), deep]]), deep);
        assertRefused("TOO_DEEP", inForm(form, [], [["04", deep]]), deep);
      }
      assertRefused("CBOR", inForm(form, [[hex("new"), `${"81".repeat(5000)}00`]]), "5000 deep");
    }
  });

  test("stand in unknownFields by name, those that were not signed marked as such", () => {
    const signed: Entry[] = [[hex("b"), "f6"], [hex("a"), "00"], ["05", "00"], ["20", "00"], [
      "61" + plain("5"),
      "00",
    ]];
    const unsigned: Entry[] = [["04", "40"], ["3bffffffffffffffff", "00"], ["1bffffffffffffffff", "00"], [
      hex("kid"),
      "40",
    ]];
    const { unknownFields } = decodeAttestationDocument(inForm(TODAY, signed, unsigned));
    assert.deepEqual(unknownFields, [
      "b",
      "a",
      "5",
      "-1",
      "5",
      "unprotected 4",
      "unprotected -18446744073709551616",
      "unprotected 18446744073709551615",
      "unprotected kid",
    ]);
  });

  test("have names that are fit for a terminal: printable, and of 64 characters at most", () => {
    const names = ["\u001b[2J", "naïve", "\u202epcrs", "\ufeffpcrs", "\u{1f511}", "x".repeat(100)];
    const read = decodeAttestationDocument(
      inForm(CLOSED, names.slice(0, 5).map((name) => [hex(name), "f6"])),
    );
    assert.deepEqual(read.unknownFields, [
      "\\u{1b}[2J",
      "na\\u{ef}ve",
      "\\u{202e}pcrs",
      "\\u{feff}pcrs",
      "\\u{1f511}",
    ]);
    const long = decodeAttestationDocument(inForm(CLOSED, [["7864" + plain(names[5]!), "f6"]]));
    assert.deepEqual(long.unknownFields, [`${"x".repeat(64)}…`]);
  });
});

describe("documents of 16 KiB that give a reader much to do", () => {
  const fill = (...bytes: number[]) => {
    return Uint8Array.from(
      { length: MAX_ATTESTATION_DOCUMENT_BYTES },
      (_, i) => bytes[i % bytes.length] ?? 0,
    );
  };
  const names = Array.from({ length: 3900 }, (_, i): Entry => [hex(256 + i), "f6"]);
  const worst: Readonly<Record<string, readonly [AttestationCheck, Uint8Array]>> = {
    "arrays in arrays": ["CBOR", fill(0x9f)],
    "maps in maps": ["CBOR", fill(0xbf, 0)],
    "tags of tags": ["CBOR", fill(0xc1)],
    "2^64 items": ["CBOR", fill(0).with(0, 0x9b).fill(0xff, 1, 9)],
    "empty chunks": ["COSE", fill(0x40).with(0, 0x5f).with(-1, 0xff)],
    "numbers": ["COSE", fill(0).with(0, 0x99).with(1, 0x3f).with(2, 0xfd)],
    "names that are not known": ["FIELD_MISSING", document(map(names, true))],
    "names that are not signed": ["CBOR", document("ff", map(names, true))],
  };

  for (const [what, [check, bytes]] of Object.entries(worst)) {
    // Each takes some milliseconds; a reader whose time grew by the square would be seen by the runner.
    test(`are read a hundred times when they are full of ${what}`, () => {
      for (let i = 0; i < 100; i++) assertRefused(check, bytes, what);
    });
  }
});

describe("a NitroTPM's document", () => {
  const registers = map(PCRS, false);

  test("is named as such, and not as an enclave's with a field missing", () => {
    for (const form of [CLOSED, TODAY]) {
      const instead = entries(form).map((
        [key, value],
      ): Entry => [key === hex("pcrs") ? hex("nitrotpm_pcrs") : key, value]);
      const error = assertRefused("FIELD_MISSING", document(map(instead, form.payload)), "a NitroTPM's");
      assert.match(
        error.message,
        /it is a NitroTPM's, not a Nitro Enclave's: it has nitrotpm_pcrs and no pcrs$/,
      );
      assert.match(error.hint, /an enclave's own \/dev\/nsm/);
    }
  });

  test("is refused with an enclave's registers in it as well", () => {
    const error = assertRefused("FIELD", inForm(TODAY, [[hex("nitrotpm_pcrs"), registers]]), "both");
    assert.match(error.message, /it is a NitroTPM's, not a Nitro Enclave's: it has nitrotpm_pcrs$/);
  });

  test("is no document with a field of that name outside of what is signed", () => {
    const read = decodeAttestationDocument(inForm(TODAY, [], [[hex("nitrotpm_pcrs"), registers]]));
    assert.deepEqual(read.unknownFields, ["unprotected nitrotpm_pcrs"]);
  });
});
