import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { describe, test } from "#test";
import { parseArguments } from "../../../cli/arguments.ts";
import { COMMANDS } from "../../../cli/command_table.ts";
import { dockerSettings, writeDockerfile } from "../../../deploy/images/write_dockerfile.ts";
import { readConfig, serverConfigSchema } from "../../../server/config.ts";
import { RUN_FILE } from "../../../sim/flow/world.ts";
import { runHere } from "../../cli/terminal_double.ts";
import { readPage, ROOT } from "../../support/documents.ts";
import { problemsOf } from "../../support/dockerfile_rules.ts";

const SERVER = JSON.stringify(serverConfigSchema());
const exists = (path: string) => existsSync(join(ROOT, path));

/** Settings of an application that encrypts fields, as its schema would declare them. */
const FIELDS = {
  required: ["SECRET_ARN", "KMS_KEY_ID", "S3_BUCKET", "VSOCK_PROXY_CID", "OTEL_EXPORTER_OTLP_ENDPOINT"],
  defaults: {
    S3_PREFIX: "schemas/",
    SCHEMA_HEADER_NAME: "x-schema-id",
    DEK_ROTATION_INTERVAL_SECS: 86_400,
    SCHEMA_REFRESH_INTERVAL_SECS: 300,
    VSOCK_PROXY_PORT: 8000,
    TLS_PORT: 8443,
    LOG_LEVEL: "info",
  },
} as const;

/** Arguments and variables of the stage of the application, by name. */
function tableOf(dockerfile: string) {
  const [, stage = ""] = /AS application\n([^]*?)\nCMD /.exec(dockerfile) ?? [];
  const args = Array.from(
    stage.matchAll(/^ARG (\w+)(?:=(.*))?$/gm),
    ([, name = "", value]) => [name, value] as const,
  );
  const env = Array.from(
    stage.matchAll(/\b(\w+)=\$(\w+)/g),
    ([, name = "", value = ""]) => [name, value] as const,
  );
  return { args, env };
}

describe("Dockerfile.enclave", () => {
  const text = readPage("deploy/images/Dockerfile.enclave");

  test("is what image dockerfile writes for the server", () => {
    const made = writeDockerfile({
      schema: SERVER,
      entry: "server/main.ts",
      runtime: "node",
      cli: "cli/main.ts",
    });
    assert.equal(
      text,
      made,
      "run `node cli/main.ts image dockerfile --schema … --entry server/main.ts --runtime node --cli cli/main.ts`",
    );
  });

  test("has every setting of the server that a variable can give, with its default, and no other", () => {
    const { properties } = serverConfigSchema() as {
      properties: Record<string, { "x-env"?: string; default?: unknown }>;
    };
    const expected = Object.values(properties).flatMap(({ "x-env": name, default: standard = "" }) =>
      name === undefined ? [] : [[name, String(standard)]]
    );
    assert.ok(expected.length > 20);
    const { args, env } = tableOf(text);
    assert.deepEqual(args, expected);
    assert.deepEqual(env, expected.map(([name]) => [name, name]));
    const flags = Array.from(text.matchAll(/--env "(\w+)=\$(\w+)"/g), ([, name, value]) => [name, value]);
    assert.deepEqual(flags, env);
  });

  test("has defaults that the server takes, all together", () => {
    const { args } = tableOf(text);
    const config = readConfig({
      ...Object.fromEntries(args.map(([name, value = ""]) => [name, value])),
      ENCLAVE_KMS_REGION: "eu-central-1",
    });
    assert.deepEqual(config, readConfig({ ENCLAVE_KMS_REGION: "eu-central-1" }));
  });
});

