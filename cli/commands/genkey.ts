import { joinBase64 } from "../../lib/core/secret_json.ts";
import type { Arguments } from "../arguments.ts";
import { encryptionContext, printSecret, withClient } from "../kms_call.ts";
import type { Terminal } from "../terminal.ts";

/** Runs `genkey`: prints `CIPHERTEXT: ` and `PLAINTEXT: `, each with base64. */
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
