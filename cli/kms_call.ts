import type { SecretBytes } from "../lib/core/secret_bytes.ts";
import { joinBase64 } from "../lib/core/secret_json.ts";
import type { KmsMethods } from "../lib/kms/kms_methods.ts";
import type { KmsClientOptions } from "../lib/kms/kms_options.ts";
import { OneCallClient } from "../lib/kms/one_call_client.ts";
import type { Arguments } from "./arguments.ts";
import { clientOptions, simulatedNsm } from "./client.ts";
import { GivenCredentials } from "./credentials.ts";
import { EXIT } from "./exit_codes.ts";
import type { Terminal } from "./terminal.ts";
import { MalformedValueError } from "./usage_error.ts";
import { integer } from "./values.ts";

/** One call to KMS. `read` makes the request from the flags before anything is opened. */
export interface KmsCall<Request> {
  read(): Request;
  call(client: KmsMethods, request: Request): Promise<void>;
}

/**
 * Opens a client for one call to KMS, and closes it.
 *
 * @param args The command's flags
 * @param terminal Shows that the command waits for KMS
 * @param call Reads the request, and makes the call
 * @returns The exit code
 * @throws {UsageError} When a flag is missing or malformed
 */
export async function withClient<Request>(
  args: Arguments,
  terminal: Terminal,
  { read, call }: KmsCall<Request>,
): Promise<number> {
  using credentials = GivenCredentials.read(args, terminal);
  const request = read();
  using nsm = simulatedNsm(args);
  const options: KmsClientOptions = {
    ...clientOptions(args, terminal, nsm),
    credentials: credentials.value,
    timeoutMs: integer(args, "timeout-ms", { min: 1, max: 2_147_483_647 }),
  };
  using _progress = terminal.progress("enclave-kms: waiting for KMS");
  await using client = await OneCallClient.open(options);
  await call(client, request);
  return EXIT.ok;
}

/**
 * Prints `PLAINTEXT: ` and base64. No JavaScript string holds the secret, since it could not be wiped; the
 * line is wiped once it is written.
 */
export async function printSecret(terminal: Terminal, secret: SecretBytes): Promise<void> {
  const line = joinBase64("PLAINTEXT: ", secret.bytes, "\n");
  try {
    await terminal.write(line);
  } finally {
    line.fill(0);
  }
}

/**
 * Reads `--encryption-context`.
 *
 * @throws {MalformedValueError} When it is not a JSON object of strings
 */
export function encryptionContext(args: Arguments): Record<string, string> | undefined {
  const text = args.get("encryption-context");
  if (text === undefined) return undefined;
  const context = parseObject(text);
  if (context !== undefined && Object.values(context).every((value) => typeof value === "string")) {
    return context as Record<string, string>;
  }
  throw new MalformedValueError(`--encryption-context must be a JSON object of strings: {"name":"value"}`);
}

function parseObject(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
