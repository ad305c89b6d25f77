import { Buffer } from "node:buffer";
import {
  constants,
  createCipheriv,
  createDecipheriv,
  createHash,
  generateKeyPair,
  type KeyObject,
  privateDecrypt,
  publicEncrypt,
  randomBytes,
  randomUUID,
} from "node:crypto";
import { promisify } from "node:util";
import { KmsRefusal } from "./kms_errors.ts";
import { ALLOW_ALL_POLICY, checkPolicy, type KeyPolicy, SIMULATED_ACCOUNT } from "./kms_policy.ts";

/** What a key is made of. */
export type KeySpec = "SYMMETRIC_DEFAULT" | "RSA_2048";

/** Whether a key can be used. */
export type KeyState = "Enabled" | "Disabled" | "PendingDeletion" | "PendingImport" | "Unavailable";

/** The algorithms of Encrypt and Decrypt. */
export type KeyAlgorithm = "SYMMETRIC_DEFAULT" | "RSAES_OAEP_SHA_1" | "RSAES_OAEP_SHA_256";

/** What kind of key to make. */
export interface CreateKeyOptions {
  /** Default: `SYMMETRIC_DEFAULT`. RSA keys take up to a second to make. */
  readonly spec?: KeySpec | undefined;
  /** A second name: `alias/…`. */
  readonly alias?: string | undefined;
  /** Who may use it. Default: everyone. */
  readonly policy?: KeyPolicy | undefined;
  /** Default: `Enabled`. */
  readonly state?: KeyState | undefined;
}

/** A key of the simulated KMS. */
export class SimulatedKey {
  /** The key's id, a UUID. */
  readonly keyId: string;
  /** The key's ARN. */
  readonly arn: string;
  /** Its second name, if it has one. */
  readonly alias: string | undefined;
  /** What it is made of. */
  readonly spec: KeySpec;
  /** Whether it can be used; may be changed at any time. */
  state: KeyState;
  readonly #material: KeyMaterial;
  #policy: KeyPolicy;

  /** @internal */
  constructor(arnPrefix: string, material: KeyMaterial, options: CreateKeyOptions) {
    this.keyId = randomUUID();
    this.arn = `${arnPrefix}:key/${this.keyId}`;
    this.alias = options.alias;
    this.spec = options.spec ?? "SYMMETRIC_DEFAULT";
    this.state = options.state ?? "Enabled";
    this.#material = material;
    this.#policy = checkPolicy(options.policy ?? ALLOW_ALL_POLICY);
  }

  /** Who may use it; may be replaced at any time. */
  get policy(): KeyPolicy {
    return this.#policy;
  }

  set policy(policy: KeyPolicy) {
    this.#policy = checkPolicy(policy);
  }

  /** Throws what KMS throws when a key in this state is used. */
  requireEnabled(): void {
    if (this.state === "Enabled") return;
    if (this.state === "Disabled") throw new KmsRefusal("DisabledException", `${this.arn} is disabled.`);
    const words = {
      PendingDeletion: "pending deletion",
      PendingImport: "pending import",
      Unavailable: "unavailable",
    };
    throw new KmsRefusal("KMSInvalidStateException", `${this.arn} is ${words[this.state]}.`);
  }

  /** Throws what KMS throws when a key of another kind is meant. */
  requireAlgorithm(algorithm: KeyAlgorithm): void {
    if ((algorithm === "SYMMETRIC_DEFAULT") === (this.spec === "SYMMETRIC_DEFAULT")) return;
    const message = `Algorithm ${algorithm} is incompatible with key spec ${this.spec}.`;
    throw new KmsRefusal("InvalidKeyUsageException", message);
  }

