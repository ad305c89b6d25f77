import type { TypedResponse } from "hono";
import type { ToSchema } from "hono/types";
import { validator } from "hono/validator";
import * as v from "valibot";
import { decodeBase64, encodeBase64 } from "../../lib/core/encoding.ts";
import { checkForm } from "../check_form.ts";
import { JSON_BODY } from "../http/json_body.ts";
import { HASH_ALGORITHMS, type HashAlgorithm, KmsService } from "../kms_service.ts";
import { answerOf, base64Schema, BODY_PROBLEMS, bodyOf, objectSchema, PROBLEMS } from "../openapi.ts";
import { parse } from "../parse.ts";
import type { BuiltInRoute } from "./built_in_route.ts";

/** Types of `POST /v1/hash`, for Hono's typed client. */
export type HashSchema = ToSchema<
  "post",
  "/v1/hash",
  { in: { json: HashBody }; out: { json: HashBody } },
  TypedResponse<HashAnswer, 200, "json">
>;

/** Body of `POST /v1/hash`. */
export interface HashBody {
  /** Data in base64. */
  data: string;
  /** Hash function. Default: `SHA-256`. */
  algorithm?: HashAlgorithm | undefined;
}

/** Answer of `POST /v1/hash`. */
export interface HashAnswer {
  /** Digest in base64: 32, 48 or 64 bytes. */
  hash: string;
  /** Hash function. */
  algorithm: HashAlgorithm;
}

const BODY: v.GenericSchema<unknown, HashBody> = v.strictObject({
  data: v.string(),
  algorithm: v.optional(v.picklist(HASH_ALGORITHMS)),
});

const ALGORITHM = { enum: [...HASH_ALGORITHMS], type: "string" };

/** Route that hashes callers' data, behind the gate. */
export const HASH: BuiltInRoute = {
  name: "hash",
  method: "post",
  paths: ["/v1/hash"],
  operation: "HashData",
  document: {
    operationId: "hashData",
    summary: "Hashes data inside the enclave",
    requestBody: bodyOf("DataToHash"),
    responses: {
      200: answerOf("The digest", objectSchema({ hash: base64Schema("Digest"), algorithm: ALGORITHM })),
      ...PROBLEMS,
      ...BODY_PROBLEMS,
    },
  },
  schemas: {
    DataToHash: objectSchema({ data: base64Schema("Data to hash"), algorithm: ALGORITHM }, ["data"]),
  },
  handlers: (parts) => [
    ...JSON_BODY,
    validator("json", (input) => parse(BODY, input)),
    async (c) => {
      const { data, algorithm = "SHA-256" } = c.req.valid("json" as never) as HashBody;
      const bytes = checkForm(() => decodeBase64(data, { field: "data" }));
      const digest = await new KmsService(parts, c.var.record).secureHash(bytes, algorithm);
      return c.json({ hash: encodeBase64(digest), algorithm }, 200);
    },
  ],
};
