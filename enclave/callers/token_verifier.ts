import { createPublicKey } from "node:crypto";
import { ConfigError } from "../settings.ts";
import { type AttributeTypes, checkAttributeTypes } from "../../lib/policy/attributes.ts";
import type { TokenPrincipal } from "../../lib/policy/principal.ts";
import { judgeClaims, unknownIssuer, type UnverifiedToken } from "./token.ts";
import { TokenError } from "./token_error.ts";
import type { CheckedIssuer, TokenAlgorithm } from "./token_issuer.ts";
import { VerifiedTokens } from "./verified_tokens.ts";

type Jose = typeof import("jose");
type CryptoKey = Awaited<ReturnType<Jose["importJWK"]>>;

/** Key as the runtime has it. */
interface VerifyingKey {
  readonly kid: string | undefined;
  readonly algorithm: TokenAlgorithm;
  readonly key: CryptoKey;
}

/** Issuer with its keys. */
interface Verifying {
  readonly issuer: CheckedIssuer;
  readonly keys: readonly VerifyingKey[];
}

/** Package that verifies, and the issuers by their names. */
interface Loaded {
  readonly jose: Jose;
  readonly issuers: ReadonlyMap<string, Verifying>;
}

/**
 * Verifier of tokens (JWT in JWS compact form) by keys, issuers and algorithms that are pinned. It asks nobody: a key
 * that an issuer adds must come with the configuration, and a token that was revoked counts until it expires.
 */
export class TokenVerifier {
  readonly #issuers: readonly CheckedIssuer[];
  readonly #claims: AttributeTypes;
  readonly #verified = new VerifiedTokens();
  #loading: Promise<Loaded> | undefined;

  /**
   * Keeps issuers and claims.
   *
   * @param issuers Issuers from `checkTokenIssuers()`
   * @param claims Types of the claims that reach the policy. Default: none do
   * @throws {TypeError} When a claim's name or type is not possible
   */
  constructor(issuers: readonly CheckedIssuer[], claims: AttributeTypes = {}) {
    this.#issuers = issuers;
    this.#claims = Object.fromEntries(checkAttributeTypes("A token's claim", claims));
  }

  /**
   * Imports the keys, once. {@link TokenVerifier.verify} waits for it.
   *
   * @throws {ConfigError} When `jose` is not installed, or a key is no point of its curve
   */
  async load(): Promise<void> {
    await this.#load();
  }

  /**
   * Verifies a token.
   *
   * @param token Token from `readToken()`
   * @param nowMs Time by KMS's clock, in milliseconds since 1970
   * @returns The caller who brought it
   * @throws {TokenError} When no pinned key of its issuer made the signature, or a claim is not as it must be
   */
  async verify(token: UnverifiedToken, nowMs: number): Promise<TokenPrincipal> {
    const { jose, issuers } = await this.#load();
    const found = issuers.get(token.claims["iss"] as string);
    if (found === undefined) throw unknownIssuer();
    const { key, algorithm } = chooseKey(found.keys, token);
    try {
      // By the algorithm that the configuration has for this key: what the token names has only chosen the key.
      const verify = () => jose.compactVerify(token.text, key, { algorithms: [algorithm] });
      await this.#verified.verifyOnce(token.text, verify);
    } catch {
      throw new TokenError("its signature is not of its issuer's key", "Has the issuer changed its keys?");
    }
    return judgeClaims(token, found.issuer, this.#claims, nowMs);
  }

  #load(): Promise<Loaded> {
    return this.#loading ??= load(this.#issuers);
  }
}

/** Chooses the one key that fits. With several, the token must name it: none is tried after another. */
function chooseKey(keys: readonly VerifyingKey[], { algorithm, kid }: UnverifiedToken): VerifyingKey {
  const fitting = keys.filter((key) =>
    key.algorithm === algorithm && (key.kid === undefined || kid === undefined || key.kid === kid)
  );
  const [key, other] = fitting;
  if (key !== undefined && other === undefined) return key;
  throw new TokenError(
    "no one key of its issuer fits its algorithm and its kid",
    "Has the issuer changed its keys, or does it sign by an algorithm that is not listed?",
  );
}

async function load(issuers: readonly CheckedIssuer[]): Promise<Loaded> {
  const jose = await loadJose();
  const imported = issuers.map(async (issuer, place) =>
    [issuer.issuer, { issuer, keys: await importKeys(jose, issuer, place) }] as const
  );
  return { jose, issuers: new Map(await Promise.all(imported)) };
}

async function importKeys(jose: Jose, { keys }: CheckedIssuer, place: number): Promise<VerifyingKey[]> {
  const imports = keys.flatMap(({ jwk, kid, algorithms }, number) =>
    algorithms.map(async (algorithm) => {
      try {
        // Deno's WebCrypto takes points that are on no curve.
        createPublicKey({ key: jwk, format: "jwk" });
        return { kid, algorithm, key: await jose.importJWK(jwk, algorithm) };
      } catch {
        throw new ConfigError([`tokens[${place}].keys.keys[${number}]: is no key of its type`]);
      }
    })
  );
  return await Promise.all(imports);
}

async function loadJose(): Promise<Jose> {
  try {
    return await import("jose");
  } catch {
    throw new ConfigError(["tokens: need an optional package: npm install jose@6"]);
  }
}
