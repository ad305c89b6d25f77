import assert from "node:assert/strict";
import { describe } from "#test";
import { encodeBase64 } from "../../../../lib/core/encoding.ts";
import type { SimulatedKey } from "../../../../sim/kms/keys/simulated_key.ts";
import {
  ALLOW_ALL_KEY_POLICY,
  attestedKeyPolicy,
  type KeyPolicy,
} from "../../../../sim/kms/policy/key_policy.ts";
import { matchesAction, matchesResource } from "../../../../sim/kms/policy/match.ts";
import { SoftwareNsm } from "../../../../sim/nsm/nsm.ts";
import { startSimulator } from "../../../../sim/simulator.ts";
import type { Reply } from "../caller.ts";
import { assertRefused, KmsFixture, recipient, recipientKeys } from "../kms_fixture.ts";
import { divideTests } from "../../../support/share.ts";

const test = divideTests("Deno");

const kms = KmsFixture.use();

const { publicKey } = recipientKeys();

/** The condition keys that all operations on a symmetric key have */
const SYMMETRIC = { "kms:EncryptionAlgorithm": "SYMMETRIC_DEFAULT", "kms:EncryptionContext:tenant": "a" };

const CONDITION_KEYS = [
  "kms:EncryptionAlgorithm",
  "kms:EncryptionContext:tenant",
  "kms:DataKeyPairSpec",
  "kms:KeyAgreementAlgorithm",
  "kms:MacAlgorithm",
  "kms:SigningAlgorithm",
  "kms:MessageType",
] as const;

