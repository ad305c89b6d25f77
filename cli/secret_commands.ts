import { LibraryLoadError } from "../lib/core/errors.ts";
import type { Command, Run } from "./command.ts";
import { CREDENTIAL_FLAGS, type Flag, JSON_FLAG, KMS_FLAGS } from "./flags.ts";

const IN_FLAG: Flag = {
  name: "in",
  value: "FILE",
  isFile: true,
  help: "Read it from here, not standard input",
};
const OUT_FLAGS: readonly Flag[] = [
  { name: "out", value: "FILE", isFile: true, help: "File to write, for its owner alone" },
  { name: "force", help: "Replace a file that is there" },
];
const RECIPIENT_FLAG: Flag = { name: "recipient", value: "AGE1…", isMany: true, help: "Who can open it" };

/** Commands of an operator, who makes the secrets of enclaves on a machine of their own. */
export const SECRET_COMMANDS: readonly Command[] = [
  {
    name: "secret seal",
    summary: "encrypts a secret with KMS or age",
    example: "secret seal --in key.bin --recipient age1… --out key.age",
    flags: [
      IN_FLAG,
      ...OUT_FLAGS,
      RECIPIENT_FLAG,
      { name: "key-arn", value: "ARN", help: "Encrypt with this KMS key instead" },
      { name: "encryption-context", value: "JSON", help: 'Such as {"secret":"age-key"}' },
      { name: "new-age-identity", help: "Seal a new age key, print its recipient" },
      ...CREDENTIAL_FLAGS,
      ...KMS_FLAGS,
      JSON_FLAG,
    ],
    load: () => withAge(async () => (await import("./commands/secret_seal.ts")).sealSecret),
  },
  {
    name: "secret sign",
    summary: "signs a sealed secret as its publisher",
    example: "secret sign --in a --name a --version 1 --key k.pem --out b",
    flags: [
      IN_FLAG,
      ...OUT_FLAGS,
      { name: "name", value: "NAME", help: "Name that the enclave declares it under" },
      { name: "version", value: "N", help: "Version, 0 or more" },
      { name: "key", value: "FILE", isFile: true, help: "Private key, PKCS #8: P-256 or Ed25519" },
      { name: "publisher", value: "FILE", isFile: true, help: "Public key in PEM, to verify with" },
      JSON_FLAG,
    ],
    load: () => withAge(async () => (await import("./commands/secret_sign.ts")).sign),
  },
  {
    name: "secret split",
    summary: "splits a secret into shares, sealed with age",
    example: "secret split --threshold 2 --shares 3 --recipient age1…",
    flags: [
      IN_FLAG,
      { name: "out", value: "PREFIX", isFile: true, help: "Writes PREFIX-1.age and so on, all or none" },
      { name: "force", help: "Replace files that are there" },
      { name: "shares", value: "N", help: "Number of shares; default: one for each recipient" },
      { name: "threshold", value: "K", help: "Number of shares that give the secret back" },
      { name: "recipient", value: "AGE1…", isMany: true, help: "One for all shares, or one for each" },
      JSON_FLAG,
    ],
    notes: ["", "Prints the SHA-256 that the enclave pins. The secret must not be guessable."],
    load: () => withAge(async () => (await import("./commands/secret_split.ts")).split),
  },
  {
    name: "secret pcr16",
    summary: "computes PCR16 of an enclave that took secrets",
    example: "secret pcr16 --secret age-key=k.signed --secret key=s.age",
    flags: [
      {
        name: "secret",
        value: "NAME=FILE",
        isMany: true,
        help: "As it is sent; in the order of declaration",
      },
      JSON_FLAG,
    ],
    notes: ["", "Files of shares: give each under the same NAME."],
    load: () => withAge(async () => (await import("./commands/secret_pcr16.ts")).pcr16),
  },
];

/** Loads a command of the room operator/, which needs the optional package age-encryption. */
async function withAge(load: () => Promise<Run>): Promise<Run> {
  try {
    return await load();
  } catch (cause) {
    throw new LibraryLoadError("Cannot load the command: the package age-encryption is missing", {
      hint: "It is an optional peer: npm install age-encryption@0.3",
      cause,
    });
  }
}
