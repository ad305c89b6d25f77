import type { TypedResponse } from "hono";
import type { ToSchema } from "hono/types";
import { validator } from "hono/validator";
import * as v from "valibot";
import { checkPurpose } from "../../lib/attestation/signature_message.ts";
import { decodeBase64, encodeBase64 } from "../../lib/core/encoding.ts";
import { checkForm } from "../check_form.ts";
import { JSON_BODY } from "../http/json_body.ts";
import { KmsService } from "../kms_service.ts";
import { answerOf, base64Schema, BODY_PROBLEMS, bodyOf, objectSchema, PROBLEMS } from "../openapi.ts";
import { parse } from "../parse.ts";
import type { BuiltInRoute } from "./built_in_route.ts";

/** Types of `POST /v1/sign`, for Hono's typed client. */
export type SignSchema = ToSchema<
  "post",
  "/v1/sign",
  { in: { json: SignBody }; out: { json: SignBody } },
  TypedResponse<SignAnswer, 200, "json">
>;

/** Body of `POST /v1/sign`. */
export interface SignBody {
  /** Data in base64. */
  data: string;
}

/** Answer of `POST /v1/sign`. */
export interface SignAnswer {
  /** Signature in base64, for `verifyEnclaveSignature()`. */
  signature: string;
  /** Purpose that it counts for: the application's. */
  purpose: string;
}

const BODY: v.GenericSchema<unknown, SignBody> = v.strictObject({ data: v.string() });

/**
 * Makes the route that signs callers' data with the key of this boot, for one purpose and behind the gate. The purpose is
 * not the caller's to choose: a signature for another one would count as the application's own.
 *
 * @param given Purpose, 1 to 128 printable ASCII characters
 * @returns The route
 * @throws {TypeError} When the purpose is no string or has other characters
 * @throws {RangeError} When it is empty or too long
 */
export function signRoute(given: string): BuiltInRoute {
  const purpose = checkPurpose(given);
  return {
    name: "sign",
    method: "post",
    paths: ["/v1/sign"],
    operation: "SignData",
    document: {
      operationId: "signData",
      summary: `Signs data with the key of this boot, for the purpose ${purpose}`,
      requestBody: bodyOf("DataToSign"),
      responses: { 200: answerOf("The signature", ANSWER), ...PROBLEMS, ...BODY_PROBLEMS },
    },
    schemas: { DataToSign: objectSchema({ data: base64Schema("Data to sign") }) },
    handlers: (parts) => [
      ...JSON_BODY,
      validator("json", (input) => parse(BODY, input)),
      async (c) => {
        const { data } = c.req.valid("json" as never) as SignBody;
        const bytes = checkForm(() => decodeBase64(data, { field: "data" }));
        const signature = await new KmsService(parts, c.var.record).signData(bytes, { purpose });
        return c.json({ signature: encodeBase64(signature), purpose }, 200);
      },
    ],
  };
}

const ANSWER = objectSchema({
  signature: base64Schema("COSE_Sign1 over purpose, time, boot id and SHA-256 of the data"),
  purpose: { type: "string" },
});
