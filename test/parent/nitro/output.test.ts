import assert from "node:assert/strict";
import { describe, test } from "#test";
import { LaunchError } from "../../../lib/core/errors.ts";
import { readDescribeAnswer, readRunAnswer } from "../../../parent/nitro/output.ts";

const ENCLAVE = {
  EnclaveName: "app",
  EnclaveID: "i-0-enc1",
  EnclaveCID: 16,
  NumberOfCPUs: 2,
  MemoryMiB: 512,
  State: "RUNNING",
  Flags: "NONE",
};

describe("the output of nitro-cli", () => {
  test("is refused when it is nested without end, as an answer and among noise", () => {
    const deep = "[".repeat(200_000) + "]".repeat(200_000);
    assert.throws(() => readDescribeAnswer(deep), LaunchError);
    assert.throws(() => readRunAnswer(`{"EnclaveID":${deep}}`), LaunchError);
    const [enclave] = readDescribeAnswer(`${deep}\n${JSON.stringify([ENCLAVE])}\n`);
    assert.equal(enclave?.name, "app");
  });

  test("takes no list in a list for enclaves, and no member of a prototype for a field", () => {
    assert.throws(() => readDescribeAnswer(JSON.stringify([[ENCLAVE]])), LaunchError);
    const { EnclaveCID: _, ...without } = ENCLAVE;
    const text = JSON.stringify([without]).replace("{", '{"__proto__":{"EnclaveCID":16},');
    assert.throws(() => readDescribeAnswer(text), /EnclaveCID is no whole number/);
    assert.equal(({} as { EnclaveCID?: number }).EnclaveCID, undefined);
  });

  test("names an enclave by nothing that a log or a metric would take for more than a name", () => {
    for (const name of ["a\nb", 'a"} 1', "\u001b[2J", "", "a".repeat(256), 7]) {
      assert.throws(
        () => readDescribeAnswer(JSON.stringify([{ ...ENCLAVE, EnclaveName: name }])),
        LaunchError,
      );
    }
  });
});
