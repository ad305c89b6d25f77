import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Reason to skip what compares with Debian's `age`; empty when it is there. */
export const WITHOUT_AGE: string = spawnSync("age", ["--version"]).status === 0
  ? ""
  : " (skipped: there is no age(1))";

/** Key pair as age-keygen writes it. */
export interface AgeKeys {
  /** The file, with its comments. */
  readonly file: string;
  readonly recipient: string;
}

/** Makes a key pair with age-keygen. */
export function ageKeygen(): AgeKeys {
  const { stdout, status } = spawnSync("age-keygen", { encoding: "utf8" });
  const [, recipient = ""] = /# public key: (age1\w+)/.exec(stdout) ?? [];
  if (status !== 0 || recipient === "") throw new Error("age-keygen failed");
  return { file: stdout, recipient };
}

/** Encrypts with age. */
export function ageEncrypt(recipients: readonly string[], plaintext: Uint8Array): Uint8Array {
  return run(recipients.flatMap((recipient) => ["-r", recipient]), { plaintext });
}

/**
 * Decrypts with age.
 *
 * @param identity Text of an identity file
 * @param sealed The age file
 */
export function ageDecrypt(identity: string | Uint8Array, sealed: Uint8Array): Uint8Array {
  return run(["-d", "-i", "identity"], { identity, sealed });
}

/** Runs age on files, the last of which is its input. Deno's spawnSync stalls when much goes through pipes. */
function run(args: readonly string[], files: Readonly<Record<string, string | Uint8Array>>): Uint8Array {
  const folder = mkdtempSync(join(tmpdir(), "enclave-kms-age-"));
  try {
    for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
    const input = Object.keys(files).at(-1) ?? "";
    const { stderr, status } = spawnSync("age", [...args, "-o", "output", input], { cwd: folder });
    if (status !== 0) throw new Error(`age failed: ${stderr}`);
    return new Uint8Array(readFileSync(join(folder, "output")));
  } finally {
    rmSync(folder, { recursive: true });
  }
}
