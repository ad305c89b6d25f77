import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { describe } from "#test";
import { readPage, ROOT } from "../../support/documents.ts";
import { divideTests } from "../../support/share.ts";

const test = divideTests("Deno");

interface Phase {
  readonly "on-failure"?: string;
  readonly commands: readonly string[];
}

interface Buildspec {
  readonly version: number;
  readonly env: { readonly shell: string };
  readonly phases: Readonly<Record<string, Phase>>;
  readonly artifacts: { readonly files: readonly string[] };
}

interface Step {
  readonly run?: string;
  readonly uses?: string;
  readonly with?: Readonly<Record<string, unknown>>;
}

interface Workflow {
  readonly permissions: Readonly<Record<string, string>>;
  readonly on: Readonly<Record<string, unknown>>;
  readonly jobs: Readonly<
    Record<
      string,
      {
        readonly env: Readonly<Record<string, string>>;
        readonly steps: readonly Step[];
        readonly "runs-on": string;
      }
    >
  >;
}

const SPEC = readPage("deploy/codebuild/buildspec.yml");
const WORKFLOW = readPage("deploy/github/image.yml");
const PIPELINE = readPage("deploy/codebuild/pipeline.sh");

const STEPS = ["check", "test", "image", "compare", "gate", "push", "summary"];

/** Keys that a phase, and the whole, may have. */
const KNOWN = {
  whole: ["version", "env", "phases", "artifacts"],
  phases: ["install", "pre_build", "build", "post_build"],
  phase: ["on-failure", "runtime-versions", "commands"],
};

/** Finds what is wrong with a build specification of ours. */
function problemsOfSpec(text: string): string[] {
  const spec = parse(text, { strict: true, uniqueKeys: true }) as Buildspec;
  const phases = Object.entries(spec.phases);
  const strange = (names: readonly string[], known: readonly string[]) =>
    names.filter((name) => !known.includes(name)).map((name) => `${name} is not known`);
  return [
    ...spec.version === 0.2 ? [] : ["it is not of version 0.2"],
    ...strange(Object.keys(spec), KNOWN.whole),
    ...strange(phases.map(([name]) => name), KNOWN.phases),
    ...phases.flatMap(([name, phase]) => [
      ...strange(Object.keys(phase), KNOWN.phase),
      ...phase["on-failure"] === "ABORT" ? [] : [`${name} goes on after a failure`],
      // CodeBuild runs it after a build that has failed.
      ...name === "post_build" ? ["post_build runs in any case"] : [],
      ...phase.commands.flatMap(problemsOfCommand),
    ]),
    ...problemsOfOrder(phases.flatMap(([, { commands }]) => commands), STEPS),
    ...spec.artifacts.files.filter((file) =>
      !PIPELINE.includes(file) && !PIPELINE.includes(file.replace("build/", ""))
    )
      .map((file) => `nothing makes ${file}`),
  ];
}

/** Finds what is wrong with a workflow of ours. */
function problemsOfWorkflow(text: string): string[] {
  const { permissions, jobs, on } = parse(text, { strict: true, uniqueKeys: true }) as Workflow;
  const steps = Object.values(jobs).flatMap((job) => job.steps);
  const used = steps.flatMap(({ uses }) => uses ?? []);
  const run = steps.flatMap((step) => step.run ?? []);
  return [
    ...JSON.stringify(permissions) === '{"contents":"read"}' ? [] : ["it may do more than read"],
    ..."pull_request_target" in on ? ["it runs what a stranger sends with rights"] : [],
    ...used.filter((name) => !/^[\w-]+\/[\w-]+@[0-9a-f]{40}$/.test(name)).map((name) =>
      `${name} is not by commit`
    ),
    ...steps.filter(({ uses, with: given }) =>
      uses?.startsWith("actions/checkout@") && given?.["persist-credentials"] !== false
    )
      .map(() => "the token stays in the checkout"),
    ...run.flatMap(problemsOfCommand),
    // An expression in a command is text that a stranger may choose.
    ...run.filter((command) => command.includes("${{")).map((command) => `${command} has an expression`),
    ...problemsOfOrder(run, STEPS.filter((step) => step !== "push")),
  ];
}

function problemsOfCommand(command: string): string[] {
  if (typeof command !== "string") return ["a command is no text"];
  const { status } = spawnSync("sh", ["-n"], { input: command });
  const files = Array.from(command.matchAll(/deploy\/[\w./-]+/g), ([path]) => path);
  return [
    ...status === 0 ? [] : [`no shell reads ${command}`],
    ...files.filter((path) => !existsSync(join(ROOT, path))).map((path) => `${path} is not there`),
  ];
}

