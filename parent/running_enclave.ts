/** End of an enclave, as far as its parent can tell. */
export interface EnclaveEnd {
  /** Time at which it was noticed, milliseconds since 1970. */
  readonly atMs: number;
  /** Reason in words, such as `nitro-cli no longer lists it`. */
  readonly reason: string;
  /** Exit code of a simulated enclave's process; an enclave on hardware has none. */
  readonly exitCode?: number | undefined;
  /** Signal that ended a simulated enclave's process. */
  readonly signal?: string | undefined;
  /** Whether the parent ended it. */
  readonly wasAskedFor: boolean;
}

/** Enclave that was launched. */
export interface RunningEnclave extends AsyncDisposable {
  /** Id, such as `i-0123456789abcdef0-enc1899a5fd9e9c2a3`, or `process 1234` in a simulation. */
  readonly id: string;
  /** Name. */
  readonly name: string;
  /** CID. */
  readonly cid: number;
  /** Number of CPUs; 0 in a simulation. */
  readonly cpuCount: number;
  /** Memory in MiB; 0 in a simulation. */
  readonly memoryMib: number;
  /** Whether it runs in debug mode: its console can be read, and its PCRs are zero. */
  readonly isDebug: boolean;
  /** Resolves when it has ended. Never rejects. */
  readonly ended: Promise<EnclaveEnd>;
  /**
   * Ends it, and waits until it has. It is not asked: what runs in it is broken off.
   *
   * @throws {LaunchError} When it cannot be ended
   * @throws {TimeoutError} When that takes too long
   */
  terminate(): Promise<void>;
}
