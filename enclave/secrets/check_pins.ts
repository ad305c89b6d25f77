import type { SecretDeclaration } from "./declarations.ts";
import type { CheckedSource } from "./checked_secret.ts";

/** Facts of a declaration that its pins depend on. */
export interface PinFacts {
  readonly source: CheckedSource;
  /** See `CheckedSecret.identityOf`. */
  readonly identityOf: string | null | undefined;
}

/**
 * Checks that a secret is pinned, or that the application writes out that it is not. KMS and age tell who may read a
 * secret, and not who wrote it: without pins whoever controls the parent puts in one of their own, and every step succeeds.
 *
 * @param field Name of the declaration, for messages
 * @param declaration The declaration
 * @param facts Source, and whether the secret is an identity
 * @throws {TypeError} When a pin is missing, or one contradicts `chosenByParent`
 */
export function checkPins(field: string, declaration: SecretDeclaration, facts: PinFacts): void {
  const { chosenByParent, publisher, minVersion, sha256 } = declaration;
  if (chosenByParent !== undefined && (chosenByParent as boolean) !== true) {
    throw new TypeError(`${field}.chosenByParent must be true, or left out`);
  }
  if (chosenByParent === true) return refusePins(field, declaration);
  const { source, identityOf } = facts;
  const missing = missingPin(source);
  if (missing !== undefined) throw notPinned(`${field}.${missing}`);
  if (publisher !== undefined) {
    if (minVersion === undefined) throw notPinned(`${field}.minVersion`);
    return;
  }
  if (minVersion !== undefined) {
    throw new TypeError(`${field}.minVersion needs a publisher: nobody else states a version`);
  }
  // The content itself is pinned: no other one fits.
  if (sha256 !== undefined || source.kind === "shares" || typeof identityOf === "string") return;
  throw notPinned(`${field}.publisher`);
}

/** Refuses what would read as a safeguard and be none. */
function refusePins(field: string, declaration: SecretDeclaration): void {
  const pin = (["publisher", "minVersion", "sha256"] as const).find((name) =>
    declaration[name] !== undefined
  );
  if (pin !== undefined) {
    throw new TypeError(
      `${field}.${pin} must be left out where chosenByParent is true: it says that nothing is pinned`,
    );
  }
}

function missingPin(source: CheckedSource): string | undefined {
  const inner = source.kind === "shares" ? source.from : source;
  const path = source.kind === "shares" ? "from.from" : "from";
  if (inner.kind === "kms" && inner.keyArn === undefined) return `${path}.keyArn`;
  if (inner.kind === "kms" && inner.encryptionContext === undefined) return `${path}.encryptionContext`;
  if (inner.kind === "age" && inner.recipient === undefined) return `${path}.recipient`;
  return undefined;
}

function notPinned(field: string): TypeError {
  return new TypeError(
    `${field} must be set: without it the parent can put in a secret of its own. ` +
      "Write chosenByParent: true if it may",
  );
}
