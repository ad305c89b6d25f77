import assert from "node:assert/strict";
import { describe, test } from "#test";
import { readLength } from "../../aws_sdk/content_length.ts";

describe("readLength()", () => {
  for (
    const [text, length] of [["0", 0], ["46", 46], ["007", 7], ["9007199254740991", 2 ** 53 - 1]] as const
  ) {
    test(`${text} is ${length}`, () => assert.equal(readLength(text), length));
  }

  for (
    const text of [
      "",
      " ",
      " 5",
      "5 ",
      "5\n",
      "+5",
      "-5",
      "5.0",
      "5e1",
      "0x5",
      "5,5",
      "٥",
      "9007199254740992",
    ]
  ) {
    test(`${JSON.stringify(text)} is none`, () => assert.equal(readLength(text), undefined));
  }
});
