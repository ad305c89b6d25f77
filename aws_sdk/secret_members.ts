import { ProtocolError } from "../lib/core/errors.ts";

/** Members of outputs that hold a secret where there is no recipient, by the name of the command. */
const SECRET_MEMBERS: Readonly<Record<string, string>> = {
  DecryptCommand: "Plaintext",
  GenerateDataKeyCommand: "Plaintext",
  GenerateDataKeyPairCommand: "PrivateKeyPlaintext",
  GenerateRandomCommand: "Plaintext",
  DeriveSharedSecretCommand: "SharedSecret",
};

/**
 * Names the member of a command's output that holds a secret.
 *
 * @param context Context that the SDK gives with a command
 * @returns Name of the member; undefined when KMS takes no recipient for this command
 */
export function secretMemberOf(context: object): string | undefined {
  const { commandName } = context as { readonly commandName?: unknown };
  return typeof commandName === "string" && Object.hasOwn(SECRET_MEMBERS, commandName)
    ? SECRET_MEMBERS[commandName]
    : undefined;
}

/**
 * Puts a secret where the SDK's own types have it, in the place of the envelope.
 *
 * @param output Output of the command; changed
 * @param member Name of the member
 * @param open Opens the envelope
 * @throws {ProtocolError} When the output has the secret in clear, or no envelope, or one that cannot be opened
 */
export async function fillSecret(
  output: object,
  member: string,
  open: (envelope: Uint8Array) => Promise<Uint8Array>,
): Promise<void> {
  const members = output as Record<string, unknown>;
  const { [member]: inClear, CiphertextForRecipient: envelope } = members;
  if (!isEmpty(inClear)) throw unexpected(`it has ${member} unencrypted`);
  if (!(envelope instanceof Uint8Array) || isEmpty(envelope)) throw unexpected("no CiphertextForRecipient");
  delete members["CiphertextForRecipient"];
  members[member] = await open(envelope);
}

function isEmpty(value: unknown): boolean {
  return value === undefined || value === null || (value instanceof Uint8Array && value.length === 0);
}

function unexpected(what: string): ProtocolError {
  return new ProtocolError(`Cannot use KMS's answer: ${what}`, {
    hint: "The certificate was KMS's. Is a TLS-inspecting proxy answering in its place?",
  });
}
