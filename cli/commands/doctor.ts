import type { Credentials } from "../../lib/aws/credentials.ts";
import type { Arguments } from "../arguments.ts";
import { clientOptions, simulatedNsm } from "../client.ts";
import { GivenCredentials } from "../credentials.ts";
import { examine } from "../doctor/examine.ts";
import { thisMachine } from "../doctor/machine.ts";
import type { Finding } from "../doctor/finding.ts";
import { findingsJson, isBroken, report } from "../doctor/report.ts";
import { EXIT } from "../exit_codes.ts";
import type { Terminal } from "../terminal.ts";
import { derOf, integer, readFile } from "../values.ts";

/**
 * Time for all links but the policy, in milliseconds. With start-up and the policy the command stays below 5
 * s.
 */
const EXAMINATION_MS = 4000;

/**
 * Runs `doctor`: examines every link from this process to a plaintext, and names the first that is broken.
 */
export async function doctor(args: Arguments, terminal: Terminal): Promise<number> {
  const parent = args.get("parent");
  const findings = parent === undefined
    ? await ofEnclave(args, terminal)
    : await ofParent(parent === "-" ? undefined : parent, args, terminal);
  await terminal.report(
    args.has("json")
      ? `${JSON.stringify(findingsJson(findings), undefined, 2)}\n`
      : report(findings, terminal),
  );
  return isBroken(findings) ? EXIT.broken : EXIT.ok;
}

/** Time for the links of the parent, in milliseconds: artefacts are read. */
const PARENT_MS = 20_000;

/** Examines the links of the parent that the settings describe. */
async function ofParent(
  file: string | undefined,
  args: Arguments,
  terminal: Terminal,
): Promise<readonly Finding[]> {
  const { examineParent } = await import("../doctor/examine_parent.ts");
  const settings = (await import("../parent/read_settings.ts")).readSettings(file, terminal);
  using _progress = terminal.progress("enclave-kms: examining");
  return await examineParent({ settings, timeoutMs: timeoutOf(args) ?? PARENT_MS });
}

function timeoutOf(args: Arguments): number | undefined {
  return integer(args, "timeout-ms", { min: 100, max: 600_000 });
}

async function ofEnclave(args: Arguments, terminal: Terminal): Promise<readonly Finding[]> {
  using nsm = simulatedNsm(args);
  const root = args.get("root");
  using given = new LateCredentials(() => GivenCredentials.read(args, terminal));
  using _progress = terminal.progress("enclave-kms: examining");
  return await examine({
    client: clientOptions(args, terminal, nsm),
    credentials: () => given.value,
    root: root === undefined ? undefined : derOf("root", readFile("root", root), "CERTIFICATE"),
    policyFile: args.get("policy"),
    machine: thisMachine,
    timeoutMs: timeoutOf(args) ?? EXAMINATION_MS,
  });
}

/** Credentials that are read once, at their first use, so that a missing part becomes a finding. */
class LateCredentials implements Disposable {
  readonly #read: () => GivenCredentials;
  #given: GivenCredentials | undefined;

  constructor(read: () => GivenCredentials) {
    this.#read = read;
  }

  get value(): Credentials {
    return (this.#given ??= this.#read()).value;
  }

  [Symbol.dispose](): void {
    this.#given?.[Symbol.dispose]();
  }
}
