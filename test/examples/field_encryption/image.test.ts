import assert from "node:assert/strict";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { afterAll, beforeAll, describe, test } from "#test";
import { buildImage, fileSource, NODE_HASHES } from "../../../deploy/node/mod.ts";
import { judgePolicy, verifyImage } from "../../../deploy/mod.ts";
import { runHere } from "../../cli/terminal_double.ts";
import { problemsOf } from "../../support/dockerfile_rules.ts";
import { readPage, ROOT } from "../../support/documents.ts";
import { Checkout, VARIABLES } from "../../support/pipeline_checkout.ts";
import { runDockerfile } from "../../support/run_dockerfile.ts";
import { makeAuthority } from "../../enclave/channels/tls_serving.ts";
import { pem } from "../../../sim/tls/certificates.ts";

const RUNTIME = "Deno" in globalThis ? "deno" : "node";
const DOCKERFILE = `examples/field-encryption/deploy/Dockerfile.${RUNTIME}`;
const ROLE = VARIABLES["ROLE_ARN"] ?? "";

/** Settings of the image, which the pipeline has as variables. */
const SETTINGS: Readonly<Record<string, string>> = {
  ENCLAVE_KMS_REGION: "eu-central-1",
  SECRET_ARN: "arn:aws:secretsmanager:eu-central-1:111122223333:secret:field-keys-a1b2c3",
  KMS_KEY_ARN: "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
  SCHEMA_BUCKET: "schemas-of-fields",
  DATA_KEY_SECONDS: "600",
};

