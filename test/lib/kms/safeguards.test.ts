/**
 * Options that narrow what is accepted take effect: each is tried with and without. An option that would read
 * as nothing is refused.
 *
 * @module
 */
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "#test";
import { type KmsClientOptions, kmsDecrypt } from "../../../mod.ts";
import {
  decodeAttestationDocument,
  sealTo,
  SessionKey,
  verifyAttestation,
  type VerifyAttestationOptions,
} from "../../../lib/attestation/mod.ts";
import { decryptFile, decryptStream, encryptFile, encryptStream } from "../../../lib/envelope/mod.ts";
import { NsmClient } from "../../../lib/nsm/mod.ts";
import { checkOptions } from "../../../lib/kms/kms_options.ts";
import { DECRYPT } from "../../../lib/kms/operations/decrypt.ts";
import { ENCRYPT } from "../../../lib/kms/operations/encrypt.ts";
import { GENERATE_DATA_KEY } from "../../../lib/kms/operations/generate_data_key.ts";
import { GENERATE_DATA_KEY_PAIR } from "../../../lib/kms/operations/generate_data_key_pair.ts";
import { cedarPolicy, cedarSchema, loadPolicyFile, makeFacts, RateCounter } from "../../../lib/policy/mod.ts";
import { SoftwareNsm } from "../../../sim/mod.ts";
import { fromOtherRealm, NO_RECORDS } from "../../support/records.ts";
import { facts } from "../policy/cedar/requests.ts";

const KEY_ARN = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const BYTES = new Uint8Array(1);

/** A client that nothing here may reach. */
const NO_CLIENT = {
  decrypt: () => Promise.reject(new Error("asked")),
  generateDataKey: () => Promise.reject(new Error("asked")),
};

/** Everything that takes a record of texts, and the field that its refusal names. */
const RECORD_TAKERS: readonly (readonly [name: string, field: RegExp, take: (record: never) => unknown])[] = [
  [
    "decrypt",
    /^encryptionContext /,
    (encryptionContext) => DECRYPT.check({ ciphertext: BYTES, encryptionContext }),
  ],
  [
    "encrypt",
    /^encryptionContext /,
    (encryptionContext) => ENCRYPT.check({ plaintext: BYTES, keyId: KEY_ARN, encryptionContext }),
  ],
  [
    "generateDataKey",
    /^encryptionContext /,
    (encryptionContext) => GENERATE_DATA_KEY.check({ keyId: KEY_ARN, encryptionContext }),
  ],
  [
    "generateDataKeyPair",
    /^encryptionContext /,
    (encryptionContext) =>
      GENERATE_DATA_KEY_PAIR.check({ keyId: KEY_ARN, keyPairSpec: "ECC_NIST_P256", encryptionContext }),
  ],
  [
    "encryptStream",
    /^encryptionContext /,
    (encryptionContext) => encryptStream(NO_CLIENT, { keyId: KEY_ARN, encryptionContext }),
  ],
  [
    "decryptStream",
    /^encryptionContext /,
    (encryptionContext) => decryptStream(NO_CLIENT, { keyId: KEY_ARN, encryptionContext }),
  ],
  ["makeFacts: context", /^encryptionContext /, (encryptionContext) => facts({ encryptionContext })],
  ["makeFacts: attributes", /^attributes /, (attributes) => facts({ caller: { cid: 7, attributes } })],
  ["makeFacts: caller", /^The caller /, (caller) => facts({ caller })],
  ["makeFacts", /^The parts of the facts /, (parts) => makeFacts(parts)],
  ["cedarSchema", /^The schema parts /, (parts) => cedarSchema(parts)],
  [
    "cedarSchema: attributes",
    /^attributes /,
    (attributes) => cedarSchema({ actions: ["Decrypt"], attributes }),
  ],
  [
    "cedarPolicy",
    /^The Cedar options /,
    (options) => cedarPolicy("permit(principal, action, resource);", options),
  ],
  ["loadPolicyFile", /^The policy file options /, (options) => loadPolicyFile("a.cedar", options)],
  [
    "loadPolicyFile: cedar",
    /^The Cedar options /,
    (cedar) => loadPolicyFile("a.cedar", { actions: ["Decrypt"], cedar }),
  ],
  [
    "loadPolicyFile: plugin",
    /^The plug-in options /,
    (plugin) => loadPolicyFile("a.wasm", { actions: ["Decrypt"], plugin }),
  ],
  ["RateCounter", /^The rate options /, (options) => new RateCounter(options)],
];

