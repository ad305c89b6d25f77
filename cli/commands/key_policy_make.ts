import { readSummaryImage } from "../../deploy/eif/build_summary.ts";
import { makeKeyPolicy, measureText } from "../../deploy/keys/make_policy.ts";
import type { Arguments } from "../arguments.ts";
import { EXIT } from "../exit_codes.ts";
import type { Terminal } from "../terminal.ts";
import { asUsage } from "../usage_error.ts";
import { readText } from "../values.ts";

/** Runs `key-policy make`: prints the policy of a key that only enclaves of certain images use. */
export async function keyPolicyMake(args: Arguments, terminal: Terminal): Promise<number> {
  const images = args.all("summary").map((path) => readSummaryImage(readText("summary", path)));
  const role = args.require("role");
  const actions = args.all("action");
  const options = {
    images,
    role,
    administrators: args.all("administrator"),
    pcr3: args.has("any-role") ? undefined : await measureText(role),
    encrypt: args.has("encrypt"),
    ...(actions.length === 0 ? {} : { actions }),
  };
  await terminal.write(asUsage(() => makeKeyPolicy(options)));
  return EXIT.ok;
}
