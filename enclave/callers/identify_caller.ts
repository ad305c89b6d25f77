import { createHash } from "node:crypto";
import type { Context } from "hono";
import type { Principal } from "../../lib/policy/principal.ts";
import { SEALED_PATH } from "../../lib/wire/sealed_fields.ts";
import type { HttpEnv } from "../http/http_env.ts";
import type { KmsTime } from "./kms_time.ts";
import { readToken } from "./token.ts";
import { ClockError, TokenError } from "./token_error.ts";
import type { TokenVerifier } from "./token_verifier.ts";

/** Judge of tokens, and what it needs. */
export interface TokenParts {
  /** Judges tokens. */
  readonly verifier: Pick<TokenVerifier, "verify" | "load">;
  /** Time that they are judged by. */
  readonly time: Pick<KmsTime, "nowMs" | "learn">;
  /** Whether tokens are taken that came in the clear, where the parent can read and use them. */
  readonly allowsClear: boolean;
}

/**
 * Tells who calls, before anything asks for it:
 *
 * - over the control listener it is the parent, whatever else came along;
 * - with a token it is the token's subject, and a token that is not taken is an error: it never makes a nobody;
 * - with a client certificate that TLS verified, and no token, it is the certificate; one whose time cannot be judged
 *   yet is an error: it never makes a nobody;
 * - over a sealed channel all that counts is inside the seal;
 * - otherwise it stays whoever comes from the CID, which is nobody in particular.
 *
 * A token that came over a certificate's connection counts alone: the certificate vouches for the connection, and the
 * token for the request.
 *
 * @param c Context of the request
 * @param tokens Judge of tokens. Default: none, and the header `authorization` is left to the application
 * @returns The principal, and a promise only where a token is judged; undefined for nobody in particular
 * @throws {TokenError} When the token is not taken; the promise may reject with it as well
 * @throws {ClockError} When the time of a token or a certificate cannot be judged yet
 */
export function identifyCaller(
  c: Context<HttpEnv>,
  tokens?: TokenParts,
): Principal | undefined | Promise<Principal> {
  if (isCarrier(c)) return undefined;
  if (c.env?.isControl === true) return { type: "Parent" };
  const authorization = tokens === undefined ? undefined : c.req.header("authorization");
  if (tokens !== undefined && authorization !== undefined) return judgeToken(c, tokens, authorization);
  if (c.env?.hasUnjudgedCertificate === true) throw new ClockError("certificate");
  const certificate = c.env?.certificate;
  if (certificate === undefined) return undefined;
  return { type: "Certificate", sha256: createHash("sha256").update(certificate).digest("hex") };
}

/** Tells a request that carries a sealed one: what it brings is of its carrier, and proves nothing of the sender. */
function isCarrier(c: Context<HttpEnv>): boolean {
  return c.req.path === SEALED_PATH && c.env?.channel !== "sealed";
}

async function judgeToken(c: Context<HttpEnv>, parts: TokenParts, authorization: string): Promise<Principal> {
  const { verifier, time, allowsClear } = parts;
  try {
    if (!allowsClear && (c.env?.channel ?? "clear") === "clear") throw stolen();
    const token = readToken(authorization);
    const { nowMs } = time;
    if (nowMs === undefined) {
      void time.learn();
      throw new ClockError("token");
    }
    return await verifier.verify(token, nowMs);
  } catch (error) {
    if (error instanceof TokenError) c.header("www-authenticate", 'Bearer error="invalid_token"');
    throw error;
  }
}

function stolen(): TokenError {
  return new TokenError(
    "it came in the clear, where the parent can read it",
    "Regard it as stolen, and send others over attested TLS or sealed HTTP; clearTokens takes them all the same",
  );
}
