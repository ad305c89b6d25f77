import { checkFields, checkInteger, checkRecord } from "../../lib/core/checks.ts";
import { decodeHex } from "../../lib/core/encoding.ts";
import { checkEncryptionContext } from "../../lib/kms/operations/request_fields.ts";
import { importPublisherKey, SECRET_NAME } from "../../lib/wire/signed_secret.ts";
import type { AgeSource, KmsSource, SecretDeclaration, SecretSource, SharesSource } from "./declarations.ts";
import type { CheckedSecret, CheckedSource, RecipePort } from "./checked_secret.ts";
import { checkPins } from "./check_pins.ts";

const FIELDS: readonly (keyof SecretDeclaration)[] = [
  "name",
  "from",
  "port",
  "optional",
  "maxBytes",
  "publisher",
  "minVersion",
  "sha256",
  "chosenByParent",
];

/** Ports of the default recipe, by the name of the secret. */
const RECIPE: Readonly<Record<string, RecipePort>> = {
  __proto__: null as never,
  "age-key": "ageKeyPort",
  "key-shares": "keySharesPort",
};

const MAX_SECRETS = 32;
const MAX_VSOCK_PORT = 0xffff_fffe;
const MAX_BYTES = 2 ** 20;
const STANDARD_BYTES = 65_536;
/** Longest ciphertext of KMS, with a signature around it. */
const STANDARD_KMS_BYTES = 8192;

/**
 * Checks the declarations of an application's secrets.
 *
 * @param given Declarations
 * @returns The same, in their order
 * @throws {TypeError} When one is wrong in form, a name or port is there twice, an identity is not declared earlier, or a
 *   pin is missing: the message has the field's name and what to do
 * @throws {RangeError} When a number is out of range, or there are more than 32
 */
export async function checkDeclarations(
  given: readonly SecretDeclaration[] = [],
): Promise<readonly CheckedSecret[]> {
  if (!Array.isArray(given)) throw new TypeError("secrets must be a list of declarations");
  checkInteger("secrets.length", given.length, { min: 0, max: MAX_SECRETS });
  const declarations = given.map((one, index) => checkFields(`secrets[${index}]`, one, FIELDS));
  const names = declarations.map(({ name }, index) => checkName(`secrets[${index}].name`, name));
  refuseTwice("name", names);
  const sources = declarations.map(({ from }, index) => checkSource(place(index, names), from));
  const identities = findIdentities(names, sources);
  const checked: CheckedSecret[] = [];
  for (const [index, declaration] of declarations.entries()) {
    const field = place(index, names);
    const [source, identityOf] = [sources[index]!, identities.get(names[index]!)];
    checkPins(field, declaration, { source, identityOf });
    checked.push({ ...await checkOne(field, declaration, source), identityOf });
  }
  refuseTwice("port", checked.flatMap(({ port }) => port ?? []));
  return checked;
}

async function checkOne(
  field: string,
  declaration: SecretDeclaration,
  source: CheckedSource,
): Promise<Omit<CheckedSecret, "identityOf">> {
  const { name, optional = false, publisher, minVersion, chosenByParent, sha256 } = declaration;
  if (typeof optional !== "boolean") throw new TypeError(`${field}.optional must be a boolean`);
  const standardBytes = source.kind === "kms" ? STANDARD_KMS_BYTES : STANDARD_BYTES;
  return {
    name,
    source,
    port: checkPort(field, declaration, source),
    isOptional: optional,
    maxBytes: checkInteger(`${field}.maxBytes`, declaration.maxBytes, {
      min: 1,
      max: MAX_BYTES,
      default: standardBytes,
    }),
    publisher: publisher === undefined ? undefined : {
      key: await importPublisherKey(publisher).catch((error: Error) => {
        throw new TypeError(`${field}.${error.message}`);
      }),
      minVersion: checkInteger(`${field}.minVersion`, minVersion, { min: 0, max: Number.MAX_SAFE_INTEGER }),
    },
    sha256: sha256 === undefined ? undefined : checkHash(`${field}.sha256`, sha256),
    isChosenByParent: chosenByParent === true,
  };
}

function checkName(field: string, name: unknown): string {
  if (typeof name === "string" && SECRET_NAME.test(name)) return name;
  throw new TypeError(
    `${field} must have 1 to 64 letters, digits, \`.\`, \`_\` and \`-\`, a letter or digit first`,
  );
}

