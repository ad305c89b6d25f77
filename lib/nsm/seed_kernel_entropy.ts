import { checkFields, checkInteger, checkText } from "../core/checks.ts";
import { Deadline } from "../core/deadline.ts";
import { AttestationError } from "../core/errors.ts";
import { KernelRandom, RANDOM_DEVICE_PATH, readHardwareSource } from "../native/kernel_random.ts";
import { CALL_FIELDS, type CallOptions, checkCall } from "../core/call_options.ts";

/** File in which the kernel names the hardware that it draws random bytes from by itself. */
export const HARDWARE_SOURCE_PATH = "/sys/class/misc/hw_random/rng_current";

/** Name of the NSM where the kernel draws from it by itself. */
export const NSM_HARDWARE_SOURCE = "nsm-hwrng";

/** Source of random bytes: NsmClient in an enclave. */
export interface RandomSource {
  /**
   * Draws random bytes.
   *
   * @returns At least one byte; the caller owns them and may wipe them
   */
  getRandom(): Promise<Uint8Array>;
}

/** Options of {@link seedKernelEntropy}. */
export interface SeedKernelEntropyOptions extends CallOptions {
  /**
   * Number of bytes to give to the kernel, 32 to 4096. Default: 512, which fills the largest pool that a kernel
   * has had: 4096 bits before Linux 5.18, and 256 bits since.
   */
  readonly byteLength?: number | undefined;
  /** Milliseconds for the whole call, 1 to 2147483647. Default: 10000. */
  readonly timeoutMs?: number | undefined;
  /** Path of the kernel's device. Default: `/dev/random`. */
  readonly devicePath?: string | undefined;
  /** File in which the kernel names its own source. Default: `/sys/class/misc/hw_random/rng_current`. */
  readonly sourcePath?: string | undefined;
}

/**
 * Outcome of {@link seedKernelEntropy}.
 *
 * - `nsm-source`: nothing was done; the kernel draws from the NSM by itself
 * - `credited`: the kernel was given bytes, and counts all their bits
 * - `mixed`: the kernel was given bytes and uses them, but counts none of them: this process lacks CAP_SYS_ADMIN
 * - `no-nsm`: nothing was done; neither the kernel nor the caller has an NSM
 */
export type KernelEntropyOutcome = "nsm-source" | "credited" | "mixed" | "no-nsm";

/** Source of the kernel's random numbers after {@link seedKernelEntropy}. */
export interface KernelEntropy {
  /** Outcome of the call. */
  readonly outcome: KernelEntropyOutcome;
  /** Hardware that the kernel draws from by itself; undefined when there is none, or it cannot be read. */
  readonly source: string | undefined;
  /** Number of bytes of the NSM that the kernel was given. */
  readonly byteLength: number;
  /**
   * Whether the kernel reports that it has drawn from them already; before Linux 5.12 the report may be wrong.
   * Otherwise it draws within a minute, or five before Linux 5.18.
   */
  readonly reseeded: boolean;
}

const DEFAULT_BYTE_LENGTH = 512;
const MIN_BYTE_LENGTH = 32;
const MAX_BYTE_LENGTH = 4096;
const MAX_PATH_LENGTH = 4095;
const DEFAULT_TIMEOUT_MS = 10_000;
const FIELDS: readonly string[] = [...CALL_FIELDS, "byteLength", "devicePath", "sourcePath"];