function problemsOfOrder(commands: readonly string[], expected: readonly string[]): string[] {
  const steps = commands.flatMap((command) => /pipeline\.sh ([a-z-]+)/.exec(command)?.[1] ?? []);
  return JSON.stringify(steps) === JSON.stringify(expected) ? [] : [`its steps are ${steps.join(", ")}`];
}

describe("buildspec.yml", () => {
  test("has no fault that we look for", () => assert.deepEqual(problemsOfSpec(SPEC), []));

  test("names every variable that the pipeline must have", () => {
    const needed = PIPELINE.match(/(?<=^ +needs?(?:_digest)? )[A-Z].*$/gm)?.join(" ").split(" ") ?? [];
    assert.ok(needed.length > 8);
    for (const name of [...needed, "IMAGE_TAG", "RUNNING_SUMMARY", "KEY_ID"]) {
      assert.match(SPEC, new RegExp(`\\b${name}\\b`), name);
    }
  });

  const mistakes: Readonly<Record<string, readonly [from: string, to: string, expected: RegExp]>> = {
    "a version that is none": ["version: 0.2", "version: 0.1", /version 0\.2/],
    "a phase that is none": ["  build:", "  biuld:", /biuld is not known/],
    "a key that is none": ["on-failure", "onfailure", /onfailure is not known/],
    "a phase that goes on": ["on-failure: ABORT", "on-failure: CONTINUE", /goes on after a failure/],
    "a push after a failed build": [
      "      - sh deploy/codebuild/pipeline.sh push",
      "  post_build:\n    on-failure: ABORT\n    commands:\n      - sh deploy/codebuild/pipeline.sh push",
      /post_build runs in any case/,
    ],
    "no gate": ["      - sh deploy/codebuild/pipeline.sh gate\n", "", /its steps are/],
    "a command that no shell reads": ["- npm ci", "- npm ci && (", /no shell reads/],
    "a command that is a map": ["- npm ci --no-audit", "- npm: ci", /no text/],
    "a script that is not there": ["pipeline.sh test", "pipelin.sh test", /pipelin\.sh is not there/],
    "an artefact that nothing makes": [
      "build/summary.txt",
      "build/summry.txt",
      /nothing makes build\/summry\.txt/,
    ],
  };
  for (const [what, [from, to, expected]] of Object.entries(mistakes)) {
    test(`with ${what} would be refused`, () => {
      const changed = SPEC.replaceAll(from, to);
      assert.notEqual(changed, SPEC);
      assert.match(problemsOfSpec(changed).join("\n"), expected);
    });
  }
});

describe("the workflow of GitHub", () => {
  test("has no fault that we look for", () => assert.deepEqual(problemsOfWorkflow(WORKFLOW), []));

  test("gives the pipeline every variable that it must have up to the gate", () => {
    const [, needed = ""] = /^check\(\) \{\n([^]*?)if /m.exec(PIPELINE) ?? [];
    const [job] = Object.values((parse(WORKFLOW) as Workflow).jobs);
    const names = needed.match(/\b[A-Z][A-Z0-9_]{4,}\b/g) ?? [];
    assert.ok(names.length >= 6);
    for (const name of names) assert.ok(job?.env[name] !== undefined, name);
  });

  const mistakes: Readonly<Record<string, readonly [from: string | RegExp, to: string, expected: RegExp]>> = {
    "an action by its tag": [/checkout@[0-9a-f]+/, "checkout@v7", /checkout@v7 is not by commit/],
    "more rights": ["contents: read", "contents: write", /more than read/],
    "rights for a stranger's code": ["pull_request:", "pull_request_target:", /a stranger sends/],
    "a token that stays": ["persist-credentials: false", "persist-credentials: true", /token stays/],
    "a text of a stranger in a command": ["npm ci", "npm ci ${{ github.head_ref }}", /has an expression/],
    "a push": ["pipeline.sh summary", "pipeline.sh push", /its steps are/],
    "no comparison": [/ {6}- run: .*compare\n/, "", /its steps are/],
  };
  for (const [what, [from, to, expected]] of Object.entries(mistakes)) {
    test(`with ${what} would be refused`, () => {
      const changed = WORKFLOW.replace(from, to);
      assert.notEqual(changed, WORKFLOW);
      assert.match(problemsOfWorkflow(changed).join("\n"), expected);
    });
  }
});
