import assert from "node:assert/strict";
import { describe, test } from "#test";
import { encodeBase64 } from "../../../lib/core/encoding.ts";
import { assertRefused, KmsFixture } from "./kms_fixture.ts";

const kms = KmsFixture.use();

interface Metadata {
  readonly KeyId: string;
  readonly Arn: string;
}

const create = async (members: Readonly<Record<string, unknown>> = {}) =>
  (await kms.call("CreateKey", members)).members["KeyMetadata"] as
    & Metadata
    & Readonly<Record<string, unknown>>;

describe("CreateKey and its kin", () => {
  test("make a key that is used by its id and by an alias", async () => {
    const { KeyId, Arn, Enabled } = await create();
    assert.equal(Enabled, true);
    assert.deepEqual(
      (await kms.call("CreateAlias", { AliasName: "alias/new", TargetKeyId: KeyId })).members,
      {},
    );
    const aliasArn = Arn.replace(/key\/.*/, "alias/new");
    for (const name of [KeyId, Arn, "alias/new", aliasArn]) {
      const { members } = await kms.call("DescribeKey", { KeyId: name });
      assert.equal((members["KeyMetadata"] as Metadata).Arn, Arn);
    }
    const encrypted = await kms.call("Encrypt", {
      KeyId: "alias/new",
      Plaintext: encodeBase64(Uint8Array.of(1)),
    });
    const { CiphertextBlob } = encrypted.members;
    assert.equal((await kms.call("Decrypt", { CiphertextBlob })).members["KeyId"], Arn);
    const listed = (await kms.call("ListKeys", {})).members["Keys"];
    assert.ok((listed as readonly { KeyArn: string }[]).some(({ KeyArn }) => KeyArn === Arn));
    assert.deepEqual((await kms.call("ListAliases", { KeyId })).members["Aliases"], [
      { AliasName: "alias/new", AliasArn: aliasArn, TargetKeyId: KeyId },
    ]);
  });

  test("make each kind of key, with its algorithms", async () => {
    const kinds = [
      ["SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "EncryptionAlgorithms"],
      ["ECC_NIST_P256", "SIGN_VERIFY", "SigningAlgorithms"],
      ["HMAC_256", "GENERATE_VERIFY_MAC", "MacAlgorithms"],
    ] as const;
    for (const [KeySpec, KeyUsage, algorithms] of kinds) {
      const metadata = await create({ KeySpec, KeyUsage });
      assert.deepEqual([metadata["KeySpec"], metadata["KeyUsage"]], [KeySpec, KeyUsage]);
      assert.equal((metadata[algorithms] as readonly string[]).length, 1, KeySpec);
    }
  });

  test("keep the policy, which decides on DescribeKey, too", async () => {
    const Statement = [{
      Effect: "Allow",
      Principal: { AWS: "*" },
      Action: "kms:GetKeyPolicy",
      Resource: "*",
    }];
    const Policy = JSON.stringify({ Version: "2012-10-17", Statement });
    const { KeyId } = await create({ Policy });
    const kept = (await kms.call("GetKeyPolicy", { KeyId, PolicyName: "default" })).members["Policy"];
    const [statement] = (JSON.parse(String(kept)) as { Statement: readonly { Action: unknown }[] }).Statement;
    assert.deepEqual(statement?.Action, ["kms:GetKeyPolicy"]);
    assertRefused(await kms.call("DescribeKey", { KeyId }), "AccessDeniedException");
    const alias = { AliasName: "alias/not", TargetKeyId: KeyId };
    assertRefused(await kms.call("CreateAlias", alias), "AccessDeniedException");
  });

  test("are the identity policy's where there is no key yet", async () => {
    const { kms: service } = kms.enclave;
    const before = service.identityPolicy;
    service.identityPolicy = {
      Statement: [{ Effect: "Deny", Action: "kms:CreateKey", Resource: "*" }, ...before.Statement],
    };
    try {
      assertRefused(await kms.call("CreateKey", {}), "AccessDeniedException");
    } finally {
      service.identityPolicy = before;
    }
  });

  test("refuse as KMS does", async () => {
    assertRefused(await kms.call("CreateKey", { KeySpec: "RSA_1" }), "ValidationException");
    const mismatch = { KeySpec: "HMAC_256", KeyUsage: "SIGN_VERIFY" };
    assertRefused(await kms.call("CreateKey", mismatch), "ValidationException", /not compatible/);
    assertRefused(await kms.call("CreateKey", { Policy: "{" }), "MalformedPolicyDocumentException");
    assertRefused(await kms.call("CreateKey", { Origin: "EXTERNAL" }), "ValidationException");
    assertRefused(await kms.call("DescribeKey", { KeyId: "alias/none" }), "NotFoundException");
    const taken = { AliasName: "alias/main", TargetKeyId: kms.key.keyId };
    assertRefused(await kms.call("CreateAlias", taken), "AlreadyExistsException");
    const none = { AliasName: "main", TargetKeyId: kms.key.keyId };
    assertRefused(await kms.call("CreateAlias", none), "ValidationException");
    assertRefused(
      await kms.call("ScheduleKeyDeletion", { KeyId: kms.key.keyId }),
      "UnknownOperationException",
    );
  });
});
