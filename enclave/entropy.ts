import {
  type KernelEntropyOutcome,
  type RandomSource,
  seedKernelEntropy,
  type SeedKernelEntropyOptions,
} from "../lib/nsm/seed_kernel_entropy.ts";
import type { Logger } from "./telemetry/log.ts";
import { describeFailure } from "./telemetry/request_record.ts";

/** What the log says of each, and how loudly. */
const MESSAGES: Readonly<Record<KernelEntropyOutcome, readonly [level: "info" | "warn", message: string]>> = {
  "nsm-source": ["info", "the kernel draws from the NSM by itself"],
  credited: ["info", "the kernel is seeded from the NSM"],
  mixed: ["warn", "the kernel has the NSM's bytes, but may not count them: this process lacks CAP_SYS_ADMIN"],
  "no-nsm": ["warn", "the kernel is not seeded: there is no NSM"],
};

/**
 * Seeds the kernel's random numbers from the NSM, and logs what was found and done. What fails is logged, too:
 * the kernel may well have other sources, and a server that is there can say so.
 *
 * @param nsm The module; undefined where there is none
 * @param logger Gets one line
 * @param options How long to wait
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
