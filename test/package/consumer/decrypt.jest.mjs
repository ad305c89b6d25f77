/** A test as users of Jest write it. */
import { expect, test } from "@jest/globals";
import { KmsClient } from "enclave-kms";
import { NsmClient } from "enclave-kms/nsm";
import { startSimulator } from "enclave-kms/sim";

test("decrypts", async () => {
  const enclave = await startSimulator();
  const client = await KmsClient.open({ ...enclave.clientOptions, engine: "direct" });
  try {
    const { keyId } = await enclave.createKey();
    const ciphertext = await enclave.encrypt({ keyId, plaintext: "attack at dawn" });
    const plaintext = await client.decrypt({ ciphertext });
    expect(new TextDecoder().decode(plaintext.bytes)).toBe("attack at dawn");
    plaintext[Symbol.dispose]();
    // C answers: koffi was found.
    expect(() => NsmClient.open("/no/such/device")).toThrow("open failed with ENOENT");
  } finally {
    await client.close();
    await enclave.close();
  }
});
