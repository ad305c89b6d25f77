import type { ImdsOptions } from "../instance_credentials.ts";
import type { Environment } from "../kms_proxy_settings.ts";

/** Limits of {@link chainCredentials}, and choices. */
export interface ChainOptions {
  /** Name of the profile to use, 1 to 256 characters. Default: `AWS_PROFILE`. */
  readonly profile?: string | undefined;
  /** Milliseconds for one call with all its retries, 1 to 2147483647. Default: 20000. */
  readonly timeoutMs?: number | undefined;
  /** Most tries, 1 to 100. Default: 3. */
  readonly maxAttempts?: number | undefined;
  /** Address and limits of the metadata service, which comes last. */
  readonly imds?: Omit<ImdsOptions, "env"> | undefined;
  /** Environment. Default: that of the process. */
  readonly env?: Environment | undefined;
}
