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

  test.skipIf(onDeno)(
    `has one file for calls to KMS on the command line, of Node.js only${ON_NODE}`,
    async () => {
      const folder = join(work, "one-file");
      const { outputs } = await bundle("node", folder, { cli: "cli/main.ts", cli_kms: "cli/kms_program.ts" });
      const importsOf = (name: string) => {
        const [path] = Object.keys(outputs).filter((path) => path.endsWith(`/${name}.js`));
        const imports = outputs[path ?? ""]?.imports.map(({ path }) => path) ?? [];
        return [...new Set(imports)].filter((path) => !path.startsWith("node:")).toSorted();
      };
      assert.equal(Object.keys(outputs).length, 2);
      assert.deepEqual(importsOf("cli"), ["./cli_kms.js", "./cli_program.js"]);
      assert.deepEqual(importsOf("cli_kms"), []);
    },
  );

  test.skipIf(onDeno)(`refuses other commands, and packages, in that file${ON_NODE}`, async () => {
    const made = bundle("node", join(work, "refused"), { cli_kms: "cli/program.ts" });
    await assert.rejects(
      made,
      /cli_kms\.js must not hold .*cli\/commands\/verify\.ts.*lib\/policy\/.*age-encryption/,
    );
  });

  test.skipIf(onDeno)(`has types that need nobody else's${ON_NODE}`, () => {
    assert.ok(emitDeclarations(join(work, "types")) > 50);
  });
});
