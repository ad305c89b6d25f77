import { readSummaryImage } from "../../deploy/eif/build_summary.ts";
import { judgePolicy } from "../../deploy/keys/gate.ts";
import type { Arguments } from "../arguments.ts";
import { EXIT } from "../exit_codes.ts";
import { oneLine, type Terminal } from "../terminal.ts";
import { asUsage } from "../usage_error.ts";
import { readFileArgument, readText } from "../values.ts";

/** Runs `key-policy gate`: judges a policy, one sentence for each finding. */
export async function keyPolicyGate(args: Arguments, terminal: Terminal): Promise<number> {
  const policy = readFileArgument(args);
  const options = {
    role: args.require("role"),
    running: args.all("running").map((path) => readSummaryImage(readText("running", path))),
    allowUnattested: args.all("allow-unattested"),
    key: args.get("key"),
  };
  const findings = asUsage(() => judgePolicy(policy, options));
  const lines = findings.length === 0
    ? ["The policy passes."]
    : findings.map(({ rule, sentence }) => `${rule}: ${sentence}`);
  await terminal.report(
    args.has("json") ? `${JSON.stringify(findings)}\n` : lines.map((line) => `${oneLine(line)}\n`).join(""),
  );
  return findings.length === 0 ? EXIT.ok : EXIT.refused;
}
