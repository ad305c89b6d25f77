import { spawnSync } from "node:child_process";
import { type Copy, DockerfileParser, type From, type Instruction } from "dockerfile-ast";
import { validate } from "dockerfile-utils";

/** Files of the build's context, for {@link problemsOf}. */
export type Exists = (path: string) => boolean;

interface Stage {
  readonly from: From;
  readonly name: string | undefined;
  readonly instructions: readonly Instruction[];
}

/** Names that a value in a layer must not have: whoever has the image reads it. */
const SECRET = /SECRET(?:_ACCESS)?(?:_KEY)?$|PASSWORD|PRIVATE_KEY|(?:^|_)TOKEN(?:$|_)|ACCESS_KEY/;

/**
 * Finds what is wrong with a Dockerfile: what dockerfile-utils finds, bases without a digest, a last stage that runs as
 * root, variables that are not declared, commands that no shell reads, files that are not there, and secrets in layers.
 */
export function problemsOf(text: string, exists: Exists): string[] {
  const dockerfile = DockerfileParser.parse(text);
  const stages = stagesOf(dockerfile.getInstructions());
  const declared = dockerfile.getInitialARGs().map((
    arg,
  ) => [arg.getProperty()?.getName(), arg.getProperty()?.getValue()]);
  return [
    ...validate(text).map(({ message, range }) => `${range.start.line + 1}: ${message}`),
    ...stages.flatMap((stage, index) => badBase(stage, stages.slice(0, index), declared)),
    ...stages.flatMap((stage, index) => badInstructions(stage, stages.slice(0, index), exists)),
    ...rootIn(stages.at(-1)),
  ];
}

function stagesOf(instructions: readonly Instruction[]): Stage[] {
  const stages: Stage[] = [];
  for (const instruction of instructions) {
    if (instruction.getKeyword() === "FROM") {
      const from = instruction as From;
      stages.push({ from, name: from.getBuildStage() ?? undefined, instructions: [] });
    } else (stages.at(-1)?.instructions as Instruction[] | undefined)?.push(instruction);
  }
  return stages;
}

/** A base is a stage before, `scratch`, or an image whose digest stands there or must be given. */
function badBase(
  { from }: Stage,
  before: readonly Stage[],
  declared: readonly (readonly unknown[])[],
): string[] {
  const image = from.getImage() ?? "";
  if (image === "scratch" || before.some(({ name }) => name === image)) return [];
  const [, digest = ""] = /^[a-z0-9./-]+:[\w.-]+@(.+)$/.exec(image) ?? [];
  if (/^sha256:[0-9a-f]{64}$/.test(digest)) return [];
  const [, variable] = /^\$\{([A-Z_]+_DIGEST)\}$/.exec(digest) ?? [];
  const isAsked = declared.some(([name, value]) => name === variable && value === null);
  return variable !== undefined && isAsked ? [] : [`${lineOf(from)}: ${image} is no tag with a digest`];
}

function badInstructions({ from, instructions }: Stage, before: readonly Stage[], exists: Exists): string[] {
  const known = new Set(
    before.find(({ name }) => name === from.getImage())?.instructions.flatMap(variablesOf),
  );
  return instructions.flatMap((instruction) => {
    for (const name of variablesOf(instruction)) known.add(name);
    const problems = [
      ...undeclared(instruction, known),
      ...badShell(instruction),
      ...badCopy(instruction, before, exists),
      ...variablesOf(instruction).filter((name) => SECRET.test(name)).map((name) =>
        `${name} is kept in a layer`
      ),
    ];
    return problems.map((problem) => `${lineOf(instruction)}: ${problem}`);
  });
}

function variablesOf(instruction: Instruction): string[] {
  if (!["ARG", "ENV"].includes(instruction.getKeyword())) return [];
  return [...argumentsOf(instruction).matchAll(/(?<=^|\s)(\w+)(?==|$)/g)].map(([, name = ""]) => name);
}

function undeclared(instruction: Instruction, known: ReadonlySet<string>): string[] {
  if (["RUN", "HEALTHCHECK", "CMD", "ENTRYPOINT"].includes(instruction.getKeyword())) return [];
  return instruction.getVariables().map((variable) => variable.getName()).filter((name) => !known.has(name))
    .map((name) => `${name} is not declared in this stage`);
}

function badShell(instruction: Instruction): string[] {
  const keyword = instruction.getKeyword();
  const words = argumentsOf(instruction);
  if (["CMD", "ENTRYPOINT"].includes(keyword) && !words.startsWith("[")) {
    return [`${keyword} is not in the exec form`];
  }
  if (keyword === "ADD") return ["ADD fetches and unpacks; COPY does neither"];
  if (keyword !== "RUN" || words.startsWith("[")) return [];
  const { status, stderr } = spawnSync("sh", ["-n"], { input: words, encoding: "utf8" });
  const isChained = !/^(?:.*[^&|])?;|[^&|\\]\n\s*\S/m.test(
    words.replaceAll(/\\\n(?:\s*#.*\n)*/g, " ").replaceAll(/'[^']*'|"[^"]*"/g, ""),
  );
  return [
    ...status === 0 ? [] : [`no shell reads it: ${stderr.trim()}`],
    ...isChained ? [] : ["a command after ; runs though the one before has failed"],
  ];
}

function badCopy(instruction: Instruction, before: readonly Stage[], exists: Exists): string[] {
  if (instruction.getKeyword() !== "COPY") return [];
  const stage = (instruction as Copy).getFromFlag()?.getValue();
  if (stage !== undefined && stage !== null) {
    return before.some(({ name }) => name === stage) ? [] : [`there is no stage ${stage} before`];
  }
  const sources = instruction.getArguments().map((argument) => argument.getValue()).slice(0, -1);
  return sources.filter((path) => !exists(path)).map((path) => `${path} is not there`);
}

function rootIn(last: Stage | undefined): string[] {
  if (last === undefined) return ["there is no stage"];
  if (
    last.from.getImage() === "scratch" &&
    !last.instructions.some((one) => /^(?:CMD|ENTRYPOINT)$/.test(one.getKeyword()))
  ) return [];
  const user = last.instructions.filter((one) => one.getKeyword() === "USER").at(-1);
  const name = user === undefined ? "" : argumentsOf(user);
  return /^[1-9]\d*(?::\d+)?$/.test(name)
    ? []
    : ["the last stage runs as root, or as a name that a cluster cannot check"];
}

function argumentsOf(instruction: Instruction): string {
  return (instruction.getRawArgumentsContent() ?? "").trim();
}

function lineOf(instruction: Instruction): number {
  return instruction.getRange().start.line + 1;
}
