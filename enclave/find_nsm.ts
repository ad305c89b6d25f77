import type { NsmTransport } from "../lib/nsm/nsm_transport.ts";
import { openNsm } from "../lib/nsm/open_nsm.ts";
import type { Logger } from "./telemetry/log.ts";
import { describeFailure } from "./telemetry/request_line.ts";

/**
 * Opens the NSM, or logs why it cannot be opened.
 *
 * @param logger Destination of the warning
 * @returns The NSM; undefined when there is none
 */
export function findNsm(logger: Logger): NsmTransport | undefined {
  try {
    return openNsm();
  } catch (error) {
    logger.warn({ failure: describeFailure(error) }, "the NSM cannot be opened");
    return undefined;
  }
}
