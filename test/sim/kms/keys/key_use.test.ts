import assert from "node:assert/strict";
import { createHmac, sign } from "node:crypto";
import { beforeAll, describe, test } from "#test";
import { decodeBase64, encodeBase64 } from "../../../../lib/core/encoding.ts";
import type { CreateGrantOptions } from "../../../../sim/kms/kms_grants.ts";
import { KEY_FAMILIES } from "../../../../sim/kms/keys/key_families.ts";
import type { SimulatedKey } from "../../../../sim/kms/keys/simulated_key.ts";
import {
  assertRefused,
  CONTEXT,
  KmsFixture,
  plaintextOf,
  recipient,
  recipientKeys,
  SECRET,
} from "../kms_fixture.ts";

const kms = KmsFixture.use();
let agreementKey: SimulatedKey;
let macKey: SimulatedKey;
let signingKey: SimulatedKey;

const MAC_MEMBERS = { Message: "AAAA", MacAlgorithm: "HMAC_SHA_256" };
const SIGN_MEMBERS = { Message: "AAAA", SigningAlgorithm: "ECDSA_SHA_256" };

beforeAll(async () => {
  agreementKey = await kms.enclave.createKey({ spec: "ECC_NIST_P256" });
  macKey = await kms.enclave.createKey({ spec: "HMAC_256" });
  signingKey = await kms.enclave.createKey({ spec: "ECC_NIST_P256", usage: "SIGN_VERIFY" });
});

/** Good members of every operation on a key, by its name. */
const OPERATIONS: Readonly<Record<string, () => Readonly<Record<string, unknown>>>> = {
  Encrypt: () => ({ KeyId: kms.key.arn, Plaintext: "AAAA" }),
  Decrypt: () => ({ CiphertextBlob: kms.ciphertext, EncryptionContext: CONTEXT }),
  GenerateDataKey: () => ({ KeyId: kms.key.arn, KeySpec: "AES_256" }),
  GenerateDataKeyPair: () => ({ KeyId: kms.key.arn, KeyPairSpec: "ECC_NIST_P256" }),
  DeriveSharedSecret: () => ({
    KeyId: agreementKey.arn,
    KeyAgreementAlgorithm: "ECDH",
    PublicKey: encodeBase64(agreementKey.publicKey ?? new Uint8Array()),
  }),
  GenerateMac: () => ({ KeyId: macKey.arn, ...MAC_MEMBERS }),
  VerifyMac: () => ({
    KeyId: macKey.arn,
    ...MAC_MEMBERS,
    Mac: createHmac("sha256", macKey.secretKey).update(new Uint8Array(3)).digest("base64"),
  }),
  Sign: () => ({ KeyId: signingKey.arn, ...SIGN_MEMBERS }),
  Verify: () => ({
    KeyId: signingKey.arn,
    ...SIGN_MEMBERS,
    Signature: sign("sha256", new Uint8Array(3), signingKey.keyPair.privateKey).toString("base64"),
  }),
};

function keyOf(operation: string): SimulatedKey {
  if (operation.endsWith("Mac")) return macKey;
  if (["Sign", "Verify"].includes(operation)) return signingKey;
  return operation === "DeriveSharedSecret" ? agreementKey : kms.key;
}

/** Runs with a policy that the key has only for the time being. */
async function withPolicy<Result>(
  key: SimulatedKey,
  policy: SimulatedKey["policy"],
  run: () => Promise<Result>,
): Promise<Result> {
  const before = key.policy;
  key.policy = policy;
  try {
    return await run();
  } finally {
    key.policy = before;
  }
}

const NOBODY = { Statement: [] };

test("every operation on a key is in the cases above", () => {
  const all = Object.values(KEY_FAMILIES).flatMap(({ operations }) => Object.keys(operations));
  assert.deepEqual(Object.keys(OPERATIONS).toSorted(), all.toSorted());
});

