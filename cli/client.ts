import type { NsmTransport } from "../lib/nsm/nsm_transport.ts";
import type { KmsClientOptions } from "../lib/kms/kms_options.ts";
import type { Arguments } from "./arguments.ts";
import { MalformedValueError, UsageError } from "./usage_error.ts";
import { NsmSocket } from "../lib/nsm/nsm_socket.ts";
import type { Terminal } from "./terminal.ts";
import { endpoint, readText } from "./values.ts";

/** What kmstool_enclave_cli takes when nobody names a region. */
const DEFAULT_REGION = "us-east-1";

/** What a client is opened with, before the credentials and the time-out. */
export type ClientOptions = Omit<KmsClientOptions, "credentials" | "timeoutMs">;

/**
 * @param args With the flags of a command that speaks to KMS
 * @param terminal For the region's variable
 * @param nsm What `--nsm` names
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

/** @returns The simulated module that `--nsm` names, if any; the caller disposes it */
export function simulatedNsm(args: Arguments): NsmSocket | undefined {
  const path = args.get("nsm");
  return path === undefined ? undefined : new NsmSocket(path);
}

function absolutePath(args: Arguments, flag: string): string | undefined {
  const path = args.get(flag);
  if (path === undefined || path.startsWith("/")) return path;
  throw new MalformedValueError(`--${flag} must be an absolute path`);
}
