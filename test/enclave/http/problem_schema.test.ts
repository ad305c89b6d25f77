import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, test } from "#test";
import { problem, problemOf } from "../../../enclave/http/problem.ts";
import { joinOpenApi } from "../../../enclave/openapi.ts";
import { BadRequestError } from "../../../enclave/service_errors.ts";
import { type Problem, readProblem } from "../../../lib/wire/problem.ts";
import { accepts } from "../../support/json_schema.ts";

const { schemas } = joinOpenApi({}, []).components as { schemas: Record<string, Record<string, unknown>> };
const SCHEMA = schemas["Problem"] ?? {};

/** All members: the compiler asks for one that is added, and for the removal of one that is not there any more. */
const WHOLE: Required<Problem> = {
  ...problem(503, "ERR_OVERLOADED", randomUUID()),
  errors: [{ path: "keyId", expected: "a string" }],
};

describe("the schema of a problem", () => {
  test("has the members of its type, and requires those that are always there", () => {
    const { properties, required } = SCHEMA as { properties: object; required: readonly string[] };
    assert.deepEqual(Object.keys(properties).toSorted(), Object.keys(WHOLE).toSorted());
    assert.deepEqual([...required, "errors"].toSorted(), Object.keys(WHOLE).toSorted());
    assert.equal(accepts(SCHEMA, WHOLE), true);
    for (const name of Object.keys(WHOLE)) {
      const { [name as keyof Problem]: _, ...rest } = WHOLE;
      assert.equal(accepts(SCHEMA, rest), name === "errors", name);
      assert.equal(accepts(SCHEMA, { ...WHOLE, [name]: null }), false, name);
    }
    assert.equal(accepts(SCHEMA, { ...WHOLE, cause: "a secret" }), false);
  });

  test("accepts what the enclave answers with, and so does the client that reads it", () => {
    const failures = [new BadRequestError(WHOLE.errors), new BadRequestError([]), new Error("a defect")];
    for (const made of failures.map((failure) => problemOf(failure, randomUUID()))) {
      const sent: unknown = JSON.parse(JSON.stringify(made));
      assert.equal(accepts(SCHEMA, sent), true, made.code);
      assert.deepEqual(readProblem(sent, made.status), made);
    }
  });
});
