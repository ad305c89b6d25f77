import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { encode, Tag } from "cbor2";
import fc from "fast-check";
import { beforeEach, describe, test } from "#test";
import { MAX_PCR_EXTENSION_BYTES, NsmClient } from "../../../lib/nsm/nsm_client.ts";
import type { NsmTransport } from "../../../lib/nsm/nsm_transport.ts";
import { verifyAttestation } from "../../../lib/attestation/verify.ts";
import { decodeHex, encodeHex } from "../../../lib/core/encoding.ts";
import { AttestationError, DisposedError } from "../../../lib/core/errors.ts";
import { SoftwareNsm } from "../../../sim/nsm/nsm.ts";

class FakeNsm implements NsmTransport {
  readonly requests: string[] = [];
  disposals = 0;
  readonly #answer: Uint8Array;

  constructor(answer: unknown) {
    this.#answer = answer instanceof Uint8Array ? answer : encode(answer);
  }

  exchange(request: Uint8Array): Promise<Uint8Array> {
    this.requests.push(encodeHex(request));
    return Promise.resolve(this.#answer);
  }

  [Symbol.dispose](): void {
    this.disposals++;
  }
}

const REASONS = [
  "InvalidArgument",
  "InvalidIndex",
  "InvalidResponse",
  "ReadOnlyIndex",
  "InvalidOperation",
  "BufferTooSmall",
  "InputTooLarge",
  "InternalError",
] as const;

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

  test("names the error of an NSM that refuses, each with its own hint, and nothing else it says", async () => {
    const hints = new Set<string>();
    for (const reason of [...REASONS, "Success", "a b\u001b"]) {
      const nsmCode = REASONS.find((known) => known === reason);
      await assert.rejects(new NsmClient(new FakeNsm({ Error: reason })).attest({}), (error) => {
        assert.ok(error instanceof AttestationError);
        assert.equal(error.code, "ERR_ATTESTATION_REFUSED");
        assert.equal(error.nsmCode, nsmCode);
        const shown = nsmCode ?? "an unknown error";
        assert.equal(error.message, `Cannot ask the NSM for Attestation: it answered ${shown}`);
        hints.add(error.hint);
        return true;
      });
    }
    assert.equal(hints.size, REASONS.length + 1);
    for (const hint of hints) assert.match(hint, /^[A-Z].{20,}/);
  });

  test("refuses parts that are too long or no bytes, and asks nothing", async () => {
    const nsm = new FakeNsm(DOCUMENT_ANSWER);
    const client = new NsmClient(nsm);
    const limits = { publicKey: 1024, userData: 512, nonce: 512 };
    for (const [part, limit] of Object.entries(limits)) {
      await assert.rejects(client.attest({ [part]: new Uint8Array(limit + 1) }), {
        name: "RangeError",
        message: `${part} must have at most ${limit} bytes`,
      });
      await assert.rejects(client.attest({ [part]: "x" }), new RegExp(`TypeError: ${part} must be`));
    }
    assert.deepEqual(nsm.requests, []);
    const most = Object.entries(limits).map(([part, limit]) => [part, new Uint8Array(limit)]);
    await client.attest(Object.fromEntries(most));
    assert.equal(nsm.requests.length, 1);
  });

  test("passes on what the transport throws", async () => {
    const failure = new AttestationError("UNAVAILABLE", "gone", { hint: "none" });
    const nsm = new FakeNsm({});
    nsm.exchange = () => Promise.reject(failure);
    await assert.rejects(new NsmClient(nsm).attest({}), failure);
  });