for (const [operation, members] of Object.entries(OPERATIONS)) {
  describe(`DryRun on ${operation}`, () => {
    test("is refused with DryRunOperationException when all would be well, and uses the key", async () => {
      const reply = await kms.call(operation, { ...members(), DryRun: true });
      const text = /^The request would have succeeded, but the DryRun option is set\.$/;
      assertRefused(reply, "DryRunOperationException", text);
      assert.equal(kms.enclave.kms.requests.at(-1)?.keyArn, keyOf(operation).arn);
      assert.equal((await kms.call(operation, { ...members(), DryRun: false })).status, 200);
    });

    test("is refused for what is wrong, when something is", async () => {
      const call = (others: Readonly<Record<string, unknown>> = {}) =>
        kms.call(operation, { ...members(), DryRun: true, ...others });
      assertRefused(await call({ KeyId: "alias/none" }), "NotFoundException");
      assertRefused(await call({ DryRun: "true" }), "SerializationException");
      assertRefused(await call({ GrantTokens: ["unknown"] }), "InvalidGrantTokenException", null);
      const key = keyOf(operation);
      await withPolicy(key, NOBODY, async () => assertRefused(await call(), "AccessDeniedException"));
      key.state = "Disabled";
      assertRefused(await call(), "DisabledException");
      key.state = "Enabled";
    });
  });

  describe(`GrantTokens on ${operation}`, () => {
    const call = (others: Readonly<Record<string, unknown>> = {}) =>
      kms.call(operation, { ...members(), ...others });

    test("a grant permits what no policy allows: with its token, and later without", async () => {
      const key = keyOf(operation);
      await withPolicy(key, NOBODY, async () => {
        const options = { keyId: key.keyId, operations: [operation as "Decrypt"] };
        const fresh = kms.enclave.createGrant(options);
        assertRefused(await call(), "AccessDeniedException", /no resource-based policy allows/);
        assert.equal((await call({ GrantTokens: [fresh.grantToken] })).status, 200);
        const settled = kms.enclave.createGrant({ ...options, settled: true });
        assert.equal((await call()).status, 200);
        kms.enclave.kms.revokeGrant(settled);
        kms.enclave.kms.revokeGrant(fresh);
        assertRefused(await call(), "AccessDeniedException");
        assertRefused(await call({ GrantTokens: [fresh.grantToken] }), "InvalidGrantTokenException", null);
      });
    });

    test("lists that are too long, or hold something else: refused", async () => {
      assertRefused(
        await call({ GrantTokens: Array.from({ length: 11 }, () => "x") }),
        "ValidationException",
        /at 'grantTokens'.*length less than or equal to 10$/,
      );
      for (const token of ["", "x".repeat(8193)]) {
        assertRefused(
          await call({ GrantTokens: [token] }),
          "ValidationException",
          /at 'grantTokens'.*less than or equal to 8192, .*greater than or equal to 1\]$/,
        );
      }
      for (const GrantTokens of ["x", [1], { 0: "x" }]) {
        assertRefused(await call({ GrantTokens }), "SerializationException");
      }
      assert.equal((await call({ GrantTokens: [] })).status, 200);
    });
  });
}

describe("DryRun", () => {
  test("decrypts before it says that Decrypt would succeed", async () => {
    const bytes = decodeBase64(kms.ciphertext);
    const CiphertextBlob = encodeBase64(bytes.with(-1, (bytes.at(-1) ?? 0) ^ 1));
    assertRefused(await kms.decrypt({ DryRun: true, CiphertextBlob }), "InvalidCiphertextException", null);
    assertRefused(
      await kms.decrypt({ DryRun: true, EncryptionContext: {} }),
      "InvalidCiphertextException",
      null,
    );
  });

  test("hands nothing out, to recipients neither", async () => {
    const Recipient = await recipient(kms.enclave.nsm, recipientKeys().publicKey);
    const reply = await kms.decrypt({ DryRun: true, Recipient });
    assertRefused(reply, "DryRunOperationException");
    assert.deepEqual(Object.keys(reply.members).sort(), ["__type", "message"]);
  });
});

