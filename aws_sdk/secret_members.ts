import { ProtocolError } from "../lib/core/errors.ts";

/** Members of outputs that hold a secret where there is no recipient, by the name of the operation. */
const SECRET_MEMBERS: Readonly<Record<string, string>> = {
  Decrypt: "Plaintext",
  GenerateDataKey: "Plaintext",
  GenerateDataKeyPair: "PrivateKeyPlaintext",
  GenerateRandom: "Plaintext",
  DeriveSharedSecret: "SharedSecret",
};

/** Name of KMS in the header that says what is asked for. */
const TARGET_PREFIX = "TrentService.";

/**
 * Names the member of a command's output that holds a secret. What counts is what the request asks KMS for; the name
 * that the SDK gives the command, where the request does not say.
 *
 * @param context Context that the SDK gives with a command
 * @param request Request that the SDK has made
 * @returns Name of the member; undefined when KMS takes no recipient for this operation
 */
export function secretMemberOf(context: object, request: unknown): string | undefined {
  const target = targetOf(request);
  const operation = target === undefined
    ? operationOf(context)
    : target.startsWith(TARGET_PREFIX)
    ? target.slice(TARGET_PREFIX.length)
    : "";
  return Object.hasOwn(SECRET_MEMBERS, operation) ? SECRET_MEMBERS[operation] : undefined;
}

function targetOf(request: unknown): string | undefined {
  const { headers = {} } = request as { readonly headers?: Readonly<Record<string, string>> };
  return Object.entries(headers).find(([name]) => name.toLowerCase() === "x-amz-target")?.[1];
}

function operationOf(context: object): string {
  const { commandName } = context as { readonly commandName?: unknown };
  return typeof commandName === "string" ? commandName.replace(/Command$/, "") : "";
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
