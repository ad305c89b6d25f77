import { checkFields } from "../lib/core/checks.ts";
import { expectedPcr16, joinStatements } from "../lib/wire/secret_measurement.ts";
import { checkSecretStatement, parseSignedSecret, type SecretStatement } from "../lib/wire/signed_secret.ts";

/** Secret as it is sent to an enclave. */
export interface SentSecret {
  /** Name that the enclave declares it under. */
  readonly name: string;
  /** Bytes that are sent: sealed, or sealed and signed. */
  readonly content: Uint8Array;
}

/**
 * Computes the value of PCR16 of an enclave that took these secrets, and no others. It is a record, which a verifier or
 * a key policy can ask for; credentials never count.
 *
 * @param secrets Secrets in the order in which the enclave declares them, without optional ones that are not sent. Files
 *   of shares of one secret have the same name
 * @returns 48 bytes
 * @throws {TypeError} When a field is missing, unknown or of a wrong type, or a signed secret has another name
 * @throws {SecretError} When a secret begins as a signed one, and is none
 * @example
 * ```ts
 * import { computePcr16 } from "enclave-kms/operator";
 *
 * const content = new TextEncoder().encode("sealed bytes");
 * const pcr16 = await computePcr16([{ name: "orders", content }]);
 * pcr16.length; // 48
 * ```
 */
export async function computePcr16(secrets: readonly SentSecret[]): Promise<Uint8Array<ArrayBuffer>> {
  if (!Array.isArray(secrets)) throw new TypeError("secrets must be an array");
  const byName = new Map<string, SecretStatement[]>();
  for (const statement of await Promise.all(secrets.map(statementOf))) {
    byName.set(statement.name, [...byName.get(statement.name) ?? [], statement]);
  }
  return await expectedPcr16(await Promise.all([...byName.values()].map(joinStatements)));
}

async function statementOf(sent: SentSecret, index: number): Promise<SecretStatement> {
  const { name, content } = checkFields(`secrets[${index}]`, sent, ["name", "content"]);
  if (!(content instanceof Uint8Array)) throw new TypeError(`secrets[${index}].content must be a Uint8Array`);
  const signed = parseSignedSecret(content);
  if (signed !== undefined && signed.statement.name !== name) {
    throw new TypeError(`secrets[${index}].content was signed under another name`);
  }
  // What was signed may lie about its hash, which the enclave would notice.
  const sealed = (signed?.sealed ?? content).slice();
  const sha256 = new Uint8Array(await crypto.subtle.digest("SHA-256", sealed));
  return checkSecretStatement({ name, version: signed?.statement.version ?? 0, sha256 });
}
