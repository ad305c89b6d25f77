import { decodeBase64 } from "../../lib/core/encoding.ts";
import { KmstoolError } from "../../lib/core/errors.ts";
import { ENCLAVE_CIDS } from "../../lib/transport/enclave_ports.ts";
import { chainCredentials } from "../../parent/chain_credentials.ts";
import { kmstoolDecrypt, type KmstoolDecryptOptions } from "../../parent/kmstool/kmstool_decrypt.ts";
import type { Arguments } from "../arguments.ts";
import { GivenCredentials, isGiven } from "../credentials.ts";
import { EXIT } from "../exit_codes.ts";
import type { Terminal } from "../terminal.ts";
import { MalformedValueError, UsageError } from "../usage_error.ts";
import { givenEndpoint, integer } from "../values.ts";

/** Runs `kmstool-instance`: prints the plaintext and a line feed. */
export async function kmstoolInstance(args: Arguments, terminal: Terminal): Promise<number> {
  using given = isGiven(args, terminal) ? GivenCredentials.read(args, terminal) : undefined;
  const options = {
    ...place(args),
    ciphertext: ciphertext(args.argument ?? ""),
    encryptionContext: context(args.all("encryption-context")),
    region: args.get("region"),
    timeoutMs: integer(args, "timeout-ms", { min: 1, max: 2_147_483_647 }),
    credentials: given?.value ?? chainCredentials(),
  };
  using _progress = terminal.progress("enclave-kms: waiting for the enclave");
  try {
    using plaintext = await kmstoolDecrypt(options);
    await terminal.write(plaintext.bytes);
    await terminal.write("\n");
    return EXIT.ok;
  } catch (error) {
    if (!(error instanceof KmstoolError)) throw error;
    terminal.note(`Error: ${error.reason}`);
    terminal.note(`hint: ${error.hint}`);
    return EXIT.usage;
  }
}

function place(args: Arguments): Pick<KmstoolDecryptOptions, "enclaveCid" | "port" | "endpoint"> {
  const enclaveCid = integer(args, "cid", ENCLAVE_CIDS);
  const port = integer(args, "port", { min: 1, max: 0xffff_fffe });
  const endpoint = givenEndpoint(args);
  if (endpoint === undefined) {
    if (enclaveCid === undefined) throw new UsageError("--cid must be set");
    return { enclaveCid, port };
  }
  if (enclaveCid === undefined && port === undefined) return { endpoint };
  throw new UsageError("--endpoint stands in the place of --cid and --port: give one or the other");
}

function ciphertext(text: string): string {
  try {
    if (decodeBase64(text).length > 0) return text;
  } catch {
    // Said below.
  }
  throw new MalformedValueError("ENCRYPTED_MESSAGE must be base64, with its padding");
}

/** Reads pairs, of which a later one replaces an earlier one of the same name, as in kmstool_instance. */
function context(pairs: readonly string[]): Record<string, string> {
  return Object.fromEntries(pairs.map((pair) => {
    const [, name, value] = /^([^=]*)=([^]*)$/.exec(pair) ?? [];
    if (name === undefined || value === undefined) {
      throw new MalformedValueError("--encryption-context must be NAME=VALUE");
    }
    return [name, value];
  }));
}
