import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, test } from "#test";
import { listFiles } from "../../../deploy/bundle/bundle_files.ts";
import { makeManifest, type ManifestOptions } from "../../../deploy/init/make_manifest.ts";
import { configSchema } from "../../../enclave/config_schema.ts";
import { ENCLAVE_READER } from "../../../enclave/enclave_config.ts";
import { runHere } from "../../cli/terminal_double.ts";
import { makeElf } from "../../support/elf.ts";

const folder = mkdtempSync(join(tmpdir(), "enclave-kms-init-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (...path: readonly string[]) => join(folder, ...path);

const X64 = { interpreter: "/lib64/ld-linux-x86-64.so.2", needed: ["libstdc++.so.6", "libc.so.6"] };
const MUSL = { interpreter: "/lib/ld-musl-x86_64.so.1", needed: ["libc.musl-x86_64.so.1"] };
const ARM = {
  architecture: "aarch64",
  interpreter: "/lib/ld-linux-aarch64.so.1",
  needed: ["libc.so.6"],
} as const;

function write(files: Readonly<Record<string, string | Uint8Array>>): void {
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(at(path)), { recursive: true });
    writeFileSync(at(path), content);
  }
}

const addon = (name: string) => `node_modules/koffi/build/koffi/${name}/koffi.node`;

const BUNDLE: Readonly<Record<string, string | Uint8Array>> = {
  "app.js": "serve();\n",
  "package.json": '{ "type": "module" }\n',
  [addon("linux_x64")]: makeElf({ needed: ["libm.so.6", "libc.so.6"] }),
  [addon("musl_x64")]: makeElf({ needed: ["libc.musl-x86_64.so.1"] }),
  [addon("linux_arm64")]: makeElf({ architecture: "aarch64", needed: ["libc.so.6"] }),
};

/** Writes a bundle as `bundleApplication()` does. */
function writeBundle(name: string, more: object = {}, files = BUNDLE): string {
  for (const [path, content] of Object.entries(files)) write({ [`${name}/${path}`]: content });
  const description = {
    bundleVersion: 1,
    runtime: "node",
    architectures: ["x86_64", "arm64"],
    entry: "app.js",
    leftOut: [],
    files: listFiles(at(name)),
    ...more,
  };
  write({ [`${name}/bundle.json`]: JSON.stringify(description) });
  return at(name);
}

const lib = (needed: readonly string[] = ["libc.so.6"]) => makeElf({ needed });
const loader = "ld-linux-x86-64.so.2";

const SYSTEM: Readonly<Record<string, string | Uint8Array>> = {
  "bzImage": "kernel",
  "init": "#!",
  "nsm.ko": "module",
  "node": makeElf(X64),
  "node-musl": makeElf(MUSL),
  "node-arm": makeElf(ARM),
  "root/lib64/ld-linux-x86-64.so.2": makeElf({}),
  "root/lib/x86_64-linux-gnu/libc.so.6": lib([loader]),
  "root/lib/x86_64-linux-gnu/libm.so.6": lib(),
  "root/usr/lib/x86_64-linux-gnu/libstdc++.so.6": lib(["libm.so.6", "libgcc_s.so.1"]),
  "root/usr/lib/x86_64-linux-gnu/libgcc_s.so.1": lib(["libstdc++.so.6"]), // a circle
  "root/usr/lib64/libcrypto.so.3": lib(),
  "root/lib/ld-musl-x86_64.so.1": makeElf({}),
  "root/lib/libc.musl-x86_64.so.1": makeElf({}),
  "root-arm/lib/ld-linux-aarch64.so.1": makeElf({ architecture: "aarch64" }),
  "root-arm/lib/aarch64-linux-gnu/libc.so.6": makeElf({ architecture: "aarch64" }),
};

const make = (more: Partial<ManifestOptions> = {}) =>
  makeManifest({
    output: at("image.json"),
    bundle: at("bundle"),
    runtimeBinary: at("node"),
    name: "orders",
    version: "1",
    kernel: at("bzImage"),
    init: at("init"),
    nsmModule: at("nsm.ko"),
    root: at("root"),
    environment: {},
    files: [],
    libraries: [],
    ...more,
  });

