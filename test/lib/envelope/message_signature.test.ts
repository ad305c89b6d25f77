import assert from "node:assert/strict";
import { describe, test } from "#test";
import {
  MessageSigner,
  MessageVerifier,
  PUBLIC_KEY_NAME,
  readFooter,
} from "../../../lib/envelope/message_signature.ts";
import { pattern } from "./streams.ts";

const MESSAGE = pattern(500);
/** Order of P-384. */
const ORDER =
  0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n;

interface Signed {
  readonly signature: Uint8Array<ArrayBuffer>;
  readonly publicKey: string;
}

function sign(): Signed {
  const signer = new MessageSigner();
  signer.update(MESSAGE.subarray(0, 100));
  signer.update(MESSAGE.subarray(100));
  const footer = signer.footer();
  const read = readFooter(footer);
  assert.ok(typeof read === "object" && read.footerBytes === footer.length);
  return { signature: read.signature, publicKey: signer.publicKey };
}

function isGenuine({ publicKey }: Signed, signature: Uint8Array, message = MESSAGE): boolean {
  const encryptionContext = { [PUBLIC_KEY_NAME]: publicKey };
  const verifier = MessageVerifier.forHeader({ suiteId: 0x0578, encryptionContext });
  verifier?.update(message);
  try {
    verifier?.expectSignature(signature);
    return true;
  } catch (error) {
    assert.equal((error as { code?: string }).code, "ERR_ENVELOPE_SIGNATURE");
    return false;
  }
}

/** Reads the two numbers of a signature. */
function numbersOf(signature: Uint8Array): [r: bigint, s: bigint] {
  const second = 4 + (signature[3] ?? 0);
  const read = (at: number) => {
    const bytes = signature.subarray(at + 2, at + 2 + (signature[at + 1] ?? 0));
    return BigInt(`0x${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`);
  };
  return [read(2), read(second)];
}

/** Writes a number as DER does, with `padding` zeros too many. */
function number(value: bigint, padding = 0): number[] {
  const hex = value.toString(16);
  const bytes = (hex.length % 2 === 0 ? hex : `0${hex}`).match(/../g)?.map((byte) => parseInt(byte, 16)) ??
    [];
  const sign = (bytes[0] ?? 0) > 127 ? [0] : [];
  const all = [...new Array<number>(padding).fill(0), ...sign, ...bytes];
  return [2, all.length, ...all];
}

const sequence = (...parts: number[][]) => Uint8Array.from([0x30, parts.flat().length, ...parts.flat()]);

describe("the signature of a message", () => {
  test("is genuine over its message, and over no other", () => {
    const signed = sign();
    assert.ok(isGenuine(signed, signed.signature));
    assert.ok(!isGenuine(signed, signed.signature, MESSAGE.with(7, 0)));
    assert.ok(!isGenuine(signed, signed.signature, MESSAGE.slice(0, -1)));
    assert.ok(!isGenuine(sign(), signed.signature));
  });

  test("is taken in one form only", () => {
    const signed = sign();
    const [r, s] = numbersOf(signed.signature);
    const [first, second] = [number(r), number(s)];
    assert.deepEqual(sequence(first, second), signed.signature);
    const long = [0x30, 0x81, first.length + second.length, ...first, ...second];
    const forms: Readonly<Record<string, ArrayLike<number>>> = {
      "nothing": [],
      "an empty sequence": [0x30, 0],
      "one number": sequence(first),
      "three numbers": sequence(first, second, [2, 1, 1]),
      "numbers swapped": sequence(second, first),
      "a long form of the length": long,
      "an indefinite length": [0x30, 0x80, ...first, ...second, 0, 0],
      "a zero too many before the first": sequence(number(r, 1 + (first[2] === 0 ? 1 : 0)), second),
      "a zero too many before the second": sequence(first, number(s, 1 + (second[2] === 0 ? 1 : 0))),
      "a byte behind the sequence": [...signed.signature, 0],
      "a byte behind the numbers": sequence(first, second, [0]),
      "a byte too few": signed.signature.slice(0, -1),
      "a set": signed.signature.with(0, 0x31),
      "an octet string": signed.signature.with(2, 4),
      "numbers that are 0": sequence([2, 1, 0], [2, 1, 0]),
      "numbers of no bytes": sequence([2, 0], [2, 0]),
      "a negative number": sequence(first, [2, 1, 0x80]),
      "numbers that are 1": sequence([2, 1, 1], [2, 1, 1]),
      "a first number beyond the order": sequence(number(r + ORDER), second),
      "a second number beyond the order": sequence(first, number(s + ORDER)),
      "the order itself": sequence(number(ORDER), number(ORDER)),
      "raw numbers": signed.signature.slice(-96),
      "zeros": new Uint8Array(104),
    };
    for (const [form, bytes] of Object.entries(forms)) {
      assert.ok(!isGenuine(signed, Uint8Array.from(bytes)), form);
    }
    assert.ok(isGenuine(signed, signed.signature));
  });

  test("has a twin, which is as genuine: it tells who signed, and is no name of the message", () => {
    const signed = sign();
    const [r, s] = numbersOf(signed.signature);
    assert.ok(isGenuine(signed, sequence(number(r), number(ORDER - s))));
    assert.ok(!isGenuine(signed, sequence(number(ORDER - r), number(s))));
  });

  test("has a footer that says how long it is, and never makes the reader wait for more", () => {
    assert.equal(readFooter(new Uint8Array(0)), 2);
    assert.equal(readFooter(Uint8Array.of(0)), 2);
    assert.equal(readFooter(Uint8Array.of(0, 104)), 106);
    for (const length of [[0, 105], [1, 0], [255, 255]]) {
      assert.throws(() => readFooter(Uint8Array.from(length)), { code: "ERR_ENVELOPE_SIGNATURE" });
    }
  });
});
