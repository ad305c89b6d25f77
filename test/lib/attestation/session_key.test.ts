import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createECDH, createHash, generateKeyPairSync } from "node:crypto";
import { Aes256Gcm, CipherSuite, DhkemP256HkdfSha256, HkdfSha256 } from "@hpke/core";
import { beforeAll, describe, test } from "#test";
import { decodeAttestationDocument } from "../../../lib/attestation/document.ts";
import { NsmClient } from "../../../lib/nsm/nsm_client.ts";
import {
  MAX_SEAL_CONTEXT_BYTES,
  MAX_SEALED_SECRET_BYTES,
  SEAL_OVERHEAD_BYTES,
  type SealOptions,
  sealTo,
  SessionKey,
} from "../../../lib/attestation/session_key.ts";
import { DisposedError, ProtocolError } from "../../../lib/core/errors.ts";
import { SecretBytes } from "../../../lib/core/secret_bytes.ts";
import { SoftwareNsm } from "../../../sim/nsm/nsm.ts";
import { assertFails } from "./assert_fails.ts";

const SECRET = new TextEncoder().encode("attack at dawn");
const NONCE = new Uint8Array(32).fill(7);
const POINT_START = 26;

/** Another implementation of RFC 9180, with the same suite. */
const ORACLE = new CipherSuite({
  kem: new DhkemP256HkdfSha256(),
  kdf: new HkdfSha256(),
  aead: new Aes256Gcm(),
});

