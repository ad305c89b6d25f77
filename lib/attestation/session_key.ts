import { AEAD_AES_256_GCM, CipherSuite, KDF_HKDF_SHA256, KEM_DHKEM_P256_HKDF_SHA256 } from "hpke";
import { type AttestationError, DisposedError, ProtocolError } from "../core/errors.ts";
import { checkFields, checkRecord } from "../core/checks.ts";
import { SecretBytes } from "../core/secret_bytes.ts";
import { concatBytes, equalBytes } from "../core/bytes.ts";
import { failed } from "./failures.ts";
import { verifyAttestation, type VerifyAttestationOptions } from "./verify.ts";

/** Longest secret that can be sealed, in bytes: 1 MiB. */
export const MAX_SEALED_SECRET_BYTES = 1_048_576;
/** Longest context of a sealed message, in bytes. */
export const MAX_SEAL_CONTEXT_BYTES = 4096;
/** Bytes that a sealed message has beside its secret: version 1, encapsulated key 65, tag 16. */
export const SEAL_OVERHEAD_BYTES = 82;

/** Module that signs documents: NsmClient in an enclave, SoftwareNsm on a laptop. */
export interface Attester {
  /**
   * Asks for an attestation document.
   *
   * @param request Data to sign together with the measurements
   * @returns The document, COSE_Sign1
   */
  attest(request: {
    readonly publicKey: Uint8Array;
    readonly nonce?: Uint8Array;
    readonly userData?: Uint8Array;
  }): Promise<Uint8Array>;
}

/** Data that is signed together with a session key. */
export interface SessionKeyOptions {
  /** Nonce of the caller, which proves that the document is new: at most 512 bytes. */
  readonly nonce?: Uint8Array | undefined;
  /** Other data, at most 512 bytes. */
  readonly userData?: Uint8Array | undefined;
}

/** Context that both ends of a sealed message must agree on. */
export interface SealContext {
  /**
   * Purpose of the message, 1 to 4096 bytes: a message sealed with one context does not open with another. Default:
   * none.
   */
  readonly context?: Uint8Array | undefined;
}

/** Expectations that the enclave must meet before a secret is sealed to it. */
export interface SealOptions extends VerifyAttestationOptions, SealContext {
  /** At least one register: without one, the secret could go to any enclave of anyone. */
  readonly pcrs: NonNullable<VerifyAttestationOptions["pcrs"]>;
}

/**
 * Key pair of this enclave for one session, with the attestation document that holds its public key. A caller who
 * verifies the document can seal secrets with {@link sealTo} that only this enclave can open.
 *
 * HPKE (RFC 9180) in base mode with DHKEM(P-256, HKDF-SHA256), HKDF-SHA256 and AES-256-GCM: WebCrypto has them on
 * Node.js from 22, on Deno and in every browser; X25519 came to it only lately. HPKE's `info` holds the SHA-256 of
 * the document, its `aad` the context, and so a message opens only in the session and for the purpose that it was
 * sealed for.
 *
 * Not guaranteed:
 * - the sender of a message: anyone who has the document can seal. Put a proof of the caller into the secret.
 * - that a message arrives once: while the key lives, the same message opens again. Make a key for each secret
 *   and dispose it afterwards, or put a number into the context.
 * - that the private key is wiped on dispose. WebCrypto holds it, never shows it, and frees it when it is
 *   collected; what HPKE derives from it on the way is left to the collector, too.
 *
 * @example
 * ```ts
 * import { sealTo, SessionKey } from "enclave-kms/attestation";
 * import { SoftwareNsm } from "enclave-kms/sim";
 *
 * using nsm = await SoftwareNsm.create(); // in an enclave: NsmClient.open() of "enclave-kms"
 * const nonce = crypto.getRandomValues(new Uint8Array(32)); // from the caller
 *
 * // In the enclave: the document goes to the caller.
 * using session = await SessionKey.create(nsm, { nonce });
 *
 * // At the caller, perhaps in a browser: `root` is for the simulator only.
 * const secret = new TextEncoder().encode("attack at dawn");
 * const expected = { nonce, pcrs: { 0: nsm.pcr(0) }, maxAgeMs: 60_000, root: nsm.root };
 * const sealed = await sealTo(session.document, secret, expected);
 *
 * // In the enclave again.
 * using opened = await session.open(sealed);
 * new TextDecoder().decode(opened.bytes); // "attack at dawn"
 * ```
 */
