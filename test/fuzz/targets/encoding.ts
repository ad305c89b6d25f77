import { Buffer } from "node:buffer";
import { decodeBase64, decodeHex, encodeBase64, encodeHex } from "../../../lib/core/encoding.ts";
import { dictionary, expect, expectSame, type FuzzTarget, utf8 } from "../target.ts";

/** Base64 and hex: only the one form of bytes is taken, and Node's own decoder reads the same from it. */
export const encoding: FuzzTarget = {
  name: "encoding",
  maxLength: 4096,
  covers: ["lib/core/encoding.ts"],
  dictionary: dictionary(
    "=",
    "==",
    "AA==",
    "AB==",
    "AAA=",
    "-",
    "_",
    " ",
    "\n",
    "0x00",
    "0xc3a9",
    "+/",
    "0aF",
  ),
  seeds: () =>
    Promise.resolve(["AQID", "AQI=", "AQ==", "", "0102ff", "\0AQID"].map((text) => utf8(`b${text}`))),
  run(input) {
    const isHex = (input[0] ?? 0) % 2 === 1;
    const text = new TextDecoder("latin1").decode(input.subarray(1));
    let bytes: Uint8Array;
    try {
      bytes = isHex ? decodeHex(text) : decodeBase64(text);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      expect(text.length < 4 || !error.message.includes(text), "the error repeats what was sent");
      return "TypeError";
    }
    expectSame(
      new Uint8Array(Buffer.from(text, isHex ? "hex" : "base64")),
      new Uint8Array(bytes),
      "node:buffer",
    );
    const again = isHex ? encodeHex(bytes) : encodeBase64(bytes);
    expectSame(again, isHex ? text.toLowerCase() : text, "encoded again");
    return isHex ? "hex" : "base64";
  },
};
