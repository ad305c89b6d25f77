/**
 * Suites of HPKE (RFC 9180) that sealed HTTP speaks: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, and of the AEADs
 * AES-256-GCM or AES-128-GCM.
 *
 * @module
 */
import {
  type AEAD,
  AEAD_AES_128_GCM,
  AEAD_AES_256_GCM,
  type AEADFactory,
  CipherSuite,
  encode,
  I2OSP,
  type KDF,
  KDF_HKDF_SHA256,
  type KDFFactory,
  type KEM,
  KEM_DHKEM_X25519_HKDF_SHA256,
  type KEMFactory,
  type Key,
  LabeledExpand,
  LabeledExtract,
} from "hpke";
import { concatBytes } from "../core/bytes.ts";

/** Number of the KEM. */
export const KEM_ID = 0x0020;
/** Number of the KDF. */
export const KDF_ID = 0x0001;
/** Bytes of a public key, and of an encapsulated one. */
export const PUBLIC_KEY_BYTES = 32;
/** Bytes that an AEAD adds. */
export const TAG_BYTES = 16;

/** Suite, by the number of its AEAD. */
export interface Suite {
  /** Number of the AEAD. */
  readonly aeadId: number;
  /** HPKE itself. */
  readonly hpke: CipherSuite;
  /** KDF alone. */
  readonly kdf: Readonly<KDF>;
  /** AEAD alone. */
  readonly aead: Readonly<AEAD>;
}

/** Primitives in the place of WebCrypto's, which leaves copies behind and takes a turn of its own for each call. */
export interface Primitives {
  /** Makes a key pair on X25519. */
  generate(): OwnKeyPair;
  /** Computes HMAC with SHA-256. */
  hmac(key: Uint8Array, data: Uint8Array): Uint8Array;
  /** Encrypts by AES-GCM, with a nonce of 12 bytes and additional data; the tag of 16 bytes comes last. */
  seal(key: Uint8Array, nonce: Uint8Array, plaintext: Uint8Array, aad: Uint8Array): Uint8Array;
  /** Decrypts the same; throws when it was changed. */
  open(key: Uint8Array, nonce: Uint8Array, sealed: Uint8Array, aad: Uint8Array): Uint8Array;
}

/** Key pair on X25519 of another library. */
export interface OwnKeyPair {
  /** Public key, 32 bytes. */
  readonly publicKey: Uint8Array;
  /** Agrees on a secret of 32 bytes with whoever has the private key of a public one; throws when that is none. */
  agree(publicKey: Uint8Array): Uint8Array;
}

/** The suites over WebCrypto, in this side's order. */
export const WEB_SUITES: readonly Suite[] = suitesOf(
  KEM_DHKEM_X25519_HKDF_SHA256,
  KDF_HKDF_SHA256,
  [AEAD_AES_256_GCM, AEAD_AES_128_GCM],
);

/**
 * Makes the suites over other primitives, for the end that opens requests: they seal none.
 *
 * @param primitives X25519, HMAC and AES-GCM
 * @returns The same as {@link WEB_SUITES}
 */
export function suitesOver(primitives: Primitives): readonly Suite[] {
  const aeads = [AEAD_AES_256_GCM, AEAD_AES_128_GCM].map((aead) => () => aeadOver(primitives, aead()));
  return suitesOf(() => kemOver(primitives), () => kdfOver(primitives), aeads);
}

function suitesOf<K extends Key>(
  kem: KEMFactory<K>,
  kdf: KDFFactory,
  aeads: readonly AEADFactory[],
): readonly Suite[] {
  return aeads.map((factory) => {
    const aead = factory();
    const hpke = new CipherSuite(kem, kdf, factory) as unknown as CipherSuite;
    return { aeadId: aead.id, hpke, kdf: kdf(), aead };
  });
}

const HASH_BYTES = 32;

/** Half of an {@link OwnKeyPair}, in the form that HPKE asks for. */
interface OwnKey extends Key {
  readonly pair: OwnKeyPair;
}

function kemOver(primitives: Primitives): KEM<OwnKey> {
  const { id, name, type, Nsecret, Nenc, Npk, Nsk } = KEM_DHKEM_X25519_HKDF_SHA256();
  const [kdf, suiteId] = [kdfOver(primitives), concatBytes([encode("KEM"), I2OSP(id, 2)])];
  const half = (pair: OwnKeyPair, half: "public" | "private"): OwnKey => {
    return { algorithm: { name: "X25519" }, extractable: half === "public", type: half, pair };
  };
  const unused = () => Promise.reject(new Error("Only the end that opens requests has these primitives"));
  return {
    ...{ id, name, type, Nsecret, Nenc, Npk, Nsk },
    GenerateKeyPair() {
      const pair = primitives.generate();
      return Promise.resolve({ publicKey: half(pair, "public"), privateKey: half(pair, "private") });
    },
    SerializePublicKey: ({ pair }) => Promise.resolve(pair.publicKey),
    async Decap(enc, { pair }) {
      const agreed = pair.agree(enc);
      // RFC 9180, section 7.1.4: a point of small order makes every secret the same.
      if (agreed.every((byte) => byte === 0)) throw new Error("The encapsulated key is of small order");
      const prk = await LabeledExtract(kdf, suiteId, new Uint8Array(0), encode("eae_prk"), agreed);
      agreed.fill(0);
      const context = concatBytes([enc, pair.publicKey]);
      const shared = await LabeledExpand(kdf, suiteId, prk, encode("shared_secret"), context, Nsecret);
      prk.fill(0);
      return shared;
    },
    ...{ DeriveKeyPair: unused, DeserializePublicKey: unused, SerializePrivateKey: unused },
    ...{ DeserializePrivateKey: unused, Encap: unused },
  };
}

function kdfOver({ hmac }: Primitives): KDF {
  const { id, name, type, Nh, stages } = KDF_HKDF_SHA256();
  return {
    ...{ id, name, type, Nh, stages },
    Extract: (salt, ikm) => Promise.resolve(hmac(salt.length === 0 ? new Uint8Array(HASH_BYTES) : salt, ikm)),
    Expand: (prk, info, length) => Promise.resolve(expand(hmac, prk, info, length)),
    Derive: () => Promise.reject(new Error("A KDF of two stages derives nothing in one")),
  };
}

/** Expands as RFC 5869 has it. */
function expand(hmac: Primitives["hmac"], prk: Uint8Array, info: Uint8Array, length: number): Uint8Array {
  const expanded = new Uint8Array(length);
  let block: Uint8Array = new Uint8Array(0);
  for (let [at, number] = [0, 1]; at < length; at += HASH_BYTES, number++) {
    block = hmac(prk, concatBytes([block, info, [number]]));
    expanded.set(block.subarray(0, length - at), at);
  }
  return expanded;
}

function aeadOver({ seal, open }: Primitives, { id, name, type, Nk, Nn, Nt }: Readonly<AEAD>): AEAD {
  return {
    ...{ id, name, type, Nk, Nn, Nt },
    // deno-lint-ignore require-await -- what throws rejects
    Seal: async (key, nonce, aad, plaintext) => seal(key, nonce, plaintext, aad),
    // deno-lint-ignore require-await -- what throws rejects
    Open: async (key, nonce, aad, sealed) => open(key, nonce, sealed, aad),
  };
}
