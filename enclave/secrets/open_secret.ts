import { equalBytes } from "../../lib/core/bytes.ts";
import { CredentialsError, KmsError } from "../../lib/core/errors.ts";
import { SecretBytes } from "../../lib/core/secret_bytes.ts";
import { sha256 } from "../../lib/core/sha256.ts";
import { SecretError } from "../../lib/core/secret_error.ts";
import { parseSignedSecret, type SecretStatement, verifySignedSecret } from "../../lib/wire/signed_secret.ts";
import { BadRequestError } from "../service_errors.ts";
import { type AgeKey, openAgeFile } from "./age_file.ts";
import type { CheckedSecret } from "./checked_secret.ts";
import type { AgeSource, KmsSource } from "./declarations.ts";

/** Sealed bytes that fit every pin which is compared before they are opened. */
export interface Judged {
  readonly sealed: Uint8Array;
  /** Statement about them; of version 0 where there is no publisher. */
  readonly statement: SecretStatement;
}

/** Ways to open what is sealed. */
export interface Openers {
  /** Has KMS decrypt. */
  decrypt(request: KmsDecryption): Promise<SecretBytes>;
  /** Finds an identity that arrived earlier; undefined when it has not. */
  identity(name: string): AgeKey | undefined;
}

/** Ciphertext, and what KMS must find it to be. */
export interface KmsDecryption {
  readonly ciphertext: Uint8Array;
  readonly keyId?: string | undefined;
  readonly encryptionContext?: Readonly<Record<string, string>> | undefined;
}

/**
 * Compares what arrived with the pins of its declaration, before anything is opened.
 *
 * @param secret Declaration
 * @param content Bytes as they arrived, without a frame
 * @returns The sealed bytes, a view, and what is known about them
 * @throws {SecretError} With the fault `FRAME`, `SIGNATURE`, `NAME`, `VERSION` or `HASH`
 */
export async function judgeSecret(secret: CheckedSecret, content: Uint8Array): Promise<Judged> {
  const signed = parseSignedSecret(content);
  const { publisher } = secret;
  const sealed = signed?.sealed ?? content;
  const hash = sha256(sealed);
  if (publisher === undefined && signed !== undefined) {
    throw refused("SIGNATURE", secret, "it is signed, and no publisher is declared to verify that by", {
      hint: "Declare the publisher, or send the sealed bytes alone",
    });
  }
  if (publisher !== undefined) {
    if (signed === undefined || !await verifySignedSecret(signed, publisher.key, hash)) {
      throw refused("SIGNATURE", secret, "it is not signed by the declared publisher", {
        hint: "`enclave-kms secret sign` signs it. Is it the key whose public half the image has?",
      });
    }
    checkStatement(secret, signed.statement, publisher.minVersion);
  }
  if (secret.sha256 !== undefined && !equalBytes(secret.sha256, hash)) {
    throw refused("HASH", secret, "its SHA-256 is not the pinned one", { hint: "Is it the right file?" });
  }
  return { sealed, statement: { name: secret.name, version: signed?.statement.version ?? 0, sha256: hash } };
}

/**
 * Opens sealed bytes.
 *
 * @param secret Declaration
 * @param sealed Sealed bytes that were judged
 * @param openers KMS, and the identities
 * @returns The content, for the caller to dispose
 * @throws {SecretError} With the fault `ORDER` or `OPEN`
 * @throws {EnclaveKmsError} When KMS cannot be reached, or an optional package is missing
 */
export async function openSecret(
  secret: CheckedSecret,
  sealed: Uint8Array,
  openers: Openers,
): Promise<SecretBytes> {
  const { source } = secret;
  if (source.kind === "sealed") return SecretBytes.copyOf(sealed);
  const inner = source.kind === "shares" ? source.from : source;
  return inner.kind === "kms"
    ? await openByKms(secret, inner, sealed, openers)
    : await openByAge(secret, inner, sealed, openers);
}

/**
 * Makes the error of a refusal.
 *
 * @param fault The fault
 * @param secret Declaration
 * @param why Reason, without any secret
 * @param details Hint, and cause
 */
export function refused(
  fault: ConstructorParameters<typeof SecretError>[0],
  secret: Pick<CheckedSecret, "name">,
  why: string,
  details: ConstructorParameters<typeof SecretError>[2],
): SecretError {
  return new SecretError(fault, `Cannot take secret ${secret.name}: ${why}`, details);
}

function checkStatement(secret: CheckedSecret, { name, version }: SecretStatement, minVersion: number): void {
  if (name !== secret.name) {
    throw refused("NAME", secret, "its publisher signed it for another name", {
      hint: "Are the ports swapped?",
    });
  }
  if (version < minVersion) {
    throw refused("VERSION", secret, `version ${version} is older than ${minVersion}`, {
      hint: "Send the current one: the image demands it",
    });
  }
}

async function openByKms(
  secret: CheckedSecret,
  { keyArn, encryptionContext }: KmsSource,
  ciphertext: Uint8Array,
  openers: Openers,
): Promise<SecretBytes> {
  try {
    return await openers.decrypt({ ciphertext, keyId: keyArn, encryptionContext });
  } catch (error) {
    if (error instanceof CredentialsError) {
      const hint = "Send credentials first, then this once more";
      throw refused("ORDER", secret, "there are no credentials that KMS takes", { hint, cause: error });
    }
    const reason = error instanceof KmsError && !error.retryable
      ? `KMS refused it with ${error.kmsCode}`
      : error instanceof BadRequestError
      ? "it is no ciphertext"
      : undefined;
    if (reason === undefined) throw error;
    throw refused("OPEN", secret, reason, {
      hint:
        "Was it encrypted under the declared key, with the declared encryption context? Does the key policy " +
        "name this enclave?",
      cause: error,
    });
  }
}

async function openByAge(
  secret: CheckedSecret,
  source: AgeSource,
  file: Uint8Array,
  openers: Openers,
): Promise<SecretBytes> {
  const identity = openers.identity(source.identity);
  if (identity !== undefined) return await openAgeFile(file, identity);
  throw refused("ORDER", secret, `its identity ${source.identity} has not come yet`, {
    hint: "Send that one first, then this once more",
  });
}
