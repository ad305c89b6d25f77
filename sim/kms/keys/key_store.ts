import { checkFields } from "../../../lib/core/checks.ts";
import { KmsRefusal } from "../kms_errors.ts";
import { type CreateKeyOptions, makeMaterial, SimulatedKey } from "./simulated_key.ts";
import { SIMULATED_ACCOUNT } from "../policy/key_policy.ts";

const OPTIONS = ["spec", "usage", "origin", "alias", "policy", "state"];

/** The keys by their names. */
export class KeyStore {
  readonly #keys: SimulatedKey[] = [];
  readonly #arnPrefix: string;

  /** @param region Region in the keys' ARNs */
  constructor(region: string) {
    this.#arnPrefix = `arn:${partition(region)}:kms:${region}:${SIMULATED_ACCOUNT}`;
  }

  /** Makes a key. */
  async create(given: CreateKeyOptions): Promise<SimulatedKey> {
    const options = checkFields("options of createKey", given, OPTIONS);
    const { alias } = options;
    if (alias !== undefined && !/^alias\/[a-zA-Z0-9/_-]{1,250}$/.test(alias)) {
      throw new TypeError("alias must be alias/ and a name");
    }
    const key = new SimulatedKey(this.#arnPrefix, await makeMaterial(options), options);
    this.#keys.push(key);
    return key;
  }

  /** Finds a key by id, ARN, alias or alias ARN. */
  find(name: string): SimulatedKey {
    const found = this.#keys.find(({ keyId, arn, alias }) =>
      name === keyId || name === arn ||
      (alias !== undefined && (name === alias || name === this.#aliasArn(alias)))
    );
    if (found !== undefined) return found;
    throw new KmsRefusal("NotFoundException", this.#notFound(name));
  }

  /** Finds the key that made a symmetric ciphertext. */
  findByCiphertext(ciphertext: Uint8Array): SimulatedKey {
    const found = this.#keys.find((key) => key.made(ciphertext));
    if (found === undefined) throw new KmsRefusal("InvalidCiphertextException");
    return found;
  }

  /** Chooses among KMS's three texts: for an alias, for a name that could be a key's, and for any other. */
  #notFound(name: string): string {
    const isArn = name.startsWith("arn:");
    if (name.includes("alias/")) return `Alias ${isArn ? name : this.#aliasArn(name)} is not found.`;
    if (!isArn && !KEY_ID.test(name)) return `Invalid keyId '${name}'`;
    return `Key '${isArn ? name : `${this.#arnPrefix}:key/${name}`}' does not exist`;
  }

  #aliasArn(alias: string): string {
    return `${this.#arnPrefix}:${alias}`;
  }
}

const KEY_ID = /^(?:mrk-[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/;

function partition(region: string): string {
  const [prefix = ""] = /^(?:cn|us-gov|eusc|us-isob|us-isof|us-iso|eu-isoe)(?=-)/.exec(region) ?? [];
  if (prefix === "") return "aws";
  const names: Readonly<Record<string, string>> = {
    "us-isob": "aws-iso-b",
    "us-isof": "aws-iso-f",
    "us-iso": "aws-iso",
    "eu-isoe": "aws-iso-e",
  };
  return names[prefix] ?? `aws-${prefix}`;
}
