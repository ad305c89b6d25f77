/** One flag of a command. Help, parsing and completion read it. */
export interface Flag {
  /** Name without the dashes. */
  readonly name: string;
  /** One letter, for use after a single dash. */
  readonly short?: string;
  /** Name of the value in the help, in capitals. A flag without one is a switch. */
  readonly value?: string;
  /** All values that the flag takes, where they are few. */
  readonly choices?: readonly string[];
  /** Whether the value is the path of a file, for completion. */
  readonly isFile?: boolean;
  /** Whether the flag may be given several times. */
  readonly isMany?: boolean;
  /** Whether `--pcr0 HEX` stands for `--pcr 0=HEX`, and so on up to 31. */
  readonly isIndexed?: boolean;
  /** Whether the value is a secret: other processes can read the command line. */
  readonly isSecret?: boolean;
  /** Variable that stands for the flag where `ENV_SETUP` is `SIM`: a simulator's own place. */
  readonly simulated?: string;
  /** A few words for the help. */
  readonly help: string;
}

/** Flag that every command has. */
export const HELP_FLAG: Flag = { name: "help", short: "h", help: "Show this text" };

/** Flag that stands in place of a command. */
export const VERSION_FLAG: Flag = { name: "version", short: "V", help: "Print the version" };

/** Credential flags of kmstool_enclave_cli, and flags for files that keep secrets off the command line. */
export const CREDENTIAL_FLAGS: readonly Flag[] = [
  { name: "aws-access-key-id", short: "k", value: "ID", help: "Or AWS_ACCESS_KEY_ID" },
  {
    name: "aws-secret-access-key",
    short: "s",
    value: "SECRET",
    isSecret: true,
    help: "Others see it! Or AWS_SECRET_ACCESS_KEY",
  },
  { name: "aws-secret-access-key-file", value: "FILE", isFile: true, help: "Read it from here instead" },
  {
    name: "aws-session-token",
    short: "t",
    value: "TOKEN",
    isSecret: true,
    help: "Others see it! Or AWS_SESSION_TOKEN",
  },
  { name: "aws-session-token-file", value: "FILE", isFile: true, help: "Read it from here instead" },
  {
    name: "aws-credentials-file",
    value: "FILE",
    isFile: true,
    help: "All, as IMDS and aws sts write JSON",
  },
];

/** Region of the keys. */
export const REGION_FLAG: Flag = {
  name: "region",
  short: "r",
  value: "REGION",
  help: "Or AWS_REGION; default: us-east-1",
};

/** Simulated NSM, for a laptop. */
export const NSM_FLAG: Flag = {
  name: "nsm",
  value: "SOCKET",
  isFile: true,
  simulated: "ENCLAVE_KMS_SIMULATED_NSM",
  help: "Unix socket of a simulated NSM",
};

/** Configuration of the parent. */
export const PARENT_CONFIG_FLAG: Flag = {
  name: "config",
  value: "FILE",
  isFile: true,
  help: "The parent's settings, JSON",
};

/** Flags for the connection to KMS. */
export const CONNECTION_FLAGS: readonly Flag[] = [
  { name: "proxy-port", short: "x", value: "PORT", help: "Port of the proxy on CID 3; default: 8000" },
  {
    name: "endpoint",
    value: "ADDRESS",
    simulated: "ENCLAVE_KMS_KMS",
    help: "vsock:CID:PORT, tcp:HOST:PORT, unix:PATH",
  },
  { name: "host-name", value: "NAME", help: "KMS's name, if not the region's" },
  {
    name: "trusted-certificates",
    value: "FILE",
    isFile: true,
    simulated: "ENCLAVE_KMS_TRUSTED_CERTIFICATES_FILE",
    help: "PEM, instead of the usual CAs",
  },
  {
    name: "engine",
    value: "NAME",
    choices: ["auto", "direct", "sdk", "sdk-client"],
    help: "One of",
  },
  { name: "library", value: "PATH", isFile: true, help: "libaws-nitro-enclaves-sdk-c.so" },
  NSM_FLAG,
  { name: "timeout-ms", value: "MS", help: "Time for everything; default: 10000" },
];

/** Output for programs. */
export const JSON_FLAG: Flag = { name: "json", help: "Print JSON" };

/** Note in the help on the forms of bytes. */
export const BYTES_NOTE = "BYTES: hex, base64:…, text:… or @FILE";

/** Flags of the way to KMS outside of an enclave. */
export const KMS_FLAGS: readonly Flag[] = CONNECTION_FLAGS.filter(({ name }) =>
  ["endpoint", "host-name", "trusted-certificates", "timeout-ms"].includes(name)
);
