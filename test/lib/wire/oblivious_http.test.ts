import assert from "node:assert/strict";
import {
  Aes128Gcm,
  Aes256Gcm,
  CipherSuite as TheirSuite,
  DhkemX25519HkdfSha256,
  HkdfSha256,
} from "@hpke/core";
import { Buffer } from "node:buffer";
import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  hkdfSync,
} from "node:crypto";
import { describe, test } from "#test";
import { concatBytes } from "../../../lib/core/bytes.ts";
import { decodeHex, encodeHex } from "../../../lib/core/encoding.ts";
import { ProtocolError } from "../../../lib/core/errors.ts";
import { decodeBinaryRequest, decodeBinaryResponse } from "../../../lib/wire/binary_http.ts";
import {
  GatewayKey,
  readKeyConfig,
  SEALED_REQUEST_OVERHEAD_BYTES,
  sealRequest,
} from "../../../lib/wire/oblivious_http.ts";
import { pairOf, replace } from "./key_pairs.ts";

/** RFC 9458, appendix A. */
const RFC = {
  secretKey: "3c168975674b2fa8e465970b79c8dcf09f1c741626480bd4c6162fc5b6a98e1a",
  publicKey: "31e1f05a740102115220e9af918f738674aec95f54db6e04eb705aae8e798155",
  keyConfig: "01002031e1f05a740102115220e9af918f738674aec95f54db6e04eb705aae8e79815500080001000100010003",
  request: "00034745540568747470730b6578616d706c652e636f6d012f",
  ephemeralSecret: "bc51d5e930bda26589890ac7032f70ad12e4ecb37abb1b65b1256c9c48999c73",
  ephemeralPublic: "4b28f881333e7c164ffc499ad9796f877f4e1051ee6d31bad19dec96c208b472",
  sealedRequest: "010020000100014b28f881333e7c164ffc499ad9796f877f4e1051ee6d31bad19dec96c208b472" +
    "6374e469135906992e1268c594d2a10c695d858c40a026e7965e7d86b83dd440b2c0185204b4d63525",
  response: "0140c8",
  responseNonce: "c789e7151fcba46158ca84b04464910d",
  sealedResponse: "c789e7151fcba46158ca84b04464910d86f9013e404feea014e7be4a441f234f857fbd",
} as const;

const TEXT = new TextEncoder();
const REQUEST = TEXT.encode("a request");
const ANSWER = TEXT.encode("an answer");

describe("the example of RFC 9458", () => {
  test("the gateway's end: opens the request and seals the answer, byte for byte", async () => {
    const gateway = await rfcGateway();
    const opened = await gateway.open(decodeHex(RFC.sealedRequest));
    assert.equal(encodeHex(opened.request), RFC.request);
    assert.equal(encodeHex(opened.encapsulatedKey), RFC.ephemeralPublic);
    assert.equal(decodeBinaryRequest(opened.request).authority, "example.com");
    using _random = replace(
      crypto,
      "getRandomValues",
      ((bytes: Uint8Array) => {
        assert.equal(bytes.length, 16);
        bytes.set(decodeHex(RFC.responseNonce));
        return bytes;
      }) as typeof crypto.getRandomValues,
    );
    assert.equal(encodeHex(await opened.sealAnswer(decodeHex(RFC.response))), RFC.sealedResponse);
  });

  test("the caller's end: seals the request and opens the answer, byte for byte", async () => {
    const config = readKeyConfig(decodeHex(RFC.keyConfig));
    assert.equal(encodeHex(config.publicKey), RFC.publicKey);
    assert.deepEqual([config.id, config.aeadId], [1, 1], "ChaCha20Poly1305 is offered, too, and not taken");
    const ephemeral = await pairOf(RFC.ephemeralSecret, RFC.ephemeralPublic);
    const sealed = await (async () => {
      using _pair = replace(crypto.subtle, "generateKey", () => Promise.resolve(ephemeral));
      return await sealRequest(config, decodeHex(RFC.request));
    })();
    assert.equal(encodeHex(sealed.message), RFC.sealedRequest);
    const answer = await sealed.openAnswer(decodeHex(RFC.sealedResponse));
    assert.equal(encodeHex(answer), RFC.response);
    assert.equal(decodeBinaryResponse(answer).status, 200);
  });
});

