import { Buffer } from "node:buffer";
import type { Attributes } from "../attributes.ts";
import { type JudgedPrincipal, MAX_FACTS_BYTES, type PolicyFacts } from "../facts.ts";
import { principalId } from "../principal.ts";
import type { PolicySlice } from "./policy_slices.ts";

/** Name that the schema is kept under in an instance of Cedar. */
export const SCHEMA_NAME = "schema";

/**
 * Writes the facts as Cedar reads them: entities, and references to them.
 *
 * @param facts The facts
 * @param slice Policies that may apply
 * @returns The argument of `statefulIsAuthorized`, as JSON
 * @throws {RangeError} When it is longer than 64 KiB
 */
export function cedarRequest(facts: PolicyFacts, slice: PolicySlice): string {
  const { principal, action, resource, context } = facts;
  const caller = { type: principal.type, id: principalId(principal) };
  const key = { type: "Key", id: resource.key };
  const json = JSON.stringify({
    principal: caller,
    action: { type: "Action", id: action },
    resource: key,
    context: { ...context, encryptionContext: { __entity: ENCRYPTION_CONTEXT } },
    entities: [
      { uid: caller, attrs: attributesOf(principal), parents: [] },
      { uid: key, attrs: { id: resource.key, region: resource.region }, parents: [] },
      { uid: ENCRYPTION_CONTEXT, attrs: {}, parents: [], tags: context.encryptionContext },
    ],
    validateRequest: true,
    preparsedSchemaName: SCHEMA_NAME,
    preparsedPolicySetId: slice.name,
  });
  if (Buffer.byteLength(json) <= MAX_FACTS_BYTES) return json;
  throw new RangeError(`The request comes to more than ${MAX_FACTS_BYTES} bytes`);
}

/** Puts what the host says of a caller last: no attribute and no claim can stand for it. */
function attributesOf(principal: JudgedPrincipal): Attributes {
  switch (principal.type) {
    case "Caller":
      return { ...principal.attributes, cid: principal.cid };
    case "Token":
      return { ...principal.claims, issuer: principal.issuer, subject: principal.subject };
    case "Certificate":
      return { ...principal.attributes, sha256: principal.sha256 };
    case "Parent":
      return {};
  }
}

const ENCRYPTION_CONTEXT = Object.freeze({ type: "EncryptionContext", id: "request" });
