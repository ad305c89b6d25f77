/**
 * KMS's operations as the server does them for its callers: what the policy sees of each, and what the client
 * is asked for.
 *
 * @module
 */
import type { SecretBytes } from "../lib/core/secret_bytes.ts";
import type { DataKey, DataKeyPair } from "../lib/kms/data_key.ts";
import type { KmsClient } from "../lib/kms/kms_client.ts";
import { type CheckedDecryptRequest, DECRYPT, type DecryptRequest } from "../lib/kms/operations/decrypt.ts";
import {
  type CheckedSharedSecretRequest,
  DERIVE_SHARED_SECRET,
  type DeriveSharedSecretRequest,
} from "../lib/kms/operations/derive_shared_secret.ts";
import {
  type CheckedEncryptRequest,
  ENCRYPT,
  type Encrypted,
  type EncryptRequest,
} from "../lib/kms/operations/encrypt.ts";
import {
  type CheckedDataKeyRequest,
  GENERATE_DATA_KEY,
  type GenerateDataKeyRequest,
} from "../lib/kms/operations/generate_data_key.ts";
import {
  type CheckedDataKeyPairRequest,
  GENERATE_DATA_KEY_PAIR,
  type GenerateDataKeyPairRequest,
} from "../lib/kms/operations/generate_data_key_pair.ts";
import {
  type CheckedRandomRequest,
  GENERATE_RANDOM,
  type GenerateRandomRequest,
} from "../lib/kms/operations/generate_random.ts";
import type { Operation } from "../lib/kms/operations/operation.ts";
import type { KmsAction } from "../lib/kms/operations/operations.ts";
import type { CallOptions } from "../lib/core/call_options.ts";
import { digestCiphertext, type RequestFacts } from "../lib/core/request_facts.ts";

/** One operation of KMS on its way through the server. */
export interface ServedOperation<Request extends CallOptions, Checked, Result> {
  /** What the policy is asked about. */
  readonly action: KmsAction;
  /** Checks and copies the caller's request. */
  readonly operation: Operation<Request, Checked, Result>;
  /** Its dry run, where KMS has one. */
  dryRun?(client: KmsClient, request: Request): Promise<void>;
  /** What the policy sees: the very values that go to KMS. */
  facts(checked: Checked): RequestFacts;
  /** The request for the client, made of the checked copy alone. */
  request(checked: Checked): Request;
  /** Has the client do it. */
  call(client: KmsClient, request: Request): Promise<Result>;
}

/** See {@link KmsClient.decrypt}. */
export const SERVED_DECRYPT: ServedOperation<DecryptRequest, CheckedDecryptRequest, SecretBytes> = {
  action: "Decrypt",
  operation: DECRYPT,
  dryRun: (client, request) => client.dryRun("decrypt", request),
  facts: ({ ciphertext, keyId, encryptionContext }) => ({
    ciphertext: digestCiphertext(ciphertext),
    keyId,
    encryptionContext,
  }),
  request: ({ dryRun: _, ...request }) => request,
  call: (client, request) => client.decrypt(request),
};

/** See {@link KmsClient.encrypt}. */
export const SERVED_ENCRYPT: ServedOperation<EncryptRequest, CheckedEncryptRequest, Encrypted> = {
  action: "Encrypt",
  operation: ENCRYPT,
  dryRun: (client, request) => client.dryRun("encrypt", request),
  facts: ({ keyId, encryptionContext }) => ({ keyId, encryptionContext }),
  request: ({ dryRun: _, ...request }) => request,
  call: (client, request) => client.encrypt(request),
};

/** See {@link KmsClient.generateDataKey}. */
export const SERVED_DATA_KEY: ServedOperation<GenerateDataKeyRequest, CheckedDataKeyRequest, DataKey> = {
  action: "GenerateDataKey",
  operation: GENERATE_DATA_KEY,
  dryRun: (client, request) => client.dryRun("generateDataKey", request),
  facts: ({ keyId, encryptionContext }) => ({ keyId, encryptionContext }),
  request: ({ dryRun: _, length, ...request }) => ({
    ...request,
    ...(typeof length === "number" ? { numberOfBytes: length } : { keySpec: length }),
  }),
  call: (client, request) => client.generateDataKey(request),
};

/** See {@link KmsClient.generateDataKeyPair}. */
export const SERVED_DATA_KEY_PAIR: ServedOperation<
  GenerateDataKeyPairRequest,
  CheckedDataKeyPairRequest,
  DataKeyPair
> = {
  action: "GenerateDataKeyPair",
  operation: GENERATE_DATA_KEY_PAIR,
  dryRun: (client, request) => client.dryRun("generateDataKeyPair", request),
  facts: ({ keyId, encryptionContext }) => ({ keyId, encryptionContext }),
  request: ({ dryRun: _, ...request }) => request,
  call: (client, request) => client.generateDataKeyPair(request),
};

/** See {@link KmsClient.generateRandom}. */
export const SERVED_RANDOM: ServedOperation<GenerateRandomRequest, CheckedRandomRequest, SecretBytes> = {
  action: "GenerateRandom",
  operation: GENERATE_RANDOM,
  facts: () => ({}),
  request: (request) => request,
  call: (client, request) => client.generateRandom(request),
};

/** See {@link KmsClient.deriveSharedSecret}. */
export const SERVED_SHARED_SECRET: ServedOperation<
  DeriveSharedSecretRequest,
  CheckedSharedSecretRequest,
  SecretBytes
> = {
  action: "DeriveSharedSecret",
  operation: DERIVE_SHARED_SECRET,
  dryRun: (client, request) => client.dryRun("deriveSharedSecret", request),
  facts: ({ keyId }) => ({ keyId }),
  request: ({ dryRun: _, ...request }) => request,
  call: (client, request) => client.deriveSharedSecret(request),
};
