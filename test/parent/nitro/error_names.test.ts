import assert from "node:assert/strict";
import { describe, test } from "#test";
import { findNitroError } from "../../../parent/nitro/error_names.ts";

describe("findNitroError()", () => {
  test("knows E00 to E60, by what is written and by the exit code", () => {
    for (let number = 0; number <= 60; number++) {
      const code = `E${String(number).padStart(2, "0")}`;
      const found = findNitroError(`noise\n[ ${code} ] Some text`, 1);
      assert.equal(found?.code, code);
      assert.match(found?.name ?? "", /^[A-Z][A-Za-z]+$/);
      assert.ok((found?.hint ?? "").length > 10);
      if (number > 0) assert.deepEqual(findNitroError("", number), found);
    }
    assert.equal(findNitroError("[ E26 ]", 0)?.name, "InsufficientMemoryRequested");
    assert.equal(findNitroError("[ E36 ]", 0)?.name, "EnclaveBootFailure");
    assert.equal(findNitroError("[ E60 ]", 0)?.name, "EIFSigningError");
  });

  test("knows no others", () => {
    for (
      const [text, exitCode] of [["", 0], ["", 61], ["", undefined], ["[ E61 ]", 61], ["[E27]", 99]] as const
    ) {
      assert.equal(findNitroError(text, exitCode), undefined, `${text} ${exitCode}`);
    }
  });
});
