import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import {
  constants,
  createCipheriv,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  publicEncrypt,
  randomBytes,
} from "node:crypto";
import { setImmediate as turn } from "node:timers/promises";
import { decode, encode } from "cbor2";
import fc from "fast-check";
import { afterAll, beforeAll, describe, test } from "#test";
import type { NsmTransport } from "../../../../lib/nsm/nsm_transport.ts";
import { Deadline } from "../../../../lib/core/deadline.ts";
import { NodeRecipientKey } from "../../../../lib/kms/recipient/node_recipient_key.ts";
import { NsmRecipient } from "../../../../lib/kms/recipient/nsm_recipient.ts";
import { OpensslRecipientKey } from "../../../../lib/kms/recipient/openssl_recipient_key.ts";
import type { RecipientKey } from "../../../../lib/kms/recipient/recipient_key.ts";
import { findLibcrypto } from "../../../../lib/native/libcrypto.ts";
import { DisposedError, ProtocolError, TimeoutError } from "../../../../lib/core/errors.ts";
import { spyOnFill } from "../../../support/spy_on_fill.ts";
import {
  concat,
  hasOpenssl,
  type Shape,
  withKmsParameters,
  writeEnvelope,
  writeWithOpenssl,
} from "./envelopes.ts";

class EchoNsm implements NsmTransport {
  disposed = 0;

  /** Answers with the public key for a document. */
  exchange(request: Uint8Array): Promise<Uint8Array> {
    const { Attestation: { public_key } } = decode(request) as { Attestation: { public_key: Uint8Array } };
    return Promise.resolve(encode({ Attestation: { document: Uint8Array.from(public_key) } }));
  }

  [Symbol.dispose](): void {
    this.disposed++;
  }
}

interface Sealing {
  readonly contentKey?: Uint8Array;
  readonly padding?: Uint8Array;
  readonly oaepHash?: string;
  readonly shape?: Shape;
}

/** Encrypts as KMS does, with faults if need be. */
function seal(to: KeyObject, plaintext: Uint8Array, sealing: Sealing = {}): Uint8Array {
  const contentKey = sealing.contentKey ?? randomBytes(32);
  const fill = 16 - plaintext.length % 16;
  const padded = concat([plaintext, sealing.padding ?? new Uint8Array(fill).fill(fill)]);
  const aesKey = contentKey.length === 32 ? contentKey : new Uint8Array(32);
  const iv = new Uint8Array(randomBytes(16));
  const cipher = createCipheriv("aes-256-cbc", aesKey, iv).setAutoPadding(false);
  const ciphertext = concat([cipher.update(padded), cipher.final()]);
  const padding = constants.RSA_PKCS1_OAEP_PADDING;
  const oaepHash = sealing.oaepHash ?? "sha256";
  const wrappedKey = new Uint8Array(publicEncrypt({ key: to, padding, oaepHash }, contentKey));
  return writeEnvelope({ wrappedKey, iv, ciphertext }, sealing.shape ?? { segmentBytes: 4096 }).bytes;
}

/** Collects the content of memory that is wiped meanwhile. */
function wipedBy(run: () => void): Uint8Array[] {
  const wiped: Uint8Array[] = [];
  using _spy = spyOnFill((bytes) => wiped.push(Uint8Array.from(bytes)));
  run();
  return wiped;
}

const { libcrypto, reason } = findLibcrypto();

/** One key pair that a recipient may have. */
interface KeyCase {
  readonly name: string;
  readonly makeKey: () => Promise<RecipientKey>;
  readonly skip: boolean;
}

const KEYS: readonly KeyCase[] = [
  { name: "node:crypto", makeKey: () => NodeRecipientKey.create(), skip: false },
  {
    name: libcrypto === undefined ? `OpenSSL (skipped: ${reason})` : "OpenSSL",
    makeKey: () => OpensslRecipientKey.create(libcrypto!),
    skip: libcrypto === undefined,
  },
];

for (const each of KEYS) {
  describe.skipIf(each.skip)(`NsmRecipient with a key pair of ${each.name}`, () => suite(each));
}