export class SessionKey implements Disposable {
  /** Attestation document with the public key, COSE_Sign1: not secret, for the caller. */
  readonly document: Uint8Array<ArrayBuffer>;
  readonly #info: Uint8Array;
  #keys: Keys | undefined;

  private constructor(document: Uint8Array<ArrayBuffer>, info: Uint8Array, keys: Keys) {
    this.document = document;
    this.#info = info;
    this.#keys = keys;
  }

  /**
   * Makes a key pair, and has the module sign a document with its public key. This takes about a
   * millisecond beside the module's own time.
   *
   * @param nsm The module; not owned
   * @param options The nonce, and other data to have signed
   * @returns The key; the caller disposes it
   * @throws {AttestationError} When the module gives no document
   * @throws {TypeError} When an option is unknown or of a wrong type
   */
  static async create(nsm: Attester, options: SessionKeyOptions = {}): Promise<SessionKey> {
    const { nonce, userData } = checkFields("options of SessionKey.create", options, ["nonce", "userData"]);
    if (typeof nsm?.attest !== "function") {
      throw new TypeError("nsm must be an NsmClient, or attest as it does");
    }
    const keys = await SUITE.GenerateKeyPair(false);
    const point = await SUITE.SerializePublicKey(keys.publicKey);
    const document = new Uint8Array(
      await nsm.attest({
        publicKey: concatBytes([SPKI_HEAD, point]),
        ...(nonce !== undefined && { nonce }),
        ...(userData !== undefined && { userData }),
      }),
    );
    return new SessionKey(document, await sessionInfo(document), keys);
  }

  /**
   * Opens a message that was sealed to this key's document.
   *
   * @param sealed Message that {@link sealTo} made
   * @param options The context that it was sealed with
   * @returns The secret; the caller disposes it
   * @throws {ProtocolError} When it is no such message, is for another session or context, or was changed; it does not
   *   tell which
   * @throws {DisposedError} After dispose
   * @throws {TypeError} When an argument is of a wrong type
   * @throws {RangeError} When the context is empty or too long
   */
  async open(sealed: Uint8Array, options: SealContext = {}): Promise<SecretBytes> {
    const keys = this.#keys;
    if (keys === undefined) throw new DisposedError("SessionKey");
    if (!(sealed instanceof Uint8Array)) throw new TypeError("The sealed message must be a Uint8Array");
    const aad = checkContext(checkFields("options of SessionKey.open", options, ["context"]).context);
    if (sealed[0] !== VERSION || sealed.length < SEAL_OVERHEAD_BYTES) throw notForUs();
    if (sealed.length > MAX_SEALED_SECRET_BYTES + SEAL_OVERHEAD_BYTES) throw notForUs();
    const key = sealed.subarray(1, 1 + POINT_LENGTH);
    try {
      const opened = await SUITE.Open(keys, key, sealed.subarray(1 + POINT_LENGTH), {
        info: this.#info,
        aad,
      });
      return takeSecret(opened);
    } catch {
      throw notForUs();
    }
  }