describe("key policies", () => {
  async function attempt(policy: SimulatedKey["policy"], attested = true): Promise<Reply> {
    const { arn } = kms.key;
    const before = kms.key.policy;
    kms.key.policy = policy;
    const reply = await kms.decrypt(
      attested ? { KeyId: arn, Recipient: await recipient(kms.enclave.nsm, publicKey) } : { KeyId: arn },
    );
    kms.key.policy = before;
    return reply;
  }

  const conditions = (operator: string, name: string, value: string | boolean | string[]) => ({
    Statement: [{
      Effect: "Allow",
      Action: "kms:Decrypt",
      Condition: { [operator]: { [name]: value } },
    }] as const,
  });

  test("allow the enclave that was measured, by PCR and by image", async () => {
    const pcr0 = kms.enclave.nsm.pcr(0);
    assert.equal((await attempt(attestedKeyPolicy({ 0: pcr0, 4: kms.enclave.nsm.pcr(4) }))).status, 200);
    for (const name of ["kms:RecipientAttestation:ImageSha384", "kms:RecipientAttestation:PCR0"]) {
      assert.equal(
        (await attempt(conditions("StringEqualsIgnoreCase", name, pcr0.toUpperCase()))).status,
        200,
      );
      assert.equal((await attempt(conditions("StringEquals", name, ["00", pcr0]))).status, 200);
    }
  });

  test("deny another measurement, a missing document, and everything they do not allow", async () => {
    const denied = [
      await attempt(attestedKeyPolicy({ 0: kms.enclave.nsm.pcr(1) })),
      await attempt(attestedKeyPolicy({ 0: kms.enclave.nsm.pcr(0) }), false),
      await attempt(
        conditions("StringEquals", "kms:RecipientAttestation:PCR0", kms.enclave.nsm.pcr(0).toUpperCase()),
      ),
      await attempt(conditions("StringEquals", "kms:RecipientAttestation:PCR16", "00".repeat(48))),
      await attempt({ Statement: [] }),
      await attempt({ Statement: [{ Effect: "Allow", Action: "kms:Encrypt" }] }),
    ];
    for (const reply of denied) {
      assertRefused(reply, "AccessDeniedException", /not authorized to perform: kms:Decrypt/);
    }
    assert.ok(denied.every(({ members }) => "Message" in members), "with a capital letter, as IAM writes it");
  });

  test("deny an enclave in debug mode", async () => {
    using _fault = kms.enclave.nsm.injectFault({ kind: "debug" });
    assertRefused(await attempt(attestedKeyPolicy({ 0: kms.enclave.nsm.pcr(0) })), "AccessDeniedException");
  });

  test("a denial wins over a permission", async () => {
    const everyone = { Effect: "Allow", Action: "kms:*" } as const;
    const unattested = { Null: { "kms:RecipientAttestation:ImageSha384": "true" } };
    const policy = {
      Statement: [everyone, { Effect: "Deny", Action: ["kms:Decrypt"], Condition: unattested }],
    } as const;
    assert.equal((await attempt(policy)).status, 200);
    assertRefused(await attempt(policy, false), "AccessDeniedException", /explicit deny/);
  });

  test("look at the encryption context", async () => {
    const policy = (tenant: string) => conditions("StringEquals", "kms:EncryptionContext:tenant", tenant);
    assert.equal((await attempt(policy("a"))).status, 200);
    assertRefused(await attempt(policy("b")), "AccessDeniedException");
  });

  test("refuse to judge by a name that the encryption context has in two cases", async () => {
    const { arn } = kms.key;
    const twice = { EncryptionContext: { Tenant: "b", tenant: "a" } };
    const { members: { CiphertextBlob } } = await kms.call("Encrypt", {
      KeyId: arn,
      Plaintext: "AAAA",
      ...twice,
    });
    const decrypt = async (policy: KeyPolicy) => {
      kms.key.policy = policy;
      const reply = await kms.call("Decrypt", { CiphertextBlob, ...twice });
      kms.key.policy = ALLOW_ALL_KEY_POLICY;
      return reply;
    };
    const about = (Effect: "Allow" | "Deny", name: string, value: string) =>
      ({ Effect, Action: "kms:Decrypt", Condition: { StringEquals: { [name]: value } } }) as const;
    const all = { Effect: "Allow", Action: "kms:*" } as const;
    for (const value of ["a", "b", "c"]) {
      for (
        const Statement of [
          [about("Allow", "kms:EncryptionContext:tenant", value)],
          [all, about("Deny", "kms:EncryptionContext:TENANT", value)],
        ]
      ) {
        assertRefused(await decrypt({ Statement }), "ValidationException", /names that differ only in case/);
      }
    }
    assert.equal((await decrypt({ Statement: [all] })).status, 200);
    assert.equal(
      (await decrypt({ Statement: [about("Allow", "kms:EncryptionAlgorithm", "SYMMETRIC_DEFAULT")] })).status,
      200,
    );
  });

  test("of every operation look at what AWS documents for it", async () => {
    const agreement = await kms.enclave.createKey({ spec: "ECC_NIST_P256" });
    const PublicKey = encodeBase64(agreement.publicKey ?? new Uint8Array());
    const mac = await kms.enclave.createKey({ spec: "HMAC_256" });
    const signing = await kms.enclave.createKey({ spec: "ECC_NIST_P256", usage: "SIGN_VERIFY" });
    const context = { EncryptionContext: { tenant: "a" } };
    const cases:
      readonly (readonly [string, SimulatedKey, Record<string, unknown>, Record<string, string>])[] = [
        ["Encrypt", kms.key, { Plaintext: "AAAA", ...context }, SYMMETRIC],
        ["Decrypt", kms.key, { CiphertextBlob: kms.ciphertext, ...context }, SYMMETRIC],
        ["GenerateDataKey", kms.key, { NumberOfBytes: 1, ...context }, SYMMETRIC],
        ["GenerateDataKeyPair", kms.key, { KeyPairSpec: "ECC_SECG_P256K1", ...context }, {
          ...SYMMETRIC,
          "kms:DataKeyPairSpec": "ECC_SECG_P256K1",
        }],
        ["DeriveSharedSecret", agreement, { KeyAgreementAlgorithm: "ECDH", PublicKey }, {
          "kms:KeyAgreementAlgorithm": "ECDH",
        }],
        ["GenerateMac", mac, { Message: "AAAA", MacAlgorithm: "HMAC_SHA_256" }, {
          "kms:MacAlgorithm": "HMAC_SHA_256",
        }],
        ["Sign", signing, { Message: "AAAA", SigningAlgorithm: "ECDSA_SHA_256" }, {
          "kms:SigningAlgorithm": "ECDSA_SHA_256",
          "kms:MessageType": "RAW",
        }],
        ["GetPublicKey", signing, {}, {}],
      ];
    for (const [operation, key, members, expected] of cases) {
      const call = () => kms.call(operation, { KeyId: key.arn, ...members });
      for (const name of CONDITION_KEYS) {
        const value = expected[name];
        const statement = { Effect: "Allow", Action: `kms:${operation}` } as const;
        key.policy = { Statement: [{ ...statement, Condition: { Null: { [name]: value === undefined } } }] };
        assert.equal((await call()).status, 200, `${operation} and ${name}: Null ${value === undefined}`);
        const equals = (wanted: string) => ({ StringEquals: { [name]: wanted } });
        key.policy = { Statement: [{ ...statement, Condition: equals(value ?? "x") }] };
        assert.equal((await call()).status, value === undefined ? 400 : 200, `${operation} and ${name}`);
        key.policy = { Statement: [{ ...statement, Condition: equals(`${value} or other`) }] };
        assertRefused(await call(), "AccessDeniedException", new RegExp(`to perform: kms:${operation} on`));
      }
      key.policy = ALLOW_ALL_KEY_POLICY;
    }
  });

  test("let only the measured enclave use any operation that hands a secret out", async () => {
    const agreement = await kms.enclave.createKey({ spec: "ECC_NIST_P256" });
    const PublicKey = encodeBase64(agreement.publicKey ?? new Uint8Array());
    const Recipient = await recipient(kms.enclave.nsm, publicKey);
    const cases = [
      ["GenerateDataKey", kms.key, { NumberOfBytes: 1 }],
      ["GenerateDataKeyPair", kms.key, { KeyPairSpec: "ECC_NIST_P256" }],
      ["DeriveSharedSecret", agreement, { KeyAgreementAlgorithm: "ECDH", PublicKey }],
    ] as const;
    for (const [operation, key, members] of cases) {
      const call = (more = {}) => kms.call(operation, { KeyId: key.arn, ...members, ...more });
      key.policy = attestedKeyPolicy({ 0: kms.enclave.nsm.pcr(0), 1: kms.enclave.nsm.pcr(0) });
      assertRefused(await call({ Recipient }), "AccessDeniedException");
      key.policy = attestedKeyPolicy({ 0: kms.enclave.nsm.pcr(0) });
      assert.equal((await call({ Recipient })).status, 200, operation);
      assertRefused(await call(), "AccessDeniedException");
      key.policy = ALLOW_ALL_KEY_POLICY;
    }
  });

  test("have no say in GenerateRandom, the caller's own policy does", async () => {
    const Recipient = await recipient(kms.enclave.nsm, publicKey);
    const call = (members = {}) => kms.call("GenerateRandom", { NumberOfBytes: 1, ...members });
    const statement = { Effect: "Allow", Action: "kms:GenerateRandom" } as const;
    const { kms: service, nsm } = kms.enclave;
    service.identityPolicy = { Statement: [] };
    assertRefused(
      await call(),
      "AccessDeniedException",
      /kms:GenerateRandom on resource: \* because no identity-based policy allows the kms:GenerateRandom action$/,
    );
    const measured = { StringEquals: { "kms:RecipientAttestation:ImageSha384": nsm.pcr(0) } };
    service.identityPolicy = { Statement: [{ ...statement, Condition: measured }] };
    assert.equal((await call({ Recipient })).status, 200);
    assertRefused(await call(), "AccessDeniedException");
    service.identityPolicy = { Statement: [statement, { ...statement, Effect: "Deny" }] };
    assertRefused(await call(), "AccessDeniedException", /explicit deny in an identity-based policy$/);
    assert.throws(() => {
      service.identityPolicy = { Statement: [{ ...statement, Condition: { StringLike: {} } }] };
    }, TypeError);
    service.identityPolicy = ALLOW_ALL_KEY_POLICY;
    assert.equal((await call()).status, 200);
  });

  const allow = (statement: object): KeyPolicy => ({
    Statement: [{ Effect: "Allow", Action: "kms:Decrypt", ...statement }],
  });

  /** Everything is allowed, but for what the statement denies. */
  const deny = (statement: object): KeyPolicy => ({
    Statement: [...ALLOW_ALL_KEY_POLICY.Statement, { Effect: "Deny", Action: "*", ...statement }],
  });

  test("mean the simulated role, its session, its account and everybody, and nobody else", async () => {
    const account = "111122223333";
    const meant = [
      "*",
      { AWS: "*" },
      { AWS: `arn:aws:iam::${account}:role/enclave` },
      { AWS: ["arn:aws:iam::999999999999:root", `arn:aws:iam::${account}:role/enclave`] },
      { AWS: `arn:aws:sts::${account}:assumed-role/enclave/i-0123456789abcdef0` },
      { AWS: `arn:aws-cn:iam::${account}:role/enclave`, Service: "ec2.amazonaws.com" },
      { AWS: account },
      { AWS: `arn:aws:iam::${account}:root` },
    ];
    for (const Principal of meant) {
      assert.equal((await attempt(allow({ Principal }))).status, 200, JSON.stringify(Principal));
      assertRefused(await attempt(deny({ Principal })), "AccessDeniedException", /explicit deny/);
    }
    const others = [
      { AWS: "arn:aws:iam::999999999999:root" },
      { AWS: "999999999999" },
      { AWS: `arn:aws:iam::${account}:role/enclave2` },
      { AWS: `arn:aws:iam::${account}:user/enclave` },
      { Service: "ec2.amazonaws.com" },
      { Federated: "*" },
    ];
    for (const Principal of others) {
      assertRefused(await attempt(allow({ Principal })), "AccessDeniedException", /no resource-based policy/);
      assert.equal((await attempt(deny({ Principal }))).status, 200, JSON.stringify(Principal));
    }
  });

  test("that name the account leave it to the account's own policy", async () => {
    const root = { Principal: { AWS: "arn:aws:iam::111122223333:root" } };
    const { kms: service } = kms.enclave;
    try {
      service.identityPolicy = { Statement: [] };
      assertRefused(await attempt(allow(root)), "AccessDeniedException");
      assert.equal((await attempt(allow({ Principal: "*" }))).status, 200);
      assertRefused(await attempt(deny(root)), "AccessDeniedException", /explicit deny/);
      service.identityPolicy = allow({ Resource: kms.key.arn });
      assert.equal((await attempt(allow(root))).status, 200);
      service.identityPolicy = allow({ Resource: `${kms.key.arn}x` });
      assertRefused(await attempt(allow(root)), "AccessDeniedException");
    } finally {
      service.identityPolicy = ALLOW_ALL_KEY_POLICY;
    }
  });

  test("are about the key that Resource names", async () => {
    const { arn } = kms.key;
    for (const Resource of ["*", arn, [`${arn}x`, arn], arn.replace(/[^/]+$/, "*"), arn.replace(/.$/, "?")]) {
      assert.equal((await attempt(allow({ Resource }))).status, 200, String(Resource));
    }
    for (const Resource of [`${arn}x`, arn.replace(/.$/, ""), arn.replace(/[^/]+$/, "*x")]) {
      assertRefused(await attempt(allow({ Resource })), "AccessDeniedException");
    }
  });

  // What IAM's page on the element Action says: in any case, `*` for any characters, `?` for one.
  const ACTIONS: readonly (readonly [pattern: string, action: string, matches: boolean])[] = [
    ["kms:Decrypt", "kms:Decrypt", true],
    ["KMS:decrypt", "kms:Decrypt", true],
    ["kms:DECRYPT", "kms:Decrypt", true],
    ["*", "kms:Decrypt", true],
    ["kms:*", "kms:Decrypt", true],
    ["kms:De*", "kms:Decrypt", true],
    ["kms:*crypt", "kms:Decrypt", true],
    ["kms:*crypt", "kms:Encrypt", true],
    ["kms:D*t", "kms:Decrypt", true],
    ["kms:decrypt*", "kms:Decrypt", true],
    ["kms:??crypt", "kms:Decrypt", true],
    ["kms:Generate*", "kms:GenerateDataKeyPair", true],
    ["kms:GenerateDataKey*", "kms:GenerateDataKey", true],
    ["kms:*DataKey*", "kms:GenerateDataKeyPair", true],
    ["kms:?crypt", "kms:Decrypt", false],
    ["kms:Decrypt?", "kms:Decrypt", false],
    ["kms:D*", "kms:Encrypt", false],
    ["kms:Generate?", "kms:GenerateDataKey", false],
    ["kms:GenerateDataKey", "kms:GenerateDataKeyPair", false],
    ["kms:crypt", "kms:Decrypt", false],
    ["kms:De", "kms:Decrypt", false],
    ["s3:*", "kms:Decrypt", false],
    ["s3:Decrypt", "kms:Decrypt", false],
    ["kmsx:Decrypt", "kms:Decrypt", false],
  ];

  test("compare actions as IAM does", () => {
    for (const [pattern, action, matches] of ACTIONS) {
      assert.equal(matchesAction(pattern, action), matches, `${pattern} and ${action}`);
    }
  });

  test("allow and deny actions by the same rules", async () => {
    for (const [Action, action, matches] of ACTIONS) {
      if (action !== "kms:Decrypt") continue;
      assert.equal((await attempt(allow({ Action }))).status === 200, matches, Action);
      assert.equal((await attempt(deny({ Action }))).status === 200, !matches, `Deny ${Action}`);
    }
  });

  test("allow and deny what NotAction does not list", async () => {
    for (
      const [NotAction, matches] of [["kms:Encrypt", true], ["kms:dec*", false], [
        ["kms:Sign", "*"],
        false,
      ]] as const
    ) {
      assert.equal(
        (await attempt(allow({ Action: undefined, NotAction }))).status === 200,
        matches,
        String(NotAction),
      );
      assert.equal(
        (await attempt(deny({ Action: undefined, NotAction }))).status === 200,
        !matches,
        `Deny ${NotAction}`,
      );
    }
  });

  test("compare texts with wildcards, and keys only if they exist", async () => {
    const pcr0 = kms.enclave.nsm.pcr(0);
    const cases: readonly (readonly [string, string, string, boolean])[] = [
      ["StringLike", "PCR0", `${pcr0.slice(0, 5)}*`, true],
      ["StringLike", "PCR0", `${pcr0.slice(0, 5)}?`, false],
      ["StringLike", "PCR0", pcr0.toUpperCase(), false],
      ["StringNotLike", "PCR0", `${pcr0.slice(0, 5)}*`, false],
      ["StringNotLike", "PCR16", "*", true],
      ["StringLike", "PCR16", "*", false],
      ["StringLikeIfExists", "PCR16", "x", true],
      ["StringEqualsIfExists", "PCR0", "x", false],
      ["StringEqualsIfExists", "PCR0", pcr0, true],
      ["StringEqualsIfExists", "PCR16", "x", true],
      ["StringEqualsIgnoreCaseIfExists", "PCR0", pcr0.toUpperCase(), true],
      ["StringNotEqualsIfExists", "PCR0", pcr0, false],
    ];
    for (const [operator, register, value, matches] of cases) {
      const policy = conditions(operator, `kms:RecipientAttestation:${register}`, value);
      assert.equal(
        (await attempt(policy)).status === 200,
        matches,
        `${operator} ${register} ${value.slice(0, 8)}`,
      );
    }
  });

  test("compare resources in their very case", () => {
    assert.equal(matchesResource("arn:aws:kms:*:1:key/*", "arn:aws:kms:eu-west-1:1:key/a"), true);
    assert.equal(matchesResource("arn:aws:kms:*:1:key/A", "arn:aws:kms:eu-west-1:1:key/a"), false);
    assert.equal(matchesResource("arn:aws:kms:*:1:key/.", "arn:aws:kms:eu-west-1:1:key/a"), false);
  });

  test("with what the simulator does not judge are refused at once, by its name", async () => {
    const PCR0 = "kms:RecipientAttestation:PCR0";
    const condition = (operator: string, name: string, value: unknown) => ({
      Condition: { [operator]: { [name]: value } },
    });
    const cases: readonly (readonly [statement: object, message: RegExp])[] = [
      [{ NotAction: "kms:Decrypt" }, /either Action or NotAction/],
      [{ NotPrincipal: "*" }, /has no field `NotPrincipal`/],
      [{ NotResource: "*" }, /has no field `NotResource`/],
      [{ Conditions: {} }, /has no field `Conditions`/],
      [{ Effect: "allow" }, /^Effect must be Allow or Deny/],
      [{ Action: undefined }, /either Action or NotAction/],
      [{ Action: null }, /^Action must be a string/],
      [{ Action: undefined, NotAction: "*:Sign" }, /^Cannot judge the value "\*:Sign" of NotAction/],
      [{ Action: [] }, /^Action must have a value/],
      [{ Action: "Decrypt" }, /^Cannot judge the value "Decrypt" of Action/],
      [{ Action: "k*:Decrypt" }, /^Cannot judge the value "k\*:Decrypt" of Action/],
      [{ Action: "kms:" }, /^Cannot judge the value "kms:" of Action/],
      [{ Action: ["kms:Decrypt", ""] }, /^Cannot judge the value "" of Action/],
      [{ Principal: {} }, /^Principal must name somebody/],
      [{ Principal: "111122223333" }, /^Principal in statement 0 .* must be "\*" or a plain object/],
      [
        { Principal: { AWS: "arn:aws:iam::111122223333:role/*" } },
        /^Cannot judge the value .* of Principal.AWS/,
      ],
      [{ Principal: { AWS: [] } }, /^Principal.AWS must have a value/],
      [{ Principal: { User: "a" } }, /^Cannot judge the principal User/],
      [{ Resource: "key/*" }, /^Cannot judge the value "key\/\*" of Resource/],
      [{ Condition: {} }, /^Condition must have an operator/],
      [{ Condition: new Map() }, /^Condition in statement 0 .* must be a plain object/],
      [{ Condition: { StringEquals: {} } }, /^StringEquals must have a condition key/],
      [condition("NumericEquals", PCR0, "1"), /^Cannot judge the operator NumericEquals/],
      [condition("NullIfExists", PCR0, "true"), /^Cannot judge the operator NullIfExists/],
      [condition("ForAllValues:StringEquals", PCR0, "x"), /^Cannot judge the operator ForAllValues:StringEq/],
      [condition("toString", PCR0, "x"), /^Cannot judge the operator toString/],
      [condition("StringEquals", "aws:SourceIp", "x"), /^Cannot judge the condition key aws:SourceIp/],
      [condition("StringEquals", "kms:RecipientAttestation:PCR32", "x"), /^Cannot judge the condition key/],
      [condition("StringEquals", PCR0, []), /PCR0 must have a value/],
      [condition("StringNotEquals", PCR0, []), /PCR0 must have a value/],
      [condition("StringEquals", PCR0, "${aws:username}"), /^Cannot judge the value/],
      [condition("StringEquals", PCR0, 7), /PCR0 must be a string/],
      [condition("Null", PCR0, "yes"), /^Cannot judge the value "yes" of kms:RecipientAttestation:PCR0/],
    ];
    for (const [statement, message] of cases) {
      const policy = allow(statement);
      await assert.rejects(kms.enclave.createKey({ policy }), { name: "TypeError", message });
      assert.throws(() => (kms.key.policy = policy), { name: "TypeError", message });
      assert.throws(() => (kms.enclave.kms.identityPolicy = policy), { name: "TypeError", message });
    }
    const policies = [
      { Statement: {} },
      { Version: "2020-01-01", Statement: [] },
      { Statements: [] },
      {},
      new Map(),
    ];
    for (const policy of policies) {
      await assert.rejects(kms.enclave.createKey({ policy: policy as KeyPolicy }), TypeError);
    }
    await assert.rejects(kms.enclave.createKey({ alias: "main" }), TypeError);
  });

  test("are what was checked, whatever becomes of the caller's object", async () => {
    const statement = { Effect: "Deny" as "Allow" | "Deny", Action: "kms:Decrypt" };
    const before = kms.key.policy;
    kms.key.policy = { Statement: [statement] };
    statement.Effect = "Allow";
    try {
      assertRefused(await kms.decrypt({ KeyId: kms.key.arn }), "AccessDeniedException", /explicit deny/);
    } finally {
      kms.key.policy = before;
    }
  });

  test("that attest demand a register, whichever way it is given", async () => {
    for (const measurements of [{}, new Map()]) {
      assert.throws(() => attestedKeyPolicy(measurements), /^TypeError: measurements must name a register/);
    }
    const { nsm } = kms.enclave;
    const other = await attempt(attestedKeyPolicy(new Map([[0, nsm.pcr(1)]])));
    assertRefused(other, "AccessDeniedException");
    assert.equal((await attempt(attestedKeyPolicy(new Map([[0, nsm.pcr(0)]])))).status, 200);
    for (const wrong of [["a"], new Set([1]), { 32: "00".repeat(48) }, { 0: "zz" }]) {
      assert.throws(() => attestedKeyPolicy(wrong as never), TypeError);
    }
  });

  test("and grants, keys and modules with a misspelt safeguard are refused", async () => {
    await assert.rejects(
      kms.enclave.createKey({ polcy: { Statement: [] } } as never),
      /have no field `polcy`/,
    );
    await assert.rejects(startSimulator({ nms: {} } as never), /have no field `nms`/);
    const keyId = kms.key.arn;
    const grant = (options: object) => () =>
      kms.enclave.createGrant({ keyId, operations: ["Decrypt"], ...options });
    assert.throws(grant({ encryptionContextSubset: {} }), /encryptionContextSubset must have a pair/);
    assert.throws(grant({ encryptionContextSubset: new Map([["tenant", "a"]]) }), /must be a plain object/);
    assert.throws(grant({ encryptionContextEquals: new Headers() }), /must be a plain object/);
    assert.throws(grant({ encryptionContext: { tenant: "a" } }), /have no field `encryptionContext`/);
    const hex = "AB".repeat(48);
    await assert.rejects(SoftwareNsm.create({ pcr: { 0: hex } } as never), /have no field `pcr`/);
    await assert.rejects(
      SoftwareNsm.create({ pcrs: [hex] as never }),
      /pcrs must be a plain object or a Map/,
    );
    using nsm = await SoftwareNsm.create({ pcrs: new Map([[0, hex]]) });
    assert.equal(nsm.pcr(0), hex.toLowerCase());
    const encryptionContext = new Map([["tenant", "a"]]) as never;
    const request = { keyId, plaintext: "x", encryptionContext };
    await assert.rejects(
      kms.enclave.encrypt(request),
      /^TypeError: encryptionContext must be a plain object/,
    );
  });
});
