import { LibraryLoadError } from "../../lib/core/errors.ts";
import type { ProvidedCredentials } from "../../lib/aws/credentials.ts";
import type { Environment } from "../kms_proxy_settings.ts";
import type { ProfileFiles } from "./profile_files.ts";

/** AWS's package of credential providers. */
export type SdkProviders = Pick<
  typeof import("@aws-sdk/credential-providers"),
  "fromHttp" | "fromIni" | "fromTokenFile"
>;

/** One question to AWS's package. */
export type SdkQuestion = (sdk: SdkProviders, timeoutMs: number) => Promise<ProvidedCredentials>;

/** Options that every provider gets: version 1 of the metadata service is off, and tries are this library's own. */
const ALWAYS = { ec2MetadataV1Disabled: true, maxRetries: 0 } as const;

/**
 * Makes a question for the credentials of a profile: keys, SSO, a process, an assumed role or a web identity.
 *
 * @param profile Name of the profile
 * @param files Files that hold it; they are read anew each time
 * @param env Environment
 */
export function askProfile(profile: string, files: ProfileFiles, env: Environment): SdkQuestion {
  return (sdk, timeout) => {
    const { config: configFilepath, credentials: filepath } = files;
    const options = { ...ALWAYS, timeout, profile, configFilepath, filepath, ignoreCache: true };
    // Not clientConfig: its region takes the place of the profile's sso_region, where the session is.
    const region = regionOf(env);
    return sdk.fromIni({ ...options, ...(region && { parentClientConfig: { region } }) })();
  };
}

/**
 * Makes a question for the credentials of the role in `AWS_ROLE_ARN`, by the token in the file that
 * `AWS_WEB_IDENTITY_TOKEN_FILE` names.
 *
 * @param env Environment
 */
export function askWebIdentity(env: Environment): SdkQuestion {
  const options = {
    webIdentityTokenFile: env["AWS_WEB_IDENTITY_TOKEN_FILE"] ?? "",
    roleArn: env["AWS_ROLE_ARN"] ?? "",
    ...(env["AWS_ROLE_SESSION_NAME"] && { roleSessionName: env["AWS_ROLE_SESSION_NAME"] }),
  };
  const region = regionOf(env);
  return (sdk) => sdk.fromTokenFile({ ...options, ...(region && { clientConfig: { region } }) })();
}

/**
 * Makes a question for the credentials of a container: of an ECS task, or by EKS pod identity.
 *
 * @param env Environment
 */
export function askContainer(env: Environment): SdkQuestion {
  const names = {
    awsContainerCredentialsRelativeUri: env["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"],
    awsContainerCredentialsFullUri: env["AWS_CONTAINER_CREDENTIALS_FULL_URI"],
    awsContainerAuthorizationTokenFile: env["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"],
    awsContainerAuthorizationToken: env["AWS_CONTAINER_AUTHORIZATION_TOKEN"],
  };
  // The package warns when both are given, and takes the file.
  if (names.awsContainerAuthorizationTokenFile) names.awsContainerAuthorizationToken = undefined;
  if (names.awsContainerCredentialsRelativeUri) names.awsContainerCredentialsFullUri = undefined;
  const given = Object.fromEntries(Object.entries(names).filter(([, value]) => value));
  return async (sdk, timeout) => await sdk.fromHttp({ ...ALWAYS, timeout, ...given })();
}

/** Loads AWS's package. */
export async function loadSdk(): Promise<SdkProviders> {
  try {
    return await import("@aws-sdk/credential-providers");
  } catch (cause) {
    throw new LibraryLoadError("Cannot get credentials: @aws-sdk/credential-providers is not installed", {
      hint: "It is an optional peer: npm install @aws-sdk/credential-providers",
      cause,
    });
  }
}

/** Region of the STS that answers for roles; AWS's package has a default of its own. */
function regionOf(env: Environment): string | undefined {
  return env["AWS_REGION"] || env["AWS_DEFAULT_REGION"] || undefined;
}