describe("GatewayKey", () => {
  test("opens what was sealed to its configuration, and answers it", async () => {
    const gateway = await GatewayKey.create(7);
    const config = readKeyConfig(gateway.config);
    assert.deepEqual(config, { id: 7, publicKey: gateway.publicKey, aeadId: 2 });
    for (const aeadId of [1, 2]) {
      const sealed = await sealRequest({ ...config, aeadId }, REQUEST);
      assert.equal(sealed.message.length, REQUEST.length + SEALED_REQUEST_OVERHEAD_BYTES);
      const opened = await gateway.open(sealed.message);
      assert.deepEqual(opened.request, REQUEST);
      assert.deepEqual(await sealed.openAnswer(await opened.sealAnswer(ANSWER)), ANSWER);
    }
  });

  test("understands another implementation, and is understood", async () => {
    const gateway = await GatewayKey.create(9);
    for (const [aeadId, aead, keyBytes] of [[1, new Aes128Gcm(), 16], [2, new Aes256Gcm(), 32]] as const) {
      const theirs = new TheirSuite({ kem: new DhkemX25519HkdfSha256(), kdf: new HkdfSha256(), aead });
      const head = Uint8Array.of(9, 0, 0x20, 0, 1, 0, aeadId);
      const sender = await theirs.createSenderContext({
        recipientPublicKey: await theirs.kem.deserializePublicKey(gateway.publicKey),
        info: concatBytes([TEXT.encode("message/bhttp request\0"), head]),
      });
      const sealed = new Uint8Array(await sender.seal(REQUEST));
      const opened = await gateway.open(concatBytes([head, new Uint8Array(sender.enc), sealed]));
      assert.deepEqual(opened.request, REQUEST);
      const answer = await opened.sealAnswer(ANSWER);
      const nonce = answer.subarray(0, keyBytes);
      const secret = new Uint8Array(await sender.export(TEXT.encode("message/bhttp response"), keyBytes));
      const salt = concatBytes([new Uint8Array(sender.enc), nonce]);
      const derive = (label: string, length: number) =>
        new Uint8Array(hkdfSync("sha256", secret, salt, label, length));
      const key = await crypto.subtle.importKey("raw", derive("key", keyBytes), "AES-GCM", false, [
        "decrypt",
      ]);
      const algorithm = { name: "AES-GCM", iv: derive("nonce", 12) };
      const plain = await crypto.subtle.decrypt(algorithm, key, answer.subarray(keyBytes));
      assert.deepEqual(new Uint8Array(plain), ANSWER);
    }
  });

  test("does the same over primitives of another library, which it is given", async () => {
    let calls = 0;
    const count = <A extends unknown[], R>(call: (...args: A) => R) => (...args: A): R => {
      calls++;
      return call(...args);
    };
    const cipher = (key: Uint8Array) => `aes-${8 * key.length}-gcm` as "aes-256-gcm";
    const gateway = await GatewayKey.create(1, {
      primitives: {
        generate() {
          const base64url = (hex: string) => Buffer.from(hex, "hex").toString("base64url");
          const jwk = { kty: "OKP", crv: "X25519", d: base64url(RFC.secretKey), x: base64url(RFC.publicKey) };
          const privateKey = createPrivateKey({ key: jwk, format: "jwk" });
          const agree = count((theirs: Uint8Array) => {
            const key = { kty: "OKP", crv: "X25519", x: Buffer.from(theirs).toString("base64url") };
            return diffieHellman({ privateKey, publicKey: createPublicKey({ key, format: "jwk" }) });
          });
          return { publicKey: decodeHex(RFC.publicKey), agree };
        },
        hmac: count((key, data) => createHmac("sha256", key).update(data).digest()),
        seal: count((key, nonce, plaintext) => {
          const sealing = createCipheriv(cipher(key), key, nonce);
          return concatBytes([sealing.update(plaintext), sealing.final(), sealing.getAuthTag()]);
        }),
        open: count((key, nonce, sealed) => {
          const opening = createDecipheriv(cipher(key), key, nonce).setAuthTag(sealed.subarray(-16));
          return concatBytes([opening.update(sealed.subarray(0, -16)), opening.final()]);
        }),
      },
    });
    const opened = await gateway.open(decodeHex(RFC.sealedRequest));
    assert.equal(encodeHex(opened.request), RFC.request);
    using _random = replace(crypto, "getRandomValues", (bytes: Uint8Array) => {
      bytes.set(decodeHex(RFC.responseNonce));
      return bytes;
    });
    assert.equal(encodeHex(await opened.sealAnswer(decodeHex(RFC.response))), RFC.sealedResponse);
    assert.ok(calls > 10, "they are used");
    await assert.rejects(gateway.open(flipped(decodeHex(RFC.sealedRequest), 60)), ProtocolError);
    for (const point of ["00".repeat(32), `01${"00".repeat(31)}`]) {
      const small = decodeHex(RFC.sealedRequest);
      small.set(decodeHex(point), 7);
      await assert.rejects(gateway.open(small), ProtocolError);
    }
  });

  test("refuses a request with any bit flipped, and one that is cut off anywhere", async () => {
    const gateway = await GatewayKey.create(1);
    const { message } = await sealRequest(readKeyConfig(gateway.config), REQUEST);
    for (let at = 0; at < message.length; at++) {
      await assert.rejects(gateway.open(flipped(message, at)), ProtocolError, `byte ${at}`);
      await assert.rejects(gateway.open(message.subarray(0, at)), ProtocolError, `${at} bytes`);
    }
    await assert.rejects(gateway.open(concatBytes([message, [0]])), ProtocolError);
    assert.deepEqual((await gateway.open(message)).request, REQUEST, "it was right before");
  });

  test("refuses a request to another key, of the same number and of another", async () => {
    const config = readKeyConfig((await GatewayKey.create(1)).config);
    const { message } = await sealRequest(config, REQUEST);
    await assert.rejects((await GatewayKey.create(1)).open(message), ProtocolError);
    await assert.rejects((await GatewayKey.create(2)).open(message), ProtocolError);
  });

  test("refuses points that make every secret the same", async () => {
    const gateway = await GatewayKey.create(1);
    const { message } = await sealRequest(readKeyConfig(gateway.config), REQUEST);
    for (const point of ["00".repeat(32), `01${"00".repeat(31)}`, `ec${"ff".repeat(30)}7f`]) {
      const wrong = message.slice();
      wrong.set(decodeHex(point), 7);
      await assert.rejects(gateway.open(wrong), ProtocolError);
      const config = { id: 1, publicKey: decodeHex(point), aeadId: 2 };
      await assert.rejects(sealRequest(config, REQUEST), ProtocolError);
    }
  });
});

