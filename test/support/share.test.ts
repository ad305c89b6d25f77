import assert from "node:assert/strict";
import { describe, test } from "#test";
import { runtimeOf } from "./divided.ts";
import { halfOf, isDivided, shareOf } from "./share.ts";
import { shareOfFiles, testFiles } from "./test_files.ts";

const CASES = 256;
const cases = Array.from({ length: CASES }, (_, index) => index);
const runtime = "Deno" in globalThis ? "Deno" : "Node";

describe("the division between the runtimes", () => {
  test("gives each case to one of them, whoever begins", () => {
    for (const index of cases) assert.notEqual(runtimeOf(index, "Node"), runtimeOf(index, "Deno"));
    assert.deepEqual([runtimeOf(0), runtimeOf(0, "Deno")], ["Node", "Deno"]);
  });

  test("gives each of them some of every kind, and about half, where kinds come in turn", () => {
    for (let kinds = 1; kinds <= 16; kinds++) {
      for (let kind = 0; kind < kinds; kind++) {
        const ours = cases.filter((index) => index % kinds === kind);
        const onNode = ours.filter((index) => runtimeOf(index) === "Node").length;
        assert.ok(onNode > 0 && onNode < ours.length, `kind ${kind} of ${kinds}`);
      }
    }
    assert.equal(cases.filter((index) => runtimeOf(index) === "Node").length, CASES / 2);
  });

  test("leaves all to a runner that is started by itself", () => {
    const ours = cases.filter((index) => !isDivided || runtimeOf(index) === runtime);
    assert.deepEqual(shareOf(cases), ours);
    assert.equal(halfOf(CASES), isDivided ? CASES / 2 : CASES);
    assert.equal(ours.length, isDivided ? CASES / 2 : CASES);
  });

  test("gives each file to one of them at least, and each room that is divided to both", () => {
    const { together, alone } = testFiles();
    const files = [...together, ...alone];
    const [onNode, onDeno] = [shareOfFiles("Node"), shareOfFiles("Deno")];
    assert.deepEqual(files.filter((path) => !onNode.includes(path) && !onDeno.includes(path)), []);
    for (
      const room of [
        "cli",
        "deploy",
        "enclave",
        "examples",
        "lib/policy",
        "lib/wire",
        "parent",
        "server",
        "sim",
      ]
    ) {
      const own = files.filter((path) => path.startsWith(`test/${room}/`));
      for (const [runtime, ours] of Object.entries({ onNode, onDeno })) {
        const some = own.filter((path) => ours.includes(path)).length;
        assert.ok(some > 0 && some < own.length, `${room} ${runtime}: ${some} of ${own.length}`);
      }
    }
  });

  test("gives files of C, of the wire to KMS and of attackers to both", () => {
    const isOnBoth = (path: string) => /^test\/(?:hostile|lib\/(?:kms|native))\//.test(path);
    const { together, alone } = testFiles();
    const files = [...together, ...alone].filter(isOnBoth).sort();
    assert.ok(files.length > 50);
    for (const runtime of ["Node", "Deno"] as const) {
      assert.deepEqual(shareOfFiles(runtime).filter(isOnBoth), files);
    }
  });
});
