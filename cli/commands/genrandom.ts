import type { Arguments } from "../arguments.ts";
import { printSecret, withClient } from "../kms_call.ts";
import type { Terminal } from "../terminal.ts";
import { UsageError } from "../usage_error.ts";
import { integer } from "../values.ts";

/** Runs `genrandom`: prints `PLAINTEXT: ` and base64. */
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
