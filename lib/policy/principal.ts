import { checkFields, checkInteger, checkText } from "../core/checks.ts";
import { type Attributes, checkAttributes } from "./attributes.ts";

/** Caller whose connection came from a CID, and of whom nothing else is known: nobody in particular. */
export interface CallerPrincipal {
  /** Kind of the principal. */
  readonly type: "Caller";
  /** CID of the peer, 0 to 2^32-1. On an enclave every process of the parent has CID 3. */
  readonly cid: number;
}

/** Caller who brought a token that was verified. */
export interface TokenPrincipal {
  /** Kind of the principal. */
  readonly type: "Token";
  /** Issuer of the token, 1 to 512 characters without `|`. */
  readonly issuer: string;
  /** Subject of the token, 1 to 512 characters; unique within the issuer. */
  readonly subject: string;
  /** Claims that the application declared, each checked against its type. */
  readonly claims: Attributes;
}

/** Caller who holds the key of a client certificate that TLS verified. */
export interface CertificatePrincipal {
  /** Kind of the principal. */
  readonly type: "Certificate";
  /** SHA-256 of the certificate's DER, 64 lowercase hex digits. */
  readonly sha256: string;
}

/** Parent instance, on the control listener. Nothing that comes in anywhere else is the parent. */
export interface ParentPrincipal {
  /** Kind of the principal. */
  readonly type: "Parent";
}

/** Caller of a request, as far as it was proved who it is. */
export type Principal = CallerPrincipal | TokenPrincipal | CertificatePrincipal | ParentPrincipal;

/** Kind of principals, which is the type of their entities in Cedar. */
export type PrincipalType = Principal["type"];

/** All kinds of principals. */
export const PRINCIPAL_TYPES: readonly PrincipalType[] = ["Caller", "Token", "Certificate", "Parent"];

/** Longest issuer, and longest subject, in characters. */
export const MAX_NAME_LENGTH = 512;

const SHA256 = /^[0-9a-f]{64}$/;
const CID = /^(?:0|[1-9]\d{0,9})$/;

/** Id of the one parent. */
const PARENT_ID = "parent";

/**
 * Writes the id of a principal's entity in Cedar. Two principals of one type have one id only if they are the same.
 *
 * @param principal Principal that was checked
 * @returns The CID in digits, `<issuer>|<subject>`, the SHA-256 in hex, or `parent`
 * @example
 * ```ts
 * import { principalId } from "enclave-kms/policy";
 *
 * principalId({ type: "Token", issuer: "https://id.example", subject: "3", claims: {} }); // "https://id.example|3"
 * principalId({ type: "Caller", cid: 3 }); // "3"
 * ```
 */
export function principalId(principal: Principal): string {
  switch (principal.type) {
    case "Caller":
      return String(principal.cid);
    case "Token":
      return `${principal.issuer}|${principal.subject}`;
    case "Certificate":
      return principal.sha256;
    case "Parent":
      return PARENT_ID;
  }
}

/**
 * Writes a principal as one text, by which requests are counted and take turns.
 *
 * @param principal Principal that was checked
 * @returns Type and id, such as `Caller:3`; no two principals have the same
 */
export function principalText(principal: Principal): string {
  return `${principal.type}:${principalId(principal)}`;
}

/**
 * Reads a text of {@link principalText}.
 *
 * @param text Type and id, such as `Caller:3`
 * @returns The principal, without claims; `undefined` when no principal has that text
 */
export function principalFromText(text: string): Principal | undefined {
  const colon = text.indexOf(":");
  return principalOf(text.slice(0, colon), text.slice(colon + 1));
}

/**
 * Reads the id of an entity, for which a policy was written.
 *
 * @param type Type of the entity
 * @param id Its id
 * @returns The principal, without claims; `undefined` when no principal can have that id
 */
export function principalOf(type: string, id: string): Principal | undefined {
  if (type === "Caller") return isCid(id) ? { type, cid: Number(id) } : undefined;
  if (type === "Certificate") return SHA256.test(id) ? { type, sha256: id } : undefined;
  if (type === "Parent") return id === PARENT_ID ? { type } : undefined;
  const bar = id.indexOf("|");
  const [issuer, subject] = [id.slice(0, bar), id.slice(bar + 1)];
  if (type !== "Token" || bar < 0 || !isName(issuer) || !isName(subject)) return undefined;
  return { type, issuer, subject, claims: {} };
}

/**
 * Checks a principal, and copies it.
 *
 * @param given Principal of one of the four types
 * @returns A copy with the known fields
 * @throws {TypeError} When the type is unknown, a field is missing, unknown or of a wrong form
 * @throws {RangeError} When a CID is out of range, or an issuer or subject is empty or longer than 512 characters
 */
export function checkPrincipal(given: unknown): Principal {
  const { type } = given as { type?: unknown };
  const fields = (known: readonly string[]) => checkFields("caller", given, ["type", ...known]) as Fields;
  if (type === "Caller") return { type, cid: checkCid(fields(["cid"])["cid"]) };
  if (type === "Certificate") return { type, sha256: checkSha256(fields(["sha256"])["sha256"]) };
  if (type === "Token") return checkToken(fields(["issuer", "subject", "claims"]));
  if (type !== "Parent") throw new TypeError(`caller.type must be one of ${PRINCIPAL_TYPES.join(", ")}`);
  fields([]);
  return { type };
}

/**
 * Checks the CID of a peer.
 *
 * @param cid A number, 0 to 2^32-1
 * @returns The CID
 */
export function checkCid(cid: unknown): number {
  return checkInteger("cid", cid, { min: 0, max: 0xffff_ffff });
}

/**
 * Tells whether a text is a CID as {@link principalId} writes it: `007` would never be found.
 *
 * @param text Any text
 */
export function isCid(text: string): boolean {
  return CID.test(text) && Number(text) <= 0xffff_ffff;
}

/**
 * Tells whether a text is the SHA-256 of a certificate as {@link principalId} writes it.
 *
 * @param text Any text
 */
export function isSha256(text: string): boolean {
  return SHA256.test(text);
}

type Fields = Readonly<Record<string, unknown>>;

function checkToken(given: Fields): TokenPrincipal {
  const issuer = checkText("issuer", given["issuer"], MAX_NAME_LENGTH);
  if (issuer.includes("|")) {
    throw new TypeError("issuer must not contain |, which ends it in the policy's ids");
  }
  const subject = checkText("subject", given["subject"], MAX_NAME_LENGTH);
  return { type: "Token", issuer, subject, claims: checkAttributes("claims", given["claims"] ?? {}) };
}

function checkSha256(given: unknown): string {
  if (typeof given === "string" && SHA256.test(given)) return given;
  throw new TypeError("sha256 must be 64 lowercase hex digits");
}

function isName(text: string): boolean {
  return text.length > 0 && text.length <= MAX_NAME_LENGTH && text.isWellFormed() && !text.includes("\0");
}
