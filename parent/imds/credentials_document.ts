import { OwnedCredentials } from "../../lib/aws/credentials.ts";
import { SECRET_FIELDS } from "../../lib/aws/credentials_json.ts";
import { readSecretJson } from "../../lib/core/secret_json_reader.ts";
import { imdsError } from "./imds_error.ts";

/**
 * Reads what the metadata service answers for a role. Fields beside the known ones are passed over: AWS adds some now
 * and then.
 *
 * @param body The answer. It is changed, and the caller wipes it
 * @returns A copy of the credentials
 * @throws {ImdsError} `REFUSED` when the service could not assume the role, `ANSWER` when it is no such document
 */
export function readCredentialsDocument(body: Uint8Array): OwnedCredentials {
  const document = readSecretJson(body, SECRET_FIELDS);
  if (document === undefined) throw wrong("the answer is no JSON object");
  const { Code, AccessKeyId, SecretAccessKey, Token, Expiration } = document;
  if (typeof Code === "string" && Code !== "Success") {
    const code = /^[A-Za-z]{1,64}$/.test(Code) ? `Code ${Code}` : "another Code than Success";
    throw imdsError("REFUSED", "credentials", { reason: `the service answers ${code}` });
  }
  const isComplete = typeof AccessKeyId === "string" && SecretAccessKey instanceof Uint8Array &&
    Token instanceof Uint8Array && typeof Expiration === "string";
  if (!isComplete) throw wrong("the answer is no credentials");
  try {
    return OwnedCredentials.copyOf({ AccessKeyId, SecretAccessKey, Token, Expiration });
  } catch (error) {
    // It names the field, and not its value.
    throw wrong(error instanceof TypeError ? error.message : "the answer is no credentials");
  }
}

function wrong(reason: string): Error {
  return imdsError("ANSWER", "credentials", { reason });
}
