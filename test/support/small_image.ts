import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildImage } from "../../deploy/eif/build_image.ts";

/**
 * Builds an image of a few bytes, which no hypervisor would boot.
 *
 * @param folder Folder that gets the sources and, in `out`, the image; it must not be there
 * @param application Content of its only application file
 */
export async function buildSmallImage(folder: string, application: string): Promise<void> {
  mkdirSync(folder);
  const file = (name: string, content: string) => {
    writeFileSync(join(folder, name), content);
    return { from: name, sha256: createHash("sha256").update(content).digest("hex") };
  };
  const manifest = {
    manifestVersion: 1,
    name: "small",
    version: "1.0.0",
    architecture: "x86_64",
    kernel: { ...file("bzImage", "kernel"), origin: "none" },
    commandLine: "panic=30",
    bootstrap: [{ ...file("init", "#!/init"), path: "init", mode: "0755" }],
    application: [{ ...file("app.js", application), path: "app/app.js" }],
    command: ["/usr/bin/node", "/app/app.js"],
    environment: {},
  };
  writeFileSync(join(folder, "image.json"), JSON.stringify(manifest));
  await buildImage({
    manifest: join(folder, "image.json"),
    output: join(folder, "out"),
    commit: "abc",
  });
}
