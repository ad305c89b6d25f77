import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { describe } from "#test";
import { readPage, ROOT } from "../support/documents.ts";
import { divideTests } from "../support/share.ts";
import { HAS_SHELLCHECK, type Job, problemsOfWorkflow, readWorkflow } from "../support/workflow_rules.ts";

const test = divideTests("Deno");

const CI = readPage(".github/workflows/ci.yml");
const RELEASE = readPage(".github/workflows/release.yml");

type Mistake = readonly [from: string | RegExp, to: string, expected: RegExp];

/** Finds what is wrong with the workflow of tests. */
function problemsOfCi(text: string): readonly string[] {
  const { on, jobs } = readWorkflow(text);
  const commands = Object.values(jobs).flatMap(({ steps = [] }) => steps.flatMap(({ run }) => run ?? []));
  return [
    ...problemsOfWorkflow(text),
    ...["push", "pull_request", "workflow_call"].filter((event) => !(event in on)).map((name) =>
      `no ${name}`
    ),
    ...(commands.includes(".ci/run") ? [] : ["it does not run .ci/run"]),
  ];
}

/** Finds what is wrong with the workflow of releases. */
function problemsOfReleaseWorkflow(text: string): readonly string[] {
  const { on, permissions, jobs } = readWorkflow(text);
  const names = Object.keys(jobs);
  return [
    ...problemsOfWorkflow(text),
    ...(JSON.stringify(on) === '{"push":{"tags":["v*"]}}'
      ? []
      : ["it begins with something else than a tag"]),
    ...(JSON.stringify(permissions) === "{}" ? [] : ["jobs have rights that they do not name"]),
    ...names.filter((name) => name !== "check").flatMap((name) => problemsOfGuard(name, jobs)),
    ...(commandsOf(jobs["check"]).some((run) => run.startsWith("node tools/release_check.ts"))
      ? []
      : ["nothing checks the release"]),
    ...names.flatMap((name) => problemsOfRights(name, jobs[name])),
    ...(commandsOf(jobs["npm"]).some((run) => /^npm publish \S+ .*--provenance/.test(run))
      ? []
      : ["npm gets no provenance"]),
    ...(commandsOf(jobs["jsr"]).some((run) =>
        /deno publish/.test(run) && !/--no-provenance|--token/.test(run)
      )
      ? []
      : ["JSR gets no provenance"]),
    ...(/secrets\.|NODE_AUTH_TOKEN|_authToken/.test(text) ? ["a token lasts"] : []),
    ...(commandsOf(jobs["build"]).includes("npm run sbom") ? [] : ["there is no bill of materials"]),
  ];
}

/** Checks that a job runs only after the check said yes; without the condition it would run after a no as well. */
function problemsOfGuard(name: string, jobs: Readonly<Record<string, Job>>): string[] {
  const job = jobs[name];
  return [
    ...([job?.needs ?? []].flat().includes("check") ? [] : [`${name} does not wait for the check`]),
    ...(job?.if === "needs.check.outputs.publish == 'true'" ? [] : [`${name} runs whatever the check says`]),
  ];
}

/** Checks that what may publish waits for the tests, and runs no code of a dependency. */
function problemsOfRights(name: string, job: Job | undefined): string[] {
  const { permissions = {}, needs = [], environment } = job ?? {};
  const writes = Object.entries(permissions).filter(([, right]) => right !== "read").map(([right]) => right);
  const allowed: Readonly<Record<string, string>> = { npm: "id-token", jsr: "id-token", page: "contents" };
  const publishes = writes.includes("id-token");
  const commands = commandsOf(job);
  return [
    ...(job?.permissions === undefined ? [`${name} names no rights`] : []),
    ...writes.filter((right) => right !== allowed[name]).map((right) => `${name} may write ${right}`),
    ...(publishes && !["test", "build"].every((other) => [needs].flat().includes(other))
      ? [`${name} does not wait for the tests`]
      : []),
    ...(publishes && environment === undefined ? [`${name} has no environment to approve in`] : []),
    ...commands.filter((run) =>
      writes.length > 0 && (/npm (?:run|test|exec)|npx/.test(run) ||
        /npm (?:ci|install|publish)/.test(run) && !run.includes("--ignore-scripts"))
    ).map((run) => `${name} may write, and runs code of dependencies: ${run}`),
  ];
}

function commandsOf(job: Job | undefined): string[] {
  return (job?.steps ?? []).flatMap(({ run }) => run === undefined ? [] : run.trim().split("\n"));
}