const pathsOf = ({ application }: Awaited<ReturnType<typeof make>>) =>
  application.filter((entry) => "from" in entry).map(({ path }) => path);

describe("makeManifest()", () => {
  beforeAll(() => {
    write(SYSTEM);
    writeBundle("bundle");
  });

  test("names bundle, runtime, its libraries and those of the addon, each with its hash", async () => {
    const manifest = await make();
    assert.deepEqual(pathsOf(manifest), [
      "app/app.js",
      `app/${addon("linux_x64")}`,
      "app/package.json",
      "lib/x86_64-linux-gnu/libc.so.6",
      "lib/x86_64-linux-gnu/libm.so.6",
      "lib64/ld-linux-x86-64.so.2",
      "usr/bin/node",
      "usr/lib/x86_64-linux-gnu/libgcc_s.so.1",
      "usr/lib/x86_64-linux-gnu/libstdc++.so.6",
    ]);
    const sha256 = createHash("sha256").update("serve();\n").digest("hex");
    assert.deepEqual(manifest.application[0], { from: "bundle/app.js", sha256, path: "app/app.js" });
    assert.deepEqual(manifest.command, ["/usr/bin/node", "/app/app.js"]);
    assert.deepEqual(manifest.environment, { ENV_SETUP: "NITRO" });
    assert.equal(manifest.kernel.from, "bzImage");
    assert.deepEqual(await make(), manifest);
  });

  test("takes the addon and the libraries of the runtime's processor and C library", async () => {
    const musl = await make({ runtimeBinary: at("node-musl") });
    assert.deepEqual(pathsOf(musl).filter((path) => /koffi|lib\//.test(path)), [
      `app/${addon("musl_x64")}`,
      "lib/ld-musl-x86_64.so.1",
      "lib/libc.musl-x86_64.so.1",
    ]);
    const arm = await make({ runtimeBinary: at("node-arm"), root: at("root-arm") });
    assert.equal(arm.architecture, "aarch64");
    assert.deepEqual(pathsOf(arm).filter((path) => /koffi|lib\//.test(path)), [
      `app/${addon("linux_arm64")}`,
      "lib/aarch64-linux-gnu/libc.so.6",
      "lib/ld-linux-aarch64.so.1",
    ]);
  });

  test("adds configuration, authorities, files, variables and libraries", async () => {
    write({ "config.json": "{}", "schema.json": "{}", "ca.pem": "PEM", "policy.cedar": "permit" });
    const manifest = await make({
      config: at("config.json"),
      schema: at("schema.json"),
      caCertificates: at("ca.pem"),
      environment: { ENV_SETUP: "SIM", A: "" },
      files: [["app/policy.cedar", at("policy.cedar")]],
      libraries: ["libcrypto.so.3"],
      commandLine: "quiet",
    });
    const added = ["app/config.json", "app/policy.cedar", "etc/ssl/certs/ca-certificates.crt"];
    assert.deepEqual(pathsOf(manifest).filter((path) => added.includes(path)), added);
    assert.ok(pathsOf(manifest).includes("usr/lib64/libcrypto.so.3"));
    assert.equal(manifest.configuration?.path, "app/config.json");
    assert.equal(manifest.configuration?.schema.from, "schema.json");
    assert.deepEqual(manifest.environment, {
      A: "",
      ENCLAVE_KMS_CONFIG: "/app/config.json",
      ENV_SETUP: "SIM",
    });
    assert.equal(manifest.commandLine, "quiet");
  });

  test("starts Deno with the rights that the library needs, and without a home", async () => {
    const { "app.js": app = "" } = BUNDLE;
    const bundle = writeBundle("deno", { runtime: "deno" }, { "app.js": app });
    const { command, environment } = await make({ bundle });
    assert.equal(command[0], "/usr/bin/deno");
    assert.equal(command.at(-1), "/app/app.js");
    for (const flag of ["--allow-all", "-A", "--allow-run", "--allow-write"]) {
      assert.ok(!command.includes(flag));
    }
    assert.equal(environment["DENO_DIR"], "/tmp/deno");
  });

  test("brings OpenSSL along for Deno where it is found, and not for Node.js, which has its own", async () => {
    const { "app.js": app = "" } = BUNDLE;
    const bundle = writeBundle("deno-openssl", { runtime: "deno" }, { "app.js": app });
    const openssl = (paths: readonly string[]) => paths.filter((path) => path.includes("libcrypto"));
    assert.deepEqual(openssl(pathsOf(await make({ bundle }))), ["usr/lib64/libcrypto.so.3"]);
    assert.deepEqual(openssl(pathsOf(await make())), []);
    const arm = { bundle, runtimeBinary: at("node-arm"), root: at("root-arm") };
    assert.deepEqual(openssl(pathsOf(await make(arm))), []);
  });

  test("refuses a bundle that is another one than was made, or none", async () => {
    const changed = writeBundle("changed");
    write({ "changed/app.js": "serve(2);\n" });
    await assert.rejects(make({ bundle: changed }), /app\.js has changed since it was made/);
    const more = writeBundle("more");
    write({ "more/evil.js": "" });
    await assert.rejects(make({ bundle: more }), /evil\.js is new since it was made/);
    const less = writeBundle("less");
    rmSync(join(less, "package.json"));
    await assert.rejects(make({ bundle: less }), /package\.json is missing since it was made/);
    const none: readonly (readonly [object, RegExp])[] = [
      [{ bundleVersion: 2 }, /bundleVersion must be 1/],
      [{ runtime: "bun" }, /runtime must be node or deno/],
      [{ entry: "../../etc/passwd" }, /entry must be one of files/],
      [{ architectures: "x86_64" }, /architectures must be a list/],
      [{ entrypoint: "a" }, /no field `entrypoint`/],
    ];
    for (const [index, [change, message]] of none.entries()) {
      await assert.rejects(make({ bundle: writeBundle(`none-${index}`, change) }), {
        name: "ImageError",
        message,
      });
    }
    await assert.rejects(make({ bundle: folder }), /bundle\.json of the bundle: ENOENT/);
  });

  test("refuses a runtime that is none, or for another processor than the bundle", async () => {
    write({ "script": `#!/bin/sh\n${" ".repeat(64)}`, "library": lib() });
    await assert.rejects(make({ runtimeBinary: at("script") }), /it is no program in ELF/);
    await assert.rejects(make({ runtimeBinary: at("library") }), /it is a library/);
    const bundle = writeBundle("x64", { architectures: ["x86_64"] });
    await assert.rejects(
      make({ bundle, runtimeBinary: at("node-arm") }),
      /runtime is for arm64.*bundle for x86_64/,
    );
  });

  test("says which library is missing, and which is for another processor", async () => {
    await assert.rejects(make({ libraries: ["libgone.so.1"] }), {
      name: "ImageError",
      message: /Cannot find libgone\.so\.1: it is in none of \/lib\/x86_64-linux-gnu, /,
    });
    write({ "mixed/lib64/ld-linux-x86-64.so.2": makeElf({}), "mixed/lib/libc.so.6": makeElf({}) });
    write({ "mixed/lib/libm.so.6": lib(), "mixed/lib/libstdc++.so.6": makeElf({ architecture: "aarch64" }) });
    await assert.rejects(make({ root: at("mixed") }), /libstdc\+\+\.so\.6 is for aarch64/);
  });

  test("names the package of the kernel where nitro-cli is not installed", async () => {
    if (existsSync("/usr/share/nitro_enclaves/blobs")) return;
    await assert.rejects(make({ kernel: undefined }), (error: { message: string; hint: string }) => {
      assert.match(error.message, /no \/usr\/share\/nitro_enclaves\/blobs\/bzImage/);
      assert.match(error.hint, /aws-nitro-enclaves-cli-devel/);
      return true;
    });
  });
});