describe("SessionKey", () => {
  let nsm: SoftwareNsm;
  let expected: SealOptions;

  beforeAll(async () => {
    nsm = await SoftwareNsm.create();
    expected = { root: nsm.root, pcrs: { 0: nsm.pcr(0) } };
  });

  test("opens what was sealed to its document, as SecretBytes", async () => {
    using session = await SessionKey.create(nsm, { nonce: NONCE, userData: SECRET });
    const sealed = await sealTo(session.document, SECRET, { ...expected, nonce: NONCE, userData: SECRET });
    assert.equal(sealed.length, SECRET.length + SEAL_OVERHEAD_BYTES);
    using opened = await session.open(sealed);
    assert.ok(opened instanceof SecretBytes);
    assert.deepEqual(opened.bytes, SECRET);
  });

  test("takes a client of the module as well, and secrets of any length up to the limit", async () => {
    using client = new NsmClient(nsm);
    using session = await SessionKey.create(client);
    for (const length of [0, 1, 4096, MAX_SEALED_SECRET_BYTES]) {
      using secret = new SecretBytes(new Uint8Array(length).fill(length & 0xff));
      using opened = await session.open(await sealTo(session.document, secret, expected));
      assert.ok(Buffer.from(opened.bytes).equals(secret.bytes));
    }
    const tooLong = new Uint8Array(MAX_SEALED_SECRET_BYTES + 1);
    await assert.rejects(
      sealTo(session.document, tooLong, expected),
      /^RangeError: The secret must have at most 1048576 bytes$/,
    );
    await assert.rejects(
      session.open(new Uint8Array(MAX_SEALED_SECRET_BYTES + SEAL_OVERHEAD_BYTES + 1).fill(1)),
      ProtocolError,
    );
  });

  test("has its public key in the document as SPKI, as the runtime's own import reads it", async () => {
    using session = await SessionKey.create(nsm);
    const { publicKey } = decodeAttestationDocument(session.document);
    assert.ok(publicKey);
    const algorithm = { name: "ECDH", namedCurve: "P-256" };
    const key = await crypto.subtle.importKey("spki", publicKey, algorithm, true, []);
    assert.deepEqual(new Uint8Array(await crypto.subtle.exportKey("raw", key)), publicKey.slice(POINT_START));
  });

  test("another implementation of RFC 9180 seals, and it opens", async () => {
    using session = await SessionKey.create(nsm);
    const context = Uint8Array.of(1, 2, 3);
    const { publicKey } = decodeAttestationDocument(session.document);
    const sender = await ORACLE.createSenderContext({
      recipientPublicKey: await ORACLE.kem.deserializePublicKey(
        publicKey?.slice(POINT_START) ?? new Uint8Array(),
      ),
      info: infoOf(session.document),
    });
    const ciphertext = new Uint8Array(await sender.seal(SECRET, context));
    using opened = await session.open(
      Uint8Array.of(1, ...new Uint8Array(sender.enc), ...ciphertext),
      { context },
    );
    assert.deepEqual(opened.bytes, SECRET);
  });

  test("opens nothing that is longer than the limit, whoever sealed it", async () => {
    using session = await SessionKey.create(nsm);
    const { publicKey } = decodeAttestationDocument(session.document);
    for (const [more, opens] of [[0, true], [1, false]] as const) {
      const sender = await ORACLE.createSenderContext({
        recipientPublicKey: await ORACLE.kem.deserializePublicKey(publicKey!.slice(POINT_START)),
        info: infoOf(session.document),
      });
      const ciphertext = new Uint8Array(await sender.seal(new Uint8Array(MAX_SEALED_SECRET_BYTES + more)));
      const sealed = Buffer.concat([Buffer.of(1), new Uint8Array(sender.enc), ciphertext]);
      if (opens) (await session.open(sealed))[Symbol.dispose]();
      else await assertNotForIt(session.open(sealed));
    }
  });

  test("it seals, and another implementation opens", async () => {
    const keys = await ORACLE.kem.generateKeyPair();
    const point = new Uint8Array(await ORACLE.kem.serializePublicKey(keys.publicKey));
    const document = await nsm.attest({ publicKey: Uint8Array.from([...spkiHead(), ...point]) });
    const context = Uint8Array.of(1, 2, 3);
    const sealed = await sealTo(document, SECRET, { ...expected, context });
    const recipient = await ORACLE.createRecipientContext({
      recipientKey: keys,
      enc: sealed.slice(1, 66),
      info: infoOf(document),
    });
    assert.deepEqual(new Uint8Array(await recipient.open(sealed.slice(66), context)), SECRET);
  });

  test("no other session opens it, of this enclave or with this nonce", async () => {
    using session = await SessionKey.create(nsm, { nonce: NONCE });
    using other = await SessionKey.create(nsm, { nonce: NONCE });
    const sealed = await sealTo(session.document, SECRET, expected);
    await assertNotForIt(other.open(sealed));
    (await session.open(sealed))[Symbol.dispose]();
  });

  test("the same key under another document does not open it", async () => {
    const documents: Uint8Array<ArrayBuffer>[] = [];
    using session = await SessionKey.create({
      attest: async (request) => {
        documents.push(await nsm.attest(request), await nsm.attest({ ...request, userData: SECRET }));
        return documents[0] ?? new Uint8Array();
      },
    });
    const [first = new Uint8Array(), second = new Uint8Array()] = documents;
    (await session.open(await sealTo(first, SECRET, expected)))[Symbol.dispose]();
    await assertNotForIt(session.open(await sealTo(second, SECRET, expected)));
  });

  test("another context does not open it", async () => {
    using session = await SessionKey.create(nsm);
    const context = Uint8Array.of(1);
    const sealed = await sealTo(session.document, SECRET, { ...expected, context });
    for (const other of [undefined, Uint8Array.of(2), Uint8Array.of(1, 0)]) {
      await assertNotForIt(session.open(sealed, { context: other }));
    }
    (await session.open(sealed, { context }))[Symbol.dispose]();
    const message = /^RangeError: context must have 1 to 4096 bytes$/;
    for (const wrong of [new Uint8Array(), new Uint8Array(MAX_SEAL_CONTEXT_BYTES + 1)]) {
      await assert.rejects(session.open(sealed, { context: wrong }), message);
      await assert.rejects(sealTo(session.document, SECRET, { ...expected, context: wrong }), message);
    }
  });

  test("takes the longest context", async () => {
    using session = await SessionKey.create(nsm);
    const context = new Uint8Array(MAX_SEAL_CONTEXT_BYTES).fill(3);
    const sealed = await sealTo(session.document, SECRET, { ...expected, context });
    (await session.open(sealed, { context }))[Symbol.dispose]();
  });

  test("refuses what was changed in any bit, cut or prolonged, always in the same words", async () => {
    using session = await SessionKey.create(nsm);
    const sealed = await sealTo(session.document, SECRET, expected);
    const wrong = Array.from(
      { length: sealed.length * 8 },
      (_, bit) => sealed.with(bit >> 3, (sealed[bit >> 3] ?? 0) ^ (1 << (bit & 7))),
    );
    for (let length = 0; length < sealed.length; length += 9) wrong.push(sealed.slice(0, length));
    wrong.push(Uint8Array.of(...sealed, 0), new Uint8Array(SEAL_OVERHEAD_BYTES), new Uint8Array(200).fill(1));
    for (const message of wrong) await assertNotForIt(session.open(message));
    await assert.rejects(
      session.open("x" as unknown as Uint8Array),
      /^TypeError: The sealed message must be a Uint8Array$/,
    );
  });

  test("opens nothing after dispose", async () => {
    const session = await SessionKey.create(nsm);
    const sealed = await sealTo(session.document, SECRET, expected);
    session[Symbol.dispose]();
    session[Symbol.dispose]();
    await assert.rejects(
      session.open(sealed),
      (error) => error instanceof DisposedError && /SessionKey/.test(error.message),
    );
  });

  test("passes on why there is no document", async () => {
    using _fault = nsm.injectFault({ kind: "refuse", errorName: "InternalError" }, { times: 1 });
    await assertFails("REFUSED", SessionKey.create(new NsmClient(nsm)));
  });
});

