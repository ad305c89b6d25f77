import assert from "node:assert/strict";
import { describe, test } from "#test";
import { concatBytes } from "../../../lib/core/bytes.ts";
import { decodeHex, encodeHex } from "../../../lib/core/encoding.ts";
import { ProtocolError } from "../../../lib/core/errors.ts";
import type { NextBytes } from "../../../lib/wire/byte_source.ts";
import { NODE_PRIMITIVES } from "../../../enclave/channels/node_primitives.ts";
import { decodeBinaryRequest } from "../../../lib/wire/binary_http.ts";
import {
  GatewayKey,
  type OpenedRequest,
  readKeyConfig,
  type SealedRequest,
  sealRequest,
} from "../../../lib/wire/oblivious_http.ts";
import { DRAFT } from "./chunked_draft.ts";
import { pairOf, replace } from "./key_pairs.ts";

const TEXT = new TextEncoder();
const REQUEST = TEXT.encode("a request");

/** Gives bytes in pieces of so many. */
function pieces(bytes: Uint8Array, size = bytes.length): NextBytes {
  let at = 0;
  return () => {
    const piece = bytes.subarray(at, at + size);
    at += size;
    return Promise.resolve(piece.length === 0 ? undefined : piece);
  };
}

async function readAll(next: NextBytes): Promise<Uint8Array[]> {
  const chunks: Uint8Array[] = [];
  for (let chunk = await next(); chunk !== undefined; chunk = await next()) chunks.push(chunk);
  return chunks;
}

const refused = (reading: Promise<unknown>, what: string) => assert.rejects(reading, ProtocolError, what);

describe("the example of the draft", () => {
  test("the gateway's end: opens three chunks, and seals three, byte for byte", async () => {
    const gateway = await GatewayKey.create(1, { pair: await pairOf(DRAFT.secretKey, DRAFT.publicKey) });
    const opened = await gateway.open(decodeHex(DRAFT.sealedRequest.join("")), "chunks");
    assert.equal(encodeHex(opened.request), DRAFT.request);
    assert.equal(decodeBinaryRequest(opened.request).authority, "example.com");
    using _random = replace(
      crypto,
      "getRandomValues",
      ((bytes: Uint8Array) => {
        bytes.set(decodeHex(DRAFT.responseNonce));
        return bytes;
      }) as typeof crypto.getRandomValues,
    );
    using sealer = await opened.sealChunks();
    const response = decodeHex(DRAFT.response);
    const sealed = [
      sealer.nonce,
      await sealer.seal(response.subarray(0, 1)),
      await sealer.seal(response.subarray(1)),
      await sealer.sealFinal(new Uint8Array(0)),
    ];
    assert.deepEqual(sealed.map((chunk) => encodeHex(chunk)), [DRAFT.responseNonce, ...DRAFT.sealedResponse]);
  });

  test("the caller's end: opens the three chunks of the answer, cut anywhere", async () => {
    const config = readKeyConfig(decodeHex(DRAFT.keyConfig));
    assert.deepEqual([config.id, config.aeadId], [1, 1]);
    const ephemeral = await pairOf(DRAFT.ephemeralSecret, DRAFT.ephemeralPublic);
    const sealed = await (async () => {
      using _pair = replace(crypto.subtle, "generateKey", () => Promise.resolve(ephemeral));
      return await sealRequest(config, decodeHex(DRAFT.request), "chunks");
    })();
    assert.equal(encodeHex(sealed.message).slice(0, 78), DRAFT.sealedRequest.slice(0, 2).join(""));
    const answer = decodeHex([DRAFT.responseNonce, ...DRAFT.sealedResponse].join(""));
    for (const size of [1, 2, 7, answer.length]) {
      const chunks = await readAll(sealed.openChunks(pieces(answer, size)));
      assert.deepEqual(chunks.map((chunk) => encodeHex(chunk)), ["01", "40c8", ""], `in pieces of ${size}`);
    }
  });
});