function refusesMistakes(
  text: string,
  problemsOf: (text: string) => readonly string[],
  mistakes: Readonly<Record<string, Mistake>>,
): void {
  test("has no fault that we look for", () => assert.deepEqual(problemsOf(text), []));
  for (const [what, [from, to, expected]] of Object.entries(mistakes)) {
    test(`with ${what} would be refused`, () => {
      const changed = text.replace(from, to);
      assert.notEqual(changed, text);
      assert.match(problemsOf(changed).join("\n"), expected);
    });
  }
}

const COMMON: Readonly<Record<string, Mistake>> = {
  "an action by its tag": [/checkout@[0-9a-f]+/, "checkout@v7", /checkout@v7 is not by commit/],
  "an action by another commit": [
    /setup-node@[0-9a-f]{8}/,
    "setup-node@00000000",
    /not an action that was read/,
  ],
  "somebody else's action": ["actions/setup-node", "somebody/setup-node", /not an action that was read/],
  "a comment that names another tag": ["# v7.0.1", "# v7.0.2", /comment at actions\/checkout/],
  "a token that stays": ["persist-credentials: false", "persist-credentials: true", /token stays/],
  "a job without an end": [/ {4}timeout-minutes: \d+\n/, "", /it has no end/],
};

describe(".github/workflows/ci.yml", () => {
  refusesMistakes(CI, problemsOfCi, {
    ...COMMON,
    "more rights": ["contents: read", "contents: write", /more than read/],
    "rights for a stranger's code": ["  pull_request:", "  pull_request_target:", /a stranger sends/],
    "another command": ["run: .ci/run", "run: npm test", /does not run \.ci\/run/],
    "a script that is not there": ["run: .ci/run", "run: .ci/runs", /\.ci\/runs is not there/],
    "a text of a stranger in a command": [
      "run: .ci/run",
      'run: .ci/run "${{ github.head_ref }}"',
      /has an expression/,
    ],
  });
});

describe(".github/workflows/release.yml", () => {
  refusesMistakes(RELEASE, problemsOfReleaseWorkflow, {
    ...COMMON,
    "no guard": [
      / {4}if: .*\n( {4}runs-on: .*\n {4}timeout-minutes: 10\n {4}# Where)/,
      "$1",
      /npm runs whatever/,
    ],
    "a guard that is always true": [
      "needs.check.outputs.publish == 'true'",
      "needs.check.outputs.publish",
      /runs whatever the check says/,
    ],
    "no check": ["node tools/release_check.ts", "echo", /nothing checks the release/],
    "a publication without the tests": [
      "needs: [check, test, build]",
      "needs: [check, build]",
      /wait for the tests/,
    ],
    "a publication by hand": [
      '    tags: ["v*"]',
      '    tags: ["v*"]\n  workflow_dispatch:',
      /else than a tag/,
    ],
    "rights for all jobs": [
      "permissions: {}",
      "permissions:\n  id-token: write",
      /rights that they do not name/,
    ],
    "rights for the build": [
      /( {2}build:[^]*?contents: read\n)/,
      "$1      id-token: write\n",
      /build may write id-token[^]*runs code of dependencies/,
    ],
    "install scripts where it may publish": [
      /(jsr:[^]*?npm ci) --no-audit --no-fund --ignore-scripts/,
      "$1",
      /jsr may write, and runs code of dependencies: npm ci/,
    ],
    "no provenance on npm": [" --provenance", "", /npm gets no provenance/],
    "no provenance on JSR": ["deno publish", "deno publish --no-provenance", /JSR gets no provenance/],
    "a token that lasts": [
      "environment: npm",
      "environment: npm\n    env: { T: '${{ secrets.NPM }}' }",
      /token lasts/,
    ],
    "nobody to approve": ["    environment: npm\n", "", /no environment to approve/],
    "no bill of materials": ["      - run: npm run sbom\n", "", /no bill of materials/],
    "somebody else's workflow": ["uses: ./.github", "uses: somebody/x/.github", /is not ours/],
    ...(HAS_SHELLCHECK
      ? {
        "an unquoted name": [
          '"$GITHUB_REF_NAME" --verify-tag',
          "$GITHUB_REF_NAME --verify-tag",
          /objects to/,
        ],
      }
      : {}),
  });

  test("is one of the workflows that are looked at, and there is no other", () => {
    assert.deepEqual(readdirSync(join(ROOT, ".github/workflows")).toSorted(), ["ci.yml", "release.yml"]);
  });
});
