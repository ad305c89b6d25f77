import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "#test";
import { ROOT } from "../../support/documents.ts";
import { problemsOf } from "../../support/dockerfile_rules.ts";

const FOLDER = join(ROOT, "deploy/images");

/** Made before the build, and not in git. */
const MADE = ["build/image.eif"];

const exists = (path: string) => MADE.includes(path) || existsSync(join(ROOT, path));
const names = readdirSync(FOLDER).filter((name) => name.startsWith("Dockerfile."));

const RUNNER = readFileSync(join(FOLDER, "Dockerfile.runner"), "utf8");

describe("the Dockerfiles", () => {
  test("are there", () => {
    for (const name of ["Dockerfile.runner", "Dockerfile.vsock-proxy"]) assert.ok(names.includes(name), name);
  });

  for (const name of names) {
    test(`${name} has no fault that we look for`, () => {
      assert.deepEqual(problemsOf(readFileSync(join(FOLDER, name), "utf8"), exists), []);
    });
  }

  const mistakes: Readonly<Record<string, readonly [from: string | RegExp, to: string, expected: RegExp]>> = {
    "an unknown instruction": ["ENTRYPOINT [", "ENTRYPIONT [", /Unknown instruction: ENTRYPIONT/],
    "two entry points": ["STOPSIGNAL SIGTERM", 'ENTRYPOINT ["a"]', /There can only be one ENTRYPOINT/],
    "a signal that is none": ["STOPSIGNAL SIGTERM", "STOPSIGNAL", /no arguments/],
    "a base by tag alone": ["@${NODE_DIGEST}", "", /node:24\.21\.0-bookworm-slim is no tag with a digest/],
    "a base of no version": [":24.21.0-bookworm-slim", "", /is no tag with a digest/],
    "a digest that nobody must give": [
      "ARG NODE_DIGEST",
      "ARG NODE_DIGEST=sha256:0",
      /is no tag with a digest/,
    ],
    "a digest that is none": ["${NODE_DIGEST}", "sha256:0123", /is no tag with a digest/],
    "an argument that is not declared": ["ARG NODE_DIGEST", "ARG NODE_DIGETS", /is no tag with a digest/],
    "root": ["USER 10001:10001", "", /runs as root/],
    "root by number": ["USER 10001:10001", "USER 0", /runs as root/],
    "a user by name": ["USER 10001:10001", "USER enclave-kms", /runs as root, or as a name/],
    "a stage that is not there": ["--from=nitro", "--from=nitor", /there is no stage nitor before/],
    "a stage that comes later": [
      "FROM docker.io/library",
      "FROM nitro AS a\nFROM docker.io/library",
      /nitro is no tag/,
    ],
    "a file that is not there": [
      "run-enclave.sh deploy",
      "run-enclvae.sh deploy",
      /run-enclvae\.sh is not there/,
    ],
    "a command that no shell reads": ["dnf clean all", "dnf clean all && (", /no shell reads it/],
    "a command whose failure is lost": [
      "npm run build &&",
      "npm run build ;",
      /though the one before has failed/,
    ],
    "an entry point that a shell starts": [
      'ENTRYPOINT ["/usr/bin/run-enclave.sh"]',
      "ENTRYPOINT run",
      /exec form/,
    ],
    "ADD": ["COPY . .", "ADD . .", /ADD fetches/],
    "a secret in a layer": ["ENV EIF_PATH", "ENV AWS_SECRET_ACCESS_KEY=a EIF_PATH", /is kept in a layer/],
    "a secret as an argument": ["ARG NITRO_CLI_VERSION", "ARG NPM_TOKEN", /NPM_TOKEN is kept in a layer/],
    "a variable of another stage": [
      "ENV EIF_PATH=/srv",
      "ENV EIF_PATH=$NITRO_CLI_VERSION",
      /is not declared in this stage/,
    ],
  };
  for (const [what, [from, to, expected]] of Object.entries(mistakes)) {
    test(`with ${what} would be refused`, () => {
      const changed = RUNNER.replaceAll(from, to);
      assert.notEqual(changed, RUNNER);
      assert.match(problemsOf(changed, exists).join("\n"), expected);
    });
  }
});
