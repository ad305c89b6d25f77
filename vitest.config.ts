import { defineConfig } from "vitest/config";
import { testFiles } from "./test/support/test_files.ts";

const { together, alone } = testFiles();

export default defineConfig({
  test: {
    pool: "forks",
    // The tests on Deno run at the same time, in three processes (test/run.ts).
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    projects: [
      // A fresh process and module graph take longer than many a file.
      { extends: true, test: { name: "together", include: [...together], isolate: false } },
      { extends: true, test: { name: "alone", include: [...alone], isolate: true } },
    ],
  },
});
