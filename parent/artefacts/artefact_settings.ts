import { checkRegion } from "../../lib/aws/region.ts";
import type { Environment } from "../kms_proxy_settings.ts";
import { parseArtefactSource } from "./artefact_source.ts";
import { checkS3Endpoint } from "./object_url.ts";

/** Places of the artefacts that the default recipe hands to the enclave. */
export interface ArtefactSettings {
  /** Place of the age key that is sealed with KMS, from `AGE_KEY_S3_URI`. */
  readonly ageKey: string | undefined;
  /** Place of the key shares that are sealed with age, from `KEY_SHARES_S3_URI`. */
  readonly keyShares: string | undefined;
  /** Region of the buckets, from `AWS_REGION`. */
  readonly region: string | undefined;
  /** Endpoint in place of the region's, from `AWS_ENDPOINT_URL_S3`. */
  readonly endpoint: string | undefined;
}

/**
 * Reads the places of the artefacts from the environment: `AGE_KEY_S3_URI` and `KEY_SHARES_S3_URI` (`s3://bucket/key`,
 * an absolute path or a `file:` URL), `AWS_REGION` and `AWS_ENDPOINT_URL_S3`. An empty variable counts as one that is
 * not set.
 *
 * @param env Environment
 * @returns The places, each undefined where its variable is not set
 * @throws {TypeError} When a variable is malformed, or a place is in S3 and there is no region. The message names it
 * @example
 * ```ts
 * import { readArtefactSettings } from "enclave-kms/parent";
 *
 * const { ageKey } = readArtefactSettings({ AGE_KEY_S3_URI: "s3://sealed/age-key", AWS_REGION: "eu-central-1" });
 * ageKey; // "s3://sealed/age-key"
 * ```
 */
export function readArtefactSettings(env: Environment): ArtefactSettings {
  const read = <T>(name: string, check: (text: string) => T): T | undefined => {
    const text = env[name];
    if (text === undefined || text === "") return undefined;
    try {
      return check(text);
    } catch (cause) {
      throw new TypeError(`${name}: ${cause instanceof Error ? cause.message : "malformed"}`, { cause });
    }
  };
  const region = read("AWS_REGION", checkRegion);
  const place = (text: string) => {
    if (parseArtefactSource(text).kind === "s3" && region === undefined) {
      throw new TypeError("an object of S3 needs AWS_REGION");
    }
    return text;
  };
  return {
    ageKey: read("AGE_KEY_S3_URI", place),
    keyShares: read("KEY_SHARES_S3_URI", place),
    region,
    endpoint: read("AWS_ENDPOINT_URL_S3", checkS3Endpoint),
  };
}
