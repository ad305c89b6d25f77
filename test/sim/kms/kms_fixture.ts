import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { afterAll, beforeAll } from "#test";
import { decodeBase64, encodeBase64 } from "../../../lib/core/encoding.ts";
import type { SimulatedKey } from "../../../sim/kms/keys/simulated_key.ts";
import type { SoftwareNsm } from "../../../sim/nsm/nsm.ts";
import { type Simulator, startSimulator } from "../../../sim/simulator.ts";
import { call, type CallOptions, type Reply } from "./caller.ts";
import { openssl } from "../tls/openssl.ts";

/** Plaintext of these tests. */
export const SECRET = "attack at dawn";

/** Under which encryption context. */
export const CONTEXT: Readonly<Record<string, string>> = { tenant: "a" };

interface Running {
  readonly enclave: Simulator;
  readonly key: SimulatedKey;
  readonly ciphertext: string;
}

/** A simulator with a key and a ciphertext, from before a file's first test until after its last. */
export class KmsFixture {
  #running: Running | undefined;

  /** Starts it before the tests of this file, and stops it after them. */
  static use(): KmsFixture {
    const fixture = new KmsFixture();
    beforeAll(() => fixture.#start());
    afterAll(() => fixture.enclave.close());
    return fixture;
  }

  get enclave(): Simulator {
    return this.#now.enclave;
  }

  /** A symmetric key, `alias/main`. */
  get key(): SimulatedKey {
    return this.#now.key;
  }

  /** {@link SECRET} under {@link key} and {@link CONTEXT}, base64. */
  get ciphertext(): string {
    return this.#now.ciphertext;
  }

  /** Sends a request. */
  call(
    operation: string,
    members: Readonly<Record<string, unknown>>,
    options: CallOptions = {},
  ): Promise<Reply> {
    return call(this.enclave, operation, members, options);
  }

  /** Sends a good request but for these members and options. */
  decrypt(members: Readonly<Record<string, unknown>> = {}, options: CallOptions = {}): Promise<Reply> {
    const good = { CiphertextBlob: this.ciphertext, EncryptionContext: CONTEXT };
    return this.call("Decrypt", { ...good, ...members }, options);
  }

  get #now(): Running {
    assert.ok(this.#running !== undefined, "only within tests");
    return this.#running;
  }

  async #start(): Promise<void> {
    const enclave = await startSimulator();
    const key = await enclave.createKey({ alias: "alias/main" });
    const bytes = await enclave.encrypt({ keyId: key.keyId, plaintext: SECRET, encryptionContext: CONTEXT });
    this.#running = { enclave, key, ciphertext: encodeBase64(bytes) };
  }
}

/** Decodes a base64 member of an answer. */
export function bytesOf({ members, text }: Reply, member: string): Uint8Array<ArrayBuffer> {
  assert.equal(typeof members[member], "string", text);
  return decodeBase64(String(members[member]));
}

/** Opens an envelope with openssl. */
export function openedByOpenssl(envelope: Uint8Array, privateKey: KeyObject): Uint8Array<ArrayBuffer> {
  const key = privateKey.export({ type: "pkcs8", format: "pem" });
  const args = ["cms", "-decrypt", "-inform", "DER", "-in", "envelope", "-inkey", "key"];
  return new Uint8Array(openssl(args, { envelope, key }));
}

/** Decodes the plaintext of an answer without a recipient. */
export function plaintextOf({ members }: Reply): string {
  return new TextDecoder().decode(decodeBase64(String(members["Plaintext"])));
}

/** Makes an RSA key as an enclave has it. */
export function recipientKeys(): { privateKey: KeyObject; publicKey: Uint8Array } {
  const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return { privateKey, publicKey: new Uint8Array(publicKey.export({ type: "spki", format: "der" })) };
}

/** Makes the Recipient member of a request. */
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
