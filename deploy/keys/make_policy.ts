import { toHex } from "../../lib/core/bytes.ts";
import { checkFields } from "../../lib/core/checks.ts";
import { pcrHex } from "../../lib/core/pcrs.ts";
import { extendZeros } from "../eif/sha384.ts";
import { ATTESTED_ACTIONS } from "./actions.ts";
import { isRoleArn, mayBe } from "./principals.ts";

/** Image whose enclaves may use a key: its measurements as lowercase hex. */
export interface PolicyImage {
  /** PCR0, of kernel, command line and all ramdisks: 96 hex digits. */
  readonly pcr0: string;
  /** PCR8, of the signing certificate. Default: not compared. */
  readonly pcr8?: string | undefined;
}

/** Options of {@link makeKeyPolicy}. */
export interface KeyPolicyOptions {
  /** Images: one, or two during a rollout. */
  readonly images: readonly PolicyImage[];
  /** ARN of the role of the instance, which uses the key: `arn:aws:iam::111122223333:role/enclave`. */
  readonly role: string;
  /** ARNs of those who administer the key and do not use it: at least one. */
  readonly administrators: readonly string[];
  /** PCR3, of the role, as {@link measureText} computes it. Default: not compared. */
  readonly pcr3?: string | undefined;
  /** Actions that the enclave needs, such as `kms:GenerateDataKey`. Default: `kms:Decrypt`. */
  readonly actions?: readonly string[] | undefined;
  /**
   * Whether the role may `kms:Encrypt` without an enclave. Whoever may encrypts what the enclave takes for its own secret.
   * Default: false.
   */
  readonly encrypt?: boolean | undefined;
}

const OPTIONS = ["images", "role", "administrators", "pcr3", "actions", "encrypt"];

/** Actions that administer a key, and none that uses it: no grants, no ReEncrypt, no Encrypt. */
const ADMINISTRATION: readonly string[] = [
  ...["CancelKeyDeletion", "CreateAlias", "DeleteAlias", "DescribeKey", "DisableKey", "DisableKeyRotation"],
  ...[
    "EnableKey",
    "EnableKeyRotation",
    "GetKeyPolicy",
    "GetKeyRotationStatus",
    "ListGrants",
    "ListKeyPolicies",
  ],
  ...[
    "ListResourceTags",
    "PutKeyPolicy",
    "RevokeGrant",
    "ScheduleKeyDeletion",
    "TagResource",
    "UntagResource",
  ],
  ...["UpdateAlias", "UpdateKeyDescription"],
].map((name) => `kms:${name}`);

const ARN = /^arn:[\w-]+:(?:iam|sts)::\d{12}:(?:root|(?:role|user|assumed-role)\/[\w+=,.@/-]{1,512})$/;

/** Value of every measurement in debug mode. */
const ZERO = "0".repeat(96);

/**
 * Makes the policy of a key that only enclaves of certain images use: a statement for the administrators, and one for each
 * image, so that PCR0 of one is never taken with PCR8 of another. The same options make the same text.
 *
 * Not guaranteed: anything against the administrators, who can put another policy.
 *
 * @param options Images, role and administrators
 * @returns JSON with a line feed at its end
 * @throws {TypeError} When an option is unknown or malformed
 * @throws {RangeError} When a PCR is zero, as in debug mode, or there is no image or administrator
 */
export function makeKeyPolicy(options: KeyPolicyOptions): string {
  const given = checkFields("key policy options", options, OPTIONS);
  const role = checkRole(given.role);
  const actions = checkActions(given.actions ?? ["kms:Decrypt"]);
  const administrators = checkList("administrators", given.administrators).map((arn, index) =>
    checkArn(`administrators[${index}]`, arn)
  );
  if (administrators.some((arn) => mayBe(arn, role))) {
    throw new RangeError(
      "administrators must not have the role: the parent has it, and could put another policy",
    );
  }
  const pcr3 = given.pcr3 === undefined ? {} : { 3: checkPcr("pcr3", given.pcr3) };
  const images = checkImages("images", given.images).map(({ pcr0, pcr8 }) => ({
    0: pcr0,
    ...pcr3,
    ...(pcr8 === undefined ? {} : { 8: pcr8 }),
  }));
  const statements = [
    statement("Administration", administrators.toSorted(), ADMINISTRATION),
    ...images.map((pcrs, index) => ({
      ...statement(sidOf(images, index), [role], actions),
      Condition: { StringEqualsIgnoreCase: conditionOf(pcrs) },
    })),
    ...(given.encrypt === true ? [statement("Encryption", [role], ["kms:Encrypt"])] : []),
  ];
  return `${JSON.stringify({ Version: "2012-10-17", Statement: statements }, undefined, 2)}\n`;
}