describe("sealTo()", () => {
  let nsm: SoftwareNsm;
  let expected: SealOptions;

  beforeAll(async () => {
    nsm = await SoftwareNsm.create();
    expected = { root: nsm.root, pcrs: { 0: nsm.pcr(0) } };
  });

  test("seals to no enclave that does not pass every check", async () => {
    using session = await SessionKey.create(nsm, { nonce: NONCE });
    const { document } = session;
    const cases: [string, Partial<SealOptions>][] = [
      ["ROOT", { root: undefined }],
      ["PCR", { pcrs: { 0: "00".repeat(48) } }],
      ["NONCE", { nonce: SECRET }],
      ["STALE", { at: Date.now() + 60_000, maxAgeMs: 1000 }],
    ];
    for (const [code, change] of cases) {
      await assertFails(code, sealTo(document, SECRET, { ...expected, ...change }));
    }
  });

  test("demands a register", async () => {
    using session = await SessionKey.create(nsm);
    for (const pcrs of [{}, undefined, new Map()]) {
      const options = { ...expected, pcrs } as SealOptions;
      await assert.rejects(sealTo(session.document, SECRET, options), /TypeError: pcrs must name a register/);
    }
  });

  test("refuses documents that hold no session key", async () => {
    const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).publicKey;
    const p384 = createECDH("secp384r1").generateKeys();
    const notOnCurve = Buffer.concat([spkiHead(), Buffer.of(4), Buffer.alloc(64, 1)]);
    const pair = createECDH("prime256v1");
    const whole = pair.generateKeys();
    const compressed = pair.getPublicKey(undefined, "compressed");
    for (
      const publicKey of [
        undefined,
        new Uint8Array(),
        rsa.export({ type: "spki", format: "der" }),
        p384,
        notOnCurve,
        Buffer.concat([spkiHead(), compressed]),
        Buffer.concat([spkiHead(), whole, Buffer.of(0)]),
        Buffer.concat([spkiHead().fill(0, 20, 21), whole]),
      ]
    ) {
      const document = await nsm.attest(
        publicKey === undefined ? {} : { publicKey: Uint8Array.from(publicKey) },
      );
      const why = publicKey === undefined
        ? /it holds no public key/
        : /its public key is not one of a session/;
      await assertFails("PUBLIC_KEY", sealTo(document, SECRET, expected));
      await assert.rejects(sealTo(document, SECRET, expected), why);
    }
  });

  test("refuses arguments of a wrong type, and options that are not known", async () => {
    using session = await SessionKey.create(nsm);
    const { document } = session;
    await assert.rejects(
      sealTo(document, "x" as unknown as Uint8Array, expected),
      /^TypeError: The secret must be a Uint8Array or SecretBytes$/,
    );
    const context = "x" as unknown as Uint8Array;
    await assert.rejects(
      sealTo(document, SECRET, { ...expected, context }),
      /^TypeError: context must be a Uint8Array$/,
    );
    const misspelt = { ...expected, maxAge: 1 };
    await assert.rejects(sealTo(document, SECRET, misspelt), TypeError);
  });
});

async function assertNotForIt(work: Promise<unknown>): Promise<void> {
  await assert.rejects(work, (error) => {
    assert.ok(error instanceof ProtocolError, String(error));
    assert.equal(error.message, "Cannot open sealed message: it is not for this session key and context");
    assert.match(error.hint, /this key's own document, with the same context/);
    assert.equal(error.cause, undefined);
    return true;
  });
}

/** As documented: the label, and the document's SHA-256. */
function infoOf(document: Uint8Array): Uint8Array<ArrayBuffer> {
  const digest = createHash("sha256").update(document).digest();
  return Uint8Array.from(Buffer.concat([Buffer.from("enclave-kms session key 1"), digest]));
}

/** Reads the bytes that Node writes before the point. */
function spkiHead(): Buffer {
  const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return publicKey.export({ type: "spki", format: "der" }).subarray(0, POINT_START);
}
