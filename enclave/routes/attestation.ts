import type { TypedResponse } from "hono";
import type { ToSchema } from "hono/types";
import { validator } from "hono/validator";
import * as v from "valibot";
import type { BootAttestationAnswer } from "../../lib/attestation/boot_attestation.ts";
import { decodeBase64, decodeHex, encodeBase64 } from "../../lib/core/encoding.ts";
import { MAX_ATTESTED_NONCE_BYTES } from "../../lib/nsm/nsm_client.ts";
import { attestBoot } from "../attest_boot.ts";
import type { JsonObject } from "../json.ts";
import { answerOf, base64Schema, objectSchema, PROBLEMS } from "../openapi.ts";
import { parse } from "../parse.ts";
import { BadRequestError } from "../service_errors.ts";
import type { BuiltInRoute } from "./built_in_route.ts";

/** Types of `GET /v1/attestation`, for Hono's typed client. */
export type AttestationSchema = ToSchema<
  "get",
  "/v1/attestation",
  { in: { query: AttestationQuery }; out: { query: AttestationQuery } },
  TypedResponse<BootAttestationAnswer, 200, "json">
>;

/** Query of `GET /v1/attestation`. */
export interface AttestationQuery {
  /** Nonce of 1 to 512 bytes. */
  nonce: string;
  /** Encoding of the nonce. Default: `base64`, in either alphabet. */
  encoding?: "base64" | "hex" | undefined;
}

/** See {@link AttestationQuery}. */
export const attestationQuery: v.GenericSchema<unknown, AttestationQuery> = v.strictObject({
  nonce: v.pipe(v.string(), v.minLength(1), v.maxLength(MAX_ATTESTED_NONCE_BYTES * 2)),
  encoding: v.optional(v.picklist(["base64", "hex"])),
});

/** JSON Schemas of {@link attestationQuery}, by parameter. */
export const ATTESTATION_PARAMETERS: { readonly nonce: JsonObject; readonly encoding: JsonObject } = {
  nonce: { type: "string", minLength: 1, maxLength: MAX_ATTESTED_NONCE_BYTES * 2 },
  encoding: { enum: ["base64", "hex"], type: "string" },
};

const ANSWER: JsonObject = objectSchema({
  document: base64Schema("A COSE_Sign1 document, whose user data are the digest of the boot id and the keys"),
  bootId: { type: "string", pattern: "^[0-9a-f]{32}$", description: "Random id of this boot" },
  keys: {
    type: "object",
    additionalProperties: base64Schema("A public key"),
    description: "Public keys of this boot, by name",
  },
  certificate: { type: "string", description: "Certificate of the enclave's own TLS, PEM" },
  sealing: base64Schema("Key configuration of sealed HTTP"),
}, ["document", "bootId", "keys"]);

/** Route that answers with an attestation document, which vouches for the keys of this boot. */
export const ATTESTATION: BuiltInRoute = {
  name: "attestation",
  method: "get",
  paths: ["/v1/attestation"],
  operation: "GetAttestation",
  document: {
    operationId: "getAttestation",
    summary: "An attestation document with the caller's nonce, and the keys of this boot that it vouches for",
    parameters: [
      { name: "nonce", in: "query", required: true, schema: ATTESTATION_PARAMETERS.nonce },
      { name: "encoding", in: "query", schema: ATTESTATION_PARAMETERS.encoding },
    ],
    responses: { 200: answerOf("The document", ANSWER), ...PROBLEMS },
  },
  handlers: ({ attestationExtras = () => ({}), ...parts }) => [
    validator("query", (query) => parse(attestationQuery, query)),
    async (c) => {
      const nonce = decodeNonce(c.req.valid("query" as never));
      const attested = await attestBoot(parts, nonce, c.var.record);
      const keys = Object.fromEntries(
        Object.entries(attested.keys).map(([name, key]) => [name, encodeBase64(key)]),
      );
      const { bootId } = parts.bootKeys;
      return c.json({
        document: encodeBase64(attested.document),
        bootId,
        keys,
        ...attestationExtras(attested.keys),
      }, 200);
    },
  ],
};

/**
 * Decodes a nonce.
 *
 * @param query Checked query
 * @throws {BadRequestError} When it is not in its encoding, or too long
 */
export function decodeNonce({ nonce, encoding = "base64" }: AttestationQuery): Uint8Array {
  try {
    const bytes = encoding === "hex" ? decodeHex(nonce) : decodeBase64(standardAlphabet(nonce));
    if (bytes.length > 0 && bytes.length <= MAX_ATTESTED_NONCE_BYTES) return bytes;
  } catch {
    // Said below, without what was sent.
  }
  throw new BadRequestError([{
    path: "nonce",
    expected: `1 to ${MAX_ATTESTED_NONCE_BYTES} bytes in ${encoding}`,
  }]);
}

function standardAlphabet(text: string): string {
  const standard = text.replaceAll("-", "+").replaceAll("_", "/");
  return standard.padEnd(Math.ceil(standard.length / 4) * 4, "=");
}
