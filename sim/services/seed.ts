/**
 * The seed of a simulator: what its KMS, its module and its S3 hold from the start. Everything in it is checked; a field
 * that is not known is refused by its name.
 *
 * @module
 */
import { checkFields, checkFlag, checkOneOf, checkRecord, checkText } from "../../lib/core/checks.ts";
import { decodeBase64 } from "../../lib/core/encoding.ts";
import { pcrHex, readPcrs } from "../../lib/core/pcrs.ts";
import type { KeyAlgorithm } from "../kms/keys/encryption_algorithms.ts";
import type { CreateKeyOptions } from "../kms/keys/simulated_key.ts";
import type { SimulatedCredentials } from "../kms/kms_credentials.ts";
import type { KeyPolicy } from "../kms/policy/key_policy.ts";

/** Key of a seed. */
export interface SeedKey extends Omit<CreateKeyOptions, "policy"> {
  /** `enclave`: only the simulated enclave decrypts; `everyone`; or a key policy as KMS has it. Default: `enclave`. */
  readonly policy: "enclave" | "everyone" | KeyPolicy;
}

/** Ciphertext of a seed. */
export interface SeedCiphertext {
  /** Name under which it is listed. */
  readonly name: string;
  /** Key id, ARN or alias. */
  readonly key: string;
  /** 1 to 4096 bytes. */
  readonly plaintext: Uint8Array;
  /** Encryption context, which a decrypt must repeat. */
  readonly encryptionContext: Readonly<Record<string, string>>;
  /** Default: that of symmetric keys. */
  readonly encryptionAlgorithm: KeyAlgorithm | undefined;
}

/** Bucket of a seed, with its objects by their keys. */
export interface SeedBucket {
  readonly name: string;
  readonly objects: readonly (readonly [key: string, body: Uint8Array])[];
}

/** Content of a simulator from the start. */
export interface Seed {
  readonly region: string | undefined;
  readonly pcrs: Readonly<Record<number, string>> | undefined;
  readonly debug: boolean;
  readonly credentials: SimulatedCredentials | undefined;
  readonly keys: readonly SeedKey[];
  readonly ciphertexts: readonly SeedCiphertext[];
  readonly buckets: readonly SeedBucket[];
}

const FIELDS = ["region", "pcrs", "debug", "credentials", "keys", "ciphertexts", "buckets"];
const KEY_FIELDS = ["keyId", "material", "alias", "spec", "usage", "origin", "state", "policy"];
const CIPHERTEXT_FIELDS = [
  ...["name", "key", "plaintext", "plaintextBase64", "encryptionContext", "encryptionAlgorithm"],
];
const CREDENTIAL_FIELDS = ["accessKeyId", "secretAccessKey", "sessionToken"];
const STATES = ["Enabled", "Disabled", "PendingDeletion", "PendingImport", "Unavailable"] as const;

/** Greatest number of keys, ciphertexts, buckets, and objects of a bucket. */
const MAX_ENTRIES = 1000;

/**
 * Reads a seed.
 *
 * @param text JSON: `region`, `pcrs`, `debug`, `credentials`, `keys`, `ciphertexts` and `buckets`, all optional
 * @returns The seed. Kinds of keys are checked when the keys are made
 * @throws {TypeError} Names the field that is unknown or malformed; there is no value in the message
 * @throws {RangeError} When a text is empty or too long
 */
export function readSeed(text: string): Seed {
  const seed = checkFields("seed", parse(text), FIELDS) as Readonly<Record<string, unknown>>;
  const ciphertexts = list("ciphertexts", seed["ciphertexts"], readCiphertext);
  const names = ciphertexts.map(({ name }) => name);
  if (new Set(names).size < names.length) throw new TypeError("ciphertexts must have names that differ");
  return {
    region: seed["region"] === undefined ? undefined : readRegion(seed["region"]),
    pcrs: seed["pcrs"] === undefined ? undefined : readRegisters(seed["pcrs"]),
    debug: checkFlag("debug", seed["debug"]),
    credentials: seed["credentials"] === undefined ? undefined : readCredentials(seed["credentials"]),
    keys: list("keys", seed["keys"], readKey),
    ciphertexts,
    buckets: list("buckets", seed["buckets"], readBucket),
  };
}

function parse(text: string): object {
  try {
    return JSON.parse(text) as object;
  } catch {
    throw new TypeError("The seed must be JSON");
  }
}

function list<T>(field: string, value: unknown, read: (place: string, value: object) => T): readonly T[] {
  if (value === undefined) return [];
  if (!Array.isArray(value) || value.length > MAX_ENTRIES) {
    throw new TypeError(`${field} must be an array of at most ${MAX_ENTRIES}`);
  }
  return value.map((entry, index) => read(`${field}[${index}]`, entry));
}

/**
 * Checks the name of a region, which becomes a part of host names.
 *
 * @param value Any
 * @throws {TypeError} When it is none
 */
