import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject, sign as signWith } from "node:crypto";
import { encode } from "cbor2";
import { beforeAll, describe } from "#test";
import { BootKeys } from "../../../enclave/boot_keys.ts";
import type { BootAttestationAnswer } from "../../../lib/attestation/boot_attestation.ts";
import {
  verifyEnclaveSignature,
  type VerifySignatureOptions,
} from "../../../lib/attestation/enclave_signature.ts";
import {
  makeEnclaveSignature,
  MAX_ENCLAVE_SIGNATURE_BYTES,
  MAX_PURPOSE_LENGTH,
  readEnclaveSignature,
  SIGNATURE_ALGORITHMS,
  type SignatureAlgorithm,
  UNATTESTED_CONTENT_TYPE,
} from "../../../lib/attestation/signature_message.ts";
import { digestBootKeys } from "../../../lib/attestation/boot_key_digest.ts";
import { concatBytes } from "../../../lib/core/bytes.ts";
import { encodeBase64, encodeHex } from "../../../lib/core/encoding.ts";
import { SoftwareNsm } from "../../../sim/nsm/nsm.ts";
import { type CoseOracle, loadCoseOracle } from "../../support/cose_oracle.ts";
import { divideTests } from "../../support/share.ts";

const test = divideTests();

const DATA = new TextEncoder().encode("pay 100 to Alice");
const PURPOSE = "orders/v1";
const NOW = Date.UTC(2026, 10, 30, 12);
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const CONTENT_TYPE = "application/enclave-kms-signature+cbor";

/** An enclave whose clock, and whose module's, stands where the test wants it. */
interface Enclave {
  readonly keys: BootKeys;
  readonly nsm: SoftwareNsm;
  readonly options: VerifySignatureOptions;
  answerAt(timeMs: number): Promise<BootAttestationAnswer>;
}

async function makeEnclave(algorithm: SignatureAlgorithm): Promise<Enclave> {
  let now = NOW;
  const nsm = await SoftwareNsm.create({ now: () => now });
  const keys = BootKeys.create({ algorithm });
  keys.add("tls", Uint8Array.of(1, 2, 3));
  const answerAt = async (timeMs: number) => {
    now = timeMs;
    const document = await nsm.attest({ userData: await keys.digest() });
    return answerOf(document, keys.bootId, keys.publicKeys);
  };
  const options = {
    document: await answerAt(NOW),
    purpose: PURPOSE,
    pcrs: { 0: nsm.pcr(0) },
    maxAgeMs: MINUTE_MS,
    root: nsm.root,
    at: NOW,
  };
  return { keys, nsm, options, answerAt };
}

function answerOf(
  document: Uint8Array,
  bootId: string,
  keys: Readonly<Record<string, Uint8Array>>,
): BootAttestationAnswer {
  const encoded = Object.entries(keys).map(([name, key]) => [name, encodeBase64(key)]);
  return { document: encodeBase64(document), bootId, keys: Object.fromEntries(encoded) };
}

