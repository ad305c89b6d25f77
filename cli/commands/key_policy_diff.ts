import { describeChange, diffPolicies } from "../../deploy/keys/diff_policies.ts";
import type { Arguments } from "../arguments.ts";
import { EXIT } from "../exit_codes.ts";
import { oneLine, type Terminal } from "../terminal.ts";
import { readText } from "../values.ts";

/** Runs `key-policy diff`: says who gains and who loses what. */
export async function keyPolicyDiff(args: Arguments, terminal: Terminal): Promise<number> {
  const [before, after] = (["before", "after"] as const).map((flag) => readText(flag, args.require(flag)));
  const changes = diffPolicies(before!, after!);
  const lines = changes.length === 0 ? ["Both policies mean the same."] : changes.map(describeChange);
  await terminal.report(
    args.has("json") ? `${JSON.stringify(changes)}\n` : lines.map((line) => `${oneLine(line)}\n`).join(""),
  );
  return EXIT.ok;
}
