/** The test runner on Deno: what `#test` means there, with vitest's names and the part of its API we use. */
import {
  after as afterAll,
  afterEach,
  before as beforeAll,
  beforeEach,
  describe as nodeDescribe,
  it,
} from "node:test";
import { noteProgress } from "./test_progress.ts";

type Body = () => void | Promise<void>;

/** A test, with vitest's `skipIf`; the time limit is accepted and left to the runner. */
interface TestFunction {
  (name: string, body: Body, timeoutMs?: number): void;
  skipIf(condition: boolean): TestFunction;
}

function makeTest(skipped: boolean): TestFunction {
  const run = (name: string, body: Body) => {
    const file = currentFile();
    it(name, { skip: skipped }, async () => {
      noteProgress(`${file}: ${name}`);
      try {
        await body();
      } finally {
        noteProgress(`${file}: after ${name}`);
      }
    });
  };
  return Object.assign(run, { skipIf: (condition: boolean) => makeTest(skipped || condition) });
}

/** @returns The test file that declares a test at this moment */
function currentFile(): string {
  return /\btest\/[\w./-]+\.test\.ts/.exec(new Error().stack ?? "")?.[0] ?? "an unknown file";
}

/** A group, with vitest's `skipIf`. */
interface DescribeFunction {
  (name: string, body: () => void): void;
  skipIf(condition: boolean): DescribeFunction;
}

function makeDescribe(skipped: boolean): DescribeFunction {
  const run = (name: string, body: () => void) => void nodeDescribe(name, { skip: skipped }, body);
  return Object.assign(run, { skipIf: (condition: boolean) => makeDescribe(skipped || condition) });
}

const test = makeTest(false);
const describe = makeDescribe(false);

export { afterAll, afterEach, beforeAll, beforeEach, describe, test };
