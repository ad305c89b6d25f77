import assert from "node:assert/strict";
import { describe, test } from "#test";
import { encodeBase64 } from "../../lib/encoding.ts";
import type { SimulatedKey } from "../../sim/kms_keys.ts";
import { ALLOW_ALL_POLICY, attestedKeyPolicy } from "../../sim/kms_policy.ts";
import type { Reply } from "./caller.ts";
import { assertRefused, KmsFixture, recipient, recipientKeys } from "./kms_fixture.ts";

const kms = KmsFixture.use();

const { publicKey } = recipientKeys();

/** The condition keys that all operations on a symmetric key have */
const SYMMETRIC = { "kms:EncryptionAlgorithm": "SYMMETRIC_DEFAULT", "kms:EncryptionContext:tenant": "a" };

const CONDITION_KEYS = [
  "kms:EncryptionAlgorithm",
  "kms:EncryptionContext:tenant",
  "kms:DataKeyPairSpec",
  "kms:KeyAgreementAlgorithm",
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

  test("of every operation look at what AWS documents for it", async () => {
    const agreement = await kms.enclave.createKey({ spec: "ECC_NIST_P256" });
    const PublicKey = encodeBase64(agreement.publicKey ?? new Uint8Array());
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
      key.policy = ALLOW_ALL_POLICY;
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
      key.policy = ALLOW_ALL_POLICY;
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
    service.identityPolicy = ALLOW_ALL_POLICY;
    assert.equal((await call()).status, 200);
  });

  test("with what the simulator does not judge are refused at once", async () => {
    for (
      const [operator, name] of [["StringLike", "kms:RecipientAttestation:PCR0"], [
        "StringEquals",
        "aws:SourceIp",
      ]]
    ) {
      const policy = conditions(String(operator), String(name), "x");
      await assert.rejects(kms.enclave.createKey({ policy }), TypeError);
      assert.throws(() => (kms.key.policy = policy), TypeError);
    }
    await assert.rejects(kms.enclave.createKey({ alias: "main" }), TypeError);
  });
});
