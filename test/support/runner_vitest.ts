/** The test runner on Node: what `#test` means there. */
export { afterAll, afterEach, beforeAll, beforeEach, describe, test } from "vitest";
