import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { afterAll, describe, test } from "#test";
import { buildImage } from "../../../deploy/eif/build_image.ts";
import { ImageError } from "../../../lib/core/errors.ts";

const folder = mkdtempSync(join(tmpdir(), "enclave-kms-manifest-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const sha256 = (content: string) => createHash("sha256").update(content).digest("hex");
const fileOf = (path: string, from = "file", content = "content\n") => ({
  path,
  from,
  sha256: sha256(content),
});
const { path: _, ...KERNEL } = fileOf("");

const MANIFEST = {
  manifestVersion: 1,
  name: "app",
  version: "1",
  architecture: "x86_64",
  kernel: KERNEL,
  commandLine: "quiet",
  bootstrap: [fileOf("init")],
  application: [] as readonly object[],
  command: ["/app"],
  environment: {},
};

/** Writes a manifest into a folder of its own, beside a file that it may name. */
function write(name: string, manifest: object | string): string {
  const place = join(folder, name);
  mkdirSync(place, { recursive: true });
  writeFileSync(join(place, "file"), "content\n");
  const text = typeof manifest === "string" ? manifest : JSON.stringify(manifest);
  writeFileSync(join(place, "image.json"), text);
  return place;
}

const build = (place: string) =>
  buildImage({ manifest: join(place, "image.json"), output: join(place, "out") });

async function refuses(place: string, message: RegExp): Promise<void> {
  await assert.rejects(
    build(place),
    (error) => error instanceof ImageError && message.test(error.message) && error.message.length < 500,
  );
}

const withApplication = (...application: readonly object[]) => ({ ...MANIFEST, application });

describe("a hostile manifest", () => {
  test("may name no device, which has no end, no pipe, which may never begin, and no folder", async () => {
    await refuses(
      write("device", withApplication(fileOf("a", "/dev/zero"))),
      /\/dev\/zero for a: it is no file/,
    );
    await refuses(write("folder", withApplication(fileOf("a", "."))), /it is no file/);
    const place = write("pipe", withApplication(fileOf("a", "pipe")));
    execFileSync("mkfifo", [join(place, "pipe")]);
    await refuses(place, /pipe for a: it is no file/);
    const schema = { path: "a", schema: { from: "pipe", sha256: sha256("") } };
    writeFileSync(
      join(place, "image.json"),
      JSON.stringify({ ...withApplication(fileOf("a")), configuration: schema }),
    );
    await refuses(place, /Cannot read pipe: it is no file/);
  });

  test("is itself a file with an end", async () => {
    await assert.rejects(
      buildImage({ manifest: "/dev/zero", output: join(folder, "zero") }),
      /Cannot read the manifest: it is no file/,
    );
    await refuses(write("long", " ".repeat(4_194_305)), /Cannot read the manifest: it has 4194305 bytes/);
  });

  test("has each member once, and is not nested without an end", async () => {
    const text = JSON.stringify(MANIFEST);
    const twice = `${text.slice(0, -1)},"comm\\u0061nd":["/other"]}`;
    await refuses(write("twice", twice), /Cannot read the manifest: the member "command" is there twice/);
    const deep = `${text.slice(0, -1)},"deep":${"[".repeat(100_000)}${"]".repeat(100_000)}}`;
    await refuses(write("deep", deep), /nested deeper than 64 levels/);
    await refuses(write("proto", text.replace('"environment":{}', '"__proto__":{}')), /no field `__proto__`/);
  });

  test("leads out of the image by no path", async () => {
    for (const path of ["../init", "/init", "a/../../cmd", "a//b", "./a", "a/", "TRAILER!!!/..", "a\0b"]) {
      await refuses(
        write("path", withApplication(fileOf(path))),
        /is no path in a ramdisk|must not contain a NUL/,
      );
    }
    await refuses(write("same", withApplication(fileOf("a"), fileOf("a"))), /rootfs\/a is there twice/);
    const through = withApplication({ path: "a", symlink: "/etc" }, fileOf("a/b"));
    await refuses(write("through", through), /rootfs\/a\/b lies in rootfs\/a, which is a symlink/);
  });

  test("takes the file behind a symlink by its hash, and no other", async () => {
    const place = write("symlink", withApplication(fileOf("a", "link")));
    symlinkSync("file", join(place, "link"));
    assert.equal(typeof (await build(place)).pcrs["0"], "string");
    rmSync(join(place, "link"));
    symlinkSync("/etc/hostname", join(place, "link"));
    await refuses(place, /SHA-256 of link is|SHA-256 of \/etc\/hostname is|Cannot read link/);
  });

  test("searches the very bytes that become part of the image", async () => {
    const key = `-----BEGIN PRIVATE KEY-----\n${
      "MIGHAgEAMBMGByqGSM49".repeat(3)
    }\n-----END PRIVATE KEY-----\n`;
    const place = write("race", withApplication(fileOf("key", "key", key)));
    // What is searched is harmless, and has another hash than what is meant to be written.
    writeFileSync(join(place, "key"), "harmless\n");
    await refuses(place, /the SHA-256 of key is/);
    writeFileSync(join(place, "key"), key);
    await refuses(place, /key looks like a private key/);
  });

  test("replaces what lies at its output, and leaves no draft", async () => {
    const place = write("output", MANIFEST);
    mkdirSync(join(place, "out"));
    writeFileSync(join(place, "victim"), "untouched");
    for (const name of ["image.eif", "pcr-values.json", "build-summary.json"]) {
      symlinkSync("../victim", join(place, "out", name));
    }
    await build(place);
    assert.equal(execFileSync("cat", [join(place, "victim")], { encoding: "utf8" }), "untouched");
    assert.deepEqual(readdirSync(join(place, "out")).sort(), [
      ...["build-summary.json", "image.eif", "pcr-values.json"],
    ]);
  });

  test("may have more files than there are descriptors", () => {
    const application = Array.from({ length: 600 }, (_, index) => fileOf(`a/${index}`));
    const place = write("many", withApplication(...application));
    const script = fileURLToPath(new URL("../../support/many_files_child.ts", import.meta.url));
    const runtime = "Deno" in globalThis
      ? [process.execPath, "run", "--allow-all", "--quiet", "--no-check", script]
      : [process.execPath, script];
    const output = execFileSync("sh", ["-c", 'ulimit -n 100; exec "$@"', "sh", ...runtime, place], {
      encoding: "utf8",
    });
    assert.ok(Number(output) > 600 * 120, output);
  });
});
