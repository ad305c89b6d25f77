import assert from "node:assert/strict";
import { KMSClient } from "@aws-sdk/client-kms";
import { SecretsManagerClient } from "@aws-sdk/client-secrets-manager";
import { describe, test } from "#test";
import { DataKeys } from "../../../examples/field-encryption/data_keys.ts";
import { SecretBytes } from "../../../lib/core/secret_bytes.ts";

/** Clients whose answers are given. */
function sourceOf(secret: object, plaintexts: Uint8Array[]) {
  const common = { region: "eu-central-1", credentials: { accessKeyId: "a", secretAccessKey: "b" } };
  const kms = new KMSClient(common);
  const secrets = new SecretsManagerClient(common);
  kms.send = () => Promise.resolve({ Plaintext: plaintexts.shift() });
  secrets.send = () => Promise.resolve({ SecretString: JSON.stringify(secret) });
  return { kms, secrets, secretArn: "secret", kmsKeyArn: "key" };
}

const NEVER = new AbortController().signal;
const key = (id: string) => ({ id, ciphertext: "AAAA" });
const bytes = (fill: number, length = 32) => new Uint8Array(length).fill(fill);

/** Runs something, and returns all secrets that it made. */
async function secretsOf(run: () => Promise<void>): Promise<readonly Uint8Array[]> {
  const made: Uint8Array[] = [];
  const { copyOf } = SecretBytes;
  SecretBytes.copyOf = (given) => {
    const secret = copyOf.call(SecretBytes, given);
    made.push(secret.bytes);
    return secret;
  };
  try {
    await run();
  } finally {
    SecretBytes.copyOf = copyOf;
  }
  return made;
}

describe("data keys of examples/field-encryption", () => {
  test("are wiped in the end, when the secret no longer has them, and when one beside them is bad", async () => {
    const plaintexts = [bytes(1), bytes(2), bytes(3), bytes(4), bytes(5, 16)];
    const given = [...plaintexts];
    const keys = new DataKeys();
    const made = await secretsOf(async () => {
      await keys.load(sourceOf({ keys: [key("a"), key("b")] }, plaintexts), NEVER);
      await keys.load(sourceOf({ keys: [key("b"), key("c")] }, plaintexts), NEVER);
      const bad = keys.load(sourceOf({ keys: [key("b"), key("c"), key("d"), key("e")] }, plaintexts), NEVER);
      await assert.rejects(bad, { name: "ContentError", message: "data key e is none of AES-256" });
    });
    assert.deepEqual(made.map(([first]) => first), [0, 2, 3, 0]);
    assert.equal(keys.decrypt(keys.encrypt("text", "field"), "field"), "text");
    keys[Symbol.dispose]();
    assert.deepEqual(made.map((secret) => secret.every((byte) => byte === 0)), [true, true, true, true]);
    assert.ok(
      given.slice(0, 4).every((plaintext) => plaintext.every((byte) => byte === 0)),
      "the SDK's copies",
    );
    assert.equal(keys.isLoaded, false);
    assert.throws(() => keys.encrypt("text", "field"), /no data key/);
  });
});
