/**
 * Issuers of tokens for tests, signed by `jose`, and tokens put together by hand.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { exportJWK, generateKeyPair, type GenerateKeyPairResult, SignJWT } from "jose";
import type { TokenAlgorithm, TokenIssuer } from "../../enclave/callers/token_issuer.ts";

/** Time by KMS's clock in these tests. */
export const NOW_MS = 1_800_000_000_000;
export const ISSUER = "https://id.example";
export const AUDIENCE = "enclave";

/** An issuer with one key. */
export class TestIssuer {
  readonly issuer: string;
  readonly algorithm: TokenAlgorithm;
  readonly kid: string;
  readonly jwk: Readonly<Record<string, unknown>>;
  readonly #keys: GenerateKeyPairResult;

  private constructor(
    issuer: string,
    algorithm: TokenAlgorithm,
    keys: GenerateKeyPairResult,
    jwk: Readonly<Record<string, unknown>>,
  ) {
    this.issuer = issuer;
    this.algorithm = algorithm;
    this.kid = String(jwk["kid"]);
    this.jwk = jwk;
    this.#keys = keys;
  }

  static async create(issuer = ISSUER, algorithm: TokenAlgorithm = "ES256", kid = "k1"): Promise<TestIssuer> {
    const keys = await generateKeyPair(algorithm, { extractable: true });
    return new TestIssuer(issuer, algorithm, keys, { ...await exportJWK(keys.publicKey), kid });
  }

  /** The configuration that pins it. */
  config(parts: Partial<TokenIssuer> = {}): TokenIssuer {
    return {
      issuer: this.issuer,
      audience: AUDIENCE,
      algorithms: [this.algorithm],
      keys: { keys: [this.jwk] },
      ...parts,
    };
  }

  /** The private key as a JWK. */
  async privateJwk(): Promise<Record<string, unknown>> {
    return { ...await exportJWK(this.#keys.privateKey), kid: this.kid };
  }

  /** Signs claims beside those that a good token has; undefined leaves one out. */
  async sign(
    claims: Readonly<Record<string, unknown>> = {},
    header: Readonly<Record<string, unknown>> = {},
    nowMs: number = NOW_MS,
  ): Promise<string> {
    const now = Math.floor(nowMs / 1000);
    const good = { iss: this.issuer, aud: AUDIENCE, sub: "ann", iat: now, exp: now + 600 };
    const payload = JSON.parse(JSON.stringify({ ...good, ...claims })) as Record<string, unknown>;
    const named = JSON.parse(JSON.stringify({ alg: this.algorithm, kid: this.kid, ...header }));
    return await new SignJWT(payload).setProtectedHeader(named).sign(this.#keys.privateKey);
  }
}

/** Puts a token together from any parts. */
export function compact(header: unknown, payload: unknown, signature: Uint8Array | string = "AA"): string {
  const encode = (part: unknown) =>
    Buffer.from(typeof part === "string" ? part : JSON.stringify(part)).toString("base64url");
  const last = typeof signature === "string" ? signature : Buffer.from(signature).toString("base64url");
  return `${encode(header)}.${encode(payload)}.${last}`;
}
