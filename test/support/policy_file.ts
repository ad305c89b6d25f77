import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Policy in a file of its own, which is removed with it. */
export interface PolicyFile extends Disposable {
  /** Absolute path of the file. */
  readonly path: string;
}

/** Writes a policy in Cedar to a file. */
export function policyFile(cedar: string): PolicyFile {
  const folder = mkdtempSync(join(tmpdir(), "enclave-kms-policy-"));
  const path = join(folder, "policy.cedar");
  writeFileSync(path, cedar);
  return { path, [Symbol.dispose]: () => rmSync(folder, { recursive: true }) };
}
