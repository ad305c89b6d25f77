import { Buffer } from "node:buffer";
import { decode, encode } from "cbor2";
import { parseBootAnswer, type ParsedBootAnswer } from "../../../lib/attestation/boot_attestation.ts";
import {
  makeEnclaveSignature,
  readEnclaveSignature,
  SIGNATURE_ALGORITHMS,
  type SignatureMessage,
} from "../../../lib/attestation/signature_message.ts";
import { encodeHex } from "../../../lib/core/encoding.ts";
import { AttestationError } from "../../../lib/core/errors.ts";
import { dictionary, expect, expectSame, type FuzzTarget, oracle, utf8 } from "../target.ts";

const BOOT_ID = "00112233445566778899aabbccddeeff";

/** Signature of an enclave. What is taken, cbor2 reads to the same and writes again, byte for byte. */
export const signature: FuzzTarget = {
  name: "signature",
  maxLength: 600,
  covers: ["lib/attestation/signature_message.ts", "lib/core/cbor.ts", "lib/core/encode_cbor.ts"],
  dictionary: dictionary(
    "0x84",
    "0xa0",
    "0xa2",
    "0xa4",
    "0xb804",
    "0xbf",
    "0xff",
    "0xd2",
    "0xf6",
    "0x0126",
    "0x0127",
    "0x03",
    "0x50",
    "0x5820",
    "0x5840",
    "0x1b0000018f00000000",
    "0x1bffffffffffffffff",
    "boot",
    "time",
    "sha256",
    "purpose",
    "application/enclave-kms-signature+cbor",
  ),
  async seeds() {
    const statement = { purpose: "orders/v1", timeMs: Date.UTC(2026, 10, 30), bootId: BOOT_ID };
    const sign = () => new Uint8Array(64).fill(7);
    return await Promise.all(
      SIGNATURE_ALGORITHMS.map((algorithm) =>
        makeEnclaveSignature(statement, utf8("data"), { algorithm, sign })
      ),
    );
  },
  run(input) {
    const bytes = input.slice();
    let message: SignatureMessage;
    try {
      message = readEnclaveSignature(input);
    } catch (error) {
      return codeOf(error);
    }
    input.fill(0);
    const { algorithm, signature, purpose, timeMs, bootId, sha256 } = message;
    const read = (part: Uint8Array) =>
      oracle("cbor2", () => decode<Map<unknown, unknown>>(part, { preferMap: true }));
    const [header, unprotected, payload, last] = oracle(
      "cbor2",
      () => decode<Uint8Array[]>(bytes, { preferMap: true }),
    );
    expectSame([...read(header!)], [[1, algorithm === "ES256" ? -7 : -8], [3, CONTENT_TYPE]], "the header");
    expectSame(unprotected, new Map(), "the unprotected header");
    expectSame(encodeHex(last!), encodeHex(signature), "the signature");
    const boot = Uint8Array.from(Buffer.from(bootId, "hex"));
    const entries = [["boot", boot], ["time", timeMs], ["sha256", sha256], ["purpose", purpose]] as const;
    expectSame([...read(payload!)], entries, "the statement");
    expect(/^[\x20-\x7e]{1,128}$/.test(purpose) && Number.isSafeInteger(timeMs), "a field is out of range");
    const again = [encode(header), "a0", encode(encode(new Map<string, unknown>(entries))), encode(signature)]
      .map((part) => typeof part === "string" ? part : encodeHex(part));
    expect(encodeHex(bytes) === `84${again.join("")}`, "cbor2 writes another message");
    return `ok ${algorithm}`;
  },
};

const CONTENT_TYPE = "application/enclave-kms-signature+cbor";

/** Answer of an enclave's `/v1/attestation`. What is taken, node:buffer reads to the same and writes again. */
export const answer: FuzzTarget = {
  name: "answer",
  maxLength: 8192,
  covers: ["lib/attestation/boot_attestation.ts", "lib/attestation/boot_key_digest.ts", "lib/core/bytes.ts"],
  dictionary: dictionary(
    '"document"',
    '"bootId"',
    '"keys"',
    '"certificate"',
    '"sealing"',
    '"sign"',
    '"boot"',
    '"__proto__"',
    BOOT_ID,
    "AQ==",
    "AR==",
    "null",
    "{}",
    "[]",
    ",",
    '":',
    "\\u0000",
  ),
  seeds() {
    const good = { document: "AQID", bootId: BOOT_ID, keys: { sign: "AQID", "tls-1.3_x": "AQ==" } };
    const more = { ...good, certificate: "-----BEGIN CERTIFICATE-----", sealing: "AQI=" };
    return Promise.resolve([utf8(JSON.stringify(good)), utf8(JSON.stringify(more))]);
  },
  run(input) {
    let json: unknown;
    try {
      json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(input));
    } catch {
      return "no JSON";
    }
    let read: ParsedBootAnswer;
    try {
      read = parseBootAnswer(json);
    } catch (error) {
      return codeOf(error);
    }
    const { document, bootId, keys, certificate, sealing } = read;
    const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64");
    const again = {
      document: base64(document),
      bootId,
      keys: Object.fromEntries(Object.entries(keys).map(([name, key]) => [name, base64(key)])),
      ...(certificate !== undefined && { certificate }),
      ...(sealing !== undefined && { sealing: base64(sealing) }),
    };
    expectSame(again, json, "the answer");
    expect(/^[0-9a-f]{32}$/.test(bootId) && !("boot" in keys), "a field is out of range");
    expect(Object.values(keys).every(({ length }) => length > 0 && length <= 8192), "a key is out of range");
    return "ok";
  },
};

/** @throws An error that is not the reader's own */
function codeOf(error: unknown): string {
  if (!(error instanceof AttestationError)) throw error;
  expect(error.hint !== "" && error.message.length < 300, "the error says too little, or too much");
  return error.code;
}
