import assert from "node:assert/strict";
import type { InferRequestType, InferResponseType } from "hono/client";
import type { hc } from "hono/client";
import { describe, test } from "#test";
import { OPERATIONS } from "../../lib/kms/operations/operations.ts";
import type { AppType } from "../../server/app.ts";
import { KMS_ROUTES } from "../../server/kms_routes.ts";
import { OPENAPI_DOCUMENT } from "../../server/openapi.ts";
import { ATTESTATION_PARAMETERS } from "../../enclave/routes/attestation.ts";
import { REQUEST_SCHEMAS } from "../../server/openapi_schemas.ts";
import { generateSchemas } from "../../tools/openapi.ts";

type Client = ReturnType<typeof hc<AppType>>;
type DataKey = Client["v1"]["generate-data-key"]["$post"];

describe("the OpenAPI document", () => {
  test("has the schemas that requests are checked with: else run node tools/openapi.ts", () => {
    assert.deepEqual(REQUEST_SCHEMAS, generateSchemas().requests);
    assert.deepEqual(ATTESTATION_PARAMETERS, generateSchemas().queries);
  });

  test("has a route for each operation, and a dry run where KMS has one", () => {
    const operations = KMS_ROUTES.map(({ operation }) => operation);
    assert.deepEqual(operations.toSorted(), Object.keys(OPERATIONS).toSorted());
    for (const { path, operation } of KMS_ROUTES) {
      const { responses } = OPENAPI_DOCUMENT.paths[path]?.["post"] as { responses: Record<string, unknown> };
      assert.equal(204 in responses, OPERATIONS[operation].hasDryRun, operation);
    }
  });

  test("refers to schemas that it has", () => {
    const referred = [...JSON.stringify(OPENAPI_DOCUMENT).matchAll(/"#\/components\/schemas\/(\w+)"/g)];
    const { schemas } = OPENAPI_DOCUMENT.components as { schemas: Record<string, unknown> };
    assert.deepEqual([...new Set(referred.map(([, name]) => name))].sort(), Object.keys(schemas).sort());
  });
});

test("a typed client knows the bodies and answers of KMS's routes", () => {
  const body: InferRequestType<DataKey>["json"] = { keyId: "k", keySpec: "AES_128", dryRun: false };
  const answer: InferResponseType<DataKey, 200> = { plaintext: "", ciphertext: "", keyId: "" };
  // @ts-expect-error: a body without the key is refused by the compiler
  const wrong: InferRequestType<DataKey>["json"] = { keySpec: "AES_128" };
  // @ts-expect-error: an answer has no other members
  assert.equal(answer.privateKey, undefined);
  assert.ok(body.keyId !== wrong.keyId);
});
