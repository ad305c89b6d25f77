/**
 * A program as it goes through bundlers: it uses every entry, and has no await outside functions, for CommonJS.
 * Node.js 22 and Bun run it as it is.
 */
import assert from "node:assert/strict";
import process from "node:process";
import { KmsClient, SecretBytes } from "enclave-kms";
import { NsmClient } from "enclave-kms/nsm";
import { verifyAttestation } from "enclave-kms/attestation";
import { cedarPolicy } from "enclave-kms/policy";
import { startSimulator } from "enclave-kms/sim";

async function main() {
  const enclave = await startSimulator();
  const stranger = await startSimulator();
  try {
    const { keyId } = await enclave.createKey();
    const ciphertext = await enclave.encrypt({ keyId, plaintext: "attack at dawn" });
    const options = { ...enclave.clientOptions, engine: "direct" };
    const plaintext = await decrypt(options, ciphertext);
    assert.ok(plaintext instanceof SecretBytes);
    await assert.rejects(
      decrypt({ ...options, trustedCertificates: stranger.trustedCertificates }, ciphertext),
      { code: "ERR_CERTIFICATE" },
    );
    // By its code: a bundler may have made the names of classes shorter.
    await assert.rejects(verifyAttestation(new Uint8Array(1)), { code: /^ERR_ATTESTATION_/ });
    // C answers: koffi was found.
    assert.throws(() => NsmClient.open("/no/such/device"), { code: "ERR_ATTESTATION_UNAVAILABLE" });
    const policy = cedarPolicy("permit (principal, action, resource);", { actions: ["Decrypt"] });
    assert.equal(policy.name, "cedar");
    console.log(new TextDecoder().decode(plaintext.bytes));
    plaintext[Symbol.dispose]();
  } finally {
    await enclave.close();
    await stranger.close();
  }
}

async function decrypt(options, ciphertext) {
  const client = await KmsClient.open(options);
  try {
    return await client.decrypt({ ciphertext });
  } finally {
    await client.close();
  }
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
