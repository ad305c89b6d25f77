import { disposeAll } from "../lib/core/dispose_all.ts";
import type { Credentials } from "../lib/aws/credentials.ts";
import { readCredentials } from "../lib/aws/credentials_shape.ts";
import { SecretBytes } from "../lib/core/secret_bytes.ts";
import type { Arguments } from "./arguments.ts";
import { UsageError } from "./usage_error.ts";
import type { Terminal } from "./terminal.ts";
import { CREDENTIAL_FLAGS } from "./flags.ts";
import { readFile } from "./values.ts";

/**
 * Credentials from flags, files or the environment. Disposing wipes those from files. It cannot wipe the
 * strings of a JSON file.
 */
export class GivenCredentials implements Disposable {
  /** Credentials for the client, which copies them. */
  readonly value: Credentials;
  readonly #owned: readonly SecretBytes[];

  private constructor(value: Credentials, owned: readonly SecretBytes[]) {
    this.value = value;
    this.#owned = owned;
  }

  /**
   * Reads credentials. A flag takes precedence over a file, and a file over the environment; a JSON file has
   * all parts.
   *
   * @param args Flags of the command
   * @param terminal Gets a warning when a secret is on the command line
   * @throws {UsageError} When a part is missing or its file cannot be read
   */
  static read(args: Arguments, terminal: Terminal): GivenCredentials {
    warnOfSecrets(args, terminal);
    const path = args.get("aws-credentials-file");
    if (path !== undefined) return new GivenCredentials(readJson(args, path), []);
    const accessKeyId = args.get("aws-access-key-id") ?? terminal.env("AWS_ACCESS_KEY_ID");
    if (accessKeyId === undefined) {
      throw new UsageError("--aws-access-key-id must be set, or AWS_ACCESS_KEY_ID");
    }
    const secretAccessKey = readSecret(args, terminal, "aws-secret-access-key");
    if (secretAccessKey === undefined) {
      throw new UsageError(
        "--aws-secret-access-key must be set: better AWS_SECRET_ACCESS_KEY, or --aws-secret-access-key-file",
      );
    }
    const sessionToken = readSecret(args, terminal, "aws-session-token");
    const owned = [secretAccessKey, sessionToken].filter((part) => part instanceof SecretBytes);
    return new GivenCredentials({
      accessKeyId,
      secretAccessKey: partOf(secretAccessKey),
      sessionToken: sessionToken === undefined ? undefined : partOf(sessionToken),
    }, owned);
  }

  /** Wipes the parts that came from files. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    disposeAll(this.#owned);
  }
}

/**
 * Tells whether credentials are in flags or the environment, complete or not.
 *
 * @param args Flags of the command
 * @param terminal Has the environment
 */
export function isGiven(args: Arguments, terminal: Terminal): boolean {
  return CREDENTIAL_FLAGS.some(({ name }) => args.has(name)) ||
    terminal.env("AWS_ACCESS_KEY_ID") !== undefined;
}

/**
 * Warns of secrets on the command line, which other processes and users of the machine can read.
 *
 * @param args Flags of the command
 * @param terminal Gets one line for each secret
 */
function warnOfSecrets(args: Arguments, terminal: Terminal): void {
  for (const flag of args.secretsGiven) {
    terminal.note(
      `warning: --${flag} is on the command line, where others can read it: use ${
        variableOf(flag)
      } or --${flag}-file`,
    );
  }
}

function readJson(args: Arguments, path: string): Credentials {
  const flag = "aws-credentials-file";
  const other = CREDENTIAL_FLAGS.find(({ name }) => name !== flag && args.has(name));
  if (other !== undefined) throw new UsageError(`--${flag} and --${other.name} exclude each other`);
  const read = readCredentials(parseJson(flag, path), "json");
  if (!("accessKeyId" in read)) {
    const problems = read.map(({ path, expected }) =>
      `${path === "" ? "" : `${path}: `}expected ${expected}`
    );
    throw new UsageError(`--${flag} must be a file of credentials: ${problems.join("; ")}`);
  }
  const { expiresAtMs, ...parts } = read;
  return { ...parts, expiration: expiresAtMs };
}

function parseJson(flag: string, path: string): unknown {
  using content = new SecretBytes(readFile(flag, path));
  try {
    return JSON.parse(new TextDecoder().decode(content.bytes));
  } catch {
    throw new UsageError(`--${flag} must be a file of JSON`);
  }
}

function readSecret(args: Arguments, terminal: Terminal, flag: string): SecretBytes | string | undefined {
  const given = args.get(flag);
  const path = args.get(`${flag}-file`);
  if (given !== undefined && path !== undefined) {
    throw new UsageError(`--${flag} and --${flag}-file exclude each other`);
  }
  return path === undefined ? given ?? terminal.env(variableOf(flag)) : readSecretFile(`${flag}-file`, path);
}

/** Reads a secret without the end of line that editors and shells add. */
function readSecretFile(flag: string, path: string): SecretBytes {
  using content = new SecretBytes(readFile(flag, path));
  let { length } = content;
  while (length > 0 && [0x0a, 0x0d].includes(content.bytes[length - 1] ?? 0)) length--;
  if (length === 0) throw new UsageError(`--${flag} must be a file that is not empty`);
  return SecretBytes.copyOf(content.bytes.subarray(0, length));
}

function partOf(secret: SecretBytes | string): Uint8Array | string {
  return typeof secret === "string" ? secret : secret.bytes;
}

function variableOf(flag: string): string {
  return flag.replaceAll("-", "_").toUpperCase();
}
