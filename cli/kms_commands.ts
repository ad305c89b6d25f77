import type { Command } from "./command.ts";
import { CONNECTION_FLAGS, CREDENTIAL_FLAGS, REGION_FLAG } from "./flags.ts";

const CONTEXT_FLAG = { name: "encryption-context", value: "JSON", help: 'Such as {"tenant":"a"}' };

/** Commands of kmstool_enclave_cli: each makes one call to KMS. */
export const KMS_COMMANDS: readonly Command[] = [
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
];
