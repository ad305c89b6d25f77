/**
 * Credentials as JSON in bytes, written and read without a JavaScript string of a secret.
 *
 * @module
 */
import { joinSecretJson } from "../core/secret_json.ts";
import { readSecretJson } from "../core/secret_json_reader.ts";
import type { OwnedCredentials } from "./credentials.ts";
import { type CheckedCredentials, type CredentialsProblem, readCredentials } from "./credentials_shape.ts";

/** Names of secret fields, in every form of credentials. */
export const SECRET_FIELDS: readonly string[] = [
  "secretAccessKey",
  "sessionToken",
  "SecretAccessKey",
  "SessionToken",
  "Token",
];

/**
 * Reads credentials from JSON, in any of the forms that `readCredentials()` takes. Unknown fields are refused.
 *
 * @param bytes JSON in UTF-8. It is changed, the secrets lie in it, and the caller wipes it
 * @returns The credentials, whose secret parts are bytes of the input; or every field that is wrong
 */
export function readCredentialsJson(bytes: Uint8Array): CheckedCredentials | readonly CredentialsProblem[] {
  const object = readSecretJson(bytes, SECRET_FIELDS);
  return object === undefined
    ? [{ path: "", expected: "a JSON object of credentials" }]
    : readCredentials(object, "json");
}

/**
 * Writes credentials as the metadata service has them: `AccessKeyId`, `SecretAccessKey`, and `Token` and `Expiration`
 * where they are known.
 *
 * @param credentials The credentials; they stay the caller's
 * @returns JSON in UTF-8, for the caller to wipe
 */
export function encodeCredentialsJson(credentials: OwnedCredentials): Uint8Array<ArrayBuffer> {
  const { accessKeyId, secretAccessKey, sessionToken, expiresAtMs } = credentials;
  const expiration = expiresAtMs === undefined
    ? ""
    : `,"Expiration":"${new Date(expiresAtMs).toISOString()}"`;
  return joinSecretJson([
    `{"AccessKeyId":${JSON.stringify(accessKeyId)},"SecretAccessKey":"`,
    { secret: secretAccessKey.bytes },
    '"',
    ...(sessionToken === undefined ? [] : [',"Token":"', { secret: sessionToken.bytes }, '"']),
    `${expiration}}`,
  ]);
}
