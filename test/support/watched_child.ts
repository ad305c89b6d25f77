/** A process for the tests of WatchedRuns: what it does is its argument. */
import { spawn } from "node:child_process";
import process from "node:process";
import { noteProgress } from "./test_progress.ts";

const [, , task] = process.argv;
const FOREVER_MS = 2 ** 30;
/** Four times the limit that the test sets. */
const LONG_MS = 2000;

function hang(): void {
  const child = spawn("sleep", ["1000000"], { stdio: "ignore" });
  console.log(`child ${child.pid}`);
  noteProgress("a.test.ts: after the first test");
}

function work(): void {
  const end = performance.now() + LONG_MS;
  while (performance.now() < end);
}

async function makeProgress(): Promise<void> {
  for (let step = 0; step < 20; step++) {
    noteProgress(`a.test.ts: test ${step}`);
    await new Promise((resolve) => setTimeout(resolve, LONG_MS / 20));
  }
}

if (task === "hang") hang();
if (task === "wait") setTimeout(() => {}, FOREVER_MS);
if (task === "work") work();
if (task === "progress") await makeProgress();
if (task === "end") {
  console.log("the end");
  process.exitCode = 3;
}
