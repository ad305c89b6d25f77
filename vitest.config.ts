import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    pool: "forks",
    // One process and one module graph for all files: a fresh one takes longer than many a file.
    isolate: false,
    // The tests on Deno run at the same time, on the other core.
    maxWorkers: 1,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
