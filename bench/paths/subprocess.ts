import { execFile } from "node:child_process";
import { dirname } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import type { Parts, RoundTripMs, Sample, Setting } from "../setting.ts";
import type { Path } from "./path.ts";

/** The real tool may hang for good in its C client; 64 at once on two idle cores take about three seconds. */
const TIMEOUT_MS = 8_000;

/**
 * Opens a path that starts a program for each call, with a key pair and a connection of its own, and reads
 * its output.
 */
export function openSubprocess(setting: Setting, parts: Parts, roundTripMs: RoundTripMs): Promise<Path> {
  const command = commandLine(setting, parts, roundTripMs);
  return Promise.resolve({
    async decrypt(sample: Sample) {
      const { program, args, env } = command;
      const options = {
        env: { ...process.env, ...env },
        timeout: TIMEOUT_MS,
        killSignal: "SIGKILL",
      } as const;
      const { stdout } = await promisify(execFile)(
        program,
        [...args, "--ciphertext", sample.ciphertext],
        options,
      );
      return /PLAINTEXT: (\S+)/.exec(stdout)?.[1] === sample.plaintext;
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });
}

/** A program, and what it is started with beside a ciphertext. */
export interface CommandLine {
  readonly program: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** Makes the command line of the tool, or of this project's own program without it. */
export function commandLine(setting: Setting, parts: Parts, roundTripMs: RoundTripMs): CommandLine {
  return parts.kmstool === undefined
    ? ownCommandLine(setting, parts, roundTripMs)
    : kmstoolCommandLine(setting, { ...parts, kmstool: parts.kmstool }, roundTripMs);
}

function kmstoolCommandLine(
  { region, credentials, kms, trustedCertificatesFile }: Setting,
  { kmstool, vsockRedirect }: Parts & { readonly kmstool: string },
  roundTripMs: RoundTripMs,
): CommandLine {
  const { accessKeyId, secretAccessKey, sessionToken } = credentials;
  const flags = {
    "--region": region,
    "--proxy-port": String(kms[roundTripMs].port),
    "--aws-access-key-id": accessKeyId,
    "--aws-secret-access-key": secretAccessKey,
    "--aws-session-token": sessionToken,
  };
  return {
    program: kmstool,
    args: ["decrypt", ...Object.entries(flags).flat()],
    env: { SSL_CERT_FILE: trustedCertificatesFile, LD_PRELOAD: vsockRedirect ?? "" },
  };
}

/**
 * Makes the command line of this project's own program on Node.js, as it is packed and with its cache of compiled code.
 *
 * @param setting Setting with KMS's address
 * @param parts Parts with the program
 * @param roundTripMs Round trip of the network
 */
export function ownCommandLine(
  { region, credentials, kms, trustedCertificatesFile, nsmSocket }: Setting,
  { cli }: Pick<Parts, "cli">,
  roundTripMs: RoundTripMs,
): CommandLine {
  const { host, port } = kms[roundTripMs];
  const flags = {
    "--region": region,
    "--endpoint": `tcp:${host}:${port}`,
    "--trusted-certificates": trustedCertificatesFile,
    "--nsm": nsmSocket,
    "--engine": "direct",
  };
  return {
    program: "node",
    args: [cli, "decrypt", ...Object.entries(flags).flat()],
    env: {
      XDG_CACHE_HOME: dirname(cli),
      AWS_ACCESS_KEY_ID: credentials.accessKeyId,
      AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
      AWS_SESSION_TOKEN: credentials.sessionToken,
    },
  };
}
