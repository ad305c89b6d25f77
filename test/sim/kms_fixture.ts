import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { decodeBase64, encodeBase64 } from "../../lib/encoding.ts";
import type { SimulatedKey } from "../../sim/kms_keys.ts";
import type { SoftwareNsm } from "../../sim/nsm.ts";
import { type Simulator, startSimulator } from "../../sim/simulator.ts";
import { call, type CallOptions, type Reply } from "./caller.ts";

/** What is encrypted. */
export const SECRET = "attack at dawn";

/** Under which encryption context. */
export const CONTEXT: Readonly<Record<string, string>> = { tenant: "a" };

/** A simulator with a key and a ciphertext. */
export class KmsFixture {
  readonly enclave: Simulator;
  readonly key: SimulatedKey;
  readonly ciphertext: string;

  private constructor(enclave: Simulator, key: SimulatedKey, ciphertext: string) {
    this.enclave = enclave;
    this.key = key;
    this.ciphertext = ciphertext;
  }

  static async start(): Promise<KmsFixture> {
    const enclave = await startSimulator();
    const key = await enclave.createKey({ alias: "alias/main" });
    const bytes = await enclave.encrypt({ keyId: key.keyId, plaintext: SECRET, encryptionContext: CONTEXT });
    return new KmsFixture(enclave, key, encodeBase64(bytes));
  }

  /** Sends a good request but for these members and options. */
  decrypt(members: Readonly<Record<string, unknown>> = {}, options: CallOptions = {}): Promise<Reply> {
    const good = { CiphertextBlob: this.ciphertext, EncryptionContext: CONTEXT };
    return call(this.enclave, "Decrypt", { ...good, ...members }, options);
  }
}

/** The plaintext of an answer without a recipient. */
export function plaintextOf({ members }: Reply): string {
  return new TextDecoder().decode(decodeBase64(String(members["Plaintext"])));
}

/** An RSA key as an enclave has it. */
export function recipientKeys(): { privateKey: KeyObject; publicKey: Uint8Array } {
  const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return { privateKey, publicKey: new Uint8Array(publicKey.export({ type: "spki", format: "der" })) };
}

/** The Recipient member of a request. */
export async function recipient(nsm: SoftwareNsm, publicKey: Uint8Array): Promise<Record<string, unknown>> {
  const document = await nsm.attest({ publicKey });
  return { AttestationDocument: encodeBase64(document), KeyEncryptionAlgorithm: "RSAES_OAEP_SHA_256" };
}

/** Checks a refusal and that it has KMS's shape. */
export function assertRefused(reply: Reply, kmsCode: string, message?: RegExp | null): void {
  assert.equal(reply.members["__type"], kmsCode, reply.text);
  assert.equal(reply.status, STATUS_500.includes(kmsCode) ? 500 : 400);
  assert.equal(reply.headers["content-type"], "application/x-amz-json-1.1");
  assert.match(String(reply.headers["x-amzn-requestid"]), /^[0-9a-f-]{36}$/);
  const text = reply.members["message"] ?? reply.members["Message"] ?? null;
  if (message === null) assert.equal(text, null);
  else if (message !== undefined) assert.match(String(text), message);
}

/** As SigV4 writes it: `20260101T000000Z`. */
export function amzDate(milliseconds: number): string {
  return new Date(milliseconds).toISOString().replace(/[-:]|\.\d{3}/g, "");
}

const STATUS_500 = ["KMSInternalException", "DependencyTimeoutException"];
