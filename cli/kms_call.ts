import { decodeBase64 } from "../lib/core/encoding.ts";
import type { SecretBytes } from "../lib/core/secret_bytes.ts";
import { KmsClient } from "../lib/kms/kms_client.ts";
import type { KmsClientOptions } from "../lib/kms/kms_options.ts";
import { joinBase64 } from "../lib/core/secret_json.ts";
import type { Arguments } from "./arguments.ts";
import { clientOptions, simulatedNsm } from "./client.ts";
import { MalformedValueError, UsageError } from "./command.ts";
import { GivenCredentials } from "./credentials.ts";
import { EXIT } from "./exit_codes.ts";
import type { Terminal } from "./terminal.ts";
import { integer } from "./values.ts";

/** `decrypt`: prints `PLAINTEXT: ` and base64. */
export async function decrypt(args: Arguments, terminal: Terminal): Promise<number> {
  return await withClient(args, terminal, {
    read: () => ({
      ciphertext: ciphertext(args),
      keyId: args.get("key-id"),
      encryptionAlgorithm: args.get("encryption-algorithm") as Algorithm | undefined,
      encryptionContext: encryptionContext(args),
    }),
    async call(client, request) {
      using plaintext = await client.decrypt(request);
      await printSecret(terminal, plaintext);
    },
  });
}

/** `genkey`: prints `CIPHERTEXT: ` and `PLAINTEXT: `, each with base64. */
export async function genkey(args: Arguments, terminal: Terminal): Promise<number> {
  return await withClient(args, terminal, {
    read: () => ({
      keyId: args.require("key-id"),
      keySpec: args.require("key-spec") === "AES-128" ? "AES_128" as const : "AES_256" as const,
      encryptionContext: encryptionContext(args),
    }),
    async call(client, request) {
      using key = await client.generateDataKey(request);
      await terminal.write(joinBase64("CIPHERTEXT: ", key.ciphertext, "\n"));
      await printSecret(terminal, key.plaintext);
    },
  });
}

/** `genrandom`: prints `PLAINTEXT: ` and base64. */
export async function genrandom(args: Arguments, terminal: Terminal): Promise<number> {
  return await withClient(args, terminal, {
    read: () => {
      args.require("length");
      // kmstool, too, takes a wrong length for a mistake in usage.
      return { numberOfBytes: integer(args, "length", { min: 1, max: 1024 }, UsageError) ?? 0 };
    },
    async call(client, request) {
      using random = await client.generateRandom(request);
      await printSecret(terminal, random);
    },
  });
}

type Algorithm = "SYMMETRIC_DEFAULT" | "RSAES_OAEP_SHA_1" | "RSAES_OAEP_SHA_256";

/** One call: what it is made of is read before anything else happens. */
interface Call<Request> {
  read(): Request;
  call(client: KmsClient, request: Request): Promise<void>;
}

async function withClient<Request>(
  args: Arguments,
  terminal: Terminal,
  { read, call }: Call<Request>,
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
  await using client = await KmsClient.open(options);
  await call(client, request);
  return EXIT.ok;
}

/** Without a JavaScript string, which could not be wiped; the line is, once it is out. */
async function printSecret(terminal: Terminal, secret: SecretBytes): Promise<void> {
  const line = joinBase64("PLAINTEXT: ", secret.bytes, "\n");
  try {
    await terminal.write(line);
  } finally {
    line.fill(0);
  }
}

function ciphertext(args: Arguments): Uint8Array {
  try {
    return decodeBase64(args.require("ciphertext"));
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new MalformedValueError("--ciphertext must be base64, with its padding");
  }
}

function encryptionContext(args: Arguments): Record<string, string> | undefined {
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