describe("requests and answers in chunks", () => {
  async function exchange(): Promise<{ sealed: SealedRequest; opened: OpenedRequest }> {
    const gateway = await GatewayKey.create(3, { primitives: NODE_PRIMITIVES });
    const sealed = await sealRequest(readKeyConfig(gateway.config), REQUEST, "chunks");
    return { sealed, opened: await gateway.open(sealed.message, "chunks") };
  }

  /** Seals an answer in chunks. */
  async function sealAll(opened: OpenedRequest, texts: readonly string[]): Promise<Uint8Array[]> {
    using sealer = await opened.sealChunks();
    const chunks: Uint8Array[] = [sealer.nonce];
    for (const text of texts.slice(0, -1)) chunks.push(await sealer.seal(TEXT.encode(text)));
    return [...chunks, await sealer.sealFinal(TEXT.encode(texts.at(-1)))];
  }

  test("both ends of ours understand each other, over either library", async () => {
    const { sealed, opened } = await exchange();
    assert.deepEqual(opened.request, REQUEST);
    const parts = await sealAll(opened, ["one", "", "three", "x".repeat(16_384), "end"]);
    const chunks = await readAll(sealed.openChunks(pieces(concatBytes(parts), 1000)));
    assert.deepEqual(chunks.map((chunk) => new TextDecoder().decode(chunk)), [
      ...["one", "", "three", "x".repeat(16_384), "end"],
    ]);
  });

  test("255 chunks and more have nonces of their own", async () => {
    const { sealed, opened } = await exchange();
    const texts = Array.from({ length: 600 }, (_, index) => String(index));
    const chunks = await readAll(sealed.openChunks(pieces(concatBytes(await sealAll(opened, texts)))));
    assert.deepEqual(chunks.map((chunk) => new TextDecoder().decode(chunk)), texts);
  });

  test("an answer that was cut off, at any byte, is none; and what came before the cut is the enclave's", async () => {
    const { sealed, opened } = await exchange();
    const whole = concatBytes(await sealAll(opened, ["one", "two", ""]));
    for (let length = 0; length < whole.length; length++) {
      const next = sealed.openChunks(pieces(whole.subarray(0, length)));
      const got: string[] = [];
      const reading = (async () => {
        for (let chunk = await next(); chunk !== undefined; chunk = await next()) {
          got.push(new TextDecoder().decode(chunk));
        }
      })();
      await refused(reading, `${length} bytes`);
      assert.deepEqual(got, ["one", "two"].slice(0, got.length));
      // Whoever goes on after the error must not find a clean end.
      await refused(next(), "once more");
    }
  });

  test("chunks that are left out, repeated, swapped, changed or of another answer are refused", async () => {
    const { sealed, opened } = await exchange();
    const [nonce, one, two, last] = await sealAll(opened, ["one", "two", "end"]) as [
      Uint8Array,
      Uint8Array,
      Uint8Array,
      Uint8Array,
    ];
    const [otherNonce, other] = await sealAll(opened, ["one", "end"]) as [Uint8Array, Uint8Array];
    const asLast = concatBytes([[0], two.subarray(1)]);
    const asOther = concatBytes([[last.length - 1], last.subarray(1)]);
    const cases: Readonly<Record<string, readonly Uint8Array[]>> = {
      "the first left out": [nonce, two, last],
      "one repeated": [nonce, one, one, two, last],
      "two swapped": [nonce, two, one, last],
      "the last left out": [nonce, one, two],
      "another as the last": [nonce, one, asLast],
      "the last as another": [nonce, one, two, asOther, Uint8Array.of(0)],
      "something after the last": [nonce, one, two, last, Uint8Array.of(1)],
      "one of another answer": [nonce, other, two, last],
      "another nonce": [otherNonce, one, two, last],
      "no chunk": [nonce],
    };
    for (const [what, parts] of Object.entries(cases)) {
      await refused(readAll(sealed.openChunks(pieces(concatBytes(parts)))), what);
    }
    const whole = concatBytes([nonce, one, two, last]);
    for (let bit = 0; bit < whole.length * 8; bit += 5) {
      const flipped = whole.with(bit >> 3, whole[bit >> 3]! ^ (1 << (bit & 7)));
      await refused(readAll(sealed.openChunks(pieces(flipped))), `bit ${bit}`);
    }
    assert.equal((await readAll(sealed.openChunks(pieces(whole)))).length, 3, "unchanged");
  });

  test("an answer to another request, or in the other form, does not open", async () => {
    const { opened } = await exchange();
    const { sealed } = await exchange();
    await refused(readAll(sealed.openChunks(pieces(concatBytes(await sealAll(opened, ["end"]))))), "another");
    const gateway = await GatewayKey.create(3);
    const config = readKeyConfig(gateway.config);
    for (const [form, other] of [["whole", "chunks"], ["chunks", "whole"]] as const) {
      const { message } = await sealRequest(config, REQUEST, form);
      await refused(gateway.open(message, other), `${form} as ${other}`);
      assert.deepEqual((await gateway.open(message, form)).request, REQUEST);
    }
  });

  test("a chunk that is larger than any may be is refused before it is held", async () => {
    const { sealed, opened } = await exchange();
    const [nonce] = await sealAll(opened, [""]);
    let given = 0;
    const endless = (head: readonly number[]): NextBytes => {
      const start = concatBytes([nonce!, head]);
      return () => Promise.resolve(given++ === 0 ? start : new Uint8Array(16_384));
    };
    // A length of 2^20, and a last chunk without end.
    for (const head of [[0x80, 0x10, 0, 0], [0]]) {
      given = 0;
      await refused(readAll(sealed.openChunks(endless(head))), String(head));
      assert.ok(given < 10, `it took ${given} pieces`);
    }
  });

  test("a request has at most 64 chunks, and all of them in their places", async () => {
    const gateway = await GatewayKey.create(3);
    const { hpke, head } = await senderOf(gateway);
    const seal = async (texts: readonly string[], isEnded = true) => {
      const { ctx, encapsulatedSecret } = await hpke();
      const parts: (Uint8Array | readonly number[])[] = [head, encapsulatedSecret];
      for (const [at, text] of texts.entries()) {
        const isLast = isEnded && at === texts.length - 1;
        const sealed = await ctx.Seal(TEXT.encode(text), isLast ? TEXT.encode("final") : new Uint8Array(0));
        parts.push(isLast ? [0] : [sealed.length], sealed);
      }
      return concatBytes(parts);
    };
    const many = (count: number) => Array.from({ length: count }, (_, at) => `${at},`);
    assert.deepEqual(
      (await gateway.open(await seal(many(64)), "chunks")).request,
      TEXT.encode(many(64).join("")),
    );
    await refused(gateway.open(await seal(many(65)), "chunks"), "65");
    await refused(gateway.open(await seal(["a", "b"], false), "chunks"), "without the last");
    const whole = await seal(["a", "b", "c"]);
    await refused(gateway.open(whole.subarray(0, whole.length - 18), "chunks"), "cut after a chunk");
  });
});

/** Makes contexts of HPKE by hand, as another sender would. */
async function senderOf(gateway: GatewayKey) {
  const { CipherSuite, KEM_DHKEM_X25519_HKDF_SHA256, KDF_HKDF_SHA256, AEAD_AES_256_GCM } = await import(
    "hpke"
  );
  const suite = new CipherSuite(KEM_DHKEM_X25519_HKDF_SHA256, KDF_HKDF_SHA256, AEAD_AES_256_GCM);
  const head = Uint8Array.of(3, 0, 0x20, 0, 1, 0, 2);
  const info = concatBytes([TEXT.encode("message/bhttp chunked request\0"), head]);
  const key = await suite.DeserializePublicKey(gateway.publicKey);
  return { head, hpke: () => suite.SetupSender(key, { info }) };
}