describe("createGrant()", () => {
  const attempt = async (options: Partial<CreateGrantOptions>) => {
    const grant = kms.enclave.createGrant({ keyId: kms.key.arn, operations: ["Decrypt"], ...options });
    const GrantTokens = [grant.grantToken];
    return await withPolicy(kms.key, NOBODY, () => kms.decrypt({ GrantTokens }));
  };

  test("permits nothing but its operations, on its key, to its principal", async () => {
    assert.equal(plaintextOf(await attempt({})), SECRET);
    const other = await kms.enclave.createKey();
    for (
      const options of [
        { operations: ["Encrypt", "GenerateDataKey"] },
        { keyId: other.arn },
        { granteePrincipal: "arn:aws:iam::111122223333:role/other" },
      ] as const
    ) {
      assertRefused(await attempt(options), "AccessDeniedException");
    }
    assert.equal((await attempt({ granteePrincipal: "arn:aws:iam::111122223333:role/enclave" })).status, 200);
  });

  test("looks at the encryption context: names in any case, values exactly", async () => {
    const outcomes = [
      [{ encryptionContextEquals: { tenant: "a" } }, true],
      [{ encryptionContextEquals: { TENANT: "a" } }, true],
      [{ encryptionContextEquals: { tenant: "A" } }, false],
      [{ encryptionContextEquals: { tenant: "a", more: "x" } }, false],
      [{ encryptionContextEquals: {} }, false],
      [{ encryptionContextSubset: { tenant: "a" } }, true],
      [{ encryptionContextSubset: { tenant: "b" } }, false],
      [{ encryptionContextSubset: { other: "a" } }, false],
    ] as const;
    for (const [options, permitted] of outcomes) {
      const reply = await attempt(options);
      if (permitted) assert.equal(reply.status, 200, JSON.stringify(options));
      else assertRefused(reply, "AccessDeniedException");
    }
  });

  test("permits without attestation what the policy allows only to enclaves, unless it denies the rest", async () => {
    const { grantToken } = kms.enclave.createGrant({ keyId: kms.key.arn, operations: ["Decrypt"] });
    const condition = { "kms:RecipientAttestation:PCR0": kms.enclave.nsm.pcr(0) };
    const GrantTokens = [grantToken];
    const allow = { Effect: "Allow", Action: "kms:*", Condition: { StringEquals: condition } } as const;
    await withPolicy(kms.key, { Statement: [allow] }, async () => {
      assertRefused(await kms.decrypt(), "AccessDeniedException");
      assert.equal((await kms.decrypt({ GrantTokens })).status, 200);
    });
    const deny = { Effect: "Deny", Action: "kms:*", Condition: { StringNotEquals: condition } } as const;
    await withPolicy(kms.key, { Statement: [allow, deny] }, async () => {
      assertRefused(await kms.decrypt({ GrantTokens }), "AccessDeniedException", /explicit deny/);
    });
  });

  test("makes no grant that KMS has not", () => {
    const keyId = kms.key.arn;
    const wrong = [
      { keyId, operations: [] },
      { keyId, operations: ["Decrypt"], encryptionContextEquals: {}, encryptionContextSubset: {} },
      { keyId: agreementKey.arn, operations: ["DeriveSharedSecret"], encryptionContextSubset: { a: "b" } },
    ] as const;
    for (const options of wrong) assert.throws(() => kms.enclave.createGrant(options), TypeError);
    const unknown = { keyId: "alias/none", operations: ["Decrypt"] } as const;
    assert.throws(() => kms.enclave.createGrant(unknown), { kmsCode: "NotFoundException" });
  });

  test("its id and token look like KMS's", () => {
    const grant = kms.enclave.createGrant({ keyId: kms.key.arn, operations: ["Decrypt"] });
    assert.match(grant.grantId, /^[0-9a-f]{64}$/);
    assert.match(grant.grantToken, /^AQpA[A-Za-z0-9+/]{256}$/);
  });
});
