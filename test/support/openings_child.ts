/**
 * A process that holds the key pair of a recipient, opens what it is told to and then waits, so that its memory can be
 * searched. What it must not keep is sent to it encrypted, or in disguise.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import process from "node:process";
import { createInterface } from "node:readline";
import { openLibcrypto } from "../../lib/native/libcrypto.ts";
import { NodeRecipientKey } from "../../lib/kms/recipient/node_recipient_key.ts";
import { OpensslRecipientKey } from "../../lib/kms/recipient/openssl_recipient_key.ts";
import type { RecipientKey } from "../../lib/kms/recipient/recipient_key.ts";
import { revealBytes } from "./disguise.ts";
import type { OpeningsCommand, SealedParts } from "./openings_messages.ts";

/** Secrets kept on purpose. */
const kept: Uint8Array[] = [];

let key: RecipientKey | undefined;

for await (const line of createInterface(process.stdin)) {
  const answer = await obey(JSON.parse(line) as OpeningsCommand);
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}

async function obey(command: OpeningsCommand): Promise<readonly string[]> {
  switch (command.does) {
    case "make":
      key = command.provider === "OpenSSL"
        ? await OpensslRecipientKey.create(openLibcrypto()!)
        : await NodeRecipientKey.create();
      return [Buffer.from(key.publicKey).toString("base64")];
    case "keep":
      for (const bytes of command.disguised) kept.push(revealBytes(bytes));
      return [];
    case "open":
      return await Promise.all(command.parts.map((parts) => open(parts, command.elsewhere)));
    case "abandon":
      return abandon(command.parts);
    case "dispose":
      key?.[Symbol.dispose]();
      return [];
  }
}

async function open(sealed: SealedParts, elsewhere: boolean): Promise<string> {
  const parts = partsOf(sealed);
  try {
    using secret = elsewhere ? await key!.openElsewhere!(parts) : key!.open(parts);
    return `opened ${secret.length}`;
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

/** Destroys the key pair while it is in use, and waits for what nobody wants any more. */
async function abandon(all: readonly SealedParts[]): Promise<readonly string[]> {
  const openings = all.map((parts) => key!.openElsewhere!(partsOf(parts)));
  key![Symbol.dispose]();
  return await Promise.all(openings.map(async (opening) => {
    using secret = await opening;
    return `opened ${secret.length}`;
  }));
}

function partsOf({ wrappedKey, iv, ciphertext }: SealedParts) {
  const decode = (text: string) => new Uint8Array(Buffer.from(text, "base64"));
  return { wrappedKey: decode(wrappedKey), iv: decode(iv), ciphertext: decode(ciphertext) };
}
