import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, test } from "#test";
import { bundle, ENTRIES } from "../../tools/bundle.ts";
import { emitDeclarations } from "../../tools/declarations.ts";

const onDeno = "Deno" in globalThis;
const ON_NODE = onDeno ? " (skipped: the build runs on Node)" : "";

const work = mkdtempSync(join(tmpdir(), "enclave-kms-bundle-"));

// What they do to users is tried by `npm run test:package`; this is what a change of imports breaks.
describe("the package", () => {
  afterAll(() => rmSync(work, { recursive: true }));

  for (const runtime of ["node", "deno"] as const) {
    test.skipIf(onDeno)(
      `holds for ${runtime} what each entry may hold, and nothing else${ON_NODE}`,
      async () => {
        const { outputs } = await bundle(runtime, join(work, runtime));
        const entries = Object.values(outputs).map(({ entryPoint }) => entryPoint);
        for (const source of Object.values(ENTRIES)) assert.ok(entries.includes(source), source);
      },
    );
  }

  test.skipIf(onDeno)(`has types that need nobody else's${ON_NODE}`, () => {
    assert.ok(emitDeclarations(join(work, "types")) > 50);
  });
});
