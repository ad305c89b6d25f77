import type { Command } from "./command.ts";
import { ATTESTATION_COMMANDS } from "./attestation_commands.ts";
import { CONNECTION_FLAGS, CREDENTIAL_FLAGS, JSON_FLAG, PARENT_CONFIG_FLAG, REGION_FLAG } from "./flags.ts";
import { BUNDLE_COMMANDS } from "./bundle_commands.ts";
import { IMAGE_COMMANDS } from "./image_commands.ts";
import { INIT_COMMANDS } from "./init_commands.ts";
import { KEY_POLICY_COMMANDS } from "./key_policy_commands.ts";
import { KMS_COMMANDS } from "./kms_commands.ts";
import { LAPTOP_COMMANDS } from "./laptop_commands.ts";
import { SECRET_COMMANDS } from "./secret_commands.ts";

const FILE_ARGUMENT = { name: "FILE" };
const SCHEMA_FLAGS = [
  {
    name: "attribute",
    value: "NAME=TYPE",
    isMany: true,
    help: "Type: String, Long, Boolean, Set<String>",
  },
  { name: "claim", value: "NAME=TYPE", isMany: true, help: "Claim of tokens, of such a type" },
  { name: "action", value: "NAME", isMany: true, help: "Action beside the server's" },
];

/** Commands in the order of the overview. */
export const COMMANDS: readonly Command[] = [
  ...KMS_COMMANDS,
  {
    name: "kmstool-instance",
    summary: "lets an enclave decrypt",
    example: "kmstool-instance --cid 16 --region eu-central-1 AQICAH…",
    argument: { name: "ENCRYPTED_MESSAGE" },
    flags: [
      { name: "cid", short: "c", value: "CID", help: "CID of the enclave" },
      { name: "port", short: "p", value: "PORT", help: "Vsock port of it; default: 3000" },
      { name: "region", short: "r", value: "REGION", help: "Region, unless the enclave has one" },
      {
        name: "encryption-context",
        short: "e",
        value: "NAME=VALUE",
        isMany: true,
        help: "Pair of the encryption context",
      },
      ...CREDENTIAL_FLAGS.map(({ short: _, ...flag }) => flag),
      { name: "endpoint", value: "ADDRESS", help: "vsock:CID:PORT, tcp:HOST:PORT, unix:PATH" },
      { name: "timeout-ms", value: "MS", help: "Time for everything; default: 30000" },
    ],
    notes: [
      "",
      "For an enclave with kmstool_enclave, or the server. Prints the plaintext.",
      "Without credentials it takes AWS's chain. Exit: 0 decrypted, 1 otherwise",
    ],
    load: async () => (await import("./commands/kmstool_instance.ts")).kmstoolInstance,
  },
  ...ATTESTATION_COMMANDS,
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
      "Fields of the request: action, caller, keyId, region, encryptionContext,",
      "ciphertext (base64), pcrs, time (seconds), recentCount.",
      'A caller is {"cid":7,"attributes":{…}}, {"type":"Parent"},',
      '{"type":"Token","issuer":"…","subject":"…","claims":{…}} or',
      '{"type":"Certificate","sha256":"…","attributes":{…}}.',
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
  ...SECRET_COMMANDS,
  ...BUNDLE_COMMANDS,
  ...IMAGE_COMMANDS,
  ...KEY_POLICY_COMMANDS,
  {
    name: "doctor",
    summary: "finds the first broken link to KMS",
    example: "doctor --policy policy.cedar",
    flags: [
      REGION_FLAG,
      ...CREDENTIAL_FLAGS,
      ...CONNECTION_FLAGS.filter(({ name }) => name !== "timeout-ms"),
      { name: "policy", value: "FILE", isFile: true, help: "Policy to load as well" },
      {
        name: "parent",
        value: "FILE",
        isFile: true,
        help: "Or the parent of these settings (- none)",
      },
      {
        name: "root",
        value: "FILE",
        isFile: true,
        simulated: "SIMULATED_ROOT_FILE",
        help: "Attestation root, instead of AWS's",
      },
      { name: "timeout-ms", value: "MS", help: "For all but the policy; default: 4000" },
      JSON_FLAG,
    ],
    load: async () => (await import("./commands/doctor.ts")).doctor,
  },
  {
    name: "parent",
    summary: "runs the parent's half of an enclave",
    example: "parent --config /etc/enclave-kms/parent.json",
    flags: [
      PARENT_CONFIG_FLAG,
      { name: "dry-run", help: "Examine what a start needs, and change nothing" },
      { name: "check", value: "STATE", choices: ["running", "ready"], help: "Exit 1 unless it is" },
      { name: "print-config", help: "Print the settings as JSON" },
      { name: "print-unit", help: "Print a unit for systemd" },
      { name: "log", value: "FORM", choices: ["json", "text"], help: "Default json; one of" },
      { name: "timeout-ms", value: "MS", help: "Of --dry-run (30000), --check (20000)" },
    ],
    notes: [
      "",
      "Or in the environment: EIF_PATH, AWS_REGION, ENCLAVE_CID, CPU_COUNT, MEMORY_MIB,",
      "READINESS_SLEEP_SECONDS, AGE_KEY_S3_URI, KEY_SHARES_S3_URI, KMS_PROXY_PORT and",
      "those of docs/running-the-parent.md. SIGTERM drains and ends the enclave.",
    ],
    load: async () => (await import("./commands/parent.ts")).parent,
  },
  {
    name: "stop",
    summary: "ends a running parent and its enclave",
    example: "stop --config /etc/enclave-kms/parent.json",
    flags: [
      PARENT_CONFIG_FLAG,
      { name: "timeout-ms", value: "MS", help: "Time for all of it; default: 90000" },
    ],
    load: async () => (await import("./commands/stop.ts")).stop,
  },
  ...INIT_COMMANDS,
  ...LAPTOP_COMMANDS,
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