describe("writeDockerfile()", () => {
  test("runs commands of ours that there are, with flags that they have", () => {
    for (const runtime of ["node", "deno"] as const) {
      const files = [["app/a", "a"]] as const;
      const made = writeDockerfile({ schema: SERVER, entry: "main.ts", runtime, config: "c.json", files });
      const lines = Array.from(
        made.replaceAll(/\\\n\s*/g, "").matchAll(/cli\.js ([^&\n]*)/g),
        ([, line = ""]) => line.trim(),
      );
      const found = lines.map((line) => {
        const words = line.replaceAll(/"/g, "").replace("$ARCHITECTURE", "x86_64").split(/ +/);
        const command = COMMANDS.find(({ name }) => `${words.join(" ")} `.startsWith(`${name} `));
        assert.ok(command !== undefined, line);
        parseArguments(command, words.slice(command.name.split(" ").length));
        return command.name;
      });
      assert.deepEqual(found, ["bundle", "image init", "image build"]);
    }
  });

  test("writes one for examples/signer, from the schema that it prints", () => {
    const [program = "", ...words] = [
      ...RUN_FILE,
      join(ROOT, "examples/signer/main.ts"),
      "--print-config-schema",
    ];
    const { stdout: schema, status, stderr } = spawnSync(program, words, { encoding: "utf8" });
    assert.equal(status, 0, stderr);
    const files = [["app/policy.cedar", "examples/signer/policy.cedar"]] as const;
    for (const runtime of ["node", "deno"] as const) {
      const made = writeDockerfile({
        schema,
        entry: "examples/signer/main.ts",
        runtime,
        files,
        cli: "cli/main.ts",
      });
      assert.deepEqual(problemsOf(made, exists), []);
      const names = tableOf(made).args.map(([name]) => name);
      for (const name of ["SIGNER_KEY_ARN", "SIGNER_KEY_FILE", "ENCLAVE_KMS_REGION"]) {
        assert.ok(names.includes(name), name);
      }
      assert.match(made, /^COPY examples\/signer\/policy\.cedar \/app\/policy\.cedar$/m);
      assert.match(made, / --file app\/policy\.cedar=\/app\/policy\.cedar \\$/m);
    }
  });

  test("asks for what the application must have, and has defaults for the rest", () => {
    const properties = Object.fromEntries([
      ...FIELDS.required.map((name) => [name.toLowerCase(), { type: "string", "x-env": name }]),
      ...Object.entries(FIELDS.defaults).map((
        [name, standard],
      ) => [name.toLowerCase(), { default: standard, "x-env": name }]),
    ]);
    const required = FIELDS.required.map((name) => name.toLowerCase());
    const schema = JSON.stringify({ type: "object", properties, required });
    const made = writeDockerfile({ schema, entry: "main.ts", runtime: "node" });
    assert.deepEqual(problemsOf(made, () => true), []);
    assert.deepEqual(tableOf(made).args, [
      ...FIELDS.required.map((name) => [name, undefined]),
      ...Object.entries(FIELDS.defaults).map(([name, standard]) => [name, String(standard)]),
    ]);
    const [, check = ""] = /^RUN (: "\$\{SECRET_ARN[^]*?)\n(?=ENV)/m.exec(made) ?? [];
    const all = Object.fromEntries(FIELDS.required.map((name) => [name, "x"]));
    const run = (env: Readonly<Record<string, string>>) =>
      spawnSync("sh", ["-c", check], { env, encoding: "utf8" });
    assert.equal(run(all).status, 0);
    for (const name of FIELDS.required) {
      const { status, stderr } = run({ ...all, [name]: "" });
      assert.notEqual(status, 0, name);
      assert.match(stderr, new RegExp(`${name}: must be given with --build-arg`));
    }
  });

  test("takes a configuration file along, and names it", () => {
    const made = writeDockerfile({
      schema: SERVER,
      entry: "main.ts",
      runtime: "node",
      config: "config.json",
    });
    assert.deepEqual(problemsOf(made, () => true), []);
    assert.match(made, /^COPY config\.json \/app\/config\.json$/m);
    assert.match(made, /^ENV ENCLAVE_KMS_CONFIG=\/app\/config\.json \\$/m);
    assert.match(made, / --config \/app\/config\.json \\$/m);
    // A default would be a variable, which counts before the file.
    assert.deepEqual(tableOf(made).args.filter(([, value]) => value !== ""), []);
  });

  test("lets no schema, and no path, write a line of its own", () => {
    const property = (more: object) => JSON.stringify({ properties: { a: { "x-env": "A", ...more } } });
    const hostile = [
      property({ default: '$(id)"; RUN id' }),
      property({ default: "`id` \\" }),
      property({ description: "a\nRUN id\r\nRUN id\u2028RUN id" }),
      property({ enum: ["a\nRUN id"] }),
    ];
    for (const schema of hostile) {
      const made = writeDockerfile({ schema, entry: "main.ts", runtime: "node" });
      assert.deepEqual(made.match(/^RUN id/gm), null);
      assert.deepEqual(problemsOf(made, () => true), []);
    }
    const lines = writeDockerfile({
      schema: property({ default: "$(id) `id` \\" }),
      entry: "main.ts",
      runtime: "node",
    });
    assert.match(lines, /^ARG A="\\\$\(id\) `id` \\\\"$/m);
    for (const variable of ["A B", "A\nRUN id", "a", "", 7]) {
      assert.throws(() => dockerSettings(property({ "x-env": variable })), TypeError, String(variable));
    }
    for (const control of ["\n", "\r", "\0", "\t", "\u001b", "\u0085"]) {
      const schema = property({ default: `a${control}RUN id` });
      assert.throws(() => dockerSettings(schema), { name: "TypeError", message: /the schema must be/ });
      assert.throws(() => writeDockerfile({ schema, entry: "main.ts", runtime: "node" }), TypeError);
      const [{ holds } = { holds: "" }] = dockerSettings(property({ description: `a${control}RUN id` }));
      assert.equal(holds, "a RUN id");
    }
    for (
      const schema of ["", "[]", "null", "{}", '{"properties":7}', '{"properties":{},"required":7}', "{"]
    ) {
      assert.throws(() => dockerSettings(schema), TypeError, schema);
    }
    for (
      const path of ["", "/etc/passwd", "../a", "a/../../b", "a b", "a\nRUN id", "$(id)", "a".repeat(300)]
    ) {
      for (
        const part of [{ entry: path }, { cli: path }, { config: path }, { files: [["a", path]] }, {
          files: [[path, "a"]],
        }]
      ) {
        const options = { schema: SERVER, entry: "main.ts", runtime: "node", ...part } as never;
        assert.throws(() => writeDockerfile(options), TypeError, JSON.stringify(part));
      }
    }
  });
});

describe("the hash of AWS's blobs", () => {
  const [, command = ""] = /^RUN cd \/usr\/share\/nitro_enclaves\/blobs && (.*?)$/m.exec(
    writeDockerfile({ schema: SERVER, entry: "main.ts", runtime: "node" }).replaceAll("\\\n", ""),
  ) ?? [];

  /** Hash that the build prints last, of blobs whose init is a file or a link. */
  function hashOf(init: string, isLinked: boolean): string {
    const folder = mkdtempSync(join(tmpdir(), "enclave-kms-blobs-"));
    try {
      const blobs = join(folder, "blobs");
      mkdirSync(blobs);
      writeFileSync(join(blobs, "bzImage"), "kernel");
      writeFileSync(join(isLinked ? folder : blobs, "init"), init);
      if (isLinked) symlinkSync("../init", join(blobs, "init"));
      const words = ["-c", command.replaceAll("/tmp/blobs", join(folder, "hashes"))];
      const { status, stdout } = spawnSync("sh", words, {
        cwd: blobs,
        encoding: "utf8",
        env: {
          ...process.env,
          BLOBS_SHA256: "0".repeat(64),
        },
      });
      assert.equal(status, 1); // another hash than the one that was given
      const [, hash = ""] = /^([0-9a-f]{64}) .*\/hashes$/m.exec(stdout) ?? [];
      return hash;
    } finally {
      rmSync(folder, { recursive: true });
    }
  }

  test("is one of what is behind links, too", () => {
    assert.match(hashOf("init", false), /./);
    assert.equal(hashOf("init", true), hashOf("init", false));
    assert.notEqual(hashOf("other", true), hashOf("init", true));
  });
});

describe("image dockerfile", () => {
  test("prints the Dockerfile, and refuses what is no schema", async () => {
    const folder = mkdtempSync(join(tmpdir(), "enclave-kms-dockerfile-"));
    try {
      const schema = join(folder, "schema.json");
      writeFileSync(schema, SERVER);
      const words = [
        "image",
        "dockerfile",
        "--entry",
        "main.ts",
        "--runtime",
        "deno",
        "--file",
        "app/a.cedar=a.cedar",
      ];
      const { code, stdout } = await runHere([...words, "--schema", schema]);
      assert.equal(code, 0);
      const files = [["app/a.cedar", "a.cedar"]] as const;
      assert.equal(stdout, writeDockerfile({ schema: SERVER, entry: "main.ts", runtime: "deno", files }));
      writeFileSync(schema, "{}");
      const refused = await runHere([...words, "--schema", schema]);
      assert.deepEqual([refused.code, refused.stdout], [1, ""]);
      assert.match(refused.stderr, /--print-config-schema/);
      assert.equal((await runHere(["image", "dockerfile", "--file", "a", "--schema", schema])).code, 1);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
