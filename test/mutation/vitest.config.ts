import process from "node:process";
import { defineConfig } from "vitest/config";

/**
 * The tests of one area. Stryker's own `testFiles` would leave the mutants of constants switched off
 * (10.1.1).
 */
export default defineConfig({
  test: {
    include: process.env["MUTATION_TESTS"]?.split(" ") ?? [],
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