  /** Encrypts; the associated data is that of the encryption context. */
  encrypt(plaintext: Uint8Array, algorithm: KeyAlgorithm, associatedData: Uint8Array): Uint8Array {
    const material = this.#material;
    if (material.type === "rsa") {
      return publicEncrypt({ key: material.publicKey, ...oaep(algorithm) }, plaintext);
    }
    const header = this.#header();
    const iv = randomBytes(IV_LENGTH);
    const cipher = createCipheriv("aes-256-gcm", material.key, iv).setAAD(
      Buffer.concat([header, associatedData]),
    );
    return Buffer.concat([header, iv, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
  }

  /** Decrypts, or throws `InvalidCiphertextException`. */
  decrypt(ciphertext: Uint8Array, algorithm: KeyAlgorithm, associatedData: Uint8Array): Uint8Array {
    const material = this.#material;
    try {
      if (material.type === "rsa") {
        return privateDecrypt({ key: material.privateKey, ...oaep(algorithm) }, ciphertext);
      }
      return this.#openSymmetric(material.key, ciphertext, associatedData);
    } catch {
      throw new KmsRefusal("InvalidCiphertextException");
    }
  }

  /** Whether a symmetric ciphertext names this key. */
  made(ciphertext: Uint8Array): boolean {
    return this.#header().equals(ciphertext.subarray(0, HEADER_LENGTH));
  }

  #openSymmetric(key: Uint8Array, ciphertext: Uint8Array, associatedData: Uint8Array): Uint8Array {
    const bodyStart = HEADER_LENGTH + IV_LENGTH;
    const bodyEnd = ciphertext.length - TAG_LENGTH;
    const decipher = createDecipheriv("aes-256-gcm", key, ciphertext.subarray(HEADER_LENGTH, bodyStart))
      .setAAD(Buffer.concat([ciphertext.subarray(0, HEADER_LENGTH), associatedData]))
      .setAuthTag(ciphertext.subarray(bodyEnd));
    return Buffer.concat([decipher.update(ciphertext.subarray(bodyStart, bodyEnd)), decipher.final()]);
  }

  #header(): Buffer {
    return Buffer.concat([BLOB_PREFIX, createHash("sha256").update(this.arn).digest()]);
  }
}

/** The keys by their names. */
export class KeyStore {
  readonly #keys: SimulatedKey[] = [];
  readonly #arnPrefix: string;

  /** @param region Of the keys' ARNs */
  constructor(region: string) {
    this.#arnPrefix = `arn:${partition(region)}:kms:${region}:${SIMULATED_ACCOUNT}`;
  }

  /** Makes a key. */
  async create(options: CreateKeyOptions): Promise<SimulatedKey> {
    const { alias, spec = "SYMMETRIC_DEFAULT" } = options;
    if (alias !== undefined && !/^alias\/[a-zA-Z0-9/_-]{1,250}$/.test(alias)) {
      throw new TypeError("alias has to be alias/ and a name");
    }
    const key = new SimulatedKey(this.#arnPrefix, await makeMaterial(spec), options);
    this.#keys.push(key);
    return key;
  }

  /** The key with this id, ARN, alias or alias ARN. */
  find(name: string): SimulatedKey {
    const found = this.#keys.find(({ keyId, arn, alias }) =>
      name === keyId || name === arn ||
      (alias !== undefined && (name === alias || name === this.#aliasArn(alias)))
    );
    if (found !== undefined) return found;
    const isAlias = name.includes("alias/");
    const arn = name.startsWith("arn:") ? name : `${this.#arnPrefix}:${isAlias ? "" : "key/"}${name}`;
    throw new KmsRefusal(
      "NotFoundException",
      isAlias ? `Alias ${arn} is not found.` : `Key '${arn}' does not exist`,
    );
  }

  /** The key that made this symmetric ciphertext. */
  findByCiphertext(ciphertext: Uint8Array): SimulatedKey {
    const found = this.#keys.find((key) => key.made(ciphertext));
    if (found === undefined) throw new KmsRefusal("InvalidCiphertextException");
    return found;
  }

  #aliasArn(alias: string): string {
    return `${this.#arnPrefix}:${alias}`;
  }
}

/** What a key is made of. */
type KeyMaterial =
  | { readonly type: "aes"; readonly key: Uint8Array }
  | { readonly type: "rsa"; readonly publicKey: KeyObject; readonly privateKey: KeyObject };

/** How blobs of KMS start: `AQICAHg…` in base64. */
const BLOB_PREFIX = Uint8Array.of(1, 2, 2, 0, 0x78);
const HEADER_LENGTH = BLOB_PREFIX.length + 32;
const IV_LENGTH = 12;
const TAG_LENGTH = 16;

async function makeMaterial(spec: KeySpec): Promise<KeyMaterial> {
  if (spec === "SYMMETRIC_DEFAULT") return { type: "aes", key: randomBytes(32) };
  return { type: "rsa", ...await promisify(generateKeyPair)("rsa", { modulusLength: 2048 }) };
}

function oaep(algorithm: KeyAlgorithm): { padding: number; oaepHash: string } {
  const oaepHash = algorithm === "RSAES_OAEP_SHA_1" ? "sha1" : "sha256";
  return { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash };
}

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