/**
 * Measures a text as the hypervisor measures the role (PCR3) and the instance (PCR4): SHA-384 over 48 zero bytes and the
 * text itself, which is not digested before.
 *
 * @param text ARN of the role, or id of the instance
 * @returns 96 lowercase hex digits
 */
export async function measureText(text: string): Promise<string> {
  return toHex(await extendZeros(new TextEncoder().encode(text)));
}

function statement(sid: string, principals: readonly string[], actions: readonly string[]) {
  return { Sid: sid, Effect: "Allow", Principal: { AWS: principals }, Action: actions, Resource: "*" };
}

function conditionOf(pcrs: Readonly<Record<number, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(pcrs).map(([index, value]) => [`kms:RecipientAttestation:PCR${index}`, value]),
  );
}

/** One image signed twice has one PCR0, and IAM wants each Sid once. */
function sidOf(images: readonly { readonly 0: string }[], index: number): string {
  const names = images.map((pcrs) => `Image${pcrs[0].slice(0, 16)}`);
  const earlier = names.slice(0, index).filter((name) => name === names[index]).length;
  return `${names[index]}${earlier === 0 ? "" : `n${earlier + 1}`}`;
}

/**
 * Checks the measurements of images.
 *
 * @param field Name of the list
 * @param images Images: one or more
 * @returns The images with their PCRs in lowercase, each once
 * @throws {TypeError} When one is malformed
 * @throws {RangeError} When there is none, or a PCR is zero
 */
export function checkImages(field: string, images: readonly PolicyImage[]): PolicyImage[] {
  const checked = checkList(field, images).map((image, index) => {
    const { pcr0, pcr8 } = checkFields(`${field}[${index}]`, image, ["pcr0", "pcr8"]);
    return {
      pcr0: checkPcr(`${field}[${index}].pcr0`, pcr0),
      ...(pcr8 === undefined ? {} : { pcr8: checkPcr(`${field}[${index}].pcr8`, pcr8) }),
    };
  });
  return [...new Map(checked.map((image) => [JSON.stringify(image), image])).values()];
}

function checkActions(given: readonly string[]): readonly string[] {
  const actions = checkList("actions", given);
  const stranger = actions.find((action) => !ATTESTED_ACTIONS.includes(action));
  if (stranger === undefined) return actions.toSorted();
  throw new TypeError(`actions must be of ${ATTESTED_ACTIONS.join(", ")}: of others nothing is attested`);
}

function checkList<T>(field: string, value: readonly T[]): readonly T[] {
  if (Array.isArray(value) && value.length > 0) return value;
  throw new RangeError(`${field} must be a list of at least one`);
}

function checkArn(field: string, value: unknown): string {
  if (typeof value === "string" && ARN.test(value)) return value;
  throw new TypeError(
    `${field} must be the ARN of a role or user, such as arn:aws:iam::111122223333:role/enclave`,
  );
}

function checkRole(value: unknown): string {
  if (isRoleArn(value)) return value;
  throw new TypeError("role must be the ARN of a role, such as arn:aws:iam::111122223333:role/enclave");
}

function checkPcr(field: string, value: unknown): string {
  const hex = pcrHex(field, value);
  if (hex.length !== 96) throw new TypeError(`${field} must be 96 hex digits`);
  if (hex === ZERO) throw new RangeError(`${field} must not be zero: every enclave in debug mode has that`);
  return hex;
}
