import { Buffer } from "node:buffer";
import {
  constants,
  createCipheriv,
  createDecipheriv,
  createHash,
  privateDecrypt,
  publicEncrypt,
  randomBytes,
  randomUUID,
} from "node:crypto";
import { encodeHex } from "../../../lib/core/encoding.ts";
import { KmsRefusal } from "../kms_errors.ts";
import type { KeyAlgorithm } from "./encryption_algorithms.ts";
import { type KeySpec, type KeyUsage, recipeOf, usualUsage } from "./key_families.ts";
import { type KeyPair, makeKeyPair, publicKeyDer } from "./key_pairs.ts";
import { ALLOW_ALL_KEY_POLICY, type KeyPolicy } from "../policy/key_policy.ts";
import { checkPolicy } from "../policy/check_policy.ts";

/** Origin of a key's material: KMS, or its owner, who imported it. */
export type KeyOrigin = "AWS_KMS" | "EXTERNAL";

/** State of a key. Only an enabled one can be used. */
export type KeyState = "Enabled" | "Disabled" | "PendingDeletion" | "PendingImport" | "Unavailable";

/** Options of a key. */
export interface CreateKeyOptions {
  /** Default: `SYMMETRIC_DEFAULT`. RSA keys take up to some seconds to make. */
  readonly spec?: KeySpec | undefined;
  /** Default: `ENCRYPT_DECRYPT` where the kind of key has it, else `KEY_AGREEMENT`, else its only use. */
  readonly usage?: KeyUsage | undefined;
  /** Origin that KMS states for the material. Default: `AWS_KMS`. */
  readonly origin?: KeyOrigin | undefined;
  /** Id of the key, a UUID. Default: a random one. */
  readonly keyId?: string | undefined;
  /**
   * Bytes of a symmetric or HMAC key, as long as its kind has them: with the same `keyId` and region, what was encrypted
   * in one simulator decrypts in another. Default: random ones.
   */
  readonly material?: Uint8Array | undefined;
  /** A second name: `alias/…`. */
  readonly alias?: string | undefined;
  /** Key policy. Default: everyone may use the key. */
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
  /** Kind of the material. */
  readonly spec: KeySpec;
  /** Use of the key. */
  readonly usage: KeyUsage;
  /** Origin of the material. */
  readonly origin: KeyOrigin;
  /** State of the key; may be changed at any time. */
  state: KeyState;
  readonly #material: KeyMaterial;
  readonly #materialId = encodeHex(randomBytes(32));
  #policy: KeyPolicy;

  /** @internal */
  constructor(arnPrefix: string, material: KeyMaterial, options: CreateKeyOptions) {
    this.keyId = options.keyId ?? randomUUID();
    this.arn = `${arnPrefix}:key/${this.keyId}`;
    this.alias = options.alias;
    this.spec = options.spec ?? "SYMMETRIC_DEFAULT";
    this.usage = options.usage ?? usualUsage(this.spec);
    this.origin = options.origin ?? "AWS_KMS";
    this.state = options.state ?? "Enabled";
    this.#material = material;
    this.#policy = checkPolicy(options.policy ?? ALLOW_ALL_KEY_POLICY);
  }

  /** Key policy; may be replaced at any time. */
  get policy(): KeyPolicy {
    return this.#policy;
  }

  set policy(policy: KeyPolicy) {
    this.#policy = checkPolicy(policy);
  }

  /** The public half, SPKI DER, as GetPublicKey returns it; undefined when the key is symmetric. */
  get publicKey(): Uint8Array<ArrayBuffer> | undefined {
    return this.#material.type === "pair" ? publicKeyDer(this.#material) : undefined;
  }

  /** Id of the material: 64 hex digits; undefined when the key is asymmetric. */
  get materialId(): string | undefined {
    return this.#material.type === "secret" ? this.#materialId : undefined;
  }

  /**
   * Key pair of an asymmetric key.
   *
   * @throws {KmsRefusal} `InvalidKeyUsageException` when the key is symmetric
   * @internal
   */
  get keyPair(): KeyPair {
    if (this.#material.type === "pair") return this.#material;
    throw new KmsRefusal("InvalidKeyUsageException");
  }

  /**
   * Bytes of a symmetric key.
   *
   * @throws {KmsRefusal} `InvalidKeyUsageException` when the key is asymmetric
   * @internal
   */
  get secretKey(): Uint8Array {
    if (this.#material.type === "secret") return this.#material.key;
    throw new KmsRefusal("InvalidKeyUsageException");
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

  /** Throws what KMS throws when a key is used for what it is not for. */
  requireUsage(usage: KeyUsage, operation: string): void {
    if (this.usage === usage) return;
    const message = `${this.arn} key usage is ${this.usage} which is not valid for ${operation}.`;
    throw new KmsRefusal("InvalidKeyUsageException", message);
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
    if (material.type === "pair") {
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
      if (material.type === "pair") {
        return privateDecrypt({ key: material.privateKey, ...oaep(algorithm) }, ciphertext);
      }
      return this.#openSymmetric(material.key, ciphertext, associatedData);
    } catch {
      throw new KmsRefusal("InvalidCiphertextException");
    }
  }

  /** Tells whether a symmetric ciphertext names this key. */
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

/**
 * Material of a key.
 *
 * @internal
 */
export type KeyMaterial =
  | { readonly type: "secret"; readonly key: Uint8Array }
  | ({ readonly type: "pair" } & KeyPair);

/**
 * Makes the material of a key.
 *
 * @param options Kind of key
 * @returns Fresh material
 * @throws {TypeError} When KMS has no such key
 * @internal
 */
export async function makeMaterial(options: CreateKeyOptions): Promise<KeyMaterial> {
  const { spec = "SYMMETRIC_DEFAULT", usage = usualUsage(spec) } = options;
  const recipe = recipeOf(spec, usage);
  if (recipe.type === "secret") return { type: "secret", key: givenBytes(options, recipe.length) };
  if (options.material !== undefined) {
    throw new TypeError("material must not be given: the key is a key pair");
  }
  return { type: "pair", ...await makeKeyPair(spec, recipe) };
}

function givenBytes({ material }: CreateKeyOptions, length: number): Uint8Array {
  if (material === undefined) return randomBytes(length);
  if (material instanceof Uint8Array && material.length === length) return new Uint8Array(material);
  throw new TypeError(`material must be ${length} bytes`);
}

/** First bytes of KMS's ciphertexts: `AQICAHg…` in base64. */
const BLOB_PREFIX = Uint8Array.of(1, 2, 2, 0, 0x78);
const HEADER_LENGTH = BLOB_PREFIX.length + 32;
const IV_LENGTH = 12;
const TAG_LENGTH = 16;

function oaep(algorithm: KeyAlgorithm): { padding: number; oaepHash: string } {
  const oaepHash = algorithm === "RSAES_OAEP_SHA_1" ? "sha1" : "sha256";
  return { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash };
}