for (const algorithm of SIGNATURE_ALGORITHMS) {
  describe(`an enclave's signature by ${algorithm}`, () => {
    let enclave: Enclave;
    let signature: Uint8Array<ArrayBuffer>;
    const verify = (changes: Partial<VerifySignatureOptions> = {}, bytes = signature, data = DATA) =>
      verifyEnclaveSignature(bytes, data, { ...enclave.options, ...changes });

    beforeAll(async () => {
      enclave = await makeEnclave(algorithm);
      signature = await enclave.keys.sign(DATA, PURPOSE, NOW);
    });

    test("tells purpose, time, boot and the document", async () => {
      const { document, ...statement } = await verify();
      assert.deepEqual(statement, { purpose: PURPOSE, timeMs: NOW, bootId: enclave.keys.bootId });
      assert.equal(document.timestamp, NOW);
      assert.ok(signature.length <= MAX_ENCLAVE_SIGNATURE_BYTES);
    });

    test("takes empty data, and purposes up to the limit", async () => {
      for (
        const [data, purpose] of [[new Uint8Array(0), "~"], [DATA, " ".repeat(MAX_PURPOSE_LENGTH)]] as const
      ) {
        const bytes = await enclave.keys.sign(data, purpose, NOW);
        assert.equal((await verify({ purpose }, bytes, data)).purpose, purpose);
        assert.ok(bytes.length <= MAX_ENCLAVE_SIGNATURE_BYTES);
      }
    });

    test("is refused for other data, another purpose, and a changed bit in any byte", async () => {
      await assertRefused("DATA", verify({}, signature, DATA.subarray(1)));
      for (const purpose of ["orders/v2", "orders/v1 ", "Orders/v1", "orders/v"]) {
        await assertRefused("PURPOSE", verify({ purpose }));
      }
      for (const [index, byte] of signature.entries()) {
        const changed = signature.with(index, byte ^ (1 << (index & 7)));
        await assert.rejects(verify({}, changed), { name: "AttestationError" }, `byte ${index}`);
      }
    });

    test("is refused beside the keys of another boot, whichever part of its answer comes along", async () => {
      const other = await makeEnclave(algorithm);
      const [ours, theirs] = [enclave.options.document, other.options.document];
      const both = { pcrs: other.options.pcrs, root: other.nsm.root };
      await assertRefused("BOOT", verify({ ...both, document: theirs }));
      await assertRefused("USER_DATA", verify({ ...both, document: { ...ours, document: theirs.document } }));
      await assertRefused("USER_DATA", verify({ ...both, document: { ...theirs, bootId: ours.bootId } }));
      await assertRefused("USER_DATA", verify({ document: { ...ours, keys: theirs.keys } }));
    });

    test("is refused when an enclave of other measurements, or of another authority, made it", async () => {
      await assertRefused("PCR", verify({ pcrs: { 0: "00".repeat(48) } }));
      await assertRefused("ROOT", verify({ root: undefined }));
    });

    test("is refused by another key, and by the right key of another algorithm", async () => {
      using stranger = BootKeys.create({ algorithm });
      const forged = await stranger.sign(DATA, PURPOSE, NOW);
      const swapped = concatBytes([signature.subarray(0, -64), forged.subarray(-64)]);
      await assertRefused("SIGNATURE", verify({}, swapped));
      const other = algorithm === "ES256" ? "EdDSA" : "ES256";
      const statement = { purpose: PURPOSE, timeMs: NOW, bootId: enclave.keys.bootId };
      const bytes = await makeEnclaveSignature(statement, DATA, {
        algorithm: other,
        sign: () => signature.slice(-64),
      });
      await assertRefused("ALGORITHM", verify({}, bytes));
    });

    test("counts its age back from `at`, up to the tolerance ahead", async () => {
      const late = await enclave.answerAt(NOW + 2 * MINUTE_MS);
      await verify({ at: NOW + MINUTE_MS });
      await assertRefused("STALE", verify({ at: NOW + MINUTE_MS + 1 }));
      await verify({ at: NOW - 5 * MINUTE_MS, document: late, maxAgeMs: 0 });
      await assertRefused("FUTURE", verify({ at: NOW - 5 * MINUTE_MS - 1 }));
      await verify({ maxAgeMs: 0 });
    });

    test("is kept with a document of its time: that must have been valid when it was made", async () => {
      const year = { at: NOW + 365 * 24 * HOUR_MS, maxAgeMs: 366 * 24 * HOUR_MS };
      await verify(year);
      const inTime = await enclave.keys.sign(DATA, PURPOSE, NOW + HOUR_MS);
      await verify(year, inTime);
      const tooLate = await enclave.keys.sign(DATA, PURPOSE, NOW + 4 * HOUR_MS);
      await assertRefused("EXPIRED", verify(year, tooLate));
      await verify({ ...year, document: await enclave.answerAt(NOW + 4 * HOUR_MS) }, tooLate);
    });

    test("is checked with a document that was asked for later, up to `at`", async () => {
      const document = await enclave.answerAt(NOW + 5 * HOUR_MS);
      const after = { document, maxAgeMs: 24 * HOUR_MS };
      await verify({ ...after, at: NOW + 5 * HOUR_MS });
      await verify({ ...after, at: NOW + 23 * HOUR_MS });
      await assertRefused("NOT_YET_VALID", verify({ ...after, at: NOW + 2 * HOUR_MS }));
      // An old module's key makes no new signature good: its document is verified as of the signature.
      const fresh = await enclave.keys.sign(DATA, PURPOSE, NOW + 23 * HOUR_MS);
      await assertRefused("EXPIRED", verify({ ...after, at: NOW + 23 * HOUR_MS }, fresh));
    });

    test("may come with a nonce that the caller chose", async () => {
      const nonce = Uint8Array.of(1, 2, 3);
      await enclave.answerAt(NOW);
      const { keys, nsm } = enclave;
      const document = answerOf(
        await nsm.attest({ nonce, userData: await keys.digest() }),
        keys.bootId,
        keys.publicKeys,
      );
      await verify({ document, nonce });
      await assertRefused("NONCE", verify({ document, nonce: Uint8Array.of(1) }));
      await assertRefused("NONCE", verify({ nonce }));
    });
  });

  describe(`a signature by ${algorithm}, and another library of COSE`, () => {
    let cose: CoseOracle;
    let pair: { readonly publicKey: KeyObject; readonly privateKey: KeyObject };
    let nsm: SoftwareNsm;
    let options: VerifySignatureOptions;
    const bootId = "00112233445566778899aabbccddeeff";
    const statement = { purpose: PURPOSE, timeMs: NOW, bootId };
    const label = algorithm === "ES256" ? -7 : -8;

    beforeAll(async () => {
      cose = await loadCoseOracle();
      pair = algorithm === "ES256"
        ? generateKeyPairSync("ec", { namedCurve: "P-256" })
        : generateKeyPairSync("ed25519");
      nsm = await SoftwareNsm.create({ now: () => NOW });
      const keys = { sign: new Uint8Array(pair.publicKey.export({ format: "der", type: "spki" })) };
      const document = await nsm.attest({ userData: await digestBootKeys(bootId, keys) });
      options = {
        document: answerOf(document, bootId, keys),
        purpose: PURPOSE,
        pcrs: { 0: nsm.pcr(0) },
        maxAgeMs: MINUTE_MS,
        root: nsm.root,
        at: NOW,
      };
    });

    const theirKey = () => {
      const { d = "" } = pair.privateKey.export({ format: "jwk" });
      const bytes = Uint8Array.from(
        atob(d.replaceAll("-", "+").replaceAll("_", "/")),
        (c) => c.charCodeAt(0),
      );
      return algorithm === "ES256" ? cose.ECDSAKey.fromSecret(bytes) : cose.Ed25519Key.fromSecret(bytes);
    };

    const ours = () =>
      makeEnclaveSignature(statement, DATA, {
        algorithm,
        sign: (bytes) => {
          const key = { key: pair.privateKey, dsaEncoding: "ieee-p1363" } as const;
          return Promise.resolve(
            new Uint8Array(signWith(algorithm === "ES256" ? "sha256" : null, bytes, key)),
          );
        },
      });

    const theirs = (payload: Uint8Array, header: ReadonlyMap<number, unknown>): Uint8Array => {
      return new cose.Sign1Message(
        payload,
        new cose.Header(new Map(header) as ConstructorParameters<typeof cose.Header>[0]),
      ).toBytes(theirKey());
    };

    const header = (more: readonly (readonly [number, unknown])[] = []) =>
      new Map<number, unknown>([[1, label], [3, CONTENT_TYPE], ...more]);

    test("it verifies ours", async () => {
      const message = cose.Sign1Message.fromBytes(theirKey().public(), await ours());
      assert.equal(message.protected?.getInt(1), label);
      assert.equal(message.protected?.getText(3), CONTENT_TYPE);
      const signed = await ours();
      const changed = signed.with(60, signed[60]! ^ 1);
      assert.throws(() => cose.Sign1Message.fromBytes(theirKey().public(), changed));
    });

    test("it signs, and ours verifies", async () => {
      const { payload } = cose.Sign1Message.fromBytes(theirKey().public(), await ours());
      const verified = await verifyEnclaveSignature(theirs(payload, header()), DATA, options);
      assert.equal(verified.timeMs, NOW);
    });

    test("it signs something else with the right key, and ours refuses", async () => {
      const { payload } = cose.Sign1Message.fromBytes(theirKey().public(), await ours());
      const fields = { boot: bytesOf(bootId), time: NOW, sha256: await digestOf(DATA), purpose: PURPOSE };
      const write = (changes: Readonly<Record<string, unknown>>) => {
        const entries = Object.entries({ ...fields, ...changes }).filter(([, value]) => value !== undefined);
        return new Uint8Array(encode(new Map(entries)));
      };
      assert.equal(encodeHex(write({})), encodeHex(payload));
      const tagged = cose.Sign1Message.withTag(theirs(payload, header()));
      const cases: readonly (readonly [string, Uint8Array])[] = [
        ["COSE", tagged],
        ["ALGORITHM", theirs(payload, new Map([[1, label]]))],
        ["ALGORITHM", theirs(payload, new Map<number, unknown>([[1, label], [3, UNATTESTED_CONTENT_TYPE]]))],
        ["ALGORITHM", theirs(payload, new Map<number, unknown>([[1, label], [3, "application/cbor"]]))],
        ["ALGORITHM", theirs(payload, header([[4, Uint8Array.of(1)]]))],
        ["ALGORITHM", theirs(payload, new Map<number, unknown>([[3, CONTENT_TYPE]]))],
        ["COSE", theirs(Uint8Array.of(), header())],
        ["COSE", theirs(DATA, header())],
        ["COSE", theirs(new Uint8Array(encode([1, 2])), header())],
        ["COSE", theirs(write({ purpose: undefined }), header())],
        ["COSE", theirs(write({ purpose: "" }), header())],
        ["COSE", theirs(write({ purpose: "ü" }), header())],
        ["COSE", theirs(write({ purpose: "x".repeat(129) }), header())],
        ["COSE", theirs(write({ purpose: 7 }), header())],
        ["COSE", theirs(write({ time: -1 }), header())],
        ["COSE", theirs(write({ time: 2 ** 60 }), header())],
        ["COSE", theirs(write({ time: 1.5 }), header())],
        ["COSE", theirs(write({ boot: new Uint8Array(15) }), header())],
        ["COSE", theirs(write({ sha256: new Uint8Array(33) }), header())],
        ["NOT_CANONICAL", theirs(write({ more: 1 }), header())],
        [
          "NOT_CANONICAL",
          theirs(new Uint8Array(encode(new Map(Object.entries(fields).toReversed()))), header()),
        ],
        ["NOT_CANONICAL", theirs(concatBytes([[0xb8, 4], payload.subarray(1)]), header())],
        ["NOT_CANONICAL", theirs(concatBytes([[0xbf], payload.subarray(1), [0xff]]), header())],
        [
          "NOT_CANONICAL",
          theirs(concatBytes([[0xa5], payload.subarray(1), payload.subarray(1, 23)]), header()),
        ],
      ];
      for (const [check, bytes] of cases) {
        await assertRefused(check, verifyEnclaveSignature(bytes, DATA, options), encodeHex(bytes));
      }
    });

    test("its unprotected header holds nothing, and the message has one form", async () => {
      const bytes = await ours();
      const at = bytes.indexOf(0xa0, 40);
      const [start, end] = [bytes.subarray(0, at), bytes.subarray(at + 1)];
      const cases: readonly (readonly [string, Uint8Array])[] = [
        ["COSE", concatBytes([start, [0xa1, 0x04, 0x41, 0x01], end])],
        ["NOT_CANONICAL", concatBytes([start, [0xb8, 0x00], end])],
        ["NOT_CANONICAL", concatBytes([start, [0xbf, 0xff], end])],
        ["COSE", concatBytes([start, [0xf6], end])],
        ["NOT_CANONICAL", concatBytes([[0x98, 4], bytes.subarray(1)])],
        ["NOT_CANONICAL", concatBytes([[0x9f], bytes.subarray(1), [0xff]])],
        ["COSE", concatBytes([[0x85], bytes.subarray(1), [0x00]])],
        ["CBOR", concatBytes([bytes, [0x00]])],
        ["CBOR", bytes.subarray(0, -1)],
        ["CBOR", new Uint8Array(0)],
        ["COSE", Uint8Array.of(0xa0)],
        ["COSE", Uint8Array.of(0x80)],
        ["CBOR", new Uint8Array(MAX_ENCLAVE_SIGNATURE_BYTES)],
        ["TOO_LARGE", new Uint8Array(MAX_ENCLAVE_SIGNATURE_BYTES + 1)],
        ["COSE", Uint8Array.of(0xa2, ...bytes.subarray(1))], // a map of as many items
        ["COSE", Uint8Array.of(0x84, 0x78, ...bytes.subarray(2))], // the header as text
        ["COSE", bytes.with(at + 1, 0x78)], // the payload as text
        ["COSE", bytes.with(-66, 0x78)], // the signature as text
      ];
      for (const [check, changed] of cases) {
        await assertRefused(check, verifyEnclaveSignature(changed, DATA, options), encodeHex(changed));
      }
    });

    test("a key that is not on its curve, of another form, or missing is refused", async () => {
      const spki = new Uint8Array(pair.publicKey.export({ format: "der", type: "spki" }));
      const withKeys = async (keys: Readonly<Record<string, Uint8Array>>) => {
        const document = await nsm.attest({ userData: await digestBootKeys(bootId, keys) });
        return verifyEnclaveSignature(await ours(), DATA, {
          ...options,
          document: answerOf(document, bootId, keys),
        });
      };
      await withKeys({ sign: spki, other: spki });
      await assertRefused("PUBLIC_KEY", withKeys({ tls: spki }));
      await assertRefused("ALGORITHM", withKeys({ sign: spki.subarray(1) }));
      await assertRefused("ALGORITHM", withKeys({ sign: concatBytes([spki, [0]]) }));
      await assertRefused("ALGORITHM", withKeys({ sign: spki.with(9, 0) }));
      if (algorithm === "ES256") {
        await assertRefused("PUBLIC_KEY", withKeys({ sign: spki.with(-1, spki.at(-1)! ^ 1) }));
      }
    });
  });
}