const folder = mkdtempSync(join(tmpdir(), "enclave-kms-fields-image-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const root = join(folder, "root");
const out = join(root, "out");

interface Manifest {
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly application: readonly { readonly path: string }[];
}

const readManifest = () => JSON.parse(readFileSync(join(root, "image/image.json"), "utf8")) as Manifest;

describe("the image of examples/field-encryption", () => {
  beforeAll(async () => {
    mkdirSync(root);
    const { certificate } = await makeAuthority();
    const made = runDockerfile({
      text: readPage(DOCKERFILE),
      folder: root,
      args: { ...SETTINGS, COMMIT: "0123456789abcdef" },
      binary: process.execPath,
      made: { "build/clients.pem": pem("CERTIFICATE", certificate) },
    });
    assert.equal(made, out);
  });

  test("is what its Dockerfile builds: the whole application, with its settings measured", async () => {
    const { command, environment, application } = readManifest();
    assert.equal(command[0], `/usr/bin/${RUNTIME}`);
    assert.equal(command.at(-1), "/app/app.js");
    for (const [name, value] of Object.entries(SETTINGS)) assert.equal(environment[name], value);
    assert.equal(environment["ENCLAVE_KMS_CONFIG"], "/app/config.json");
    const paths = application.map(({ path }) => path);
    for (const path of ["app/app.js", "app/config.json", "app/policy.cedar", "app/clients.pem"]) {
      assert.ok(paths.includes(path), path);
    }
    await using image = await fileSource(join(out, "image.eif"));
    const summary = readFileSync(join(out, "build-summary.json"), "utf8");
    assert.equal((await verifyImage(image, { summary, hashes: NODE_HASHES })).isSame, true);
  });

  test("lets config.json count: no default of the Dockerfile stands before it", () => {
    const { environment } = readManifest();
    for (const name of ["TLS", "TELEMETRY", "POLICY_FILE", "CLIENT_AUTHORITIES_FILE"]) {
      assert.equal(environment[`ENCLAVE_KMS_${name}`], "", name);
    }
  });

  const wrong: Readonly<Record<string, readonly [value: string, expected: RegExp]>> = {
    SECRET_ARN: ["field-keys", /secretArn \(SECRET_ARN\): expected/],
    SCHEMA_SECONDS: ["0", /schemaSeconds \(SCHEMA_SECONDS\): expected/],
    DATA_KEY_SECOND: ["600", /DATA_KEY_SECOND is no setting/],
  };
  for (const [name, [value, expected]] of Object.entries(wrong)) {
    test(`is not built with ${name}=${value}`, async () => {
      const manifest = readManifest();
      const { DATA_KEY_SECONDS: _, ...others } = manifest.environment;
      const path = join(root, "image", "wrong.json");
      writeFileSync(path, JSON.stringify({ ...manifest, environment: { ...others, [name]: value } }));
      const output = join(folder, "wrong");
      await assert.rejects(buildImage({ manifest: path, output, commit: undefined }), expected);
    });
  }

  test("goes through the pipeline to a policy that names it and that the gate has passed", () => {
    const images = join(folder, "images");
    mkdirSync(join(images, "new"), { recursive: true });
    symlinkSync(out, join(images, "new/out"));
    symlinkSync("new", join(images, "old"));
    const checkout = new Checkout(folder, images);
    mkdirSync(join(checkout.path, "examples/field-encryption/deploy"), { recursive: true });
    writeFileSync(join(checkout.path, DOCKERFILE), readPage(DOCKERFILE));
    const digest = `sha256:${"c".repeat(64)}`;
    const variables = { ...SETTINGS, DOCKERFILE, ...RUNTIME === "deno" && { DENO_DIGEST: digest } };
    for (const name of ["SECRET_ARN", "KMS_KEY_ARN", "SCHEMA_BUCKET"]) {
      const { code, output } = checkout.run("check", { ...variables, [name]: "" });
      assert.deepEqual([code, output], [1, `pipeline: ${name} must be set\n`]);
    }
    for (const step of ["check", "image", "compare", "gate", "push", "summary"]) {
      const { code, output } = checkout.run(step, variables);
      assert.equal(code, 0, `${step}: ${output}`);
    }
    const [build = ""] = checkout.read("calls").split("\n");
    const given = Array.from(build.matchAll(/--build-arg (\S+)/g), ([, name = ""]) => name);
    for (const name of Object.keys(variables)) {
      if (name !== "DOCKERFILE") assert.ok(given.includes(name), name);
    }
    const policy = checkout.read("build/policy.json");
    assert.deepEqual(judgePolicy(policy, { role: ROLE }), []);
    const { pcrs } = JSON.parse(readFileSync(join(out, "build-summary.json"), "utf8"));
    assert.ok(policy.includes(pcrs[0]) && checkout.read("build/summary.txt").includes(pcrs[0]));
    const open = judgePolicy(policy.replaceAll("kms:RecipientAttestation:PCR0", "kms:CallerAccount"), {
      role: ROLE,
    });
    assert.ok(open.some(({ rule }) => rule === "unattested-access"), JSON.stringify(open));
  });
});

describe("the Dockerfiles of examples/field-encryption", () => {
  const exists = (path: string) => path === "build/clients.pem" || existsSync(join(ROOT, path));

  for (const runtime of ["node", "deno"]) {
    test(`Dockerfile.${runtime} has no fault that we look for`, () => {
      const text = readPage(`examples/field-encryption/deploy/Dockerfile.${runtime}`);
      assert.deepEqual(problemsOf(text, exists), []);
    });
  }

  test("are what image dockerfile writes for it", async () => {
    const schema = join(folder, "schema.json");
    copyFileSync(join(root, "config.schema.json"), schema);
    for (const runtime of ["node", "deno"]) {
      const { code, stdout } = await runHere(wordsOf(schema, runtime));
      assert.equal(code, 0);
      assert.equal(stdout, readPage(`examples/field-encryption/deploy/Dockerfile.${runtime}`), runtime);
    }
  });
});

/** Words of the command in the example's README. */
function wordsOf(schema: string, runtime: string): string[] {
  const [, line = ""] = /^enclave-kms (image dockerfile [^]*?) >/m.exec(
    readPage("examples/field-encryption/README.md").replaceAll("\\\n", " "),
  ) ?? [];
  const words = line.replace("config.schema.json", schema).replace("--runtime node", `--runtime ${runtime}`);
  return words.split(/ +/);
}
