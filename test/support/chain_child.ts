/**
 * A process that gets credentials from AWS's chain once, by its own environment and home, as AWS's package reads them.
 *
 * @module
 */
import type { EnclaveKmsError } from "../../lib/core/errors.ts";
import { chainCredentials } from "../../parent/mod.ts";

if (import.meta.main) {
  try {
    using credentials = await chainCredentials({ timeoutMs: 60_000 })();
    const { accessKeyId, expiration } = credentials;
    console.log(JSON.stringify({ accessKeyId, expiration }));
  } catch (error) {
    const { code, message } = error as EnclaveKmsError;
    console.log(JSON.stringify({ code, message }));
  }
}
