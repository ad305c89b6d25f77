import assert from "node:assert/strict";
import { describe, test } from "#test";
import { readAnswer } from "../../../parent/connector/request.ts";
import { reusedChunk } from "../../support/reused_chunk.ts";

describe("readAnswer()", () => {
  test("keeps no chunk of an answer, of which an enclave could make a million", async () => {
    assert.equal((await readAnswer(new Response(reusedChunk("abcdef")), 6)).text(), "abcdef");
    await assert.rejects(readAnswer(new Response(reusedChunk("abcdef")), 5), { code: "ERR_PROTOCOL" });
  });
});
