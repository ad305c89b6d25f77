import { randomBytes } from "node:crypto";
import { checkFields, checkRecord } from "../../lib/core/checks.ts";
import { encodeBase64, encodeHex } from "../../lib/core/encoding.ts";
import { KmsRefusal } from "./kms_errors.ts";
import type { GrantOperation } from "./keys/key_families.ts";
import type { GrantQuestion } from "./keys/key_use.ts";
import type { SimulatedKey } from "./keys/simulated_key.ts";
import { SIMULATED_PRINCIPAL } from "./policy/key_policy.ts";

/** Options of a grant. */
export interface CreateGrantOptions {
  /** Key id, ARN, alias or alias ARN. */
  readonly keyId: string;
  /** Operations that it permits; 1 or more. */
  readonly operations: readonly GrantOperation[];
  /** Grantee. Default: the role that all of the simulator's credentials belong to. */
  readonly granteePrincipal?: string | undefined;
  /** Encryption context that a request must have. Names match in any case, values exactly. */
  readonly encryptionContextEquals?: Readonly<Record<string, string>> | undefined;
  /** Pairs that the encryption context must hold at least. Names match in any case, values exactly. */
  readonly encryptionContextSubset?: Readonly<Record<string, string>> | undefined;
  /**
   * Whether the grant has spread through KMS, which takes up to five minutes; before that it permits only
   * requests that show its token. Default: false.
   */
  readonly settled?: boolean | undefined;
}

/** A grant as CreateGrant answers it. */
export interface SimulatedGrant {
  /** 64 hex digits. */
  readonly grantId: string;
  /** Token for the GrantTokens of a request. */
  readonly grantToken: string;
}

const OPTIONS = [
  ...["keyId", "operations", "granteePrincipal"],
  ...["encryptionContextEquals", "encryptionContextSubset", "settled"],
];

interface Entry extends SimulatedGrant {
  readonly key: SimulatedKey;
  readonly options: CreateGrantOptions;
}

/**
 * Grants: permissions beside the key policy. They know nothing of attestation documents: what a grant permits
 * is permitted to its principal outside of enclaves too, unless a statement of the key policy denies it.
 */
export class GrantStore {
  #entries: Entry[] = [];

  /**
   * Creates a grant.
   *
   * @param key The key
   * @param given Options of the grant
   * @throws {TypeError} When it permits nothing, or a key of this kind has no encryption context to constrain
   */
  create(key: SimulatedKey, given: CreateGrantOptions): SimulatedGrant {
    const options = checkFields("options of createGrant", given, OPTIONS);
    const { operations } = options;
    const equals = checkConstraint("encryptionContextEquals", options.encryptionContextEquals);
    const subset = checkConstraint("encryptionContextSubset", options.encryptionContextSubset);
    if (subset !== undefined && Object.keys(subset).length === 0) {
      throw new TypeError("encryptionContextSubset must have a pair: without one, it constrains nothing");
    }
    if (operations.length === 0) throw new TypeError("operations must name 1 or more");
    if (equals !== undefined && subset !== undefined) {
      throw new TypeError("A grant has encryptionContextEquals or encryptionContextSubset, not both");
    }
    if ((equals ?? subset) !== undefined && key.spec !== "SYMMETRIC_DEFAULT") {
      throw new TypeError("An encryption context is a constraint on symmetric keys only");
    }
    const grantId = encodeHex(randomBytes(32));
    const grantToken = `AQpA${encodeBase64(randomBytes(192))}`;
    const constraints = { encryptionContextEquals: equals, encryptionContextSubset: subset };
    this.#entries.push({ grantId, grantToken, key, options: { ...options, ...constraints } });
    return { grantId, grantToken };
  }

  /** Ends a grant; its token is unknown from now on. */
  revoke({ grantId }: Pick<SimulatedGrant, "grantId">): void {
    this.#entries = this.#entries.filter((entry) => entry.grantId !== grantId);
  }

  /** Throws `InvalidGrantTokenException` when a token belongs to no grant. */
  requireKnown(tokens: readonly string[]): void {
    const known = tokens.every((token) => this.#entries.some(({ grantToken }) => grantToken === token));
    if (!known) throw new KmsRefusal("InvalidGrantTokenException");
  }

  /** Tells whether a grant permits a request. */
  permits(question: GrantQuestion): boolean {
    return this.#entries.some((entry) => permits(entry, question));
  }
}

/** Copies and checks the pairs that a request must have. */
function checkConstraint(field: string, given: unknown): Readonly<Record<string, string>> | undefined {
  if (given === undefined) return undefined;
  const pairs = checkRecord(field, given).map(([name, value]) => {
    if (typeof value === "string") return [name, value] as const;
    throw new TypeError(`${field} must have only strings as values`);
  });
  return Object.fromEntries(pairs);
}

function permits({ key, options, grantToken }: Entry, question: GrantQuestion): boolean {
  const { granteePrincipal = SIMULATED_PRINCIPAL, operations, settled = false } = options;
  return key === question.key &&
    granteePrincipal === SIMULATED_PRINCIPAL &&
    operations.some((operation) => operation === question.operation) &&
    (settled || question.grantTokens.includes(grantToken)) &&
    fits(options, question.encryptionContext);
}

function fits(options: CreateGrantOptions, encryptionContext: Readonly<Record<string, string>>): boolean {
  const { encryptionContextEquals: equals, encryptionContextSubset: subset } = options;
  const required = lowered(equals ?? subset ?? {});
  const given = lowered(encryptionContext);
  // Names that differ only in case: AWS does not say which one it compares.
  if (required.size > 0 && given.size !== Object.keys(encryptionContext).length) return false;
  if (equals !== undefined && required.size !== given.size) return false;
  return [...required].every(([name, value]) => given.get(name) === value);
}

function lowered(pairs: Readonly<Record<string, string>>): ReadonlyMap<string, string> {
  return new Map(Object.entries(pairs).map(([name, value]) => [name.toLowerCase(), value]));
}
