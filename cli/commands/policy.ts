import { DEFAULT_REGION } from "../../lib/aws/region.ts";
import { PolicyLoadError } from "../../lib/core/errors.ts";
import {
  type AttributeType,
  type AttributeTypes,
  type CedarOptions,
  cedarSchema,
  decideSafely,
  DEFAULT_ATTRIBUTES,
  type FactParts,
  loadPolicyFile,
  makeFacts,
  type Policy,
} from "../../lib/policy/mod.ts";
import { FACT_PARTS } from "../../lib/policy/facts.ts";
import { messageOf } from "../../lib/policy/policy.ts";
import { didYouMean } from "../../lib/core/did_you_mean.ts";
import { decodeBase64 } from "../../lib/core/encoding.ts";
import { joinActions } from "../../enclave/actions.ts";
import type { Arguments } from "../arguments.ts";
import { UsageError } from "../usage_error.ts";
import { EXIT } from "../exit_codes.ts";
import { codeOf } from "../failure.ts";
import { oneLine, type Terminal } from "../terminal.ts";
import { json } from "../values.ts";

/** Runs `policy check`: loads a policy as the server does, and prints the place of an error. */
export async function check(args: Arguments, terminal: Terminal): Promise<number> {
  const path = args.argument ?? "";
  const warnings: string[] = [];
  try {
    const { name } = load(args, path, (warning) => warnings.push(warning));
    if (args.has("json")) await printJson(terminal, { valid: true, name, warnings });
    else await terminal.report(`${terminal.paint("good", "ok")} ${oneLine(name)}\n`);
    for (const warning of warnings) terminal.note(`warning: ${warning}`);
    return EXIT.ok;
  } catch (error) {
    if (!(error instanceof PolicyLoadError)) throw error;
    await reportBroken(args, path, error, terminal);
    return EXIT.failed;
  }
}

/** Runs `policy try`: prints a policy's decision on one request. */
export async function tryPolicy(args: Arguments, terminal: Terminal): Promise<number> {
  const request = await json("request", args.require("request"), () => terminal.readInput());
  const parts = partsOf(request);
  checkAction(parts.action, actionsOf(args));
  const facts = makeFacts(parts);
  const policy = load(args, args.argument ?? "", () => {});
  const { allowed, reason, determining, fuelUsed } = decideSafely(policy, facts);
  if (args.has("json")) await printJson(terminal, { allowed, reason, determining, fuelUsed });
  else {
    const verdict = allowed ? terminal.paint("good", "allowed") : terminal.paint("bad", "denied");
    await terminal.report([
      `${verdict}: ${oneLine(reason)}`,
      `determining: ${determining.length === 0 ? "none" : oneLine(determining.join(", "))}`,
      `fuel: ${fuelUsed ?? "unknown"}`,
      "",
    ].join("\n"));
  }
  return allowed ? EXIT.ok : EXIT.denied;
}

/** Runs `policy schema`: prints the schema that policies are checked against, in Cedar's notation. */
export async function printSchema(args: Arguments, terminal: Terminal): Promise<number> {
  await terminal.write(cedarSchema({ actions: actionsOf(args), ...typesOf(args) }));
  return EXIT.ok;
}

function load(args: Arguments, path: string, onWarning: CedarOptions["onWarning"]): Policy {
  // As the server: it refuses a policy that Cedar warns of.
  const strict = args.has("allow-warnings") ? { onWarning } : {};
  const cedar = { ...typesOf(args), ...strict };
  return loadPolicyFile(path, { actions: actionsOf(args), cedar });
}

/** Prints the place first, as compilers do, so that editors find it. */
async function reportBroken(
  args: Arguments,
  path: string,
  error: PolicyLoadError,
  terminal: Terminal,
): Promise<void> {
  const { message, hint, line, column, policyId } = error;
  if (args.has("json")) {
    return await printJson(terminal, { valid: false, message, hint, line, column, policyId });
  }
  const place = [path, line, column].filter((part) => part !== undefined).join(":");
  await terminal.report(`${oneLine(place)}: ${terminal.paint("bad", oneLine(message))}\n`);
  terminal.note(`hint: ${hint}`);
  terminal.note(`code: ${codeOf(error)}`);
}

/** Joins the server's actions with those of an application. */
function actionsOf(args: Arguments): readonly string[] {
  try {
    return joinActions(args.all("action"));
  } catch (error) {
    const [, problem = "must be a word"] = /^actions(?:\[\d+\])? (.*)$/.exec(messageOf(error)) ?? [];
    throw new UsageError(`--action ${problem}`);
  }
}

/** Reads the attributes that callers may have, beyond the default ones, and the claims of tokens. */
function typesOf(args: Arguments): { attributes: AttributeTypes; claims: AttributeTypes } {
  const attributes = { ...DEFAULT_ATTRIBUTES, ...declared(args, "attribute") };
  return { attributes, claims: declared(args, "claim") };
}

function declared(args: Arguments, flag: string): AttributeTypes {
  const types: Record<string, AttributeType> = {};
  for (const text of args.all(flag)) {
    const [, name, type] = /^(\w+)=(String|Long|Boolean|Set<String>)$/.exec(text) ?? [];
    if (name === undefined || type === undefined) {
      throw new UsageError(`--${flag} must be NAME=TYPE, of type String, Long, Boolean or Set<String>`);
    }
    types[name] = type as AttributeType;
  }
  return types;
}

/** Fills in a plain request of the parent's, made now, for what is left out. makeFacts checks the rest. */
function partsOf(request: unknown): FactParts {
  if (typeof request !== "object" || request === null || Array.isArray(request)) {
    throw new UsageError("--request must be a JSON object");
  }
  const unknown = Object.keys(request).find((field) => !FACT_PARTS.includes(field));
  if (unknown !== undefined) throw new UsageError(`--request may have the fields ${FACT_PARTS.join(", ")}`);
  const { caller, ciphertext, ...parts } = request as Partial<FactParts> & { ciphertext?: unknown };
  return {
    action: "Decrypt",
    region: DEFAULT_REGION,
    time: Math.floor(Date.now() / 1000),
    recentCount: 1,
    ...parts,
    caller: caller === undefined ? FROM_PARENT : checkCaller(caller),
    ciphertext: ciphertext === undefined ? undefined : decodeCiphertext(ciphertext),
  };
}

function checkAction(action: string, known: readonly string[]): void {
  if (known.includes(action)) return;
  const meant = didYouMean(String(action), known);
  throw new UsageError(
    `--request: action must be one of ${known.join(", ")}, or declared by --action` +
      (meant === undefined ? "" : `: is ${meant} meant?`),
  );
}

/** Caller of a request that names none: a process of the parent, by its CID. */
const FROM_PARENT = { cid: 3, attributes: {} };

function checkCaller(caller: unknown): FactParts["caller"] {
  if (typeof caller === "object" && caller !== null && !Array.isArray(caller)) {
    return Object.hasOwn(caller, "type") ? caller as FactParts["caller"] : { ...FROM_PARENT, ...caller };
  }
  throw new UsageError("--request: caller must be an object");
}

function decodeCiphertext(text: unknown): Uint8Array {
  try {
    return decodeBase64(String(text));
  } catch {
    throw new UsageError("--request: ciphertext must be base64");
  }
}

async function printJson(terminal: Terminal, value: unknown): Promise<void> {
  await terminal.report(`${JSON.stringify(value, undefined, 2)}\n`);
}
