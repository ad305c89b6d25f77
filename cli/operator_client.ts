import { kmsHostName } from "../lib/aws/region.ts";
import { KmsClient } from "../lib/kms/kms_client.ts";
import type { Arguments } from "./arguments.ts";
import { GivenCredentials } from "./credentials.ts";
import type { Terminal } from "./terminal.ts";
import { MalformedValueError } from "./usage_error.ts";
import { givenEndpoint, integer, readText } from "./values.ts";

/**
 * Opens a client without a recipient for a key that a flag names, and closes it: for commands of an operator, outside of an
 * enclave.
 *
 * @param args Flags of the command: credentials, and the way to KMS
 * @param terminal Has the variables of credentials
 * @param flag Flag that has the ARN of the key
 * @param use Called with the client and the ARN
 * @returns Result of `use`
 * @throws {UsageError} When a flag is missing or malformed
 */
export async function withOperatorClient<T>(
  args: Arguments,
  terminal: Terminal,
  flag: string,
  use: (client: KmsClient, keyArn: string) => Promise<T>,
): Promise<T> {
  const keyArn = args.require(flag);
  const region = /^arn:[\w-]+:kms:([\w-]+):/.exec(keyArn)?.[1];
  if (region === undefined) {
    throw new MalformedValueError(`--${flag} must be arn:aws:kms:<region>:<account>:key/<id>`);
  }
  const hostName = args.get("host-name");
  const trusted = args.get("trusted-certificates");
  using credentials = GivenCredentials.read(args, terminal);
  await using client = await KmsClient.open({
    region,
    credentials: credentials.value,
    recipient: "none",
    // Outside of an enclave there is no proxy.
    endpoint: givenEndpoint(args) ?? { transport: "tcp", host: hostName ?? kmsHostName(region), port: 443 },
    hostName,
    trustedCertificates: trusted === undefined ? undefined : readText("trusted-certificates", trusted),
    timeoutMs: integer(args, "timeout-ms", { min: 1, max: 2_147_483_647 }),
  });
  return await use(client, keyArn);
}