describe("an answer", () => {
  test("opens for its own request only, and not when it was changed or cut off anywhere", async () => {
    const gateway = await GatewayKey.create(1);
    const config = readKeyConfig(gateway.config);
    const [first, second] = [await sealRequest(config, REQUEST), await sealRequest(config, REQUEST)];
    const answer = await (await gateway.open(first.message)).sealAnswer(ANSWER);
    await assert.rejects(second.openAnswer(answer), ProtocolError);
    for (let at = 0; at < answer.length; at++) {
      await assert.rejects(first.openAnswer(flipped(answer, at)), ProtocolError, `byte ${at}`);
      await assert.rejects(first.openAnswer(answer.subarray(0, at)), ProtocolError, `${at} bytes`);
    }
    await assert.rejects(first.openAnswer(concatBytes([answer, [0]])), ProtocolError);
    assert.deepEqual(await first.openAnswer(answer), ANSWER);
  });

  test("has another key each time, even to the same request", async () => {
    const gateway = await GatewayKey.create(1);
    const sealed = await sealRequest(readKeyConfig(gateway.config), REQUEST);
    const [once, again] = [await gateway.open(sealed.message), await gateway.open(sealed.message)];
    const answers = [
      await once.sealAnswer(ANSWER),
      await again.sealAnswer(ANSWER),
      await once.sealAnswer(ANSWER),
    ];
    assert.equal(new Set(answers.map((answer) => encodeHex(answer.subarray(0, 32)))).size, 3);
    assert.equal(new Set(answers.map((answer) => encodeHex(answer.subarray(32)))).size, 3);
  });
});

describe("readKeyConfig()", () => {
  test("refuses what is none, is cut off, or is for other algorithms", async () => {
    const { config } = await GatewayKey.create(1);
    for (let end = 0; end < config.length; end++) {
      assert.throws(() => readKeyConfig(config.subarray(0, end)), ProtocolError, `${end} bytes`);
    }
    assert.throws(() => readKeyConfig(concatBytes([config, [0]])), ProtocolError);
    const onlyChaCha = RFC.keyConfig.slice(0, 70) + "000400010003";
    const onlySha512 = RFC.keyConfig.slice(0, 70) + "000400030001";
    const ofP256 = RFC.keyConfig.replace("010020", "010010");
    const none = RFC.keyConfig.slice(0, 70) + "0000";
    for (const hex of [onlyChaCha, onlySha512, ofP256, none]) {
      assert.throws(() => readKeyConfig(decodeHex(hex)), ProtocolError, hex);
    }
  });
});

async function rfcGateway(): Promise<GatewayKey> {
  const gateway = await GatewayKey.create(1, { pair: await pairOf(RFC.secretKey, RFC.publicKey) });
  assert.equal(encodeHex(gateway.publicKey), RFC.publicKey);
  return gateway;
}

function flipped(bytes: Uint8Array, at: number): Uint8Array {
  return bytes.with(at, bytes[at]! ^ 1);
}
