import {
  type KernelEntropyOutcome,
  type RandomSource,
  seedKernelEntropy,
  type SeedKernelEntropyOptions,
} from "../lib/nsm/seed_kernel_entropy.ts";
import type { Logger } from "./telemetry/log.ts";
import { describeFailure } from "./telemetry/request_line.ts";

/** Level and message of the log for each outcome. */
const MESSAGES: Readonly<Record<KernelEntropyOutcome, readonly [level: "info" | "warn", message: string]>> = {
  "nsm-source": ["info", "the kernel draws from the NSM by itself"],
  credited: ["info", "the kernel is seeded from the NSM"],
  mixed: ["warn", "the kernel has the NSM's bytes, but may not count them: this process lacks CAP_SYS_ADMIN"],
  "no-nsm": ["warn", "the kernel is not seeded: there is no NSM"],
};

/**
 * Seeds the kernel's random numbers from the NSM, and logs the outcome. A failure is logged and not thrown: the kernel may
 * have other sources, and a server that runs can report it.
 *
 * @param nsm The NSM; undefined where there is none
 * @param logger Gets one line
 * @param options Time-out
 */
export async function seedEntropy(
  nsm: RandomSource | undefined,
  logger: Logger,
  options: SeedKernelEntropyOptions,
): Promise<void> {
  try {
    const entropy = await seedKernelEntropy(nsm, options);
    const [level, message] = MESSAGES[entropy.outcome];
    logger[level]({ entropy }, message);
  } catch (error) {
    logger.warn({ failure: describeFailure(error) }, "the kernel could not be seeded");
  }
}
