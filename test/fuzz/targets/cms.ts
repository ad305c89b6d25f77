import { fromBER } from "asn1js";
import { generateKeyPairSync } from "node:crypto";
import { type Envelope, MAX_ENVELOPE_BYTES, readEnvelope } from "../../../lib/kms/recipient/read_envelope.ts";
import { ProtocolError } from "../../../lib/core/errors.ts";
import { sealEnvelope } from "../../../sim/kms/cms_envelope.ts";
import { readWithPkijs } from "../../lib/kms/recipient/envelopes.ts";
import { isSampled } from "../sampling.ts";
import { expectShortestLengths } from "./ber.ts";
import { dictionary, expect, expectSame, type FuzzTarget, oracle } from "../target.ts";

/**
 * `CiphertextForRecipient`. What is taken, pkijs and asn1js read the same from, to the last byte,
 * and every length in it is in its shortest form.
 */
export const cms: FuzzTarget = {
  name: "cms",
  maxLength: MAX_ENVELOPE_BYTES + 64,
  covers: ["lib/kms/recipient/read_envelope.ts"],
  dictionary: dictionary(
    "0x0000",
    "0x00000000",
    "0x3080",
    "0xa080",
    "0x2480",
    "0x0410",
    "0x040141",
    "0x04024142",
    "0x04810141",
    "0x0482000141",
    "0x04820100",
    "0x048110",
    "0x048180",
    "0x04820010",
    "0x0484000000ff",
    "0x80820100",
    "0x8010",
    "0x06092a864886f70d010703",
    "0x06092a864886f70d010107",
    "0x060960864801650304012a",
    "0x0500",
    "0x020102",
    "0x3182016b",
    "0x8020",
  ),

  seeds() {
    const { publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const spki = publicKey.export({ type: "spki", format: "der" });
    return Promise.resolve(
      [1, 31, 300].flatMap((length) =>
        (["constructed", "definite"] as const).map((shape) =>
          sealEnvelope(new Uint8Array(length), spki, shape)
        )
      ),
    );
  },

  run(input) {
    let envelope: Envelope;
    try {
      envelope = readEnvelope(input);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      expect(error.message === MESSAGE && error.cause === undefined, "the error tells more than it may");
      return error.code;
    }
    const { wrappedKey, iv, ciphertext } = envelope;
    expect(wrappedKey.length === 256 && iv.length === 16, "a field has a wrong length");
    expect(ciphertext.length > 0 && ciphertext.length % 16 === 0, "the content is no number of blocks");
    expect(ciphertext.buffer !== input.buffer, "the content is not a copy");
    expectShortestLengths(input);
    // A hundred times as dear as the reader.
    if (isSampled(input, 32)) {
      expectSame(envelope, oracle("pkijs", () => readWithPkijs(input)), "pkijs");
      expect(fromBER(input).offset === input.length, "asn1js sees something after the end");
    }
    return "ok";
  },
};

const MESSAGE = "Cannot open CiphertextForRecipient: it is not an envelope for this key pair";
