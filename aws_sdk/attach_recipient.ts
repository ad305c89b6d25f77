import { encodeBase64 } from "../lib/core/encoding.ts";
import { UnsupportedOperationError } from "../lib/core/errors.ts";

/** Request that the SDK has made, as far as it is changed. */
interface MadeRequest {
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

/**
 * Puts an attestation document into a request that is made already, and not yet signed: each try has its own.
 *
 * @param request Request of the SDK, which is left as it is
 * @param document Attestation document
 * @returns A copy with the document
 * @throws {UnsupportedOperationError} When the request is not JSON
 */
export function attachRecipient(request: unknown, document: Uint8Array): unknown {
  const made = request as MadeRequest;
  const text = bodyOf(made);
  const recipient = JSON.stringify({
    AttestationDocument: encodeBase64(document),
    KeyEncryptionAlgorithm: "RSAES_OAEP_SHA_256",
  });
  const members = text.slice(1, -1).trim();
  const body = `{"Recipient":${recipient}${members === "" ? "" : ","}${members}}`;
  const headers = {
    ...withoutLength(made.headers),
    "content-length": String(new TextEncoder().encode(body).length),
  };
  return Object.assign(Object.create(Object.getPrototypeOf(made) as object) as object, made, {
    body,
    headers,
  });
}

function bodyOf({ body }: MadeRequest): string {
  const text = body instanceof Uint8Array ? new TextDecoder().decode(body) : body;
  if (typeof text === "string" && text.startsWith("{") && text.endsWith("}")) return text;
  throw new UnsupportedOperationError("Cannot attest the request: its body is not JSON", {
    hint: "Does the client use KMS's JSON protocol, which is its default?",
  });
}

function withoutLength(headers: MadeRequest["headers"]): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => name.toLowerCase() !== "content-length"),
  );
}
