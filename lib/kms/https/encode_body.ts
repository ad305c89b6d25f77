import { encodeBase64 } from "../../core/encoding.ts";
import { joinBase64 } from "../../core/secret_json.ts";
import type { Operation } from "../operations/operation.ts";

/** Ends of bodies, by their document: most of each body, and the same for all that carry the document. */
const ENDS = new WeakMap<Uint8Array, Uint8Array<ArrayBuffer>>();

const encoder = new TextEncoder();

/**
 * Encodes a request as JSON, with what is secret in it never a JavaScript string.
 *
 * @param operation The operation
 * @param checked Its request
 * @param document Attestation document of the recipient, for attested operations; it must not change afterwards
 * @returns New bytes, for the caller to wipe
 */
export function encodeBody<Checked>(
  operation: Pick<Operation<never, Checked, unknown>, "members" | "secretMember">,
  checked: Checked,
  document: Uint8Array | undefined,
): Uint8Array<ArrayBuffer> {
  const members = JSON.stringify(operation.members(checked));
  if (document !== undefined) return join(members.slice(0, -1), endOf(document));
  const secret = operation.secretMember?.(checked);
  if (secret === undefined) return encoder.encode(members);
  const [name, bytes] = secret;
  return joinBase64(`{"${name}":"`, bytes, `",${members.slice(1)}`);
}

function endOf(document: Uint8Array): Uint8Array<ArrayBuffer> {
  const known = ENDS.get(document);
  if (known !== undefined) return known;
  const recipient = JSON.stringify({
    AttestationDocument: encodeBase64(document),
    KeyEncryptionAlgorithm: "RSAES_OAEP_SHA_256",
  });
  const end = encoder.encode(`,"Recipient":${recipient}}`);
  ENDS.set(document, end);
  return end;
}

function join(text: string, end: Uint8Array): Uint8Array<ArrayBuffer> {
  const begin = encoder.encode(text);
  const bytes = new Uint8Array(begin.length + end.length);
  bytes.set(begin);
  bytes.set(end, begin.length);
  return bytes;
}