describe("image init", () => {
  const flags = () => [
    ...["--bundle", at("bundle"), "--runtime-binary", at("node"), "--root", at("root")],
    ...["--kernel", at("bzImage"), "--init", at("init"), "--nsm-module", at("nsm.ko"), "--name", "orders"],
  ];
  const init = (out: string, ...more: readonly string[]) =>
    runHere(["image", "init", ...flags(), "--out", at(out), ...more]);
  const build = (manifest: string) =>
    runHere(["image", "build", "--manifest", at(manifest), "--out", at("out")]);

  test("writes what image build takes, the same each time", async () => {
    const { code, stderr, stdout } = await init("first.json");
    assert.equal(code, 0, stderr);
    assert.match(stdout, /architecture: x86_64\nfiles: 12\ncommand: \/usr\/bin\/node \/app\/app\.js/);
    await init("second.json");
    assert.equal(readFileSync(at("first.json"), "utf8"), readFileSync(at("second.json"), "utf8"));
    const built = await build("first.json");
    assert.equal(built.code, 0, built.stderr);
    const described = await runHere(["image", "describe", at("out/image.eif"), "--contents"]);
    assert.match(described.stdout, /^ramdisk 2, rootfs\/usr\/bin\/node: file 0755 /m);
    assert.match(described.stdout, /^ramdisk 2, rootfs\/tmp: directory 1777 /m);
  });

  test("says when Deno goes without OpenSSL", async () => {
    const { "app.js": app = "" } = BUNDLE;
    const bundle = writeBundle("deno-alone", { runtime: "deno" }, { "app.js": app });
    const deno = ["--bundle", bundle, "--force"];
    const found = await init("deno.json", ...deno);
    assert.deepEqual([found.code, /libcrypto/.test(found.stderr)], [0, false], found.stderr);
    const without = await init(
      "deno.json",
      ...deno,
      "--runtime-binary",
      at("node-arm"),
      "--root",
      at("root-arm"),
    );
    assert.equal(without.code, 0, without.stderr);
    assert.match(without.stderr, /^warning: no libcrypto\.so\.3 was found: .*\nhint: /m);
    assert.equal((await init("node.json")).stderr.includes("libcrypto"), false);
  });

  test("replaces no manifest that a person has changed", async () => {
    await init("mine.json");
    write({ "mine.json": "mine" });
    assert.equal((await init("mine.json")).code, 1);
    assert.equal(readFileSync(at("mine.json"), "utf8"), "mine");
    assert.equal((await init("mine.json", "--force")).code, 0);
    assert.match(readFileSync(at("mine.json"), "utf8"), /manifestVersion/);
  });

  test("leads to a build that checks configuration and variables", async () => {
    write({ "good.json": '{"region":"eu-central-1"}', "bad.json": '{"regoin":"eu-central-1"}' });
    write({ "config.schema.json": JSON.stringify(configSchema(ENCLAVE_READER)) });
    const configured = (name: string, ...more: readonly string[]) =>
      init(
        `${name}-image.json`,
        "--config",
        at(`${name}.json`),
        "--schema",
        at("config.schema.json"),
        ...more,
      );
    await configured("good", "--env", "VSOCK_PORT=5000");
    const good = await build("good-image.json");
    assert.equal(good.code, 0, good.stderr);
    await configured("bad", "--env", "VSOCK_PROT=5000");
    const bad = await build("bad-image.json");
    assert.equal(bad.code, 2);
    assert.match(bad.stderr, /regoin \(in the file\): is no setting; did you mean region\?/);
    assert.match(bad.stderr, /VSOCK_PROT is no setting; did you mean VSOCK_PORT\?/);
  });

  test("takes variables and files in pairs only", async () => {
    for (const pair of [["--env", "NAME"], ["--env", "=a"], ["--file", "app/policy.cedar"]]) {
      const { code, stderr } = await init("pairs.json", ...pair);
      assert.deepEqual([code, /must be (?:NAME=VALUE|PATH=FILE)/.test(stderr)], [1, true], stderr);
    }
    const { code, stderr } = await init("wrong.json", "--env", "A-B=c");
    assert.deepEqual([code, /environment must have names/.test(stderr)], [2, true], stderr);
    assert.equal(existsSync(at("wrong.json")), false);
  });
});
