import type { Command } from "./command.ts";
import { describeAttestationExits } from "./exit_codes.ts";
import { BYTES_NOTE, CONNECTION_FLAGS, CREDENTIAL_FLAGS, JSON_FLAG, NSM_FLAG, REGION_FLAG } from "./flags.ts";

const CONTEXT_FLAG = { name: "encryption-context", value: "JSON", help: 'Such as {"tenant":"a"}' };
const FILE_ARGUMENT = { name: "FILE" };
const SCHEMA_FLAGS = [
  {
    name: "attribute",
    value: "NAME=TYPE",
    isMany: true,
    help: "Type: String, Long, Boolean, Set<String>",
  },
  { name: "action", value: "NAME", isMany: true, help: "Action beside the server's" },
];

/** Commands in the order of the overview. */
export const COMMANDS: readonly Command[] = [
  {
    name: "decrypt",
    summary: "prints PLAINTEXT: base64",
    example: "decrypt --region eu-central-1 --ciphertext AQICAH…",
    flags: [
      REGION_FLAG,
      ...CREDENTIAL_FLAGS,
      { name: "ciphertext", short: "c", value: "BASE64", help: "Ciphertext to decrypt" },
      { name: "key-id", short: "K", value: "KEY", help: "Key that encrypted it; others are refused" },
      {
        name: "encryption-algorithm",
        short: "a",
        value: "NAME",
        help: "Default: SYMMETRIC_DEFAULT",
      },
      CONTEXT_FLAG,
      ...CONNECTION_FLAGS,
    ],
    load: async () => (await import("./commands/decrypt.ts")).decrypt,
  },
  {
    name: "genkey",
    summary: "prints CIPHERTEXT: and PLAINTEXT: of a data key",
    example: "genkey --key-id alias/app --key-spec AES-256",
    flags: [
      REGION_FLAG,
      ...CREDENTIAL_FLAGS,
      { name: "key-id", short: "K", value: "KEY", help: "Key that encrypts the data key" },
      { name: "key-spec", short: "p", value: "SPEC", choices: ["AES-256", "AES-128"], help: "One of" },
      CONTEXT_FLAG,
      ...CONNECTION_FLAGS,
    ],
    load: async () => (await import("./commands/genkey.ts")).genkey,
  },
  {
    name: "genrandom",
    summary: "prints PLAINTEXT: of random bytes from KMS",
    example: "genrandom --length 32",
    flags: [
      REGION_FLAG,
      ...CREDENTIAL_FLAGS,
      { name: "length", short: "l", value: "BYTES", help: "Number of bytes, 1 to 1024" },
      ...CONNECTION_FLAGS,
    ],
    load: async () => (await import("./commands/genrandom.ts")).genrandom,
  },
  {
    name: "attest",
    summary: "prints an attestation document as base64",
    example: "attest --nonce 0102030405060708 --user-data text:hello",
    flags: [
      { name: "nonce", value: "BYTES", help: "Nonce of the document, at most 512 bytes" },
      { name: "user-data", value: "BYTES", help: "User data of it, at most 512 bytes" },
      { name: "public-key", value: "BYTES", help: "Public key, DER or PEM, at most 1024 bytes" },
      { name: "out", value: "FILE", isFile: true, help: "File to write the document to, as bytes" },
      NSM_FLAG,
      { name: "timeout-ms", value: "MS", help: "Default: 10000" },
    ],
    notes: ["", BYTES_NOTE],
    load: async () => (await import("./commands/attest.ts")).attest,
  },
  {
    name: "verify",
    summary: "checks an attestation document (- is input)",
    example: "verify document --pcr 0=7fb5c55b… --max-age 300",
    argument: FILE_ARGUMENT,
    flags: [
      { name: "pcr", value: "N=HEX", isMany: true, help: "Expected; of several for one N, any" },
      { name: "nonce", value: "BYTES", help: "Expected; hex, base64:…, text:… or @FILE" },
      { name: "user-data", value: "BYTES", help: "Expected" },
      { name: "max-age", value: "SECONDS", help: "Greatest age" },
      { name: "root", value: "FILE", isFile: true, help: "Root to trust instead of AWS's, DER or PEM" },
      { name: "allow-debug", help: "Accept enclaves in debug mode" },
      { name: "at", value: "TIME", help: "Verify at 2026-01-31T12:00:00Z, or at: document" },
      JSON_FLAG,
    ],
    notes: ["Exit: 0 verified, 1 usage; by check:", ...describeAttestationExits()],
    load: async () => (await import("./commands/verify.ts")).verify,
  },
  {
    name: "policy check",
    summary: "loads a .cedar or .wasm policy",
    example: "policy check policy.cedar --attribute team=String",
    argument: FILE_ARGUMENT,
    flags: [
      ...SCHEMA_FLAGS,
      { name: "allow-warnings", help: "Only print what Cedar warns of" },
      JSON_FLAG,
    ],
    notes: ["", "Exit: 0 it loads, 1 usage, 2 it does not: file:line:column and the reason"],
    load: async () => (await import("./commands/policy.ts")).check,
  },
  {
    name: "policy try",
    summary: "what a policy says to a request",
    example: "policy try policy.cedar --request @request.json",
    argument: FILE_ARGUMENT,
    flags: [
      { name: "request", value: "JSON", help: "The facts, @FILE, or - for standard input" },
      ...SCHEMA_FLAGS,
      { name: "allow-warnings", help: "Load it though Cedar warns" },
      JSON_FLAG,
    ],
    notes: [
      "",
      'Fields of the request: action, caller {"cid":7,"attributes":{…}}, keyId, region,',
      "encryptionContext, ciphertext (base64), pcrs, time (seconds), recentCount.",
      "",
      "Exit: 0 allowed, 1 usage, 2 the policy does not load, 3 denied",
    ],
    load: async () => (await import("./commands/policy.ts")).tryPolicy,
  },
  {
    name: "policy schema",
    summary: "prints the schema of Cedar policies",
    flags: [
      ...SCHEMA_FLAGS,
    ],
    example: "policy schema --attribute tier=Long",
    load: async () => (await import("./commands/policy.ts")).printSchema,
  },
  {
    name: "doctor",
    summary: "finds the first broken link to KMS",
    example: "doctor --policy policy.cedar",
    flags: [
      REGION_FLAG,
      ...CREDENTIAL_FLAGS,
      ...CONNECTION_FLAGS.filter(({ name }) => name !== "timeout-ms"),
      { name: "policy", value: "FILE", isFile: true, help: "Policy to load as well" },
      { name: "root", value: "FILE", isFile: true, help: "Attestation root, instead of AWS's" },
      { name: "timeout-ms", value: "MS", help: "For all but the policy; default: 4000" },
      JSON_FLAG,
    ],
    notes: ["Exit: 0 nothing broken, 1 usage, 4 broken"],
    load: async () => (await import("./commands/doctor.ts")).doctor,
  },
  {
    name: "completions",
    summary: "prints a script for a shell",
    example: "completions bash",
    argument: { name: "SHELL", choices: ["bash", "zsh", "fish"] },
    flags: [],
    notes: [
      "",
      "bash: source <(enclave-kms completions bash)",
      "zsh:  source <(enclave-kms completions zsh)",
      "fish: enclave-kms completions fish | source",
    ],
    load: async () => (await import("./commands/completions.ts")).completionsOf(COMMANDS),
  },
];
