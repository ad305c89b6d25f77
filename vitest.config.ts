import process from "node:process";
import { defineConfig } from "vitest/config";
import { DIVIDED_VARIABLE } from "./test/support/divided.ts";
import { shareOfFiles, testFiles } from "./test/support/test_files.ts";

const { together, alone } = testFiles();
const share = process.env[DIVIDED_VARIABLE] === "files" ? shareOfFiles("Node") : undefined;
const own = (paths: readonly string[]) => paths.filter((path) => share?.includes(path) ?? true);

export default defineConfig({
  test: {
    pool: "forks",
    // The tests on Deno run at the same time, in three processes (test/run.ts).
    maxWorkers: 2,
    // A busy machine is no failure. What hangs is ended by test/run.ts, once its process is idle.
    testTimeout: 1_200_000,
    hookTimeout: 1_200_000,
    setupFiles: ["./test/support/progress_vitest.ts"],
    projects: [
      // A fresh process and module graph take longer than many a file.
      { extends: true, test: { name: "together", include: own(together), isolate: false } },
      { extends: true, test: { name: "alone", include: own(alone), isolate: true } },
    ],
  },
});