describe("verifyEnclaveSignature()", () => {
  let enclave: Enclave;
  let signature: Uint8Array<ArrayBuffer>;

  beforeAll(async () => {
    enclave = await makeEnclave("ES256");
    signature = await enclave.keys.sign(DATA, PURPOSE, NOW);
  });

  test("refuses expectations that would expect nothing", async () => {
    const { options } = enclave;
    const cases: readonly (readonly [Readonly<Record<string, unknown>>, RegExp])[] = [
      [{ purpose: undefined }, /^TypeError: purpose must be a string$/],
      [{ purpose: "" }, /^RangeError: purpose must have 1 to 128 characters$/],
      [{ purpose: "x".repeat(129) }, /^RangeError: purpose/],
      [{ purpose: "naïve" }, /^TypeError: purpose must be printable ASCII$/],
      [{ pcrs: undefined }, /^TypeError: pcrs must name a register/],
      [{ pcrs: {} }, /^TypeError: pcrs must name a register/],
      [{ pcrs: { 0: [] } }, /^TypeError: pcrs\[0\] must have a value/],
      [{ maxAgeMs: undefined }, /^TypeError: maxAgeMs must be a number$/],
      [{ maxAgeMs: Infinity }, /^RangeError: maxAgeMs/],
      [{ maxAgeMs: -1 }, /^RangeError: maxAgeMs/],
      [{ at: NaN }, /^TypeError: at must be/],
      [{ nonce: new Uint8Array(0) }, /^RangeError: nonce/],
      [{ userData: DATA }, /have no field `userData`/],
      [{ purposes: PURPOSE }, /have no field `purposes`/],
    ];
    for (const [changes, message] of cases) {
      await assert.rejects(
        verifyEnclaveSignature(signature, DATA, { ...options, ...changes } as VerifySignatureOptions),
        message,
        JSON.stringify(changes),
      );
    }
    await assert.rejects(
      verifyEnclaveSignature("" as never, DATA, options),
      /^TypeError: The signature must be/,
    );
    await assert.rejects(
      verifyEnclaveSignature(signature, "pay" as never, options),
      /^TypeError: The data must be/,
    );
    for (const [check, document] of [["FIELD_MISSING", {}], ["FIELD", []], ["FIELD", undefined]] as const) {
      const without = { ...options, document: document as unknown as BootAttestationAnswer };
      await assertRefused(check, verifyEnclaveSignature(signature, DATA, without));
    }
  });

  test("says what is wrong, and what to look for", async () => {
    const { options } = enclave;
    const other = await makeEnclave("ES256");
    using stranger = BootKeys.create();
    const forged = concatBytes([
      signature.subarray(0, -64),
      (await stranger.sign(DATA, PURPOSE)).subarray(-64),
    ]);
    const statement = { purpose: PURPOSE, timeMs: NOW, bootId: enclave.keys.bootId };
    const sign = () => new Uint8Array(64);
    const byEdDSA = await makeEnclaveSignature(statement, DATA, { algorithm: "EdDSA", sign });
    const foreign = await makeEnclaveSignature(statement, DATA, {
      algorithm: "ES256",
      contentType: "text/plain",
      sign,
    });
    const verify = (changes: Partial<VerifySignatureOptions>, bytes: Uint8Array = signature, data = DATA) =>
      verifyEnclaveSignature(bytes, data, { ...options, ...changes });
    const cases: readonly (readonly [string, RegExp, () => Promise<unknown>])[] = [
      ["it is for another purpose", /counts for the purpose/, () => verify({ purpose: "x" })],
      ["it is over other data", /changed on their way/, () => verify({}, signature, new Uint8Array(1))],
      [
        "it is of another boot than the document",
        /started anew/,
        () => verify({ document: other.options.document }),
      ],
      ["it is from the future", /clock behind/, () => verify({ at: NOW - HOUR_MS })],
      ["it is too old", /a replay/, () => verify({ at: NOW + HOUR_MS })],
      ["the enclave's key did not make it", /changed on its way/, () => verify({}, forged)],
      ["the enclave's signing key is of another algorithm", /by nothing else/, () => verify({}, byEdDSA)],
      ["its header has another algorithm or content type", /by nothing else/, () => verify({}, foreign)],
      ["it has more than 512 bytes", /`signData` makes it/, () => verify({}, new Uint8Array(513))],
      ["it is not one item of CBOR", /`signData` makes it/, () => verify({}, new Uint8Array(2))],
      [
        "it is no untagged COSE_Sign1 with an empty unprotected header",
        /complete and unchanged/,
        () => verify({}, Uint8Array.of(0xa0)),
      ],
      [
        "it is not in its only form",
        /complete and unchanged/,
        () => verify({}, concatBytes([[0x98, 4], signature.subarray(1)])),
      ],
    ];
    for (const [message, hint, work] of cases) {
      await assert.rejects(work, (error: { message: string; hint: string }) => {
        assert.equal(error.message, `Cannot verify enclave signature: ${message}`);
        assert.match(error.hint, hint);
        return true;
      });
    }
  });

  test("accepts an enclave in debug mode only when it is told to", async () => {
    const nsm = await SoftwareNsm.create({ debug: true, now: () => NOW });
    const { keys } = enclave;
    const document = answerOf(
      await nsm.attest({ userData: await keys.digest() }),
      keys.bootId,
      keys.publicKeys,
    );
    const expected = { ...enclave.options, document, pcrs: { 0: nsm.pcr(0) }, root: nsm.root };
    await assertRefused("DEBUG", verifyEnclaveSignature(signature, DATA, expected));
    await verifyEnclaveSignature(signature, DATA, { ...expected, allowDebug: true });
  });

  test("verifies at the present time unless it is told another", async () => {
    const nsm = await SoftwareNsm.create();
    const document = answerOf(
      await nsm.attest({ userData: await enclave.keys.digest() }),
      enclave.keys.bootId,
      enclave.keys.publicKeys,
    );
    const { at: _, ...rest } = { ...enclave.options, document, pcrs: { 0: nsm.pcr(0) }, root: nsm.root };
    await verifyEnclaveSignature(await enclave.keys.sign(DATA, PURPOSE), DATA, rest);
    const old = await enclave.keys.sign(DATA, PURPOSE, Date.now() - HOUR_MS);
    await assertRefused("STALE", verifyEnclaveSignature(old, DATA, rest));
  });

  test("takes what was given when it was called, not what is put there meanwhile", async () => {
    const [bytes, data] = [signature.slice(), DATA.slice()];
    const verified = verifyEnclaveSignature(bytes, data, enclave.options);
    bytes.fill(0);
    data.fill(0);
    await verified;
    const signed = DATA.slice();
    const made = enclave.keys.sign(signed, PURPOSE, NOW);
    signed.fill(0);
    await verifyEnclaveSignature(await made, DATA, enclave.options);
  });

  test("a signature that is read holds no view of the caller's bytes", () => {
    const bytes = signature.slice();
    const read = readEnclaveSignature(bytes);
    const before = encodeHex(read.signature) + encodeHex(read.sha256);
    bytes.fill(0);
    assert.equal(encodeHex(read.signature) + encodeHex(read.sha256), before);
  });
});

async function assertRefused(check: string, work: Promise<unknown>, what?: string): Promise<void> {
  await assert.rejects(work, (error: { code?: string; hint?: string }) => {
    assert.equal(error.code, `ERR_ATTESTATION_${check}`, `${String(error)} ${what ?? ""}`);
    assert.ok((error.hint ?? "").length > 10);
    return true;
  });
}

function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from(hex.match(/../g) ?? [], (digits) => Number.parseInt(digits, 16));
}

async function digestOf(data: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", data));
}
