/** What a user of the packed package runs for the policies: the example that ships with it, yes and no. */
import assert from "node:assert/strict";
import { loadPolicyFile, makeFacts } from "enclave-kms/policy";

const policy = loadPolicyFile(
  new URL("./node_modules/enclave-kms/examples/policies/tenants.cedar", import.meta.url).pathname,
  { actions: ["Decrypt", "GetAttestation", "SetCredentials", "SetOwnCredentials"] },
);

const decide = (subject, encryptionContext) =>
  policy.decide(makeFacts({
    caller: { type: "Token", issuer: "https://id.example", subject, claims: {} },
    action: "Decrypt",
    keyId: "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
    region: "eu-central-1",
    ciphertext: new Uint8Array([1, 2, 3]),
    encryptionContext,
    time: 0,
    recentCount: 1,
  })).allowed;

assert.equal(decide("a", { tenant: "a" }), true);
assert.equal(decide("a", { tenant: "b" }), false);
assert.equal(decide("a", {}), false);
assert.equal(decide("b", { tenant: "a" }), false);
console.log("attack at dawn");
