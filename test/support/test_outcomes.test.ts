import assert from "node:assert/strict";
import { describe, test } from "#test";
import type { Runtime } from "./divided.ts";
import { countTests, failedTests, filesToRunAgain, type TestPart } from "./test_outcomes.ts";

const part = (paths: readonly string[], code: number, output: string): TestPart => ({
  paths,
  outcome: { code, output },
});

const VITEST = (failed: readonly string[], summary: string) =>
  `${
    failed.map((test) => ` FAIL  |together| ${test}\nAssertionError: no\n`).join("\n")
  }\n      Tests  ${summary}\n`;
const FAILED_ON_DENO = "a ... b => ext:deno_node/testing.ts:1:23191\nerror: AssertionError: no\n";
const GONE = "panicked at tokio\n";

/** Processes that ran, and then once more, with the counts and failures that follow. */
const CASES: readonly {
  readonly name: string;
  readonly runtime: Runtime;
  readonly parts: readonly TestPart[];
  readonly files: readonly string[];
  readonly again: readonly TestPart[];
  readonly counts: readonly [passed: number, failed: number, skipped: number];
  readonly failures: readonly string[];
}[] = [
  {
    name: "all passed",
    runtime: "Node",
    parts: [part([], 0, VITEST([], "12 passed | 3 skipped (15)"))],
    files: [],
    again: [],
    counts: [12, 0, 3],
    failures: [],
  },
  {
    name: "a file of vitest passes the second time",
    runtime: "Node",
    parts: [
      part([], 1, VITEST(["test/a.test.ts > a > b", "test/a.test.ts > a > c"], "2 failed | 10 passed (12)")),
    ],
    files: ["test/a.test.ts"],
    again: [part(["test/a.test.ts"], 0, VITEST([], "4 passed (4)"))],
    counts: [12, 0, 0],
    failures: [],
  },
  {
    name: "a file of vitest fails again",
    runtime: "Node",
    parts: [part([], 1, VITEST(["test/a.test.ts > a > b"], "1 failed | 11 passed (12)"))],
    files: ["test/a.test.ts"],
    again: [part(["test/a.test.ts"], 1, VITEST(["test/a.test.ts > a > b"], "1 failed | 3 passed (4)"))],
    counts: [11, 1, 0],
    failures: ["|together| test/a.test.ts > a > b: AssertionError: no"],
  },
  {
    name: "vitest had an error outside of its tests beside one that failed",
    runtime: "Node",
    parts: [
      part([], 1, `${VITEST(["test/a.test.ts > a > b"], "1 failed | 11 passed (12)")}     Errors  1 error\n`),
    ],
    files: [],
    again: [],
    counts: [11, 1, 0],
    failures: ["|together| test/a.test.ts > a > b: AssertionError: no"],
  },
  {
    name: "vitest fails and names no file",
    runtime: "Node",
    parts: [part([], 1, "Error: no such project\n")],
    files: [],
    again: [],
    counts: [0, 0, 0],
    failures: ["exit code 1 of all files"],
  },
  {
    name: "a process of Deno's passes the second time",
    runtime: "Deno",
    parts: [
      part(
        ["test/a.test.ts", "test/b.test.ts"],
        1,
        `${FAILED_ON_DENO}FAILED | 3 passed (8 steps) | 1 failed (1 step)`,
      ),
      part(["test/c.test.ts"], 0, "ok | 1 passed (5 steps) | 0 failed | 0 ignored (2 steps)"),
    ],
    files: ["test/a.test.ts", "test/b.test.ts"],
    again: [
      part(["test/a.test.ts"], 0, "ok | 1 passed (4 steps) | 0 failed"),
      part(["test/b.test.ts"], 0, "ok | 3 passed (5 steps) | 0 failed"),
    ],
    counts: [14, 0, 2],
    failures: [],
  },
  {
    name: "a process of Deno's crashed, and one file of it fails again",
    runtime: "Deno",
    parts: [
      part(["test/a.test.ts", "test/b.test.ts"], 134, GONE),
      part(["test/c.test.ts"], 0, "ok | 1 passed (5 steps) | 0 failed"),
    ],
    files: ["test/a.test.ts", "test/b.test.ts"],
    again: [
      part(["test/a.test.ts"], 0, "ok | 1 passed (4 steps) | 0 failed"),
      part(["test/b.test.ts"], 1, `${FAILED_ON_DENO}FAILED | 0 passed (1 step) | 1 failed (1 step)`),
    ],
    counts: [10, 1, 0],
    failures: ["a ... b: AssertionError: no"],
  },
  {
    name: "a file of Deno's crashes twice",
    runtime: "Deno",
    parts: [part(["test/a.test.ts"], 134, GONE)],
    files: ["test/a.test.ts"],
    again: [part(["test/a.test.ts"], 134, GONE)],
    counts: [0, 0, 0],
    failures: ["exit code 134 of test/a.test.ts"],
  },
];

describe("what is judged of the tests, when", () => {
  for (const { name, runtime, parts, files, again, counts: [passed, failed, skipped], failures } of CASES) {
    test(name, () => {
      assert.deepEqual(filesToRunAgain(runtime, parts), files);
      assert.deepEqual(countTests(runtime, parts, again), { passed, failed, skipped });
      assert.deepEqual(failedTests(runtime, again.length === 0 ? parts : again), failures);
    });
  }

  test("so many files failed that it was not by chance, none runs again", () => {
    const paths = Array.from({ length: 33 }, (_, index) => `test/${index}.test.ts`);
    assert.deepEqual(filesToRunAgain("Deno", [part(paths, 1, FAILED_ON_DENO)]), []);
  });
});
