/** Names of nitro-cli's error codes, E00 to E60, in order. */
const NAMES: readonly string[] = [
  "UnspecifiedError",
  "MissingArgument",
  "ConflictingArgument",
  "InvalidArgument",
  "SocketPairCreationFailure",
  "ProcessSpawnFailure",
  "DaemonizeProcessFailure",
  "ReadFromDiskFailure",
  "UnusableConnectionError",
  "SocketCloseError",
  "SocketConnectTimeoutError",
  "SocketError",
  "EpollError",
  "InotifyError",
  "InvalidCommand",
  "LockAcquireFailure",
  "ThreadJoinFailure",
  "SerdeError",
  "FilePermissionsError",
  "FileOperationFailure",
  "InvalidCpuConfiguration",
  "NoSuchCpuAvailableInPool",
  "InsufficientCpus",
  "MalformedCpuId",
  "CpuError",
  "NoSuchHugepageFlag",
  "InsufficientMemoryRequested",
  "InsufficientMemoryAvailable",
  "InvalidEnclaveFd",
  "IoctlFailure",
  "IoctlImageLoadInfoFailure",
  "IoctlSetMemoryRegionFailure",
  "IoctlAddVcpuFailure",
  "IoctlEnclaveStartFailure",
  "MemoryOverflow",
  "EifParsingError",
  "EnclaveBootFailure",
  "EnclaveEventWaitError",
  "EnclaveProcessCommandNotExecuted",
  "EnclaveProcessConnectionFailure",
  "SocketPathNotFound",
  "EnclaveProcessSendReplyFailure",
  "EnclaveMmapError",
  "EnclaveMunmapError",
  "EnclaveConsoleConnectionFailure",
  "EnclaveConsoleReadError",
  "EnclaveConsoleWriteOutputError",
  "IntegerParsingError",
  "EifBuildingError",
  "DockerImageBuildError",
  "DockerImagePullError",
  "ArtifactsPathNotSet",
  "BlobsPathNotSet",
  "ClockSkewError",
  "SignalMaskingError",
  "SignalUnmaskingError",
  "LoggerError",
  "HasherError",
  "EnclaveNamingError",
  "EIFSignatureCheckerError",
  "EIFSigningError",
];

const ALLOCATOR = "/etc/nitro_enclaves/allocator.yaml, then restart nitro-enclaves-allocator.service";

/** Likeliest causes of those that an operator can mend. */
const HINTS: Readonly<Record<string, string>> = {
  E07: "Is /run/nitro_enclaves there, and may this user read it? The package aws-nitro-enclaves-cli makes it",
  E18: "Is this user in the group ne, and may it write /var/log/nitro_enclaves?",
  E19: "Is /dev/nitro_enclaves there, and this user in the group ne? Is the image readable?",
  E21: `Is that CPU in cpu_pool of ${ALLOCATOR}?`,
  E22: `Is cpu_count at least CPU_COUNT in ${ALLOCATOR}?`,
  E26: "Give at least four times the size of the image as MEMORY_MIB",
  E27: `Is memory_mib at least MEMORY_MIB in ${ALLOCATOR}? Does another enclave have the memory?`,
  E29: "Is the instance launched with enclave options enabled, and on a type that has them?",
  E35: "Is the image complete? Compare it with the build's SHA-256",
  E36: "Does the image boot? Run it once in debug mode, and read its console",
  E39: "Did the enclave end by itself? See its console in debug mode, and /var/log/nitro_enclaves",
  E58: "Does another enclave of this name run?",
};

/** Error that nitro-cli names. */
export interface NitroErrorName {
  /** Code, such as `E27`. */
  readonly code: string;
  /** Name, such as `InsufficientMemoryAvailable`. */
  readonly name: string;
  /** Likeliest cause. */
  readonly hint: string;
}

/**
 * Finds the error that nitro-cli ended with, in its standard error or, where that has none, by its exit code, which is
 * the number of the error.
 *
 * @param output Text of the standard error, in which an error begins as `[ E27 ]`
 * @param exitCode Exit code; undefined when a signal ended it
 * @returns undefined when neither names an error that is known
 */
export function findNitroError(output: string, exitCode: number | undefined): NitroErrorName | undefined {
  const written = /\[ (E\d\d) \]/.exec(output)?.[1];
  const number = written === undefined ? exitCode : Number(written.slice(1));
  const name = number === undefined || number === 0 && written === undefined ? undefined : NAMES[number];
  if (name === undefined) return undefined;
  const code = `E${String(number).padStart(2, "0")}`;
  return { code, name, hint: HINTS[code] ?? `Run nitro-cli explain --error-code ${code}` };
}
