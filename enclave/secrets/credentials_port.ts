import { toHex } from "../../lib/core/bytes.ts";
import { SecretError } from "../../lib/core/secret_error.ts";
import { readCredentialsJson } from "../../lib/aws/credentials_json.ts";
import { PARENT_CID } from "../../lib/core/endpoint.ts";
import { sha256 } from "../../lib/core/sha256.ts";
import type { SecretReceipt } from "../../lib/wire/secret_receipt.ts";
import { OPEN_GATE } from "../gate.ts";
import type { EnclaveService } from "../service.ts";
import { setCredentials } from "../set_credentials.ts";
import type { Logger } from "../telemetry/log.ts";
import { RequestRecord } from "../telemetry/request_record.ts";
import { SecretPort } from "./secret_port.ts";

/** Name of the credentials in receipts and the log. */
export const CREDENTIALS_NAME = "credentials";

/** Most bytes of credentials in JSON: a session token has at most 16384. */
const MAX_CREDENTIALS_BYTES = 24_576;

/**
 * Makes the port on which the parent sends credentials, the first time and each time that they are renewed. They are those
 * of `POST /v1/credentials`: older ones are refused, and requests that run keep those they began with.
 *
 * @param service Service whose requests they sign
 * @param options Milliseconds for one connection, and the log
 */
export function credentialsPort(
  service: EnclaveService,
  options: { readonly timeoutMs: number; readonly logger: Logger },
): SecretPort {
  return new SecretPort({
    name: CREDENTIALS_NAME,
    maxBytes: MAX_CREDENTIALS_BYTES,
    take: (content) => takeCredentials(service, content, options.logger),
    ...options,
  });
}

function takeCredentials(
  service: EnclaveService,
  content: Uint8Array<ArrayBuffer>,
  logger: Logger,
): SecretReceipt {
  const hash = toHex(sha256(content));
  const read = readCredentialsJson(content);
  if (!("accessKeyId" in read)) {
    const [{ path, expected } = { path: "", expected: "credentials" }] = read;
    throw new SecretError(
      "CREDENTIALS",
      `Cannot take credentials: expected ${path || "them"} to be ${expected}`,
      {
        hint:
          "Send JSON with AccessKeyId, SecretAccessKey, Token and Expiration, as the metadata service has it",
      },
    );
  }
  const { accessKeyId, secretAccessKey, sessionToken, expiresAtMs: expiration } = read;
  const credentials = { accessKeyId, secretAccessKey, sessionToken, expiration };
  // The parent alone reaches this port, and may set them whatever the policy says.
  const record = new RequestRecord("http", PARENT_CID);
  setCredentials(service, credentials, record, {}, OPEN_GATE);
  logger.info({ credentials: record.credentials }, "took credentials");
  return { ok: true, name: CREDENTIALS_NAME, sha256: hash };
}