  /** Releases the private key: nothing more can be opened. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    this.#keys = undefined;
  }
}

/**
 * Verifies an enclave's document, and seals a secret that only that enclave's {@link SessionKey} can open.
 *
 * @param document The document of the session key, as the enclave sent it
 * @param secret At most 1 MiB; the caller keeps it, and the duty to wipe it
 * @param options Expectations of the document, as for {@link verifyAttestation}, and the context. Without a `nonce` the
 *   document may be an old one: the secret is safe then, but perhaps no enclave is left to open it
 * @returns The sealed message: as long as the secret and {@link SEAL_OVERHEAD_BYTES} bytes more
 * @throws {AttestationError} When the document does not verify; `ERR_ATTESTATION_PUBLIC_KEY` when it holds no
 *   session key
 * @throws {TypeError} When an argument is of a wrong type, or `pcrs` names no register
 * @throws {RangeError} When the secret or the context is too long, or the context or an expectation empty
 */
export async function sealTo(
  document: Uint8Array,
  secret: Uint8Array | SecretBytes,
  options: SealOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  const { context, ...expected } = Object.fromEntries(checkRecord("The options of sealTo", options)) as
    & SealContext
    & VerifyAttestationOptions;
  if (!(document instanceof Uint8Array)) throw new TypeError("The document must be a Uint8Array");
  const aad = checkContext(context);
  const bytes = secret instanceof SecretBytes ? secret.bytes : secret;
  if (!(bytes instanceof Uint8Array)) throw new TypeError("The secret must be a Uint8Array or SecretBytes");
  if (bytes.length > MAX_SEALED_SECRET_BYTES) {
    throw new RangeError(`The secret must have at most ${MAX_SEALED_SECRET_BYTES} bytes`);
  }
  if (expected.pcrs === undefined) {
    throw new TypeError("pcrs must name a register: the secret could go to any enclave of anyone");
  }
  const bound = new Uint8Array(document);
  const { publicKey } = await verifyAttestation(bound, expected);
  const point = sessionPoint(publicKey);
  const { encapsulatedSecret, ciphertext } = await seal(point, bytes, {
    info: await sessionInfo(bound),
    aad,
  });
  return concatBytes([Uint8Array.of(VERSION), encapsulatedSecret, ciphertext]);
}

const SUITE = new CipherSuite(KEM_DHKEM_P256_HKDF_SHA256, KDF_HKDF_SHA256, AEAD_AES_256_GCM);
type Keys = Awaited<ReturnType<typeof SUITE.GenerateKeyPair>>;

const VERSION = 1;
const POINT_LENGTH = 65;
const LABEL = new TextEncoder().encode("enclave-kms session key 1");

/** Bytes before the point in the SPKI DER of a P-256 key: RFC 5480. */
const SPKI_HEAD = Uint8Array.of(
  ...[0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01],
  ...[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00],
);

async function sessionInfo(document: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  return concatBytes([LABEL, new Uint8Array(await crypto.subtle.digest("SHA-256", document))]);
}

function sessionPoint(spki: Uint8Array | undefined): Uint8Array {
  if (spki === undefined) throw failed("PUBLIC_KEY", "it holds no public key");
  const head = spki.subarray(0, SPKI_HEAD.length);
  if (equalBytes(head, SPKI_HEAD) && spki.length === SPKI_HEAD.length + POINT_LENGTH) {
    return spki.slice(SPKI_HEAD.length);
  }
  throw notOfSession();
}

/** Seals a secret. Node.js refuses a point off the curve when it imports it, Deno when it multiplies it. */
async function seal(
  point: Uint8Array,
  secret: Uint8Array,
  options: { info: Uint8Array; aad: Uint8Array },
): Promise<{ encapsulatedSecret: Uint8Array; ciphertext: Uint8Array }> {
  try {
    return await SUITE.Seal(await SUITE.DeserializePublicKey(point), secret, options);
  } catch {
    throw notOfSession();
  }
}

function notOfSession(): AttestationError {
  return failed("PUBLIC_KEY", "its public key is not one of a session");
}

function checkContext(context: Uint8Array | undefined): Uint8Array {
  if (context === undefined) return new Uint8Array();
  if (!(context instanceof Uint8Array)) throw new TypeError("context must be a Uint8Array");
  if (context.length > 0 && context.length <= MAX_SEAL_CONTEXT_BYTES) return context;
  throw new RangeError(`context must have 1 to ${MAX_SEAL_CONTEXT_BYTES} bytes`);
}

/** Takes bytes over, without a copy where they have a buffer of their own. */
function takeSecret(bytes: Uint8Array): SecretBytes {
  const { buffer } = bytes;
  if (buffer instanceof ArrayBuffer && buffer.byteLength === bytes.length) {
    return new SecretBytes(new Uint8Array(buffer));
  }
  const secret = SecretBytes.copyOf(bytes);
  bytes.fill(0);
  return secret;
}

function notForUs(): ProtocolError {
  return new ProtocolError("Cannot open sealed message: it is not for this session key and context", {
    hint: "Was it sealed to this key's own document, with the same context, and not changed on its way?",
  });
}
