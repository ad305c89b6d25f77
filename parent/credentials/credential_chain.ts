import process from "node:process";
import { OwnedCredentials, type ProvidedCredentials } from "../../lib/aws/credentials.ts";
import { nameOfFailure } from "../../lib/aws/provider_question.ts";
import { checkFields, checkInteger, checkText } from "../../lib/core/checks.ts";
import { Deadline, MAX_TIMEOUT_MS } from "../../lib/core/deadline.ts";
import { CredentialsError } from "../../lib/core/errors.ts";
import { Pauses } from "../../lib/core/pauses.ts";
import { imdsCredentials } from "../instance_credentials.ts";
import type { Environment } from "../kms_proxy_settings.ts";
import type { ChainOptions } from "./chain_options.ts";
import { type InstanceCredentialsProvider, OwnedAnswer } from "./disposable_credentials.ts";
import { findProfileFiles, hasDefaultProfile } from "./profile_files.ts";
import {
  askContainer,
  askProfile,
  askWebIdentity,
  type SdkProviders,
  type SdkQuestion,
} from "./sdk_sources.ts";

/** Source that is configured: the metadata service, or one that is asked for. */
type Source = "imds" | {
  readonly name: string;
  readonly hint: string;
  readonly ask: SdkQuestion | FromEnvironment;
};

/** Question that needs no package. */
type FromEnvironment = { readonly given: ProvidedCredentials };

/**
 * Makes the provider with a loader of AWS's package; tests have their own.
 *
 * @param load Loads the package
 * @param given Limits and choices
 */
export function chainWith(
  load: () => Promise<SdkProviders>,
  given: ChainOptions,
): InstanceCredentialsProvider {
  const { profile, env = process.env, ...options } = checkFields("credential chain options", given, FIELDS);
  if (profile !== undefined) checkText("profile", profile, 256);
  const range = { min: 1, max: MAX_TIMEOUT_MS, default: 20_000 };
  const timeoutMs = checkInteger("timeoutMs", options.timeoutMs, range);
  const maxAttempts = checkInteger("maxAttempts", options.maxAttempts, { min: 1, max: 100, default: 3 });
  const imds = imdsCredentials({ ...options.imds, env });
  return async ({ signal } = {}) => {
    using deadline = new Deadline("get credentials", timeoutMs, signal, "credentials");
    const source = await deadline.race(findSource(profile || env["AWS_PROFILE"], env));
    if (source === "imds") return await imds({ signal: deadline.signal });
    if (typeof source.ask !== "function") return take(source.ask.given, source);
    return await askSdk(await deadline.race(load()), source.ask, source, { deadline, maxAttempts });
  };
}

const FIELDS = ["profile", "timeoutMs", "maxAttempts", "imds", "env"];

/** Pauses between tries, in milliseconds. */
const PAUSES = { firstMs: 200, maxMs: 2000 };

async function findSource(profile: string | undefined, env: Environment): Promise<Source> {
  const files = findProfileFiles(env);
  if (profile) return profileSource(profile, askProfile(profile, files, env));
  if (env["AWS_ACCESS_KEY_ID"] && env["AWS_SECRET_ACCESS_KEY"]) return environmentSource(env);
  if (await hasDefaultProfile(files)) return profileSource("default", askProfile("default", files, env));
  if (env["AWS_WEB_IDENTITY_TOKEN_FILE"] && env["AWS_ROLE_ARN"]) {
    const hint = "Is the token's file there, and does the role trust its issuer?";
    return { name: "the web identity", hint, ask: askWebIdentity(env) };
  }
  if (env["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] || env["AWS_CONTAINER_CREDENTIALS_FULL_URI"]) {
    const hint = "Has the task a role, or the pod an association, and does its agent answer?";
    return { name: "the container", hint, ask: askContainer(env) };
  }
  return "imds";
}

function profileSource(profile: string, ask: SdkQuestion): Source {
  const hint = "Is the profile in the configuration, and is its session current (aws sso login)? " +
    `aws sts get-caller-identity --profile ${/^[\w.-]+$/.test(profile) ? profile : "NAME"} says more`;
  return { name: `profile ${JSON.stringify(profile)}`, hint, ask };
}

function environmentSource(env: Environment): Source {
  const given = {
    accessKeyId: env["AWS_ACCESS_KEY_ID"] ?? "",
    secretAccessKey: env["AWS_SECRET_ACCESS_KEY"] ?? "",
    sessionToken: env["AWS_SESSION_TOKEN"] || undefined,
    expiration: env["AWS_CREDENTIAL_EXPIRATION"] || undefined,
  };
  const hint = "Are AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN as AWS gave them?";
  return { name: "the environment", hint, ask: { given } };
}

interface Limits {
  readonly deadline: Deadline;
  readonly maxAttempts: number;
}

async function askSdk(
  sdk: SdkProviders,
  ask: SdkQuestion,
  source: Exclude<Source, "imds">,
  { deadline, maxAttempts }: Limits,
): Promise<OwnedAnswer> {
  const pauses = new Pauses(PAUSES);
  for (let left = maxAttempts - 1;; left--) {
    try {
      return take(await deadline.race(ask(sdk, Math.max(1, Math.ceil(deadline.remainingMs)))), source);
    } catch (error) {
      if (error instanceof CredentialsError) throw error;
      deadline.throwIfPassed();
      pauses.begin();
      if (left > 0 && pauses.remainingMs < deadline.remainingMs) await deadline.sleep(pauses.remainingMs);
      else throw failed(source, nameOfFailure(error));
    }
  }
}

function take(given: ProvidedCredentials, source: Exclude<Source, "imds">): OwnedAnswer {
  try {
    return new OwnedAnswer(OwnedCredentials.copyOf(given));
  } catch (error) {
    // It names a field, and not its value.
    const reason = error instanceof TypeError ? `: ${error.message}` : "";
    throw failed(source, reason);
  }
}

/** Makes the error of a source. AWS's package quotes the output of processes: its message is not shown. */
function failed({ name, hint }: Exclude<Source, "imds">, reason: string): CredentialsError {
  return new CredentialsError(`Cannot get credentials from ${name}: it failed${reason}`, { hint });
}