function checkPort(
  field: string,
  { name, port }: SecretDeclaration,
  { kind }: CheckedSource,
): CheckedSecret["port"] {
  if (kind === "sealed") {
    if (port === undefined) return undefined;
    throw new TypeError(`${field}.port must be left out: a sealed secret comes to POST /v1/secrets/${name}`);
  }
  if (port !== undefined) return checkInteger(`${field}.port`, port, { min: 1, max: MAX_VSOCK_PORT });
  const recipe = RECIPE[name];
  if (recipe !== undefined) return recipe;
  throw new TypeError(`${field}.port must be set: only age-key and key-shares have ports of their own`);
}

function checkSource(field: string, from: unknown): CheckedSource {
  const { kind } = Object(from) as SecretSource;
  if (kind === "sealed") return { kind };
  if (kind === "kms") return checkKms(`${field}.from`, from as KmsSource);
  if (kind === "age") return checkAge(`${field}.from`, from as AgeSource);
  if (kind === "shares") return checkShares(`${field}.from`, from as SharesSource);
  throw new TypeError(`${field}.from must be made by kmsSecret(), ageSecret(), sharesOf() or sealedSecret()`);
}

const KEY_ARN = /^arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key\/(?:mrk-)?[0-9a-zA-Z-]{1,64}$/;
const AGE_RECIPIENT = /^age1[02-9ac-hj-np-z]{58}$/;

function checkKms(field: string, { keyArn, encryptionContext }: KmsSource): KmsSource {
  if (keyArn !== undefined && (typeof keyArn !== "string" || !KEY_ARN.test(keyArn))) {
    throw new TypeError(
      `${field}.keyArn must be a full ARN, arn:aws:kms:<region>:<account>:key/<id>: an alias can move`,
    );
  }
  if (
    encryptionContext !== undefined &&
    checkRecord(`${field}.encryptionContext`, encryptionContext).length === 0
  ) {
    throw new TypeError(`${field}.encryptionContext must have at least one pair: an empty one pins nothing`);
  }
  return { kind: "kms", keyArn, encryptionContext: checkEncryptionContext(encryptionContext) };
}

function checkAge(field: string, { identity, recipient }: AgeSource): AgeSource {
  checkName(`${field}.identity`, identity);
  if (recipient === undefined || typeof recipient === "string" && AGE_RECIPIENT.test(recipient)) {
    return { kind: "age", identity, recipient };
  }
  throw new TypeError(`${field}.recipient must be age1 and 58 characters, as age-keygen prints it`);
}

function checkShares(field: string, { from, threshold, sha256 }: SharesSource): CheckedSource {
  const inner = checkSource(field, from);
  if (inner.kind !== "kms" && inner.kind !== "age") {
    throw new TypeError(`${field}.from must be made by kmsSecret() or ageSecret()`);
  }
  return {
    kind: "shares",
    from: inner,
    threshold: checkInteger(`${field}.threshold`, threshold, { min: 2, max: 255 }),
    sha256: checkHash(`${field}.sha256`, sha256),
  };
}

function checkHash(field: string, hex: unknown): Uint8Array {
  if (typeof hex === "string" && /^[0-9a-fA-F]{64}$/.test(hex)) return decodeHex(hex);
  throw new TypeError(`${field} must be 64 hex digits`);
}

/** Finds the secrets that are identities, with the recipients that are pinned for them. */
function findIdentities(
  names: readonly string[],
  sources: readonly CheckedSource[],
): Map<string, string | null> {
  const found = new Map<string, string | null>();
  for (const [index, source] of sources.entries()) {
    const age = source.kind === "shares" ? source.from : source;
    if (age.kind !== "age") continue;
    const field = `${place(index, names)}.from`;
    const at = names.indexOf(age.identity);
    if (at === -1 || at >= index || found.has(names[index]!)) {
      throw new TypeError(`${field}.identity must be the name of a secret that is declared earlier`);
    }
    const { recipient = null } = age;
    if (found.has(age.identity) && found.get(age.identity) !== recipient) {
      throw new TypeError(`${field}.recipient must be that of the others with identity ${age.identity}`);
    }
    found.set(age.identity, recipient);
  }
  return found;
}

function refuseTwice(what: string, values: readonly (string | number)[]): void {
  const twice = values.find((value, index) => values.indexOf(value) !== index);
  if (twice !== undefined) throw new TypeError(`secrets must not have the ${what} ${twice} twice`);
}

function place(index: number, names: readonly string[]): string {
  return `secrets[${index}] (${names[index]})`;
}
