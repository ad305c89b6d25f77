import { encodeBase64 } from "../../core/encoding.ts";
import { ProtocolError } from "../../core/errors.ts";
import type { Fetch } from "../../transport/create_fetch.ts";
import { ENCLAVE_TLS_NAME } from "../../wire/enclave_tls_name.ts";

/** Longest answer, in bytes: more than the longest document, certificate and keys that are read. */
const MAX_ANSWER_BYTES = 524_288;

/**
 * Asks an enclave for its attestation. Nothing secret is sent, and nothing that comes is believed.
 *
 * @param fetch Way to the enclave
 * @param nonce Nonce for the document
 * @param signal Ends the question
 * @param protocol Protocol of that way. Default: `https:`
 * @returns Parsed JSON
 * @throws {ProtocolError} When the answer is no JSON, too long, or not 200
 * @throws {ConnectionError} When the connection breaks
 */
export async function askAttestation(
  fetch: Fetch,
  nonce: Uint8Array,
  signal: AbortSignal,
  protocol: "https:" | "http:" = "https:",
): Promise<unknown> {
  return await askAttestationAt(fetch, `${protocol}//${ENCLAVE_TLS_NAME}/v1/attestation`, nonce, signal);
}

/**
 * Asks for an attestation at a URL, as {@link askAttestation} does. Redirects are not followed.
 *
 * @param fetch Way to the enclave
 * @param url URL of the route, without a query
 * @param nonce Nonce for the document
 * @param signal Ends the question
 * @returns Parsed JSON
 * @throws {ProtocolError} When the answer is no JSON, too long, or not 200
 * @throws {ConnectionError} When the connection breaks
 */
export async function askAttestationAt(
  fetch: Fetch,
  url: string,
  nonce: Uint8Array,
  signal: AbortSignal,
): Promise<unknown> {
  const query = new URLSearchParams({ nonce: encodeBase64(nonce) });
  const answer = await fetch(`${url}?${query}`, { signal, redirect: "manual" });
  try {
    if (answer.status !== 200) throw refused(`it answers with status ${answer.status}`);
    return parse(await readBounded(answer));
  } finally {
    // What is not read would keep the connection.
    await answer.body?.cancel().catch(() => {});
  }
}

async function readBounded(answer: Response): Promise<string> {
  const decoder = new TextDecoder();
  let [text, length] = ["", 0];
  for await (const chunk of answer.body ?? []) {
    length += chunk.length;
    if (length > MAX_ANSWER_BYTES) throw refused(`its answer has more than ${MAX_ANSWER_BYTES} bytes`);
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw refused("its answer is no JSON");
  }
}

function refused(what: string): ProtocolError {
  return new ProtocolError(`Cannot attest enclave: ${what}`, {
    hint: "Does the endpoint lead to an enclave that serves GET /v1/attestation?",
  });
}
