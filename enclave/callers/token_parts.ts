import type { AttributeTypes } from "../../lib/policy/attributes.ts";
import type { BaseConfig } from "../base_config.ts";
import type { TokenParts } from "./identify_caller.ts";
import type { KmsTime } from "./kms_time.ts";
import { TokenVerifier } from "./token_verifier.ts";

/**
 * Makes the judge of tokens that a configuration asks for.
 *
 * @param config Settings after every check
 * @param time Time that they are judged by
 * @param claims Claims that reach the policy, with their types
 * @returns The judge; `undefined` when no issuer is configured
 */
export function makeTokenParts(
  config: BaseConfig,
  time: KmsTime,
  claims: AttributeTypes | undefined,
): TokenParts | undefined {
  const { tokens, clearTokens } = config;
  if (tokens.length === 0) return undefined;
  return {
    verifier: new TokenVerifier(tokens, claims),
    time,
    allowsClear: clearTokens,
  };
}
