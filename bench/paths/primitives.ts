import {
  constants,
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  generateKeyPairSync,
  privateDecrypt,
  publicEncrypt,
  randomBytes,
} from "node:crypto";

const OAEP = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" } as const;

/** Content key under an RSA key, and content under the content key, as in a KMS answer to a recipient. */
export interface Sealed {
  readonly wrappedKey: Uint8Array<ArrayBuffer>;
  readonly iv: Uint8Array<ArrayBuffer>;
  readonly content: Uint8Array<ArrayBuffer>;
}

/** The cryptography that no decrypt can do without, with a key pair of its own. */
export interface Primitives {
  /** Hashes with SHA-256. */
  digest(data: Uint8Array<ArrayBuffer>): void;
  /** Authenticates with HMAC-SHA-256. */
  hmac(key: Uint8Array<ArrayBuffer>, data: Uint8Array<ArrayBuffer>): void;
  /** Seals a plaintext to the key pair. */
  seal(plaintext: Uint8Array<ArrayBuffer>): Sealed;
  /** Opens it: one RSA private operation, one AES-256-CBC decryption. */
  open(sealed: Sealed): Uint8Array | Promise<Uint8Array>;
}

/** Makes the primitives from node:crypto. */
export function nodePrimitives(): Primitives {
  const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return {
    digest: (data) => void createHash("sha256").update(data).digest("hex"),
    hmac: (key, data) => void createHmac("sha256", key).update(data).digest("hex"),
    seal(plaintext) {
      const [contentKey, iv] = [randomBytes(32), Uint8Array.from(randomBytes(16))];
      const cipher = createCipheriv("aes-256-cbc", contentKey, iv);
      const content = Uint8Array.from(Buffer.concat([cipher.update(plaintext), cipher.final()]));
      return {
        wrappedKey: Uint8Array.from(publicEncrypt({ key: publicKey, ...OAEP }, contentKey)),
        iv,
        content,
      };
    },
    open({ wrappedKey, iv, content }) {
      const contentKey = privateDecrypt({ key: privateKey, ...OAEP }, wrappedKey);
      const decipher = createDecipheriv("aes-256-cbc", contentKey, iv);
      return Buffer.concat([decipher.update(content), decipher.final()]);
    },
  };
}