export function readRegion(value: unknown): string {
  if (typeof value === "string" && /^[a-z]{2,4}(?:-[a-z]+)+-\d{1,2}$/.test(value)) return value;
  throw new TypeError("region must be a region's name, such as eu-central-1");
}

function readRegisters(value: unknown): Record<number, string> {
  return Object.fromEntries(
    readPcrs("pcrs", value).map(([index, hex]) => {
      if (pcrHex(`pcrs[${index}]`, hex).length === 96) return [index, String(hex)];
      throw new TypeError(`pcrs[${index}] must be 48 bytes as hex`);
    }),
  );
}

function readCredentials(value: unknown): SimulatedCredentials {
  const given = checkFields("credentials", value as SimulatedCredentials, CREDENTIAL_FIELDS);
  const part = (name: keyof SimulatedCredentials) => {
    const text = checkText(`credentials.${name}`, given[name], 4096);
    if (/^[\x21-\x7e]+$/.test(text)) return text;
    throw new TypeError(`credentials.${name} must be visible ASCII`);
  };
  return {
    accessKeyId: part("accessKeyId"),
    secretAccessKey: part("secretAccessKey"),
    sessionToken: part("sessionToken"),
  };
}

function readKey(place: string, value: object): SeedKey {
  const key = checkFields(`key ${place}`, value, KEY_FIELDS) as Readonly<Record<string, unknown>>;
  const text = (name: string) =>
    key[name] === undefined ? undefined : checkText(`${place}.${name}`, key[name], 2048);
  return {
    keyId: text("keyId"),
    material: key["material"] === undefined ? undefined : base64(`${place}.material`, key["material"]),
    alias: text("alias"),
    // KMS's own list is asked when the key is made.
    spec: text("spec") as SeedKey["spec"],
    usage: text("usage") as SeedKey["usage"],
    origin: checkOneOf(`${place}.origin`, key["origin"], ["AWS_KMS", "EXTERNAL"]),
    state: checkOneOf(`${place}.state`, key["state"], STATES),
    policy: readPolicy(`${place}.policy`, key["policy"]),
  };
}

function readPolicy(field: string, value: unknown): SeedKey["policy"] {
  if (value === undefined || value === "enclave") return "enclave";
  if (value === "everyone") return value;
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as KeyPolicy;
  throw new TypeError(`${field} must be "enclave", "everyone" or a key policy`);
}

function readCiphertext(place: string, value: object): SeedCiphertext {
  const given = checkFields(`ciphertext ${place}`, value, CIPHERTEXT_FIELDS) as Readonly<
    Record<string, unknown>
  >;
  const name = checkText(`${place}.name`, given["name"], 64);
  if (!/^[\w.-]+$/.test(name)) throw new TypeError(`${place}.name must be of letters, digits, _, . and -`);
  const { encryptionAlgorithm } = given;
  return {
    name,
    key: checkText(`${place}.key`, given["key"], 2048),
    plaintext: readPlaintext(place, given),
    encryptionContext: readContext(`${place}.encryptionContext`, given["encryptionContext"]),
    encryptionAlgorithm: checkOneOf(`${place}.encryptionAlgorithm`, encryptionAlgorithm, ALGORITHMS),
  };
}

const ALGORITHMS = ["SYMMETRIC_DEFAULT", "RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"] as const;

function readPlaintext(place: string, given: Readonly<Record<string, unknown>>): Uint8Array {
  const { plaintext, plaintextBase64 } = given;
  if ((plaintext === undefined) === (plaintextBase64 === undefined)) {
    throw new TypeError(`${place} must have either plaintext or plaintextBase64`);
  }
  if (plaintext === undefined) return base64(`${place}.plaintextBase64`, plaintextBase64);
  return new TextEncoder().encode(checkText(`${place}.plaintext`, plaintext, 4096));
}

function readContext(field: string, value: unknown): Record<string, string> {
  return Object.fromEntries(
    checkRecord(field, value ?? {}).map(([name, text]) => [name, checkText(`${field}.${name}`, text, 8192)]),
  );
}

function readBucket(place: string, value: object): SeedBucket {
  const bucket = checkFields(`bucket ${place}`, value, ["name", "objects"]) as Readonly<
    Record<string, unknown>
  >;
  const name = checkText(`${place}.name`, bucket["name"], 63);
  if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(name)) {
    throw new TypeError(`${place}.name must be a bucket's`);
  }
  const objects = checkRecord(`${place}.objects`, bucket["objects"] ?? {});
  if (objects.length > MAX_ENTRIES) throw new TypeError(`${place}.objects must be at most ${MAX_ENTRIES}`);
  return {
    name,
    objects: objects.map(([key, body]) =>
      [
        checkText(`key of ${place}.objects`, key, 1024),
        base64(`${place}.objects`, body),
      ] as const
    ),
  };
}

function base64(field: string, value: unknown): Uint8Array {
  if (typeof value === "string") {
    try {
      return decodeBase64(value);
    } catch {
      // refused below
    }
  }
  throw new TypeError(`${field} must be base64`);
}
