import assert from "node:assert/strict";
import { describe, test } from "#test";
import type { SimulatedKey } from "../../sim/kms_keys.ts";
import { attestedKeyPolicy } from "../../sim/kms_policy.ts";
import type { Reply } from "./caller.ts";
import { assertRefused, KmsFixture, recipient, recipientKeys } from "./kms_fixture.ts";

const kms = KmsFixture.use();

const { publicKey } = recipientKeys();

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
