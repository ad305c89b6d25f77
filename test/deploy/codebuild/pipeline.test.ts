import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe } from "#test";
import { ROOT } from "../../support/documents.ts";
import { Checkout, DIGEST, VARIABLES } from "../../support/pipeline_checkout.ts";
import { buildSmallImage } from "../../support/small_image.ts";
import { divideTests } from "../../support/share.ts";

const test = divideTests();

const hasShellcheck = spawnSync("shellcheck", ["--version"]).status === 0;

const folder = mkdtempSync(join(tmpdir(), "enclave-kms-pipeline-"));
const images = join(folder, "images");
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const newCheckout = () => new Checkout(folder, images);

describe("pipeline.sh", () => {
  beforeAll(async () => {
    mkdirSync(images);
    await buildSmallImage(join(images, "old"), "old");
    await buildSmallImage(join(images, "new"), "new");
  });

  test("is a script of sh", () => {
    assert.equal(spawnSync("sh", ["-n", join(ROOT, "deploy/codebuild/pipeline.sh")]).status, 0);
  });

  // Installed by .ci/run.
  test.skipIf(!hasShellcheck)("is one that shellcheck passes", () => {
    const { status, stdout } = spawnSync("shellcheck", [join(ROOT, "deploy/codebuild/pipeline.sh")], {
      encoding: "utf8",
    });
    assert.equal(status, 0, stdout);
  });

  test("goes from a commit to images by digest, PCRs and a policy that the gate has passed", () => {
    const checkout = newCheckout();
    const output = checkout.pass("check", "image", "compare", "gate", "push", "summary");
    assert.match(output, /The policy passes\./);
    const summary = checkout.read("build/summary.txt");
    const { pcrs } = JSON.parse(checkout.read("build/build-summary.json")) as {
      pcrs: Record<string, string>;
    };
    for (const repository of ["enclave", "enclave-runner", "vsock-proxy"]) {
      assert.ok(summary.includes(`${VARIABLES["ECR_REGISTRY"]}/${repository}@${DIGEST}`), summary);
    }
    assert.ok(summary.includes(pcrs["0"] ?? "no PCR0") && summary.includes("commit 0123456789abcdef"));
    assert.ok(checkout.read("build/policy.json").includes(pcrs["0"] ?? "no PCR0"));
    assert.match(checkout.read("calls"), /docker push \S+\/enclave:0123456789ab\n/);
    assert.doesNotMatch(checkout.read("calls"), /put-key-policy|latest/);
  });

  test("names the image that runs in the policy as well, and says who gains and loses what", () => {
    const checkout = newCheckout();
    checkout.pass("image");
    copyFileSync(join(checkout.path, "made/running.json"), join(checkout.path, "made/current.json"));
    const variables = { RUNNING_SUMMARY: "s3://builds/running.json", KEY_ID: "alias/enclave" };
    writeFileSync(
      join(checkout.path, "made/current.json"),
      JSON.stringify({
        Version: "2012-10-17",
        Statement: [{
          Effect: "Allow",
          Principal: { AWS: VARIABLES["ADMINISTRATOR_ARN"] },
          Action: "kms:*",
          Resource: "*",
        }],
      }),
    );
    const { code, output } = checkout.run("gate", variables);
    assert.equal(code, 0, output);
    const running = JSON.parse(checkout.read("made/running.json")) as { pcrs: Record<string, string> };
    assert.ok(checkout.read("build/policy.json").includes(running.pcrs["0"] ?? "no PCR0"));
    assert.match(output, /role\/enclave/);
  });

  test("gives the build the settings that are set, by the names in the Dockerfile, and no others", () => {
    const checkout = newCheckout();
    writeFileSync(
      join(checkout.path, "Dockerfile"),
      "ARG NODE_DIGEST\nFROM a\nARG ENCLAVE_KMS_REGION=\nARG ENCLAVE_KMS_KMS=\nARG COMMIT=\n",
    );
    const variables = {
      DOCKERFILE: "Dockerfile",
      ENCLAVE_KMS_REGION: "eu-central-1",
      ENCLAVE_KMS_SECRET: "x",
    };
    assert.equal(checkout.run("image", variables).code, 0);
    const [call = ""] = checkout.read("calls").split("\n");
    const given = Array.from(call.matchAll(/--build-arg (\S+)/g), ([, name]) => name);
    assert.deepEqual(given.toSorted(), ["COMMIT", "ENCLAVE_KMS_REGION", "NODE_DIGEST"]);
  });

  for (const name of Object.keys(VARIABLES).filter((name) => name !== "CODEBUILD_RESOLVED_SOURCE_VERSION")) {
    test(`ends before it builds when ${name} is not set`, () => {
      const checkout = newCheckout();
      const { code, output } = checkout.run("check", { [name]: "" });
      assert.equal(code, 1);
      assert.match(output, new RegExp(`^pipeline: ${name} must be`));
      const isOfPush = name.startsWith("ECR_");
      assert.equal(checkout.run("check", { [name]: "" }, "up-to-the-gate").code, isOfPush ? 0 : 1);
    });
  }

  test("ends before it builds without what the Dockerfile asks for, and without that file", () => {
    const checkout = newCheckout();
    writeFileSync(
      join(checkout.path, "Dockerfile"),
      "ARG NODE_DIGEST\nARG DENO_DIGEST\nFROM a\nARG ORDERS_TABLE\nARG COMMIT=\n",
    );
    const all = { DOCKERFILE: "Dockerfile", DENO_DIGEST: DIGEST, ORDERS_TABLE: "orders" };
    assert.equal(checkout.run("check", all).code, 0);
    const cases = { DENO_DIGEST: /DENO_DIGEST must be a digest/, ORDERS_TABLE: /ORDERS_TABLE must be set/ };
    for (const [name, expected] of Object.entries(cases)) {
      const { code, output } = checkout.run("check", { ...all, [name]: "" });
      assert.equal(code, 1, name);
      assert.match(output, expected);
    }
    const { code, output } = checkout.run("check", { DOCKERFILE: "Dockerfil" });
    assert.equal(code, 1);
    assert.match(output, /there is no Dockerfil/);
  });

  test("ends before it builds when a digest or the tag is none", () => {
    const checkout = newCheckout();
    for (const digest of ["latest", "sha256:", `sha256:${"a".repeat(63)}`, `x${DIGEST}`, `${DIGEST}\nx`]) {
      assert.equal(checkout.run("check", { NODE_DIGEST: digest }).code, 1, digest);
    }
    for (const tag of ["latest", "a b", "a/b", "$(id)"]) {
      const { code, output } = checkout.run("check", { IMAGE_TAG: tag });
      assert.equal(code, 1, tag);
      assert.match(output, /IMAGE_TAG must name the commit/);
    }
  });

  const refusals: Readonly<Record<string, readonly [name: string, source: string]>> = {
    "the image is another one than its summary": ["image.eif", "old/out/image.eif"],
    "nitro-cli measures the image otherwise": ["described.json", "old/out/pcr-values.json"],
    "nitro-cli's own image is another one than it said": ["nitro.eif", "new/out/image.eif"],
    "nitro-cli answers with something else": ["nitro.json", "old/image.json"],
  };
  for (const [what, [name, source]] of Object.entries(refusals)) {
    test(`refuses to go on when ${what}`, () => {
      const checkout = newCheckout();
      checkout.make(name, source);
      checkout.pass("image");
      const { code, output } = checkout.run("compare");
      assert.notEqual(code, 0, output);
    });
  }

  test("pushes nothing that the gate has not passed, also not after an image before that it has", () => {
    const checkout = newCheckout();
    checkout.pass("image", "gate", "image");
    const refused = checkout.run("gate", { ADMINISTRATOR_ARN: VARIABLES["ROLE_ARN"] ?? "" });
    assert.notEqual(refused.code, 0);
    assert.equal(existsSync(join(checkout.path, "build/policy.json")), false);
    assert.notEqual(checkout.run("push").code, 0);
    assert.doesNotMatch(checkout.read("calls"), /docker push/);
  });

  test("has no summary of an image that cannot be described, and none from before", () => {
    const checkout = newCheckout();
    checkout.pass("image", "gate", "push", "summary");
    writeFileSync(join(checkout.path, "build/image.eif"), "no image");
    const { code, output } = checkout.run("summary");
    assert.notEqual(code, 0, output);
    assert.match(output, /Cannot read/);
    assert.equal(checkout.read("build/summary.txt"), "");
  });

  test("knows no other step", () => {
    const checkout = newCheckout();
    for (const step of ["", "deploy", "build", "need"]) assert.equal(checkout.run(step).code, 1, step);
    assert.equal(checkout.read("calls"), "");
  });
});
