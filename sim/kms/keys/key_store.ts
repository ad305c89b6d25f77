import { checkFields } from "../../../lib/core/checks.ts";
import { KmsRefusal } from "../kms_errors.ts";
import { type CreateKeyOptions, makeMaterial, SimulatedKey } from "./simulated_key.ts";
import { SIMULATED_ACCOUNT } from "../policy/key_policy.ts";

const OPTIONS = ["spec", "usage", "origin", "keyId", "material", "alias", "policy", "state"];

/** The keys by their names. */
export class KeyStore {
  readonly #keys: SimulatedKey[] = [];
  readonly #aliases = new Map<string, SimulatedKey>();
  readonly #arnPrefix: string;

  /** @param region Region in the keys' ARNs */
  constructor(region: string) {
    this.#arnPrefix = `arn:${partition(region)}:kms:${region}:${SIMULATED_ACCOUNT}`;
  }

  /** Makes a key. */
  async create(given: CreateKeyOptions): Promise<SimulatedKey> {
    const options = checkFields("options of createKey", given, OPTIONS);
    const { alias, keyId } = options;
    if (keyId !== undefined && !KEY_ID.test(keyId)) throw new TypeError("keyId must be a UUID in lowercase");
    if (this.#keys.some((key) => key.keyId === keyId)) {
      throw new TypeError("keyId must be that of no other key");
    }
    if (alias !== undefined && !ALIAS.test(alias)) throw new TypeError("alias must be alias/ and a name");
    if (this.#aliases.has(alias ?? "")) throw new TypeError("alias must be that of no other key");
    const key = new SimulatedKey(this.#arnPrefix, await makeMaterial(options), options);
    this.#keys.push(key);
    if (alias !== undefined) this.#aliases.set(alias, key);
    return key;
  }

  /** Gives a key one more name; one that is taken, or no alias, is refused as KMS refuses it. */
  addAlias(alias: string, key: SimulatedKey): void {
    if (!ALIAS.test(alias)) throw new KmsRefusal("ValidationException", "Alias must be alias/ and a name");
    if (this.#aliases.has(alias)) {
      throw new KmsRefusal(
        "AlreadyExistsException",
        `An alias with the name ${this.aliasArn(alias)} already exists`,
      );
    }
    this.#aliases.set(alias, key);
  }

  /** Aliases and their keys, in the order in which they were made. */
  get aliases(): readonly (readonly [alias: string, key: SimulatedKey])[] {
    return [...this.#aliases];
  }

  /** Keys in the order in which they were made. */
  get all(): readonly SimulatedKey[] {
    return this.#keys;
  }

  /** Finds a key by id, ARN, alias or alias ARN. */
  find(name: string): SimulatedKey {
    const prefix = this.aliasArn("");
    const found = this.#aliases.get(name.startsWith(prefix) ? name.slice(prefix.length) : name) ??
      this.#keys.find(({ keyId, arn }) => name === keyId || name === arn);
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
    if (name.includes("alias/")) return `Alias ${isArn ? name : this.aliasArn(name)} is not found.`;
    if (!isArn && !KEY_ID.test(name)) return `Invalid keyId '${name}'`;
    return `Key '${isArn ? name : `${this.#arnPrefix}:key/${name}`}' does not exist`;
  }

  /** Makes the ARN of an alias. */
  aliasArn(alias: string): string {
    return `${this.#arnPrefix}:${alias}`;
  }
}

const ALIAS = /^alias\/[a-zA-Z0-9/_-]{1,250}$/;

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
