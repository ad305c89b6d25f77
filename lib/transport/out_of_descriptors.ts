const OUT_OF_DESCRIPTORS = /\bE[MN]FILE\b|\bToo many open files\b/i;

/**
 * Tells whether an operation failed because the process, or the machine, is out of descriptors.
 *
 * @param error Error of ours or of the runtime, with its causes
 */
export function isOutOfDescriptors(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (OUT_OF_DESCRIPTORS.test(`${(cause as { code?: unknown }).code} ${cause.message}`)) return true;
  }
  return false;
}