describe("a record of texts", () => {
  for (const [name, field, take] of RECORD_TAKERS) {
    test(`is one in ${name}, or is refused by its name`, () => {
      for (const [what, value] of NO_RECORDS) {
        assert.throws(() => take(value as never), { name: "TypeError", message: field }, what);
      }
    });
  }

  test("may come from another realm, and have no prototype", () => {
    for (const record of [{ __proto__: null, tenant: "a" }, fromOtherRealm('({ tenant: "a" })')]) {
      const encryptionContext = record as Record<string, string>;
      const checked = DECRYPT.check({ ciphertext: BYTES, encryptionContext });
      assert.deepEqual(checked.encryptionContext, { tenant: "a" });
      assert.deepEqual(facts({ encryptionContext }).context.encryptionContext, { tenant: "a" });
    }
  });

  test("that is only sent to KMS may be empty, and means none", () => {
    assert.equal(
      ENCRYPT.check({ plaintext: BYTES, keyId: KEY_ARN, encryptionContext: {} }).encryptionContext,
      undefined,
    );
    assert.ok(encryptStream(NO_CLIENT, { keyId: KEY_ARN, encryptionContext: {} }));
  });

  test("that a policy is to see is never lost on the way", () => {
    const text = `permit(principal, action, resource)
      unless { context.encryptionContext.hasTag("tenant") };`;
    const policy = cedarPolicy(text, { actions: ["Decrypt"] });
    assert.equal(policy.decide(facts({ encryptionContext: {} })).allowed, true);
    assert.equal(policy.decide(facts({ encryptionContext: { tenant: "a" } })).allowed, false);
    for (const encryptionContext of [new Map([["tenant", "a"]]), new Headers({ tenant: "a" })]) {
      assert.throws(() => facts({ encryptionContext: encryptionContext as never }), TypeError);
    }
  });
});

describe("makeFacts()", () => {
  test("names what is missing", () => {
    const whole: Record<string, unknown> = {
      action: "Decrypt",
      caller: { cid: 7, attributes: {} },
      region: "eu-central-1",
      time: 1,
      recentCount: 1,
    };
    makeFacts(whole as never);
    for (const field of Object.keys(whole)) {
      const { [field]: _, ...rest } = whole;
      assert.throws(() => makeFacts(rest as never), {
        name: "TypeError",
        message: new RegExp(`\\b${field} must `),
      });
    }
    assert.throws(
      () => makeFacts(undefined as never),
      /^TypeError: The parts of the facts must be a plain object$/,
    );
    for (const field of ["keyId", "encryptionContext", "pcrs", "ciphertext"]) {
      assert.throws(() => makeFacts({ ...whole, [field]: null } as never), TypeError, field);
    }
    assert.throws(() => makeFacts({ ...whole, keyID: "k" } as never), /have no field `keyID`/);
    const caller = { cid: 7, attributes: {}, atributes: { tenant: "a" } };
    assert.throws(() => makeFacts({ ...whole, caller } as never), /The caller has no field `atributes`/);
  });

  test("reads the Map of a document's registers, and not once for all", () => {
    const pcrs = Object.freeze(new Map([[0, new Uint8Array(48).fill(0xab)]]));
    assert.deepEqual(facts({ pcrs }).context.pcrs, { pcr0: "ab".repeat(48) });
    (pcrs as Map<number, Uint8Array>).set(0, new Uint8Array(48));
    assert.deepEqual(facts({ pcrs }).context.pcrs, { pcr0: "00".repeat(48) });
  });
});

