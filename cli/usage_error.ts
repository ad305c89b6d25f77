/** Mistake of the user: a flag that is missing, unknown or malformed. The message holds no value. */
export class UsageError extends Error {
  /** @param message The flag, and the values that it takes */
  constructor(message: string) {
    super(message);
    this.name = "UsageError";
  }
}

/**
 * Value that is given and malformed. `decrypt`, `genkey` and `genrandom` exit with 255 for it, as
 * kmstool_enclave_cli does; kmstool's own usage errors concern the flags themselves.
 */
export class MalformedValueError extends UsageError {}

/** Failure to write the output of a command that did its work. */
export class OutputLostError extends Error {
  /** @param reason The system's name of the error, such as `ENOSPC` */
  constructor(reason: string) {
    super(`Cannot write the output: ${reason}; the part that was written may be incomplete`);
    this.name = "OutputLostError";
  }
}

/**
 * Tells mistakes in options as mistakes on the command line, where they were made.
 *
 * @param make Takes the options
 * @returns Result of `make`
 * @throws {UsageError} When `make` throws a `TypeError` or `RangeError`
 */
export function asUsage<T>(make: () => T): T {
  try {
    return make();
  } catch (error) {
    if (error instanceof TypeError || error instanceof RangeError) throw new UsageError(error.message);
    throw error;
  }
}
