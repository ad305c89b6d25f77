import type { DataKey, DataKeyPair } from "./data_key.ts";
import type { Deadline } from "../core/deadline.ts";
import type {
  CheckedDataKeyPairRequest,
  CheckedDataKeyRequest,
  CheckedDecryptRequest,
  CheckedEncryptRequest,
  CheckedRandomRequest,
  CheckedSharedSecretRequest,
  Encrypted,
} from "./checked_request.ts";
import type { KmsEngine } from "./engine.ts";
import {
  checkDataKeyPairRequest,
  checkDataKeyRequest,
  checkDecryptRequest,
  checkEncryptRequest,
  checkRandomRequest,
  checkSharedSecretRequest,
  type DecryptRequest,
  type DeriveSharedSecretRequest,
  type EncryptRequest,
  type GenerateDataKeyPairRequest,
  type GenerateDataKeyRequest,
  type GenerateRandomRequest,
} from "./kms_request.ts";
import type { CallOptions } from "../core/call_options.ts";
import type { SecretBytes } from "../core/secret_bytes.ts";

/** One operation of {@link KmsClient}: from what the caller gives to what the engine returns. */
export interface ClientOperation<Request extends CallOptions, Checked, Result> {
  /** For messages: `decrypt`. */
  readonly what: string;
  /** Checks and copies the request. */
  check(request: Request): Checked;
  /** Has an engine do it. */
  run(engine: KmsEngine, request: Checked, deadline: Deadline): Promise<Result>;
  /** Wipes what {@link ClientOperation.check} copied, where that is secret. */
  release?(request: Checked): void;
}

/** See {@link KmsClient.decrypt}. */
export const DECRYPT: ClientOperation<DecryptRequest, CheckedDecryptRequest, SecretBytes> = {
  what: "decrypt",
  check: checkDecryptRequest,
  run: (engine, request, deadline) => engine.decrypt(request, deadline),
};

/** See {@link KmsClient.encrypt}. */
export const ENCRYPT: ClientOperation<EncryptRequest, CheckedEncryptRequest, Encrypted> = {
  what: "encrypt",
  check: checkEncryptRequest,
  run: (engine, request, deadline) => engine.encrypt(request, deadline),
  release: ({ plaintext }) => plaintext[Symbol.dispose](),
};

/** See {@link KmsClient.generateDataKey}. */
export const GENERATE_DATA_KEY: ClientOperation<GenerateDataKeyRequest, CheckedDataKeyRequest, DataKey> = {
  what: "generate a data key",
  check: checkDataKeyRequest,
  run: (engine, request, deadline) => engine.generateDataKey(request, deadline),
};

/** See {@link KmsClient.generateDataKeyPair}. */
export const GENERATE_DATA_KEY_PAIR: ClientOperation<
  GenerateDataKeyPairRequest,
  CheckedDataKeyPairRequest,
  DataKeyPair
> = {
  what: "generate a data key pair",
  check: checkDataKeyPairRequest,
  run: (engine, request, deadline) => engine.generateDataKeyPair(request, deadline),
};

/** See {@link KmsClient.generateRandom}. */
export const GENERATE_RANDOM: ClientOperation<GenerateRandomRequest, CheckedRandomRequest, SecretBytes> = {
  what: "generate random bytes",
  check: checkRandomRequest,
  run: (engine, request, deadline) => engine.generateRandom(request, deadline),
};

/** See {@link KmsClient.deriveSharedSecret}. */
export const DERIVE_SHARED_SECRET: ClientOperation<
  DeriveSharedSecretRequest,
  CheckedSharedSecretRequest,
  SecretBytes
> = {
  what: "derive a shared secret",
  check: checkSharedSecretRequest,
  run: (engine, request, deadline) => engine.deriveSharedSecret(request, deadline),
};

/** What a dry run can be of, and what each takes. */
export interface DryRunRequests {
  /** See {@link KmsClient.decrypt}. */
  readonly decrypt: DecryptRequest;
  /** See {@link KmsClient.encrypt}. */
  readonly encrypt: EncryptRequest;
  /** See {@link KmsClient.generateDataKey}. */
  readonly generateDataKey: GenerateDataKeyRequest;
  /** See {@link KmsClient.generateDataKeyPair}. */
  readonly generateDataKeyPair: GenerateDataKeyPairRequest;
  /** See {@link KmsClient.deriveSharedSecret}. */
  readonly deriveSharedSecret: DeriveSharedSecretRequest;
}

const DRY_RUNS: Readonly<Record<string, ClientOperation<never, unknown, unknown> | undefined>> = {
  // A name that the caller chooses must not be looked up in Object.prototype.
  __proto__: null as never,
  decrypt: asDryRun(DECRYPT),
  encrypt: asDryRun(ENCRYPT),
  generateDataKey: asDryRun(GENERATE_DATA_KEY),
  generateDataKeyPair: asDryRun(GENERATE_DATA_KEY_PAIR),
  deriveSharedSecret: asDryRun(DERIVE_SHARED_SECRET),
};

/**
 * @param name The method that a dry run is for
 * @returns The operation, which KMS will refuse with a DryRunOperationException if it would do it
 * @throws {TypeError} When there is no dry run of that name
 */
export function dryRunOf<Name extends keyof DryRunRequests>(
  name: Name,
): ClientOperation<DryRunRequests[Name], unknown, unknown> {
  const operation = typeof name === "string" ? DRY_RUNS[name] : undefined;
  if (operation !== undefined) return operation as ClientOperation<DryRunRequests[Name], unknown, unknown>;
  throw new TypeError(`operation must be one of ${Object.keys(DRY_RUNS).join(", ")}`);
}

function asDryRun<Request extends CallOptions, Checked extends { readonly dryRun: boolean }, Result>(
  operation: ClientOperation<Request, Checked, Result>,
): ClientOperation<Request, Checked, Result> {
  return { ...operation, check: (request) => ({ ...operation.check(request), dryRun: true }) };
}
