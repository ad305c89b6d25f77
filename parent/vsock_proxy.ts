/**
 * The command line and the allow-list of AWS's vsock-proxy, so that its service files and configurations can be used as
 * they are. Not understood: an allow-list that lets a host in by its address alone, under another name.
 *
 * @module
 */
import { didYouMean } from "../lib/core/did_you_mean.ts";
import type { AllowedHost } from "./allow_list.ts";
import type { KmsProxyOptions } from "./kms_proxy.ts";
import { readPort } from "./kms_proxy_settings.ts";
import type { IpFamily } from "./name_resolver.ts";

/** Allow-list that vsock-proxy reads when none is named. */
export const VSOCK_PROXY_CONFIG = "/etc/nitro_enclaves/vsock-proxy.yaml";

/** Arguments of vsock-proxy. */
export interface VsockProxyArguments {
  /** Path of the allow-list. */
  readonly configFile: string;
  /** IP version. */
  readonly family: IpFamily;
  /** Number of connections at once; undefined when it was not given. vsock-proxy's own default is 4. */
  readonly workers: number | undefined;
  /** Vsock port to listen on. */
  readonly localPort: number;
  /** Host to connect to. */
  readonly remoteHost: string;
  /** TCP port to connect to. */
  readonly remotePort: number;
}

const FLAGS = ["-4", "--ipv4", "-6", "--ipv6", "-w", "--num_workers", "--config"] as const;

/**
 * Reads the command line of vsock-proxy: `[--config FILE] [-4|-6] [-w N] <local_port> <remote_host> <remote_port>`. A
 * value may follow its flag or an equals sign.
 *
 * @param args Arguments, without the program
 * @throws {TypeError} When one is unknown, missing or malformed
 * @throws {RangeError} When a number is out of range
 */
export function parseVsockProxyArguments(args: readonly string[]): VsockProxyArguments {
  const { flags, words } = splitArguments(args);
  const [localPort, remoteHost, remotePort] = words;
  if (localPort === undefined || remoteHost === undefined || remotePort === undefined || words.length > 3) {
    throw new TypeError("vsock-proxy takes three arguments: <local_port> <remote_host> <remote_port>");
  }
  if (flags.has("ipv4") && flags.has("ipv6")) throw new TypeError("-4 and -6 exclude each other");
  const workers = flags.get("num_workers");
  return {
    configFile: flags.get("config") ?? VSOCK_PROXY_CONFIG,
    family: flags.has("ipv4") ? "ipv4" : flags.has("ipv6") ? "ipv6" : "any",
    workers: workers === undefined ? undefined : readPort("num_workers", workers, 1_000_000),
    localPort: readPort("local_port", localPort, 0xffff_fffe),
    remoteHost,
    remotePort: readPort("remote_port", remotePort, 65_535),
  };
}

/**
 * Makes the options of a {@link KmsProxy} that does what vsock-proxy would do.
 *
 * @param args Arguments, as {@link parseVsockProxyArguments} reads them
 * @param allow Hosts of the allow-list, as {@link readVsockProxyAllowList} reads them
 */
export function vsockProxyOptions(args: VsockProxyArguments, allow: readonly AllowedHost[]): KmsProxyOptions {
  return {
    host: args.remoteHost,
    port: args.remotePort,
    ports: [args.localPort],
    family: args.family,
    // Four is a default that nobody chose.
    maxConnections: args.workers,
    allow,
  };
}

const LONG_NAMES: Readonly<Record<string, string>> = { "-4": "ipv4", "-6": "ipv6", "-w": "num_workers" };

const WITH_VALUE: readonly string[] = ["num_workers", "config"];

function splitArguments(args: readonly string[]) {
  const flags = new Map<string, string>();
  const words: string[] = [];
  for (let place = 0; place < args.length; place++) {
    const word = args[place] ?? "";
    if (!word.startsWith("-")) {
      words.push(word);
      continue;
    }
    const [flag = "", ...rest] = word.split("=");
    const name = LONG_NAMES[flag] ?? flag.replace(/^--/, "");
    if (!(FLAGS as readonly string[]).includes(flag)) throw unknownFlag(flag);
    if (flags.has(name)) throw new TypeError(`${flag} is given twice`);
    const takesValue = WITH_VALUE.includes(name);
    const value = rest.length > 0 ? rest.join("=") : takesValue ? args[++place] : "";
    if (takesValue ? !value : rest.length > 0) {
      throw new TypeError(`${flag} ${takesValue ? "needs a value" : "takes no value"}`);
    }
    flags.set(name, value ?? "");
  }
  return { flags, words };
}

function unknownFlag(flag: string): TypeError {
  const meant = didYouMean(flag, FLAGS);
  return new TypeError(
    `vsock-proxy has no flag ${JSON.stringify(flag.slice(0, 40))}${
      meant === undefined ? "" : `: is it ${meant}?`
    }`,
  );
}
