import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { describe, test } from "#test";

/** Most bytes that the exporter adds to a minified bundle. */
const MAX_BYTES = 6 * 1024;

const ROOT = fileURLToPath(new URL("../../../..", import.meta.url));

describe("the exporter", () => {
  test("adds at most 6 KiB to a bundle, minified", async () => {
    const { metafile } = await build({
      absWorkingDir: ROOT,
      entryPoints: ["enclave/telemetry/export/telemetry_exporter.ts"],
      ...{ bundle: true, minify: true, format: "esm", platform: "node", packages: "external" },
      write: false,
      metafile: true,
    });
    const [output] = Object.values(metafile.outputs);
    const own = Object.entries(output?.inputs ?? {}).filter(([path]) =>
      path.startsWith("enclave/telemetry/export/")
    );
    assert.equal(own.length, 7, "files");
    const bytes = own.reduce((sum, [, { bytesInOutput }]) => sum + bytesInOutput, 0);
    assert.ok(bytes > 3000 && bytes <= MAX_BYTES, `${bytes} bytes`);
  });
});
