import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { afterAll, describe, test } from "#test";
import { buildImage } from "../../../deploy/eif/build_image.ts";
import { ImageError } from "../../../lib/core/errors.ts";
import { serverConfigSchema } from "../../../server/config.ts";

const folder = mkdtempSync(join(tmpdir(), "enclave-kms-build-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const sha256 = (content: string) => createHash("sha256").update(content).digest("hex");

const FILES: Readonly<Record<string, string>> = {
  "bzImage": "kernel\n",
  "init": "#!/init\n",
  "nsm.ko": "module\n",
  "server.mjs": "console.log('hello');\n",
  "config.json": '{"region":"eu-central-1"}\n',
  "config.schema.json": JSON.stringify(serverConfigSchema()),
};

const fileOf = <More extends object>(name: string, more: More) => ({
  from: name,
  sha256: sha256(FILES[name] ?? ""),
  ...more,
});

const SCHEMA = fileOf("config.schema.json", {});

const MANIFEST = {
  manifestVersion: 1,
  name: "sign-service",
  version: "1.0.0",
  architecture: "x86_64",
  kernel: fileOf("bzImage", { origin: "linux 6.12" }),
  commandLine: "reboot=k panic=30 pci=off",
  bootstrap: [
    fileOf("init", { path: "init", mode: "0755" }),
    fileOf("nsm.ko", { path: "nsm.ko" }),
    { path: "dev", directory: true },
  ],
  application: [
    fileOf("server.mjs", { path: "app/server.mjs" }),
    fileOf("config.json", { path: "app/config.json", mode: "0600" }),
    { path: "bin", symlink: "usr/bin" },
    { path: "tmp", directory: true, mode: "1777" },
  ],
  command: ["/usr/bin/node", "/app/server.mjs"],
  environment: { ENV_SETUP: "NITRO", A: "" },
};

/** Writes the sources into a folder of their own, and builds. */
async function build(
  name: string,
  manifest: object = MANIFEST,
  files: Readonly<Record<string, string>> = FILES,
) {
  const sources = join(folder, name);
  mkdirSync(sources);
  for (const [path, content] of Object.entries(files)) writeFileSync(join(sources, path), content);
  writeFileSync(join(sources, "image.json"), JSON.stringify(manifest));
  const output = join(sources, "out");
  return {
    output,
    summary: await buildImage({ manifest: join(sources, "image.json"), output, commit: "abc" }),
  };
}

describe("buildImage()", () => {
  test("writes an image, its PCRs as nitro-cli prints them, and a summary", async () => {
    const { output, summary } = await build("whole");
    assert.deepEqual(readdirSync(output).sort(), ["build-summary.json", "image.eif", "pcr-values.json"]);
    const image = readFileSync(join(output, "image.eif"));
    assert.equal(summary.image.sha384, createHash("sha384").update(image).digest("hex"));
    assert.equal(summary.image.leastMemoryMib, 1);
    const { Measurements } = JSON.parse(readFileSync(join(output, "pcr-values.json"), "utf8"));
    assert.deepEqual(Measurements, {
      HashAlgorithm: "Sha384 { ... }",
      PCR0: summary.pcrs["0"],
      PCR1: summary.pcrs["1"],
      PCR2: summary.pcrs["2"],
    });
    assert.deepEqual(JSON.parse(readFileSync(join(output, "build-summary.json"), "utf8")), summary);
    assert.equal(summary.inputs["rootfs/app/server.mjs"], sha256(FILES["server.mjs"] ?? ""));
  });

  test("makes the same bytes in another folder, umask, time zone, order and runtime", async () => {
    const before = { umask: process.umask(0o077), zone: process.env["TZ"] };
    process.env["TZ"] = "Asia/Kathmandu";
    try {
      const application = MANIFEST.application.toReversed();
      const { summary, output } = await build("elsewhere", { ...MANIFEST, application });
      assert.equal(readFileSync(join(output, "image.eif")).includes("Kathmandu"), false);
      // Both runtimes run this test: the numbers are of the first run.
      assert.equal(summary.image.sha384, GOLDEN.sha384);
      assert.deepEqual(summary.pcrs, GOLDEN.pcrs);
    } finally {
      process.umask(before.umask);
      if (before.zone === undefined) delete process.env["TZ"];
      else process.env["TZ"] = before.zone;
    }
  });

  test("measures a changed configuration in PCR0 and PCR2, and not in PCR1", async () => {
    const content = '{"region":"eu-west-1"}\n';
    const application = MANIFEST.application.map((entry) =>
      entry.path === "app/config.json" ? { ...entry, sha256: sha256(content) } : entry
    );
    const { summary: { pcrs } } = await build("changed", { ...MANIFEST, application }, {
      ...FILES,
      "config.json": content,
    });
    assert.equal(pcrs["1"], GOLDEN.pcrs["1"]);
    assert.notEqual(pcrs["0"], GOLDEN.pcrs["0"]);
    assert.notEqual(pcrs["2"], GOLDEN.pcrs["2"]);
  });

  test("refuses a file that is not the one of the manifest, and leaves no image behind", async () => {
    await assert.rejects(build("other", MANIFEST, { ...FILES, "nsm.ko": "module!\n" }), {
      name: "ImageError",
      message: /nsm\.ko .*SHA-256 of .*nsm\.ko is [0-9a-f]{64}, and [0-9a-f]{64} was expected/,
    });
    assert.equal(existsSync(join(folder, "other", "out")), false);
  });

  test("refuses a file that is missing, or may not be read", async () => {
    const kernel = { ...MANIFEST.kernel, from: "gone" };
    await assert.rejects(
      build("missing", { ...MANIFEST, kernel }),
      /Cannot read gone for the kernel: ENOENT/,
    );
    if (process.getuid?.() === 0) return;
    chmodSync(join(folder, "whole", "init"), 0);
    await assert.rejects(
      buildImage({ manifest: join(folder, "whole", "image.json"), output: join(folder, "whole", "out") }),
      /Cannot read init for init: EACCES/,
    );
  });

  test("refuses what looks like a secret, and does not say it", async () => {
    const key = `-----BEGIN PRIVATE KEY-----\n${
      "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49".repeat(3)
    }\n-----END PRIVATE KEY-----\n`;
    const access = 'id = "AKIAIOSFODNN7EXAMPLE"\nsecret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"\n';
    const age = `AGE-SECRET-KEY-1${"QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L".repeat(2).slice(0, 58)}\n`;
    const found: readonly (readonly [string, RegExp])[] = [
      [key, /app\/server\.mjs looks like a private key \(PEM\)/],
      [access, /app\/server\.mjs looks like an AWS secret access key/],
      [age, /app\/server\.mjs looks like an age identity/],
    ];
    for (const [index, [content, message]] of found.entries()) {
      const error = await build(`secret-${index}`, MANIFEST, { ...FILES, "server.mjs": content }).catch((e) =>
        e
      );
      assert.ok(error instanceof ImageError);
      assert.match(error.message, message);
      assert.equal(error.message.includes(content.slice(20, 60)), false);
    }
    const environment = { API_TOKEN: "q8Zr1nXk4vLw9TbYc2Hd7Jm5" };
    await assert.rejects(
      build("setting", { ...MANIFEST, environment }),
      /environment\.API_TOKEN looks like a value of/,
    );
  });

  const configuration = { path: "app/config.json", schema: SCHEMA };
  const environment = { ENV_SETUP: "NITRO", A: "", ENCLAVE_KMS_CONFIG: "/app/config.json" };

  test("checks the configuration against the schema, which is no part of the image", async () => {
    const { summary } = await build("checked", { ...MANIFEST, environment, configuration });
    const { summary: unchecked } = await build("unchecked", { ...MANIFEST, environment });
    assert.equal(summary.image.sha384, unchecked.image.sha384);
  });

  test("refuses a configuration that the application would not take, with every reason", async () => {
    const content = '{"regoin":"HUSH","callers":{"7":{"tenant":"q8Zr1nXk4vLw9TbYc2Hd7Jm5q8Zr1nXk4vLw"}}}';
    const application = MANIFEST.application.map((entry) =>
      entry.path === "app/config.json" ? { ...entry, sha256: sha256(content) } : entry
    );
    const wrong = { ...environment, ENCLAVE_KMS_LOG_LEVEL: "HUSH", ENCLAVE_KMS_MAX_WAITNG: "1" };
    const files = { ...FILES, "config.json": content };
    const manifest = { ...MANIFEST, application, environment: wrong, configuration };
    await assert.rejects(build("misconfigured", manifest, files), {
      name: "ImageError",
      message: [
        "Cannot build the image: its configuration has 4 problem(s):",
        "  regoin (in the file): is no setting; did you mean region?",
        '  logLevel (ENCLAVE_KMS_LOG_LEVEL): expected "debug" or "info" or "warn" or "error" or "silent"',
        "  ENCLAVE_KMS_MAX_WAITNG is no setting; did you mean ENCLAVE_KMS_MAX_WAITING?",
        "  callers.7.tenant (in the file): looks like a value of high entropy",
      ].join("\n"),
    });
    // Without a schema nobody knows.
    await build("unnamed", { ...MANIFEST, application, environment: wrong }, files);
  });

  test("refuses a schema that is another one, is none, or is not there", async () => {
    const at = (from: string, content: string) => ({
      ...configuration,
      schema: { from, sha256: sha256(content) },
    });
    const cases: readonly (readonly [object, RegExp])[] = [
      [
        at("config.schema.json", "x"),
        /config\.schema\.json: its SHA-256 is [0-9a-f]{64}, and [0-9a-f]{64} was expected/,
      ],
      [at("gone.json", "x"), /Cannot read gone\.json: ENOENT/],
      [at("init", FILES["init"] ?? ""), /Cannot use the schema init: it is not JSON/],
      [
        at("config.json", FILES["config.json"] ?? ""),
        /Cannot use the schema config\.json: .*not known: region/,
      ],
    ];
    for (const [index, [change, message]] of cases.entries()) {
      const manifest = { ...MANIFEST, environment, configuration: change };
      await assert.rejects(build(`schema-${index}`, manifest), { name: "ImageError", message });
    }
  });

  test("takes names of secrets, references and public keys", async () => {
    const environment = {
      SECRET_ARN: "arn:aws:secretsmanager:eu-central-1:111122223333:secret:x",
      TOKEN_ISSUER: "a",
    };
    const publicKey = `-----BEGIN PUBLIC KEY-----\n${"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcD".repeat(3)}\n`;
    const files = { ...FILES, "server.mjs": `${publicKey} "-----BEGIN PRIVATE KEY-----" AKIA` };
    const application = MANIFEST.application.map((entry) =>
      entry.path === "app/server.mjs" ? { ...entry, sha256: sha256(files["server.mjs"]) } : entry
    );
    await build("innocent", { ...MANIFEST, application, environment }, files);
  });

  test("names the field of a manifest that is wrong", async () => {
    const [first, ...others] = MANIFEST.application;
    const cases: readonly (readonly [object, RegExp])[] = [
      [{ manifestVersion: 2 }, /manifestVersion must be 1/],
      [{ architecture: "arm64" }, /architecture must be one of x86_64, aarch64/],
      [{ kernel: { from: "bzImage" } }, /kernel\.sha256 must be 64 lowercase hex digits/],
      [{ kernal: {} }, /has no field `kernal`/],
      [{ command: [] }, /command must be a list/],
      [{ command: ["node"] }, /command\[0\] must be an absolute path/],
      [{ command: ["/a\nb"] }, /command\[0\] must be one line/],
      [{ environment: { "a=b": "c" } }, /environment must have names/],
      [{ application: [{ ...first, mode: "755" }] }, /application\[0\]\.mode must be four octal digits/],
      [{ application: [{ ...first, path: "../etc" }] }, /"rootfs\/\.\.\/etc" is no path in a ramdisk/],
      [{ application: [{ ...first, path: "/app" }] }, /"rootfs\/\/app" is no path/],
      [{ application: [first, first, ...others] }, /rootfs\/app\/server\.mjs is there twice/],
      [
        { application: [...others, { path: "bin/x", symlink: "y" }] },
        /lies in rootfs\/bin, which is a symlink/,
      ],
      [{ application: [{ path: "a", symlink: "b", mode: "0777" }] }, /application\[0\] has no field `mode`/],
      [
        { configuration: { path: "nowhere", schema: SCHEMA } },
        /configuration\.path must be the path of a file/,
      ],
      [{ configuration: { schema: "config.schema.json" } }, /configuration\.schema must be a plain object/],
      [{ configuration: { schema: { from: "s" } } }, /configuration\.schema\.sha256 must be 64/],
    ];
    for (const [index, [change, message]] of cases.entries()) {
      await assert.rejects(build(`wrong-${index}`, { ...MANIFEST, ...change }), {
        name: "ImageError",
        message,
      });
    }
  });
});

/** Measurements of the first run. */
const GOLDEN = {
  sha384: "4134cfcf8aa1511722aa6f8fdfd8fdb4b81644d113d81093250e241f4e93963278c70dfceabbaa7dafaa7da19e5a8188",
  pcrs: {
    0: "4ea3bbbc363468c440a4bd003d73cf2f36de4a5b57ed4cbc5ace22aad42438cbe42f904d4393428efe113f99767aa27d",
    1: "c46d6ad8d54febf3e458748b8b8a3949687230d1d8588c14b6dbbf8eb14cca25a88e6813c6c84d97ba639db0a90b027c",
    2: "709cd0c50d783cacb6157fa77b0998dae1fdbfe581b3feed75537ee93fa20a9b0af2ec30a89a05571cf66e12838a627e",
  } as Readonly<Record<string, string>>,
};
