import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { encode } from "cbor2";
import fc from "fast-check";
import { describe, test } from "#test";
import { NsmClient } from "../../../lib/attestation/nsm_client.ts";
import type { NsmTransport } from "../../../lib/attestation/nsm_transport.ts";
import { decodeHex, encodeHex } from "../../../lib/encoding.ts";
import { AttestationError } from "../../../lib/errors.ts";

class FakeNsm implements NsmTransport {
  readonly requests: string[] = [];
  readonly #answer: Uint8Array;

  constructor(answer: unknown) {
    this.#answer = answer instanceof Uint8Array ? answer : encode(answer);
  }

  exchange(request: Uint8Array): Promise<Uint8Array> {
    this.requests.push(encodeHex(request));
    return Promise.resolve(this.#answer);
  }

  [Symbol.dispose](): void {}
}

const DOCUMENT = new Uint8Array([0x84, 1, 2, 3]);
const DOCUMENT_ANSWER = { Attestation: { document: DOCUMENT } };

// {"Attestation": {"user_data": …, "nonce": …, "public_key": …}}, as the nsm-api crate writes it.
const REQUEST = {
  head: "a16b4174746573746174696f6ea369757365725f64617461",
  nonce: "656e6f6e6365",
  publicKey: "6a7075626c69635f6b6579",
};

describe("NsmClient.attest()", () => {
  test("writes null for what is absent", async () => {
    const nsm = new FakeNsm(DOCUMENT_ANSWER);
    await new NsmClient(nsm).attest({});
    assert.deepEqual(nsm.requests, [`${REQUEST.head}f6${REQUEST.nonce}f6${REQUEST.publicKey}f6`]);
  });

  test("writes byte strings, also for Buffers and empty ones", async () => {
    const nsm = new FakeNsm(DOCUMENT_ANSWER);
    const request = {
      publicKey: Buffer.from([1, 2]),
      userData: new Uint8Array(),
      nonce: new Uint8Array([9]),
    };
    await new NsmClient(nsm).attest(request);
    assert.deepEqual(nsm.requests, [`${REQUEST.head}40${REQUEST.nonce}4109${REQUEST.publicKey}420102`]);
  });

  test("returns the document", async () => {
    assert.deepEqual(await new NsmClient(new FakeNsm(DOCUMENT_ANSWER)).attest({}), DOCUMENT);
  });

  test("names the error of an NSM that refuses, and nothing else it says", async () => {
    for (
      const [reason, shown] of [["InvalidOperation", "InvalidOperation"], ["a b\u001b", "an unknown error"]]
    ) {
      await assert.rejects(new NsmClient(new FakeNsm({ Error: reason })).attest({}), {
        name: "AttestationError",
        code: "ERR_ATTESTATION_REFUSED",
        message: `Cannot ask the NSM for Attestation: it answered ${shown}`,
      });
    }
  });

  test("passes on what the transport throws", async () => {
    const failure = new AttestationError("UNAVAILABLE", "gone", { hint: "none" });
    const nsm = new FakeNsm({});
    nsm.exchange = () => Promise.reject(failure);
    await assert.rejects(new NsmClient(nsm).attest({}), failure);
  });

  const malformed: readonly (readonly [name: string, answer: unknown])[] = [
    ["nothing", new Uint8Array()],
    ["half of it", encode(DOCUMENT_ANSWER).subarray(0, 12)],
    ["something after the end", Buffer.concat([encode(DOCUMENT_ANSWER), new Uint8Array(1)])],
    ["a number", 7],
    ["null", null],
    ["a list", [DOCUMENT_ANSWER]],
    ["another operation's answer", { GetRandom: { random: DOCUMENT } }],
    ["a bare document", DOCUMENT],
    ["a document in text", { Attestation: { document: "hEA=" } }],
    ["an empty document", { Attestation: { document: new Uint8Array() } }],
    ["no document", { Attestation: {} }],
    ["null for an answer", { Attestation: null }],
    ["a number for an error", { Error: 7 }],
    ["a key that comes twice", decodeHex("a2" + "6141" + "01" + "6141" + "01")],
    ["a tagged map", decodeHex("c1" + "a0")],
    ["an array that claims four gigabytes", decodeHex("9affffffff")],
    ["bytes that claim four gigabytes", decodeHex("5affffffff")],
    ["a break without a start", decodeHex("ff")],
  ];
  for (const [name, answer] of malformed) {
    test(`refuses ${name}`, async () => {
      await assert.rejects(new NsmClient(new FakeNsm(answer)).attest({}), {
        name: "AttestationError",
        code: "ERR_ATTESTATION_ANSWER",
      });
    });
  }

  test("fails in no other way, whatever is answered", async () => {
    const mangled = fc.tuple(fc.nat(30), fc.uint8Array({ maxLength: 8 }), fc.nat(8)).map(
      ([at, added, removed]) => {
        const good = encode(DOCUMENT_ANSWER);
        return Buffer.concat([good.subarray(0, at), added, good.subarray(at + removed)]);
      },
    );
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.uint8Array({ maxLength: 40 }), mangled), async (answer) => {
        try {
          assert.ok((await new NsmClient(new FakeNsm(answer)).attest({})).length > 0);
        } catch (error) {
          assert.ok(error instanceof AttestationError, String(error));
        }
      }),
      { numRuns: 1000 },
    );
  });
});
