/** Notes each test on Node (`setupFiles` of vitest.config.ts); on Deno `#test` does. */
import { afterEach, beforeEach } from "vitest";
import { noteProgress } from "./test_progress.ts";

beforeEach(({ task }) => noteProgress(`${task.file.name}: ${task.name}`));
afterEach(({ task }) => noteProgress(`${task.file.name}: after ${task.name}`));