function suite({ name, makeKey }: KeyCase): void {
  const nsm = new EchoNsm();
  let recipient: NsmRecipient;
  let publicKey: KeyObject;

  beforeAll(async () => {
    using deadline = new Deadline("test", 60_000);
    recipient = await NsmRecipient.create(nsm, { owned: false, makeKey }, deadline);
    const spki = await recipient.attestationDocument();
    publicKey = createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
  });
  afterAll(() => recipient[Symbol.dispose]());

  test("attests an RSA-2048 key as SPKI DER", () => {
    assert.equal(publicKey.asymmetricKeyType, "rsa");
    assert.equal(publicKey.asymmetricKeyDetails?.modulusLength, 2048);
    assert.equal(publicKey.asymmetricKeyDetails?.publicExponent, 65_537n);
  });

  test("opens what was sealed to its key, in both shapes", () => {
    const shapes: readonly Shape[] = ["primitive", { segmentBytes: 1000 }, { segmentBytes: 4096 }];
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 4096 }), fc.constantFrom(...shapes), (plaintext, shape) => {
        using opened = recipient.open(seal(publicKey, plaintext, { shape }));
        assert.deepEqual(opened.bytes, new Uint8Array(plaintext));
      }),
      { numRuns: 30 },
    );
  });

  test("puts the plaintext into memory of its own", () => {
    for (const length of [1, 15, 16, 32, 4096]) {
      using opened = recipient.open(seal(publicKey, randomBytes(length)));
      assert.equal(opened.bytes.buffer.byteLength, length);
    }
  });

  test("overwrites the content key, the padded plaintext and every block of it", () => {
    const contentKey = new Uint8Array(randomBytes(32));
    const plaintext = new Uint8Array(randomBytes(40));
    const padded = concat([plaintext, new Uint8Array(8).fill(8)]);
    const envelope = seal(publicKey, plaintext, { contentKey });
    const wiped = wipedBy(() => {
      using opened = recipient.open(envelope);
      assert.deepEqual(opened.bytes, plaintext);
    });
    const has = (bytes: Uint8Array) => wiped.some((each) => Buffer.from(bytes).equals(each));
    assert.ok(has(contentKey), "content key");
    // What was decrypted of it, in a buffer as long as the ciphertext.
    assert.ok(has(concat([plaintext, new Uint8Array(8)])), "plaintext");
    if (name === "node:crypto") {
      for (const start of [0, 16]) assert.ok(has(padded.subarray(start, start + 16)), `block at ${start}`);
      assert.ok(has(plaintext.subarray(32)), "last block");
    }
    const unpadded = seal(publicKey, plaintext, { contentKey, padding: new Uint8Array(8) });
    const wipedThen = wipedBy(() => assert.throws(() => recipient.open(unpadded), ProtocolError));
    assert.ok(wipedThen.some((each) => Buffer.from(contentKey).equals(each)), "content key of a failure");
  });

  test("fails with one and the same error, whatever is wrong, on this thread and on another", async () => {
    const plaintext = new Uint8Array(20);
    const good = seal(publicKey, plaintext);
    const stranger = generateKeyPairSync("rsa", { modulusLength: 2048 }).publicKey;
    const wrong: Readonly<Record<string, Uint8Array>> = {
      "form": good.subarray(1),
      "another key": seal(stranger, plaintext),
      "OAEP with SHA-1": seal(publicKey, plaintext, { oaepHash: "sha1" }),
      "content key of 16 bytes": seal(publicKey, plaintext, { contentKey: new Uint8Array(16) }),
      "content key of 31 bytes": seal(publicKey, plaintext, { contentKey: new Uint8Array(31) }),
      "content key of 33 bytes": seal(publicKey, plaintext, { contentKey: new Uint8Array(33) }),
      "no content key": seal(publicKey, plaintext, { contentKey: new Uint8Array(0) }),
      "padding of zeros": seal(publicKey, plaintext, { padding: new Uint8Array(12) }),
      "padding of 17": seal(publicKey, plaintext, { padding: new Uint8Array(12).fill(17) }),
      "padding that differs": seal(publicKey, plaintext, {
        padding: new Uint8Array(12).fill(12).fill(1, 0, 1),
      }),
    };
    const errors = [];
    for (const [name, envelope] of Object.entries(wrong)) {
      const elsewhere = recipient.openElsewhere;
      const ways = [() => recipient.open(envelope), ...elsewhere ? [() => elsewhere(envelope)] : []];
      for (const open of ways) {
        const error = await failureOf(open);
        assert.ok(error instanceof ProtocolError, name);
        errors.push({ ...error, message: error.message, cause: error.cause });
      }
    }
    for (const error of errors) assert.deepEqual(error, errors[0]);
    assert.equal(
      errors[0]?.message,
      "Cannot open CiphertextForRecipient: it is not an envelope for this key pair",
    );
  });

  // openssl is an independent writer; without the command there is nothing to compare with.
  test.skipIf(!hasOpenssl())("opens what openssl seals", () => {
    const pem = publicKey.export({ type: "spki", format: "pem" }).toString();
    for (const length of [1, 32, 4096]) {
      const plaintext = new Uint8Array(randomBytes(length));
      using opened = recipient.open(withKmsParameters(writeWithOpenssl(pem, plaintext)));
      assert.deepEqual(opened.bytes, plaintext);
    }
  });

  test("opens nothing after dispose, and disposes only an NSM of its own", async () => {
    using deadline = new Deadline("test", 60_000);
    const own = new EchoNsm();
    const other = await NsmRecipient.create(own, { owned: true, makeKey }, deadline);
    other[Symbol.dispose]();
    other[Symbol.dispose]();
    assert.ok(own.disposed >= 1);
    const envelope = seal(publicKey, new Uint8Array(1));
    const elsewhere = other.openElsewhere;
    for (const open of [() => other.open(envelope), ...elsewhere ? [() => elsewhere(envelope)] : []]) {
      const error = await failureOf(open);
      assert.ok(error instanceof DisposedError && /NsmRecipient/.test(error.message), String(error));
    }
    assert.equal(nsm.disposed, 0);
  });

  test("disposes its own NSM when there is no time for a key pair", async () => {
    const own = new EchoNsm();
    using deadline = new Deadline("test", 1);
    await assert.rejects(NsmRecipient.create(own, { owned: true, makeKey }, deadline), TimeoutError);
    assert.equal(own.disposed, 1);
    await assert.rejects(NsmRecipient.create(nsm, { owned: false, makeKey }, deadline), TimeoutError);
    assert.equal(nsm.disposed, 0);
  });

  test("destroys a key pair that comes too late", async () => {
    using deadline = new Deadline("test", 60_000);
    const given = Promise.withResolvers<RecipientKey>();
    const caller = new AbortController();
    using late = new Deadline("test", 60_000, caller.signal);
    const making = NsmRecipient.create(nsm, { owned: false, makeKey: () => given.promise }, late);
    caller.abort(new Error("given up"));
    await assert.rejects(making, /given up/);
    const key = await makeKey();
    given.resolve(key);
    await deadline.race(turn());
    const parts = { wrappedKey: new Uint8Array(256), iv: new Uint8Array(16), ciphertext: new Uint8Array(16) };
    assert.throws(() => key.open(parts), DisposedError);
  });

  if (name === "node:crypto") {
    test("opens on this thread only", () => assert.equal(recipient.openElsewhere, undefined));
    return;
  }

  test("opens on other threads what it opens on this one, many at once", async () => {
    const openElsewhere = recipient.openElsewhere!;
    await Promise.all(Array.from({ length: 32 }, async (_, index) => {
      const plaintext = new Uint8Array(randomBytes(1 + 128 * index));
      if (index % 4 === 3) {
        const padding = new Uint8Array(16 - plaintext.length % 16);
        const unpadded = seal(publicKey, plaintext, { padding });
        return await assert.rejects(openElsewhere(unpadded), ProtocolError);
      }
      using opened = await openElsewhere(seal(publicKey, plaintext));
      assert.deepEqual(opened.bytes, plaintext);
      assert.equal(opened.bytes.buffer.byteLength, plaintext.length);
    }));
  });

  test("overwrites the content key and the padded plaintext when it opens on another thread", async () => {
    const openElsewhere = recipient.openElsewhere!;
    const contentKey = new Uint8Array(randomBytes(32));
    const plaintext = new Uint8Array(randomBytes(40));
    const wiped: Uint8Array[] = [];
    using _spy = spyOnFill((bytes) => wiped.push(Uint8Array.from(bytes)));
    using _opened = await openElsewhere(seal(publicKey, plaintext, { contentKey }));
    for (const bytes of [contentKey, concat([plaintext, new Uint8Array(8)])]) {
      assert.ok(wiped.some((each) => Buffer.from(bytes).equals(each)));
    }
  });
}

/** Gets the error of what must fail, at once or later. */
async function failureOf(open: () => unknown): Promise<unknown> {
  try {
    await open();
  } catch (error) {
    return error;
  }
  throw new Error("opened");
}