  test("passes over members that are not known, whatever they hold: a newer module may send some", async () => {
    const deep = JSON.parse(`${"[".repeat(15)}1${"]".repeat(15)}`);
    for (const more of [1, 1.5, undefined, 2n ** 70n, new Tag(99, "x"), new Map([[1, [2]]]), deep]) {
      const answer = { Attestation: { version: more, document: DOCUMENT } };
      assert.deepEqual(await new NsmClient(new FakeNsm(answer)).attest(), DOCUMENT);
      const random = { GetRandom: { random: DOCUMENT.slice(), more } };
      assert.deepEqual(await new NsmClient(new FakeNsm(random)).getRandom(), DOCUMENT);
    }
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
    ["an error beside a document", { Error: "InternalError", ...DOCUMENT_ANSWER }],
    ["another answer beside a document", { ...DOCUMENT_ANSWER, GetRandom: { random: DOCUMENT } }],
    ["a member that is not known in place of the document", { Attestation: { documents: DOCUMENT } }],
    ["the bare name", "Attestation"],
    ["a document in a list", { Attestation: { document: [1, 2] } }],
    ["a tagged document", { Attestation: { document: new Tag(24, DOCUMENT) } }],
    ["something nested too deeply", { Attestation: { document: [[[1]]] } }],
    [
      "a document that comes twice",
      decodeHex("a16b4174746573746174696f6ea2" + "68646f63756d656e744101".repeat(2)),
    ],
    ["a key that comes twice", decodeHex("a2" + "6141" + "01" + "6141" + "01")],
    ["a tagged map", decodeHex("c1" + "a0")],
    ["an array that claims four gigabytes", decodeHex("9affffffff")],
    ["bytes that claim four gigabytes", decodeHex("5affffffff")],
    ["a break without a start", decodeHex("ff")],
    // cbor2 would make a Map of the one, and a Uint8Array of the other.
    ["an answer tagged as a map", Buffer.concat([decodeHex("d90103"), encode(DOCUMENT_ANSWER)])],
    [
      "a document tagged as bytes",
      decodeHex("a16b4174746573746174696f6ea168646f63756d656e74" + "d840" + "4484010203"),
    ],
  ];
  for (const [name, answer] of malformed) {
    test(`refuses ${name}`, async () => {
      await assert.rejects(new NsmClient(new FakeNsm(answer)).attest({}), {
        name: "AttestationError",
        code: "ERR_ATTESTATION_ANSWER",
        message: "Cannot read the NSM's answer: it is not the expected CBOR",
        hint: "Is something other than a Nitro Secure Module answering?",
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

/** Every other operation: how it is asked for, in hex, and one good answer. */
const OPERATIONS = {
  describePcr: {
    call: (nsm) => nsm.describePcr(31),
    request: "a1" + "6b" + hexOf("DescribePCR") + "a1" + "65" + hexOf("index") + "181f",
    answer: { DescribePCR: { lock: true, data: new Uint8Array(48) } },
    result: { value: new Uint8Array(48), locked: true },
  },
  extendPcr: {
    call: (nsm) => nsm.extendPcr(16, Buffer.from([1, 2])),
    request: "a1" + "69" + hexOf("ExtendPCR") + "a2" + "65" + hexOf("index") + "10" + "64" + hexOf("data") +
      "420102",
    answer: { ExtendPCR: { data: new Uint8Array(48).fill(3) } },
    result: new Uint8Array(48).fill(3),
  },
  lockPcr: {
    call: (nsm) => nsm.lockPcr(0),
    request: "a1" + "67" + hexOf("LockPCR") + "a1" + "65" + hexOf("index") + "00",
    answer: "LockPCR",
    result: undefined,
  },
  lockPcrs: {
    call: (nsm) => nsm.lockPcrs(32),
    request: "a1" + "68" + hexOf("LockPCRs") + "a1" + "65" + hexOf("range") + "1820",
    answer: "LockPCRs",
    result: undefined,
  },
  describeNsm: {
    call: (nsm) => nsm.describeNsm(),
    request: "6b" + hexOf("DescribeNSM"),
    answer: {
      DescribeNSM: {
        version_major: 1,
        version_minor: 2,
        version_patch: 65_535,
        module_id: "i-0-enc0",
        max_pcrs: 32,
        locked_pcrs: [15, 0, 1],
        digest: "SHA384",
      },
    },
    result: {
      moduleId: "i-0-enc0",
      version: { major: 1, minor: 2, patch: 65_535 },
      maxPcrs: 32,
      lockedPcrs: [0, 1, 15],
      digest: "SHA384",
    },
  },
  getRandom: {
    call: (nsm) => nsm.getRandom(),
    request: "69" + hexOf("GetRandom"),
    answer: { GetRandom: { random: new Uint8Array(256).fill(5) } },
    result: new Uint8Array(256).fill(5),
  },
} as const satisfies Record<
  string,
  { call: (nsm: NsmClient) => Promise<unknown>; request: string; answer: unknown; result: unknown }
>;

describe("NsmClient", () => {
  test("getRandom() leaves zeros in what the module answered", async () => {
    const answer = encode(OPERATIONS.getRandom.answer);
    const random = await new NsmClient(new FakeNsm(answer)).getRandom();
    assert.deepEqual(random, OPERATIONS.getRandom.result);
    assert.equal(answer.includes(5), false);
  });

  for (const [name, { call, request, answer, result }] of Object.entries(OPERATIONS)) {
    test(`${name}() asks as the nsm-api crate does, and reads the answer`, async () => {
      const nsm = new FakeNsm(answer);
      assert.deepEqual(await call(new NsmClient(nsm)), result);
      assert.deepEqual(nsm.requests, [request]);
    });

    test(`${name}() refuses answers that differ in anything`, async () => {
      for (const wrong of spoilt(answer)) {
        await assert.rejects(
          call(new NsmClient(new FakeNsm(wrong))),
          { code: "ERR_ATTESTATION_ANSWER" },
          JSON.stringify(wrong),
        );
      }
    });

    test(`${name}() says why the module refuses`, async () => {
      const refusing = new NsmClient(new FakeNsm({ Error: "ReadOnlyIndex" }));
      await assert.rejects(call(refusing), { code: "ERR_ATTESTATION_REFUSED", nsmCode: "ReadOnlyIndex" });
    });
  }

  test("refuses a number that is written as a float, though it is whole", async () => {
    const answer = encodeHex(encode(OPERATIONS.describeNsm.answer));
    const name = hexOf("version_minor");
    assert.ok(answer.includes(`${name}02`));
    const float = new FakeNsm(decodeHex(answer.replace(`${name}02`, `${name}f94000`)));
    await assert.rejects(new NsmClient(float).describeNsm(), { code: "ERR_ATTESTATION_ANSWER" });
  });

  test("refuses indexes, ranges and data that no module takes, and asks nothing", async () => {
    const nsm = new FakeNsm({});
    const client = new NsmClient(nsm);
    for (const index of [-1, 32, 1.5, NaN, 65_536]) {
      await assert.rejects(client.describePcr(index), /^RangeError: index must be/);
      await assert.rejects(client.extendPcr(index, DOCUMENT), RangeError);
      await assert.rejects(client.lockPcr(index), RangeError);
    }
    for (const range of [-1, 0, 33, 1.5, NaN]) {
      await assert.rejects(client.lockPcrs(range), /^RangeError: range must be/);
    }
    await assert.rejects(client.lockPcr("1" as unknown as number), TypeError);
    await assert.rejects(client.extendPcr(16, new Uint8Array()), /^RangeError: data must not be empty$/);
    const tooLong = new Uint8Array(MAX_PCR_EXTENSION_BYTES + 1);
    await assert.rejects(client.extendPcr(16, tooLong), /^RangeError: data must have at most 4068 bytes$/);
    await assert.rejects(client.extendPcr(16, "x" as unknown as Uint8Array), /^TypeError: data must be/);
    assert.deepEqual(nsm.requests, []);
  });

  test("sends no request that is longer than a module takes", async () => {
    const nsm = new FakeNsm(OPERATIONS.extendPcr.answer);
    await new NsmClient(nsm).extendPcr(31, new Uint8Array(MAX_PCR_EXTENSION_BYTES));
    assert.equal(nsm.requests[0]?.length, 2 * 4096);
  });

  test("disposes what it opened, and not what it was given", async () => {
    const nsm = new FakeNsm(DOCUMENT_ANSWER);
    const client = new NsmClient(nsm);
    client[Symbol.dispose]();
    client[Symbol.dispose]();
    assert.equal(nsm.disposals, 0);
    await assert.rejects(
      client.attest(),
      (error) => error instanceof DisposedError && /NsmClient/.test(error.message),
    );
    assert.throws(() => NsmClient.open("/dev/no-such-nsm"), { code: "ERR_ATTESTATION_UNAVAILABLE" });
  });
});

describe("NsmClient with the software NSM", () => {
  let software: SoftwareNsm;
  let nsm: NsmClient;

  beforeEach(async () => {
    software = await SoftwareNsm.create();
    nsm = new NsmClient(software);
  });

  test("describes the module as it is", async () => {
    const { moduleId, maxPcrs, lockedPcrs, digest } = await nsm.describeNsm();
    assert.deepEqual([moduleId, maxPcrs, digest], [software.moduleId, 32, "SHA384"]);
    assert.deepEqual(lockedPcrs, Array.from({ length: 16 }, (_, index) => index));
  });

  test("extends a register by SHA-384, and locks it into the documents", async () => {
    const data = new TextEncoder().encode("configuration");
    const extended = await nsm.extendPcr(16, data);
    const expected = createHash("sha384").update(new Uint8Array(48)).update(data).digest();
    assert.deepEqual(Buffer.from(extended), expected);
    assert.deepEqual(await nsm.describePcr(16), { value: extended, locked: false });
    await nsm.lockPcr(16);
    assert.deepEqual(await nsm.describePcr(16), { value: extended, locked: true });
    const options = { root: software.root, pcrs: { 16: extended } };
    await verifyAttestation(await nsm.attest(), options);
    for (const refused of [nsm.extendPcr(16, data), nsm.lockPcr(16), nsm.extendPcr(0, data)]) {
      await assert.rejects(refused, { nsmCode: "ReadOnlyIndex" });
    }
  });

  test("locks the registers below a number", async () => {
    await nsm.lockPcrs(20);
    const { lockedPcrs } = await nsm.describeNsm();
    assert.deepEqual(lockedPcrs, Array.from({ length: 20 }, (_, index) => index));
    assert.equal((await nsm.describePcr(20)).locked, false);
  });

  test("draws 256 random bytes, others each time", async () => {
    const [first, second] = [await nsm.getRandom(), await nsm.getRandom()];
    assert.equal(first.length, 256);
    assert.notDeepEqual(first, second);
  });

  test("attests to the largest parts a document holds", async () => {
    const request = {
      publicKey: new Uint8Array(1024).fill(1),
      userData: new Uint8Array(512).fill(2),
      nonce: new Uint8Array(512).fill(3),
    };
    await verifyAttestation(await nsm.attest(request), { root: software.root, ...request });
  });
});

/** The good answer with one thing wrong, in every place. */
function spoilt(answer: unknown): unknown[] {
  const everywhere = ["", 7, null, [], {}, "Success", { Success: {} }, ["GetRandom"]];
  if (typeof answer === "string") return [...everywhere, { [answer]: {} }, { [answer]: null }, `${answer}s`];
  const [[name = "", members] = []] = Object.entries(answer as Record<string, Record<string, unknown>>);
  const wrong: unknown[] = [...everywhere, name, { [name]: {} }, { [name]: Object.entries(members ?? {}) }];
  wrong.push({ [name]: members, more: 1 }, encode(answer).slice(0, -1));
  for (const [member, value] of Object.entries(members ?? {})) {
    const { [member]: _, ...others } = members ?? {};
    wrong.push({ [name]: others }, { [name]: { ...others, [`${member}s`]: value } });
    for (const other of [null, -1, 1.5, 65_536, "", [], new Uint8Array(), [-1], [1, 1], ["x"], {}]) {
      // An empty list of locked registers is none of the mistakes.
      if (Array.isArray(value) && Array.isArray(other) && other.length === 0) continue;
      wrong.push({ [name]: { ...others, [member]: other } });
    }
  }
  return wrong;
}

function hexOf(text: string): string {
  return Buffer.from(text).toString("hex");
}
