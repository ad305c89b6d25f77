import type { Arguments } from "./arguments.ts";
import { clientOptions, simulatedNsm } from "./client.ts";
import { GivenCredentials } from "./credentials.ts";
import { examine } from "./doctor/examine.ts";
import { thisMachine } from "./doctor/machine.ts";
import { findingsJson, isBroken, report } from "./doctor/report.ts";
import { EXIT } from "./exit_codes.ts";
import type { Terminal } from "./terminal.ts";
import { derOf, readFile } from "./values.ts";

/** For all links but the policy, in milliseconds: with start-up and the policy it stays below five seconds. */
const EXAMINATION_MS = 4000;

/** `doctor`: examines every link from this process to a plaintext, and names the first that is broken. */
export async function doctor(args: Arguments, terminal: Terminal): Promise<number> {
  using nsm = simulatedNsm(args);
  const root = args.get("root");
  using cleanup = new Cleanup();
  using _progress = terminal.progress("enclave-kms: examining");
  const findings = await examine({
    client: clientOptions(args, terminal, nsm),
    credentials: () => cleanup.keep(GivenCredentials.read(args, terminal)).value,
    root: root === undefined ? undefined : derOf("root", readFile("root", root), "CERTIFICATE"),
    policyFile: args.get("policy"),
    machine: thisMachine,
    timeoutMs: EXAMINATION_MS,
  });
  await terminal.write(
    args.has("json")
      ? `${JSON.stringify(findingsJson(findings), undefined, 2)}\n`
      : report(findings, terminal),
  );
  return isBroken(findings) ? EXIT.broken : EXIT.ok;
}

/** Disposes what a callback made. */
class Cleanup implements Disposable {
  readonly #kept: Disposable[] = [];

  keep<T extends Disposable>(thing: T): T {
    this.#kept.push(thing);
    return thing;
  }

  [Symbol.dispose](): void {
    for (const thing of this.#kept) thing[Symbol.dispose]();
  }
}
