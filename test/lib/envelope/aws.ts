import { createRequire } from "node:module";
import type { EncryptionContext } from "../../../lib/envelope/mod.ts";
import { awsKmsClient, KEY_ARN } from "./fake_kms.ts";

// AWS's own implementation, with its KMS keyring, as CommonJS on both runtimes.
const require = createRequire(import.meta.url);
const { buildEncrypt } = require("@aws-crypto/encrypt-node") as typeof import("@aws-crypto/encrypt-node");
const { buildDecrypt } = require("@aws-crypto/decrypt-node") as typeof import("@aws-crypto/decrypt-node");
const { KmsKeyringClass } = require("@aws-crypto/kms-keyring") as typeof import("@aws-crypto/kms-keyring");
export const { AlgorithmSuiteIdentifier: Suite, CommitmentPolicy, KeyringNode } = require(
  "@aws-crypto/material-management-node",
) as typeof import("@aws-crypto/material-management-node");

type Client = import("@aws-crypto/kms-keyring").AwsEsdkKMSInterface;
type NodeSuite = import("@aws-crypto/material-management-node").NodeAlgorithmSuite;
/** Number of an algorithm suite. */
export type SuiteId = import("@aws-crypto/material-management-node").AlgorithmSuiteIdentifier;

/** The base class is not to be used itself. */
class Keyring extends KmsKeyringClass<NodeSuite, Client>(KeyringNode as never) {}
/** Options of {@link awsEncrypt}. */
export interface AwsOptions {
  readonly encryptionContext?: EncryptionContext;
  readonly frameLength?: number;
  readonly generatorKeyId?: string;
  readonly keyIds?: string[];
  readonly suiteId?: SuiteId | undefined;
}

/** Encrypts with AWS's library, under the key of the tests and others. */
export async function awsEncrypt(
  plaintext: Uint8Array,
  options: AwsOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  const {
    suiteId = Suite.ALG_AES256_GCM_IV12_TAG16_HKDF_SHA512_COMMIT_KEY,
    keyIds = [],
    generatorKeyId = KEY_ARN,
    ...rest
  } = options;
  const commits = suiteId === 0x0478 || suiteId === 0x0578;
  const { encrypt } = buildEncrypt(
    commits
      ? CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT
      : CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT,
  );
  const keyring = new Keyring({ clientProvider, generatorKeyId, keyIds });
  const { result } = await encrypt(keyring as never, plaintext, { suiteId, ...rest });
  return new Uint8Array(result);
}

/** Decrypts with AWS's library, which verifies a signature if there is one. */
export async function awsDecrypt(
  message: Uint8Array,
): Promise<{ readonly plaintext: Uint8Array; readonly encryptionContext: EncryptionContext }> {
  const { decrypt } = buildDecrypt(CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT);
  const keyring = new Keyring({ clientProvider, keyIds: [KEY_ARN] });
  const { plaintext, messageHeader } = await decrypt(keyring as never, message);
  return { plaintext: new Uint8Array(plaintext), encryptionContext: messageHeader.encryptionContext };
}

function clientProvider(): Client {
  return awsKmsClient as unknown as Client;
}