describe("what a document is expected to say", () => {
  let nsm: SoftwareNsm;
  let other: SoftwareNsm;
  let document: Uint8Array<ArrayBuffer>;
  let root: Uint8Array;

  beforeAll(async () => {
    [nsm, other] = await Promise.all([SoftwareNsm.create(), SoftwareNsm.create()]);
    document = await nsm.attest({ nonce: BYTES });
    root = nsm.root;
  });
  afterAll(() => {
    nsm[Symbol.dispose]();
    other[Symbol.dispose]();
  });

  const verify = (options: object) =>
    verifyAttestation(document, { root, ...options } as VerifyAttestationOptions);

  test("is what the Map of another document says", async () => {
    await verify({ pcrs: decodeAttestationDocument(document).pcrs });
    const { pcrs } = decodeAttestationDocument(await other.attest());
    await assert.rejects(verify({ pcrs }), { code: "ERR_ATTESTATION_PCR" });
    const foreign = fromOtherRealm(`new Map([[0, "${other.pcr(0)}"]])`);
    await assert.rejects(verify({ pcrs: foreign }), { code: "ERR_ATTESTATION_PCR" });
    await verify({});
  });

  test("is what a subclass of Map holds, whatever it says it holds", async () => {
    class Lying extends Map<number, string> {
      override entries(): MapIterator<[number, string]> {
        return new Map<number, string>().entries();
      }
      override [Symbol.iterator](): MapIterator<[number, string]> {
        return this.entries();
      }
    }
    await assert.rejects(verify({ pcrs: new Lying([[0, other.pcr(0)]]) }), { code: "ERR_ATTESTATION_PCR" });
  });

  test("is refused when it is empty, or of a shape that would read as empty", async () => {
    const shapes = NO_RECORDS.filter(([, value]) => !isMap(value));
    for (const [name, pcrs] of shapes) {
      await assert.rejects(verify({ pcrs }), { name: "TypeError", message: /^pcrs must / }, name);
    }
    for (const pcrs of [{}, new Map(), { __proto__: null }]) {
      await assert.rejects(verify({ pcrs }), /^TypeError: pcrs must name a register/);
    }
    for (
      const pcrs of [new Map([["tenant", "a"]]), new Map([[0.5, nsm.pcr(0)]]), new Map([[{}, nsm.pcr(0)]])]
    ) {
      await assert.rejects(verify({ pcrs }), /^TypeError: pcrs must have no index that is not 0 to 31/);
    }
    for (const field of ["nonce", "userData", "publicKey", "root"]) {
      await assert.rejects(verify({ [field]: new Uint8Array() }), {
        name: "RangeError",
        message: new RegExp(`^${field} `),
      });
      await assert.rejects(verify({ [field]: null }), {
        name: "TypeError",
        message: new RegExp(`^${field} `),
      });
    }
  });

  test("is refused when its name is misspelt", async () => {
    const misspelt = [
      ...[{ pcr: { 0: other.pcr(0) } }, { PCRs: { 0: other.pcr(0) } }, { maxAge: 1 }, { maxAgeMS: 1 }],
      ...[{ none: BYTES }, { userdata: BYTES }, { context: BYTES }, { allowdebug: false }],
    ];
    const pcrs = { 0: nsm.pcr(0) };
    for (const options of misspelt) {
      await assert.rejects(verify(options), /^TypeError: The options of verifyAttestation have no field /);
      if ("context" in options) continue;
      await assert.rejects(
        sealTo(document, BYTES, { root, pcrs, ...options } as never),
        /^TypeError: The options of verifyAttestation have no field /,
      );
    }
    await assert.rejects(nsm.attest({ nonse: BYTES } as never), /has no field `nonse`/);
    await assert.rejects(nsm.attest(new Map([["nonce", BYTES]]) as never), /must be a plain object/);
    // The limits of the kind that a file is not, too: the next file may be of that kind.
    for (const options of [{ cedar: { feul: 1 } }, { plugin: { feul: 1 } }, { cedar: { name: "a" } }]) {
      for (const path of ["examples/policies/tenants.cedar", "a.wasm"]) {
        assert.throws(() => loadPolicyFile(path, options as never), /options have no field `(?:feul|name)`/);
      }
    }
    await assert.rejects(SessionKey.create(nsm, { nonse: BYTES } as never), /have no field `nonse`/);
    await assert.rejects(
      new NsmClient(nsm).attest({ user_data: BYTES } as never),
      /has no field `user_data`/,
    );
  });

  test("is refused when it lies where it would not be read", async () => {
    const pcrs = { 0: other.pcr(0) };
    for (const options of [Object.create({ pcrs }), new Map([["pcrs", pcrs]]), { [Symbol("pcrs")]: pcrs }]) {
      await assert.rejects(verifyAttestation(document, options as VerifyAttestationOptions), TypeError);
      await assert.rejects(sealTo(document, BYTES, options as never), TypeError);
    }
    const keyId = KEY_ARN;
    const file = Object.create({ from: "a", to: "b", keyId }) as never;
    await assert.rejects(decryptFile(NO_CLIENT, file), /^TypeError: The options must be a plain object/);
    await assert.rejects(encryptFile(NO_CLIENT, file), /^TypeError: The options must be a plain object/);
    await assert.rejects(kmsDecrypt(file), /^TypeError: The options must be a plain object/);
  });

  test("is not what somebody put on Object.prototype", async () => {
    using _fault = nsm.injectFault({ kind: "debug" });
    const debug = await nsm.attest();
    await verifyAttestation(debug, { root, allowDebug: true });
    const work = polluted("allowDebug", true, () => verifyAttestation(debug, { root }));
    await assert.rejects(work, { code: "ERR_ATTESTATION_DEBUG" });
  });

  test("is read once", async () => {
    let reads = 0;
    const pcrs = { 0: nsm.pcr(0) };
    await assert.rejects(
      verifyAttestation(document, {
        root,
        get pcrs() {
          return ++reads === 1 ? { 0: other.pcr(0) } : pcrs;
        },
      }),
      { code: "ERR_ATTESTATION_PCR" },
    );
    assert.equal(reads, 1);
  });
});

