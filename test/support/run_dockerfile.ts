/**
 * Runs what the Dockerfile of an application's image runs, without Docker: folders of this machine stand for those of the
 * build, its own runtimes for those of the bases, and a few bytes for AWS's kernel and init.
 *
 * @module
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { type Copy, DockerfileParser, type Instruction } from "dockerfile-ast";
import { ROOT } from "./documents.ts";

/** Build that {@link runDockerfile} makes. */
export interface DockerBuild {
  /** Text of the Dockerfile. */
  readonly text: string;
  /** Folder that stands for `/` of the build; it must be empty. */
  readonly folder: string;
  /** Arguments of the build. */
  readonly args: Readonly<Record<string, string>>;
  /** Binary that stands for the runtime's in the base. */
  readonly binary: string;
  /** Files of the context that are not in the repository, by their path there. */
  readonly made: Readonly<Record<string, string>>;
}

/** Blobs of nitro-cli, which no machine boots. */
const BLOBS = { bzImage: "kernel", init: "#!/init", "nsm.ko": "module" };
const BLOBS_FOLDER = "/usr/share/nitro_enclaves/blobs";

/** Commands that get packages, which are here already. */
const GETS_PACKAGES = /^(?:npm ci|dnf install)\b/;

/**
 * Runs the instructions in their order.
 *
 * @param build The build
 * @returns Folder of what the last stage takes out: image.eif and its measurements
 */
export function runDockerfile(build: DockerBuild): string {
  const place = (path: string) => join(build.folder, path);
  for (const path of ["/tmp", "/out", BLOBS_FOLDER]) mkdirSync(place(path), { recursive: true });
  for (const [name, content] of Object.entries(BLOBS)) {
    writeFileSync(place(`${BLOBS_FOLDER}/${name}`), content);
  }
  const env: Record<string, string> = { BLOBS_SHA256: hashOfBlobs() };
  let cwd = ROOT;
  for (const instruction of DockerfileParser.parse(build.text).getInstructions()) {
    const words = instruction.getRawArgumentsContent()?.trim() ?? "";
    const keyword = instruction.getKeyword();
    if (keyword === "ARG") takeArgument(words, env, build.args);
    else if (keyword === "WORKDIR") cwd = words === "/src" ? ROOT : place(words);
    else if (keyword === "COPY") copy(instruction, build, place);
    else if (keyword === "RUN" && !GETS_PACKAGES.test(words)) {
      mkdirSync(cwd, { recursive: true });
      run(commandOf(words, build), cwd, env);
    }
  }
  return place("/out");
}

function hashOfBlobs(): string {
  const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");
  const lines = Object.entries(BLOBS).map(([name, content]) => `${sha256(content)}  ./${name}\n`);
  return sha256(lines.join(""));
}

/** An argument that was given counts in every stage, and its default otherwise. */
function takeArgument(words: string, env: Record<string, string>, args: DockerBuild["args"]): void {
  const [, name = "", standard] = /^(\w+)(?:="?(.*?)"?)?$/.exec(words) ?? [];
  const value = args[name] ?? env[name] ?? standard;
  if (value !== undefined) env[name] = value;
}

function copy(instruction: Instruction, { made }: DockerBuild, place: (path: string) => string): void {
  const [from = "", to = ""] = instruction.getArguments().map((argument) => argument.getValue());
  const stage = (instruction as Copy).getFromFlag()?.getValue();
  // The sources stay where they are, and blobs are there already; the last stage takes out what was made.
  if (from === "." || from === "/src" || from === to || to === "/") return;
  if (stage !== undefined && stage !== null) return cpSync(place(from), place(to), { recursive: true });
  const content = made[from];
  if (content === undefined) cpSync(join(ROOT, from), place(to));
  else writeFileSync(place(to), content);
}

/** Puts this machine's folders in the place of the build's. */
function commandOf(words: string, { folder, binary }: DockerBuild): string {
  const blobs = `${folder}${BLOBS_FOLDER}`;
  return words
    .replaceAll(/(?<=[\s=])\/src\//g, `${ROOT}/`)
    .replaceAll(/(?<=[\s=])\/usr\/(?:local\/)?bin\/(?:node|deno)\b/g, binary)
    .replaceAll(/(?<=[\s=])(?=\/(?:app|bundle|config\.schema\.json|image|out|tmp|usr\/share)\b)/g, folder)
    .replace(
      /\bimage init(?= )/,
      `image init --kernel ${blobs}/bzImage --init ${blobs}/init --nsm-module ${blobs}/nsm.ko`,
    );
}

function run(command: string, cwd: string, env: Readonly<Record<string, string>>): void {
  const { PATH = "", HOME = "/" } = process.env;
  const { status, stdout, stderr } = spawnSync("sh", ["-e", "-c", command], {
    cwd,
    encoding: "utf8",
    env: { PATH, HOME, ...env },
  });
  assert.equal(status, 0, `${command}\n${stdout}${stderr}`);
}
