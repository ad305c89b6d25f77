import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "#test";
import { bundleApplication } from "../../../deploy/bundle/bundle_application.ts";
import { BundledProcess } from "../../deploy/bundle/bundled_process.ts";
import { ROOT } from "../../support/documents.ts";

const RUNTIME = "Deno" in globalThis ? "deno" : "node";
const PRINT = ["app/app.js", "--print-config-schema"];

describe("the bundle of examples/field-encryption", () => {
  test("has the AWS SDK inside, and prints the schema of its configuration far from every package", async () => {
    const place = mkdtempSync(join(tmpdir(), "ek-fields-bundle-"));
    try {
      const entry = join(ROOT, "examples/field-encryption/main.ts");
      const output = join(place, "app");
      const { leftOut } = await bundleApplication({
        entry,
        runtime: RUNTIME,
        architectures: ["x86_64"],
        output,
      });
      assert.deepEqual(leftOut.filter((name) => name.startsWith("@aws-sdk/client")), []);
      await using running = new BundledProcess(place, PRINT);
      assert.equal(await running.end(), 0, running.lines.join("\n"));
      const { properties, required } = JSON.parse(running.lines.join("\n"));
      assert.equal(properties.secretArn["x-env"], "SECRET_ARN");
      assert.deepEqual([properties.dataKeySeconds.default, properties.schemaSeconds.default], [3600, 300]);
      assert.deepEqual(required.toSorted(), ["kmsKeyArn", "schemaBucket", "secretArn"]);
    } finally {
      rmSync(place, { recursive: true });
    }
  });
});
