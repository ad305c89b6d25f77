import { chainWith } from "./credentials/credential_chain.ts";
import type { ChainOptions } from "./credentials/chain_options.ts";
import type { InstanceCredentialsProvider } from "./credentials/disposable_credentials.ts";
import { loadSdk } from "./credentials/sdk_sources.ts";

/**
 * Makes a provider of credentials from the first of these that is configured, in the order of AWS's own SDK:
 *
 * 1. the profile that is named, by the option or `AWS_PROFILE`;
 * 2. the environment: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN` and
 *    `AWS_CREDENTIAL_EXPIRATION`;
 * 3. the default profile, if it says how to get credentials: by keys, SSO, a process, an assumed role;
 * 4. a web identity: `AWS_WEB_IDENTITY_TOKEN_FILE` and `AWS_ROLE_ARN`;
 * 5. a container's: ECS, or EKS pod identity (`AWS_CONTAINER_CREDENTIALS_RELATIVE_URI` or `_FULL_URI`);
 * 6. the instance's role, as {@link imdsCredentials} gets it.
 *
 * One that is configured and fails is an error: no other identity is used in its place. Profiles, web identities and
 * containers are read by `@aws-sdk/credential-providers`, an optional peer that is imported when it is needed, always
 * with version 1 of the metadata service off. It never retries: tries that fail are repeated here, within one deadline.
 *
 * Not guaranteed: that strings are wiped. AWS's package and the environment hold the secret access key as JavaScript
 * strings; only the metadata service's stays in bytes.
 *
 * @param options Limits and choices
 * @returns The provider. It throws a {@link CredentialsError} that names the source, {@link LibraryLoadError} when the
 *   package is needed and not installed, {@link TimeoutError}, and {@link ImdsError}
 * @throws {TypeError} When an option is unknown or of a wrong type
 * @throws {RangeError} When a number is out of range
 * @example
 * ```ts
 * import { chainCredentials } from "enclave-kms/parent";
 *
 * const env = { AWS_ACCESS_KEY_ID: "AKIAEXAMPLE", AWS_SECRET_ACCESS_KEY: "secret" }; // Default: process.env
 * using credentials = await chainCredentials({ env })();
 * credentials.accessKeyId; // "AKIAEXAMPLE"
 * ```
 */
export function chainCredentials(options: ChainOptions = {}): InstanceCredentialsProvider {
  return chainWith(loadSdk, options);
}
