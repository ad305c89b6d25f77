/**
 * A process that makes and sends secrets as it is told, one line of JSON for each, and waits in between, so that its
 * memory can be searched. It makes the secrets itself, by a rule that the test knows: a line that holds one would leave
 * copies.
 *
 * @module
 */
import { createInterface } from "node:readline";
import process from "node:process";
import { readStart } from "../../cli/values.ts";
import { OwnedCredentials } from "../../lib/aws/credentials.ts";
import { KmsClient, type KmsClientOptions } from "../../mod.ts";
import {
  AgeKeyPair,
  importSigningKey,
  joinShares,
  sealWithAge,
  sealWithKms,
  SecretBytes,
  signSecret,
  splitSecret,
} from "../../operator/mod.ts";
import { sendCredentials, sendSecret } from "../../parent/mod.ts";
import { secretOf } from "./numbered_secrets.ts";

/** Task of a line. */
export interface Task {
  readonly does: keyof typeof TASKS;
  /** Number of the secret. */
  readonly number: number;
  /** Client outside of an enclave, key and recipient, for those that need them. */
  readonly kms?: KmsClientOptions;
  readonly keyArn?: string;
  readonly recipient?: string;
  /** Folder of the enclave's sockets, and port. */
  readonly simulationFolder?: string;
  readonly port?: number;
  /** File with the publisher's key. */
  readonly keyFile?: string;
}

/** Secrets kept on purpose. */
const kept: Uint8Array[] = [];

const TASKS = {
  keep: ({ number }: Task) => void kept.push(secretOf(number)),

  async sealWithKms({ number, kms, keyArn = "" }: Task) {
    using secret = new SecretBytes(secretOf(number));
    await using client = await KmsClient.open(kms!);
    await sealWithKms(client, secret, { keyArn, encryptionContext: { secret: "age-key" } });
  },

  async sealIdentity({ kms, keyArn = "" }: Task) {
    using keys = await AgeKeyPair.generate();
    await using client = await KmsClient.open(kms!);
    await sealWithKms(client, keys.identity, { keyArn, encryptionContext: { secret: "age-key" } });
    // The test undoes this; the mask is none of the identity's.
    return Array.from(keys.identity.bytes, (byte) => byte ^ 0x5a);
  },

  async sealWithAge({ number, recipient = "" }: Task) {
    using secret = new SecretBytes(secretOf(number));
    await sealWithAge(secret, [recipient]);
  },

  async split({ number, recipient = "" }: Task) {
    using secret = new SecretBytes(secretOf(number));
    const recipients = [recipient, recipient, recipient];
    await splitSecret({ secret, threshold: 2, recipients });
    await joinShares([], new Uint8Array(32)).catch(() => {});
  },

  async sign({ keyFile = "" }: Task) {
    const file = readStart(keyFile);
    const key = await importSigningKey(file);
    file.fill(0);
    await signSecret({ name: "orders", version: 1, sealed: new Uint8Array(100), key });
  },

  async sendCredentials({ number, simulationFolder, port }: Task) {
    using secretAccessKey = new SecretBytes(secretOf(number));
    using sessionToken = new SecretBytes(secretOf(number + 1));
    const parts = {
      accessKeyId: "ASIAEXAMPLE",
      secretAccessKey: secretAccessKey.bytes,
      sessionToken: sessionToken.bytes,
    };
    using credentials = OwnedCredentials.copyOf(parts);
    const route = { enclaveCid: 16, port, simulationFolder, timeoutMs: 10_000 };
    return await sendCredentials({ ...route, credentials }).then(() => "taken", (error) => error.code);
  },

  async sendSecret({ number, simulationFolder, port = 0 }: Task) {
    using content = new SecretBytes(secretOf(number));
    const route = { enclaveCid: 16, port, simulationFolder, timeoutMs: 10_000 };
    return await sendSecret({ ...route, content: content.bytes }).then(() => "taken", (error) => error.code);
  },
};

if (import.meta.main) {
  for await (const line of createInterface(process.stdin)) {
    const task = JSON.parse(line) as Task;
    const result = await TASKS[task.does](task);
    process.stdout.write(`${JSON.stringify(result ?? null)}\n`);
  }
}
