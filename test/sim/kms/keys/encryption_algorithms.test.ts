import assert from "node:assert/strict";
import { describe, test } from "#test";
import { maxPlaintextLength } from "../../../../sim/kms/keys/encryption_algorithms.ts";

describe("maxPlaintextLength()", () => {
  test("is what KMS itself says in its refusals", () => {
    const lengths = {
      RSA_2048: { RSAES_OAEP_SHA_1: 214, RSAES_OAEP_SHA_256: 190 },
      RSA_3072: { RSAES_OAEP_SHA_1: 342, RSAES_OAEP_SHA_256: 318 },
      RSA_4096: { RSAES_OAEP_SHA_1: 470, RSAES_OAEP_SHA_256: 446 },
    } as const;
    for (const spec of ["RSA_2048", "RSA_3072", "RSA_4096"] as const) {
      for (const algorithm of ["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"] as const) {
        assert.equal(maxPlaintextLength(spec, algorithm), lengths[spec][algorithm], `${spec}, ${algorithm}`);
      }
    }
    assert.equal(maxPlaintextLength("SYMMETRIC_DEFAULT", "SYMMETRIC_DEFAULT"), 4096);
  });
});