describe("what a client trusts", () => {
  test("is not anything because it was given as nothing", () => {
    const options = { region: "eu-central-1", credentials: { accessKeyId: "a", secretAccessKey: "b" } };
    checkOptions(options);
    const wrong: Readonly<Record<string, readonly unknown[]>> = {
      trustedCertificates: ["", [], null, new Set(), new Map(), [""], {}],
      hostName: ["", null, [], {}],
      endpoint: [null, "", {}, new Map([["transport", "tcp"]]), []],
      library: ["", null, []],
      region: ["", null, undefined],
      engine: ["", null, ["direct"]],
    };
    for (const [field, values] of Object.entries(wrong)) {
      for (const value of values) {
        const given = { ...options, [field]: value } as unknown as KmsClientOptions;
        assert.throws(() => checkOptions(given), /^(?:TypeError|RangeError): /, `${field}: ${String(value)}`);
      }
    }
  });

  test("is the key that was named, and no key for an empty name", () => {
    for (const keyId of ["", null, [KEY_ARN], {}]) {
      assert.throws(() => DECRYPT.check({ ciphertext: BYTES, keyId: keyId as string }), /keyId must /);
    }
  });
});

describe("what a message is expected to have", () => {
  test("is a pair at least", () => {
    for (const encryptionContext of [{}, { __proto__: null }]) {
      const options = { keyId: KEY_ARN, encryptionContext: encryptionContext as Record<string, string> };
      assert.throws(
        () => decryptStream(NO_CLIENT, options),
        /^TypeError: encryptionContext must have at least one pair/,
      );
    }
    for (const keyId of ["", undefined, null, "alias/a", [KEY_ARN]]) {
      assert.throws(() => decryptStream(NO_CLIENT, { keyId: keyId as string }), /^TypeError: keyId must be /);
    }
  });
});

function isMap(value: unknown): boolean {
  return Object.prototype.toString.call(value) === "[object Map]" && !(value instanceof Promise);
}

/** Calls with a property on every object; what is called must have read its options when it returns. */
function polluted<T>(name: string, value: unknown, call: () => T): T {
  Object.defineProperty(Object.prototype, name, { value, configurable: true });
  try {
    return call();
  } finally {
    Reflect.deleteProperty(Object.prototype, name);
  }
}
