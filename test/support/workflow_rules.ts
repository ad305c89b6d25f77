import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { ROOT } from "./documents.ts";

/** Step of a job. */
interface Step {
  readonly uses?: string;
  readonly run?: string;
  readonly with?: Readonly<Record<string, unknown>>;
}

/** Job of a workflow; one that calls another workflow has no steps. */
export interface Job {
  readonly needs?: string | readonly string[];
  readonly if?: string;
  readonly uses?: string;
  readonly permissions?: Readonly<Record<string, string>>;
  readonly environment?: string;
  readonly "timeout-minutes"?: number;
  readonly steps?: readonly Step[];
}

/** Workflow of GitHub, as far as the rules look at it. */
export interface Workflow {
  readonly on: Readonly<Record<string, unknown>>;
  readonly permissions?: Readonly<Record<string, string>>;
  readonly jobs: Readonly<Record<string, Job>>;
}

/** Whether scripts can be checked here. */
export const HAS_SHELLCHECK: boolean = spawnSync("shellcheck", ["--version"]).status === 0;

/** Actions by the commit that was read, of a released tag. No other may run. */
const ACTIONS: Readonly<Record<string, readonly [commit: string, tag: string]>> = {
  "actions/checkout": ["3d3c42e5aac5ba805825da76410c181273ba90b1", "v7.0.1"],
  "actions/setup-node": ["820762786026740c76f36085b0efc47a31fe5020", "v7.0.0"],
  "actions/upload-artifact": ["bbbca2ddaa5d8feaa63e36b76fdaad77386f024f", "v7.0.0"],
  "actions/download-artifact": ["3e5f45b2cfb9172054b4087a40e8e0b5a5461e7c", "v8.0.1"],
};

/**
 * Reads a workflow.
 *
 * @param text YAML
 */
export function readWorkflow(text: string): Workflow {
  return parse(text, { strict: true, uniqueKeys: true }) as Workflow;
}

/**
 * Finds what no workflow of ours may have: rights for all jobs, actions that can move, a stranger's text in a command, a
 * token that stays in the checkout.
 *
 * @param text YAML
 * @returns A sentence for each problem
 */
export function problemsOfWorkflow(text: string): readonly string[] {
  const { on, permissions, jobs } = readWorkflow(text);
  return [
    ...(permissions !== undefined &&
        Object.entries(permissions).every((right) => String(right) === "contents,read")
      ? []
      : ["all its jobs may do more than read"]),
    ...("pull_request_target" in on || "workflow_run" in on
      ? ["it runs what a stranger sends with rights"]
      : []),
    ...Object.entries(jobs).flatMap(([name, job]) =>
      problemsOfJob(job).map((problem) => `${name}: ${problem}`)
    ),
    ...problemsOfComments(text),
  ];
}

function problemsOfJob(job: Job): string[] {
  const { steps = [] } = job;
  return [
    ...(job.uses !== undefined && !job.uses.startsWith("./") ? [`${job.uses} is not ours`] : []),
    ...(job.uses === undefined && job["timeout-minutes"] === undefined ? ["it has no end"] : []),
    ...steps.flatMap(({ uses }) => uses === undefined ? [] : problemsOfAction(uses)),
    ...steps.filter(({ uses, with: given }) =>
      uses?.startsWith("actions/checkout@") && given?.["persist-credentials"] !== false
    ).map(() => "the token stays in the checkout"),
    ...steps.flatMap(({ run }) => run === undefined ? [] : problemsOfScript(run)),
  ];
}

function problemsOfAction(uses: string): string[] {
  const [name = "", commit = ""] = uses.split("@");
  if (!/^[0-9a-f]{40}$/.test(commit)) return [`${uses} is not by commit`];
  return ACTIONS[name]?.[0] === commit ? [] : [`${uses} is not an action that was read`];
}

/** Checks that the comment beside an action names the tag of its commit: updates read it. */
function problemsOfComments(text: string): string[] {
  return Array.from(text.matchAll(/uses: (actions\/[\w-]+)@\S+(.*)$/gm)).flatMap((
    [, name = "", comment = ""],
  ) => comment.trim() === `# ${ACTIONS[name]?.[1]}` ? [] : [`the comment at ${name} is not of its tag`]);
}

function problemsOfScript(run: string): string[] {
  const files = Array.from(run.matchAll(/(?<![\w/$])(?:tools|deploy|\.ci)\/[\w./-]+/g), ([path]) => path);
  const checked = HAS_SHELLCHECK
    ? spawnSync("shellcheck", ["--shell", "bash", "--severity", "style", "-"], {
      input: run,
      encoding: "utf8",
    })
    : spawnSync("bash", ["-n"], { input: run, encoding: "utf8" });
  return [
    ...(checked.status === 0 ? [] : [`a shell objects to ${run}: ${checked.stdout}${checked.stderr}`]),
    // An expression in a command is text that a stranger may choose.
    ...(run.includes("${{") ? [`${run} has an expression`] : []),
    ...files.filter((path) => !existsSync(join(ROOT, path))).map((path) => `${path} is not there`),
  ];
}
