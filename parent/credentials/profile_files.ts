import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import type { Environment } from "../kms_proxy_settings.ts";

/** Longest file that is looked into, in bytes. */
const MAX_FILE_BYTES = 1 << 20;

/** Settings of a profile by which AWS's SDK gets credentials. */
const CREDENTIAL_SETTINGS: readonly string[] = [
  ...["aws_access_key_id", "role_arn", "credential_process", "web_identity_token_file", "login_session"],
  ...["sso_session", "sso_start_url", "sso_account_id"],
];

/** Paths of the files that hold profiles. */
export interface ProfileFiles {
  /** Path of the file with settings. */
  readonly config: string;
  /** Path of the file with keys. */
  readonly credentials: string;
}

/**
 * Finds the files that hold profiles: `AWS_CONFIG_FILE` and `AWS_SHARED_CREDENTIALS_FILE`, else `config` and
 * `credentials` of `~/.aws`.
 *
 * @param env Environment
 */
export function findProfileFiles(env: Environment): ProfileFiles {
  const folder = join(env["HOME"] || homedir(), ".aws");
  return {
    config: env["AWS_CONFIG_FILE"] || join(folder, "config"),
    credentials: env["AWS_SHARED_CREDENTIALS_FILE"] || join(folder, "credentials"),
  };
}

/**
 * Tells whether the default profile says how to get credentials. One that names a region only does not.
 *
 * @param files The files; one that cannot be read counts as empty
 */
export async function hasDefaultProfile({ config, credentials }: ProfileFiles): Promise<boolean> {
  const texts = await Promise.all([config, credentials].map(readText));
  return texts.some((text) =>
    settingsOf(text, ["default", "profile default"]).some((name) => CREDENTIAL_SETTINGS.includes(name))
  );
}

async function readText(path: string): Promise<string> {
  try {
    const bytes = await readFile(path);
    // Its keys become strings in AWS's SDK, whatever is done here.
    return bytes.length > MAX_FILE_BYTES ? "" : bytes.toString("utf8");
  } catch {
    return "";
  }
}

/** Lists the names of a section's settings. */
function settingsOf(text: string, sections: readonly string[]): string[] {
  const names: string[] = [];
  let isInside = false;
  for (const line of text.split(/\r?\n/)) {
    const section = /^\s*\[([^\]]*)\]/.exec(line)?.[1];
    if (section !== undefined) isInside = sections.includes(section.trim().replace(/\s+/g, " "));
    const name = /^([a-z_]{1,64})\s*=/.exec(line)?.[1];
    if (isInside && name !== undefined) names.push(name);
  }
  return names;
}
