import { DEFAULT_REGION } from "../lib/aws/region.ts";
import type { NsmTransport } from "../lib/nsm/nsm_transport.ts";
import type { KmsClientOptions } from "../lib/kms/kms_options.ts";
import type { Arguments } from "./arguments.ts";
import { MalformedValueError, UsageError } from "./usage_error.ts";
import { NsmSocket } from "../lib/nsm/nsm_socket.ts";
import type { Terminal } from "./terminal.ts";
import { endpoint, readText } from "./values.ts";

/** Options of a client without the credentials and the time-out. */
export type ClientOptions = Omit<KmsClientOptions, "credentials" | "timeoutMs">;

/**
 * Reads the options of a client.
 *
 * @param args Flags of a command that speaks to KMS
 * @param terminal Has the region's variable
 * @param nsm The simulated module of `--nsm`, if any
 * @throws {UsageError} When a value is malformed
 */
export function clientOptions(
  args: Arguments,
  terminal: Terminal,
  nsm: NsmTransport | undefined,
): ClientOptions {
  const trusted = args.get("trusted-certificates");
  if (nsm !== undefined && (args.get("library") !== undefined || args.get("engine")?.startsWith("sdk"))) {
    throw new UsageError("--nsm goes with engine direct: the C SDK asks /dev/nsm and nothing else");
  }
  return {
    region: args.get("region") ?? terminal.env("AWS_REGION") ?? DEFAULT_REGION,
    endpoint: endpoint(args),
    hostName: args.get("host-name"),
    trustedCertificates: trusted === undefined ? undefined : readText("trusted-certificates", trusted),
    engine: args.get("engine") as KmsClientOptions["engine"],
    library: absolutePath(args, "library"),
    nsm,
  };
}

/**
 * Opens the simulated module that `--nsm` names.
 *
 * @returns undefined when the flag was not given. The caller disposes it
 */
export function simulatedNsm(args: Arguments): NsmSocket | undefined {
  const path = args.get("nsm");
  return path === undefined ? undefined : new NsmSocket(path);
}

function absolutePath(args: Arguments, flag: string): string | undefined {
  const path = args.get(flag);
  if (path === undefined || path.startsWith("/")) return path;
  throw new MalformedValueError(`--${flag} must be an absolute path`);
}
