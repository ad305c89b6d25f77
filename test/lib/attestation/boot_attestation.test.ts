import assert from "node:assert/strict";
import { beforeAll, describe, test } from "#test";
import {
  type BootAttestationAnswer,
  type BootAttestationOptions,
  parseBootAnswer,
  readBootAttestation,
} from "../../../lib/attestation/boot_attestation.ts";
import { digestBootKeys, MAX_BOOT_KEY_BYTES } from "../../../lib/attestation/boot_key_digest.ts";
import { encodeBase64 } from "../../../lib/core/encoding.ts";
import { SoftwareNsm } from "../../../sim/nsm/nsm.ts";
import { assertFails } from "./assert_fails.ts";

const NONCE = new Uint8Array(32).fill(7);
const BOOT = "00112233445566778899aabbccddeeff";
const KEYS = { sign: new Uint8Array(91).fill(1), tls: new Uint8Array(91).fill(2) };

describe("readBootAttestation()", () => {
  let nsm: SoftwareNsm;
  let expected: BootAttestationOptions;
  let answer: BootAttestationAnswer;

  const make = async (
    bootId: string,
    keys: Readonly<Record<string, Uint8Array>>,
    userData?: Uint8Array,
  ): Promise<BootAttestationAnswer> => {
    const document = await nsm.attest({
      nonce: NONCE,
      userData: userData ?? await digestBootKeys(bootId, keys),
    });
    return { document: encodeBase64(document), bootId, keys: encoded(keys) };
  };

  beforeAll(async () => {
    nsm = await SoftwareNsm.create();
    expected = { root: nsm.root, pcrs: { 0: nsm.pcr(0) }, nonce: NONCE };
    answer = await make(BOOT, KEYS);
  });

  test("gives the keys and the boot id that the document vouches for", async () => {
    const more = { ...answer, certificate: "-----BEGIN CERTIFICATE-----", sealing: "AQID" };
    const boot = await readBootAttestation(JSON.parse(JSON.stringify(more)), expected);
    assert.equal(boot.bootId, BOOT);
    assert.deepEqual({ ...boot.keys }, KEYS);
    assert.equal(Object.getPrototypeOf(boot.keys), null);
    assert.deepEqual(boot.document.nonce, NONCE);
    assert.equal(boot.certificate, "-----BEGIN CERTIFICATE-----");
    assert.deepEqual(boot.sealing, Uint8Array.of(1, 2, 3));
    assert.ok(!("certificate" in await readBootAttestation(answer, expected)));
  });

  test("refuses a key that was swapped, added, left out or renamed, and another boot id", async () => {
    const { sign, tls } = answer.keys as Record<"sign" | "tls", string>;
    const changed: Partial<BootAttestationAnswer>[] = [
      { keys: { sign, tls: sign } },
      { keys: { sign: tls, tls: sign } },
      { keys: { sign } },
      { keys: { sign, tls, seal: sign } },
      { keys: { sign, TLS: tls } },
      { bootId: BOOT.replace("00", "01") },
    ];
    for (const change of changed) {
      await assertFails("USER_DATA", readBootAttestation({ ...answer, ...change }, expected));
    }
  });

  test("refuses a document that vouches for nothing, or for less than all of the digest", async () => {
    const bare = encodeBase64(await nsm.attest({ nonce: NONCE }));
    await assertFails("USER_DATA", readBootAttestation({ ...answer, document: bare }, expected));
    const digest = await digestBootKeys(BOOT, KEYS);
    for (const userData of [digest.subarray(0, 31), Uint8Array.of(...digest, 0)]) {
      await assertFails("USER_DATA", readBootAttestation(await make(BOOT, KEYS, userData), expected));
    }
  });

  test("refuses a document of another boot of the same image, and one of a session or of KMS's", async () => {
    const other = await make(BOOT.replace("00", "ff"), { ...KEYS, tls: KEYS.sign });
    await assertFails("USER_DATA", readBootAttestation({ ...answer, document: other.document }, expected));
    const document = encodeBase64(await nsm.attest({ publicKey: KEYS.tls, nonce: NONCE }));
    await assertFails("USER_DATA", readBootAttestation({ ...answer, document }, expected));
  });

  test("checks the document as verifyAttestation() does", async () => {
    const cases: [string, Partial<BootAttestationOptions>][] = [
      ["NONCE", { nonce: NONCE.with(0, 0) }],
      ["PCR", { pcrs: { 0: "00".repeat(48) } }],
      ["ROOT", { root: undefined }],
      ["EXPIRED", { at: Date.now() + 86_400_000 }],
      ["STALE", { at: Date.now() + 10_000, maxAgeMs: 1 }],
    ];
    for (const [check, options] of cases) {
      await assertFails(check, readBootAttestation(answer, { ...expected, ...options }));
    }
    nsm.injectFault({ kind: "debug" }, { times: 1 });
    const debug = await make(BOOT, KEYS);
    await assertFails("DEBUG", readBootAttestation(debug, { ...expected, pcrs: { 0: "00".repeat(48) } }));
  });

  test("demands PCRs, and refuses expectations that are not its own", async () => {
    const { pcrs: _, ...without } = expected;
    await assert.rejects(
      readBootAttestation(answer, without as BootAttestationOptions),
      /^TypeError: pcrs must name a register/,
    );
    await assert.rejects(readBootAttestation(answer, { ...expected, pcrs: {} }), TypeError);
    for (const own of ["userData", "publicKey", "PCRs"]) {
      await assert.rejects(
        readBootAttestation(answer, { ...expected, [own]: NONCE }),
        new RegExp(`^TypeError: The options of readBootAttestation have no field \`${own}\``),
      );
    }
  });

  test("refuses what is no such answer, and repeats nothing of it", async () => {
    const { document } = answer;
    const key = answer.keys["sign"]!;
    const tooLong = encodeBase64(new Uint8Array(MAX_BOOT_KEY_BYTES + 1));
    const many = Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`key${i}`, "AQID"]));
    const cases: [string, unknown][] = [
      ...["HUSH", null, undefined, 7, [], [answer], new Map()].map((
        value,
      ): [string, unknown] => ["FIELD", value]),
      ["FIELD_MISSING", {}],
      ...["document", "bootId", "keys"].map((name): [string, unknown] => [
        "FIELD_MISSING",
        { ...answer, [name]: undefined },
      ]),
      ["FIELD", { ...answer, HUSH: 1 }],
      ["FIELD", JSON.parse(`{"__proto__":1,"document":"AQ=="}`)],
      ["FIELD", { ...answer, bootId: BOOT.toUpperCase() }],
      ["FIELD", { ...answer, bootId: [BOOT] }],
      ["FIELD", { ...answer, document: 7 }],
      ["FIELD", { ...answer, document: "" }],
      ["FIELD", { ...answer, document: `${document} ` }],
      ["FIELD", { ...answer, document: "HUSH*" }],
      ["CBOR", { ...answer, document: "HUSH" }],
      ["TOO_LARGE", { ...answer, document: "A".repeat(21_852) }],
      ["TOO_LARGE", { ...answer, document: "A".repeat(21_848) }],
      ["FIELD", { ...answer, keys: {} }],
      ["FIELD", { ...answer, keys: many }],
      ["FIELD", { ...answer, keys: [key] }],
      ["FIELD", { ...answer, keys: null }],
      ["FIELD", { ...answer, keys: { sign: null } }],
      ["FIELD", { ...answer, keys: { sign: "" } }],
      ["FIELD", { ...answer, keys: { sign: "AQI" } }],
      ["FIELD", { ...answer, keys: { boot: key } }],
      ["FIELD", JSON.parse(`{"document":"AQ==","bootId":"${BOOT}","keys":{"__proto__":"AQ=="}}`)],
      ["FIELD", { ...answer, keys: { sign: tooLong } }],
      ["TOO_LARGE", { ...answer, keys: { sign: `${tooLong}AAAA` } }],
      ["FIELD", { ...answer, certificate: 7 }],
      ["TOO_LARGE", { ...answer, certificate: "A".repeat(32_769) }],
      ["FIELD", { ...answer, sealing: "A" }],
      ["TOO_LARGE", { ...answer, sealing: "A".repeat(32_772) }],
    ];
    for (const [check, value] of cases) {
      await assert.rejects(
        readBootAttestation(value, expected),
        (error: { code: string; message: string }) => {
          assert.equal(error.code, `ERR_ATTESTATION_${check}`, error.message);
          assert.doesNotMatch(error.message, /HUSH(?!`)/);
          return true;
        },
      );
    }
  });

  test("says what is wrong, where, and what to look for", () => {
    const key = answer.keys["sign"]!;
    const messages: [string, unknown][] = [
      ["it is no JSON object", null],
      ["it has a member `HUSH` that is not known", { ...answer, HUSH: 1 }],
      ["it has a member of some name that is not known", { ...answer, "HUSH HUSH": 1 }],
      ["it has a member of some name that is not known", { ...answer, ["x".repeat(33)]: 1 }],
      ["it has no document", { ...answer, document: undefined }],
      ["document is no text", { ...answer, document: 1 }],
      ["document is not canonical base64 of a byte or more", { ...answer, document: "A" }],
      ["bootId is not 32 lowercase hex digits", { ...answer, bootId: "" }],
      ["keys is no JSON object", { ...answer, keys: [] }],
      ["keys has not 1 to 32 keys", { ...answer, keys: {} }],
      ["a key is no text", { ...answer, keys: { sign: 1 } }],
      ["a key has a wrong name or length", { ...answer, keys: { boot: key } }],
      ["certificate is no text", { ...answer, certificate: 1 }],
      ["certificate has more than 32768 characters", { ...answer, certificate: "A".repeat(32_769) }],
      ["sealing has more than 32768 characters", { ...answer, sealing: "A".repeat(32_772) }],
    ];
    for (const [message, value] of messages) {
      assert.throws(() => parseBootAnswer(value), (error: { message: string; hint: string }) => {
        assert.equal(error.message, `Cannot read attestation answer: ${message}`);
        assert.match(error.hint, /GET \/v1\/attestation, complete and unchanged/);
        return true;
      });
    }
  });

  test("takes parts up to their limits", () => {
    const [certificate, sealing] = ["A".repeat(32_768), "A".repeat(32_768)];
    const keys = { sign: encodeBase64(new Uint8Array(MAX_BOOT_KEY_BYTES)) };
    const parsed = parseBootAnswer({ ...answer, keys, certificate, sealing });
    assert.equal(parsed.sealing?.length, 24_576);
    assert.equal(parsed.certificate, certificate);
    assert.equal(parsed.keys["sign"]?.length, MAX_BOOT_KEY_BYTES);
  });
});

function encoded(keys: Readonly<Record<string, Uint8Array>>): Record<string, string> {
  return Object.fromEntries(Object.entries(keys).map(([name, key]) => [name, encodeBase64(key)]));
}
