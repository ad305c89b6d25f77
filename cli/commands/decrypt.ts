import { decodeBase64 } from "../../lib/core/encoding.ts";
import type { Arguments } from "../arguments.ts";
import { encryptionContext, printSecret, withClient } from "../kms_call.ts";
import type { Terminal } from "../terminal.ts";
import { MalformedValueError, UsageError } from "../usage_error.ts";

/** Runs `decrypt`: prints `PLAINTEXT: ` and base64. */
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

type Algorithm = "SYMMETRIC_DEFAULT" | "RSAES_OAEP_SHA_1" | "RSAES_OAEP_SHA_256";

function ciphertext(args: Arguments): Uint8Array {
  try {
    return decodeBase64(args.require("ciphertext"));
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new MalformedValueError("--ciphertext must be base64, with its padding");
  }
}