/**
 * Seeds the kernel's random numbers from the Nitro Secure Module, where the kernel does not draw from it by
 * itself. An enclave has little else to draw from. The server calls it when it starts; `KmsClient` does not:
 * call it before anything makes a key.
 *
 * The bytes are read on another thread, given to the kernel and wiped. Where they are credited, the kernel is told to
 * draw from them at once.
 *
 * Not guaranteed: that generators in user space notice. Node.js draws from the kernel as it starts, for
 * OpenSSL's generator, before any program of ours runs; OpenSSL asks the kernel again by its own rules. To be
 * sure of that generator, too, call this in a process of its own, before the one that makes keys.
 *
 * In the C SDK: `aws_nitro_enclaves_library_seed_entropy`, which does not look for the kernel's own source.
 *
 * @param nsm The module; not owned. Undefined where there is none
 * @param options Number of bytes, time-out and paths
 * @returns The outcome
 * @throws {AttestationError} When the module cannot be asked, refuses or answers something else
 * @throws {SystemCallError} When the kernel's device cannot be opened, or is none
 * @throws {LibraryLoadError} When this is not Linux, or FFI is not permitted
 * @throws {TimeoutError} When the time is up
 * @throws {TypeError} When an option is unknown or of a wrong type
 * @throws {RangeError} When an option is out of range
 * @see https://man7.org/linux/man-pages/man4/random.4.html
 * @example
 * ```ts
 * import { NsmClient, seedKernelEntropy } from "enclave-kms/nsm";
 * import { SoftwareNsm } from "enclave-kms/sim";
 *
 * using nsm = new NsmClient(await SoftwareNsm.create()); // in an enclave: NsmClient.open()
 * const { outcome, byteLength } = await seedKernelEntropy(nsm);
 * outcome === "credited" || outcome === "mixed"; // true
 * byteLength; // 512
 * ```
 */
export async function seedKernelEntropy(
  nsm: RandomSource | undefined,
  options: SeedKernelEntropyOptions = {},
): Promise<KernelEntropy> {
  const { byteLength, devicePath, sourcePath, signal, timeoutMs } = checkOptions(options);
  if (nsm !== undefined && typeof nsm?.getRandom !== "function") {
    throw new TypeError("nsm must be an NsmClient, or undefined where there is none");
  }
  const source = readHardwareSource(sourcePath);
  if (source === NSM_HARDWARE_SOURCE) return nothingDone("nsm-source", source);
  if (nsm === undefined) return nothingDone("no-nsm", source);
  using deadline = new Deadline("seed the kernel", timeoutMs, signal, "nsm");
  using kernel = KernelRandom.open(devicePath);
  let counts = true;
  for (let given = 0; given < byteLength;) {
    const bytes = await drawBytes(nsm, deadline);
    try {
      const wanted = bytes.subarray(0, byteLength - given);
      if (!kernel.add(wanted)) counts = false;
      given += wanted.length;
    } finally {
      bytes.fill(0);
    }
  }
  return { outcome: counts ? "credited" : "mixed", source, byteLength, reseeded: kernel.reseed() };
}

function checkOptions(given: SeedKernelEntropyOptions) {
  const options = checkFields("seedKernelEntropy options", given, FIELDS);
  const { devicePath = RANDOM_DEVICE_PATH, sourcePath = HARDWARE_SOURCE_PATH } = options;
  return {
    ...checkCall(options, DEFAULT_TIMEOUT_MS),
    byteLength: checkInteger("byteLength", options.byteLength, {
      min: MIN_BYTE_LENGTH,
      max: MAX_BYTE_LENGTH,
      default: DEFAULT_BYTE_LENGTH,
    }),
    devicePath: checkText("devicePath", devicePath, MAX_PATH_LENGTH),
    sourcePath: checkText("sourcePath", sourcePath, MAX_PATH_LENGTH),
  };
}

function nothingDone(outcome: KernelEntropyOutcome, source: string | undefined): KernelEntropy {
  return { outcome, source, byteLength: 0, reseeded: false };
}

/** Draws bytes, and wipes those that come too late. */
async function drawBytes(nsm: RandomSource, deadline: Deadline): Promise<Uint8Array> {
  const drawing = nsm.getRandom();
  try {
    const bytes = await deadline.race(drawing);
    if (bytes instanceof Uint8Array && bytes.length > 0) return bytes;
  } catch (error) {
    drawing.then((bytes) => bytes.fill(0), () => {});
    throw error;
  }
  throw new AttestationError("ANSWER", "Cannot seed the kernel: the NSM gave no random bytes", {
    hint: "Is something other than a Nitro Secure Module answering?",
  });
}
