import { encode } from "cbor2";
import { type Identity, sign } from "../tls/certificates.ts";
import type { DocumentForm } from "./document_form.ts";
import type { NsmErrorName } from "./nsm_commands.ts";

/** Fields of a document. */
export interface DocumentFields {
  /** `i-…-enc…`. */
  readonly moduleId: string;
  /** Milliseconds since 1970. */
  readonly timestamp: number;
  /** The locked registers by index. */
  readonly pcrs: ReadonlyMap<number, Uint8Array>;
  /** The certificates above the signer's, DER, the root first. */
  readonly cabundle: readonly Uint8Array[];
  /** The enclave's public key, or null. */
  readonly publicKey: Uint8Array | null;
  /** The enclave's data, or null. */
  readonly userData: Uint8Array | null;
  /** The nonce, or null. */
  readonly nonce: Uint8Array | null;
}

/** Form, certificate and signer of a document. */
export interface DocumentMaking {
  readonly form: DocumentForm;
  /** Identity whose certificate the document holds. */
  readonly leaf: Identity;
  /** Identity whose key signs the document: the leaf, unless the document must be wrong. */
  readonly signer: Identity;
}

/**
 * Makes an attestation document in the form of genuine ones: untagged COSE_Sign1, ES384, an empty
 * unprotected header, null for what is absent.
 *
 * @param fields Fields of the document
 * @param making Its form, certificate and signer
 * @returns The document, CBOR
 */
export async function makeDocument(
  fields: DocumentFields,
  { form, leaf, signer }: DocumentMaking,
): Promise<Uint8Array<ArrayBuffer>> {
  const definite = cbor({
    module_id: fields.moduleId,
    digest: "SHA384",
    timestamp: fields.timestamp,
    pcrs: fields.pcrs,
    certificate: leaf.certificate,
    cabundle: fields.cabundle,
    public_key: fields.publicKey,
    user_data: fields.userData,
    nonce: fields.nonce,
  });
  const payload = form === "definite" ? definite : withOpenLength(definite);
  const signed = cbor(["Signature1", ES384_HEADER, new Uint8Array(), payload]);
  return cbor([ES384_HEADER, {}, payload, await sign(signer.keys, signer.curve, signed)]);
}

/**
 * Encodes a value as CBOR.
 *
 * @param value The value
 * @returns New bytes
 */
export function cbor(value: unknown): Uint8Array<ArrayBuffer> {
  return new Uint8Array(encode(value));
}

/**
 * Makes the answer of a refusal.
 *
 * @param name Name of the error
 * @returns CBOR
 */
export function errorAnswer(name: NsmErrorName): Uint8Array<ArrayBuffer> {
  return cbor({ Error: name });
}

/** Gives a map of fewer than 24 entries the indefinite length: a break at its end instead of a count. */
function withOpenLength(map: Uint8Array): Uint8Array<ArrayBuffer> {
  return Uint8Array.of(0xbf, ...map.subarray(1), 0xff);
}

/** `{1: -35}`. */
const ES384_HEADER = Uint8Array.of(0xa1, 0x01, 0x38, 0x22);
