import type { ProvidedCredentials } from "../lib/aws/credentials.ts";
import { checkPurpose, type SignatureAlgorithm } from "../lib/attestation/signature_message.ts";
import { equalBytes } from "../lib/core/bytes.ts";
import type { CallOptions } from "../lib/core/call_options.ts";
import { checkFields, checkOneOf } from "../lib/core/checks.ts";
import type { RequestFacts } from "../lib/core/request_facts.ts";
import type { SecretBytes } from "../lib/core/secret_bytes.ts";
import type { DataKey, DataKeyPair } from "../lib/kms/data_key.ts";
import {
  type OperationName,
  operationOf,
  type Requested,
  type Result,
} from "../lib/kms/operations/operations.ts";
import type { BuiltInAction } from "./actions.ts";
import { attestBoot, type AttestedBoot, type BootParts } from "./attest_boot.ts";
import type { BootKeys } from "./boot_keys.ts";
import { checkForm } from "./check_form.ts";
import { checkBytes, checkNonce, refuseCallOptions } from "./service_checks.ts";
import type { SetCredentialsOptions } from "./credential_store.ts";
import { setCredentials } from "./set_credentials.ts";
import type { RequestRecord } from "./telemetry/request_record.ts";
import { makeUnattestedSignature, noKmsKey } from "./unattested_signature.ts";

/** Parts that the {@link KmsService} of every request shares. */
export interface KmsServiceParts extends BootParts {
  /** Key of KMS that `signData` may sign with: key id, key ARN, alias name or alias ARN. Default: none. */
  readonly unattestedKmsKey?: string | undefined;
}

/** Options of `signData`. */
export interface SignDataOptions {
  /** Purpose that the signature counts for, 1 to 128 printable ASCII characters: the application's, not the caller's. */
  readonly purpose: string;
  /**
   * Key to sign with. `unattested-kms` is the key of KMS that the application named as `unattestedKmsKey`: whoever holds
   * the role, such as the parent, can make the same signature without the enclave. Default: `boot`, which nobody else has.
   */
  readonly key?: "boot" | "unattested-kms" | undefined;
}

/** Request of an operation, without the options of a call: deadline and abort are those of the caller's request. */
export type ServiceRequest<K extends OperationName> = Omit<Requested<K>, keyof CallOptions>;

/** Identity of this boot of the enclave. */
export interface BootIdentity {
  /** Boot id, 32 lowercase hex digits. */
  readonly bootId: string;
  /** Algorithm of the signing key. */
  readonly algorithm: SignatureAlgorithm;
  /** Public keys of this boot by name; `sign`, SPKI DER, is that of `signData`. */
  readonly keys: Readonly<Record<string, Uint8Array>>;
  /** Attestation document, whose user data are the digest of the keys and the boot id; up to ten minutes old. */
  readonly document: Uint8Array;
}

/** Hash function of `secureHash`: 32, 48 or 64 bytes. */
export type HashAlgorithm = "SHA-256" | "SHA-384" | "SHA-512";

/** Hash functions of `secureHash`. */
export const HASH_ALGORITHMS: readonly HashAlgorithm[] = ["SHA-256", "SHA-384", "SHA-512"];

/**
 * Work of KMS, of the Nitro Secure Module and of this boot's keys, for the handlers of one request: `c.var.kms`.
 *
 * Every call asks the policy about its own action and facts, with the principal of the request, so that a route without
 * a gate lets nobody use a key. `ungated` at `startEnclave()` leaves that to the application. Calls have the request's
 * deadline, and are broken off when the caller goes away.
 *
 * On a laptop it is the same, over the simulator.
 */
export class KmsService {
  readonly #parts: KmsServiceParts;
  readonly #record: RequestRecord;

  /**
   * Makes the service of one request.
   *
   * @param parts Parts that all requests share
   * @param record Record of the request
   */
  constructor(parts: KmsServiceParts, record: RequestRecord) {
    this.#parts = parts;
    this.#record = record;
  }

  /**
   * Gives the keys of this boot, and a document that vouches for them. The signing key is the same each time. Asks the policy
   * about `GetAttestation`.
   *
   * @returns Keys, and a document of the last ten minutes
   * @throws {PolicyDeniedError} When the policy did not say yes
   * @throws {AttestationError} When the NSM gives no document
   */
  async initCrypto(): Promise<BootIdentity> {
    const { bootId, algorithm } = this.#parts.bootKeys;
    const { document, keys } = await this.#attestedBoot();
    const copies = Object.entries(keys).map(([name, key]) => [name, key.slice()] as const);
    return { bootId, algorithm, keys: Object.fromEntries(copies), document: document.slice() };
  }

  /**
   * Decrypts one ciphertext. Asks the policy about `Decrypt`.
   *
   * @param request Ciphertext, and expectations of it
   * @returns Plaintext; dispose it with `using`
   * @throws {BadRequestError} When the request is wrong in form
   * @throws {PolicyDeniedError} When the policy did not say yes
   * @throws {OverloadedError} When too many requests wait already
   * @throws {TimeoutError} When the request's time is up
   * @throws {CredentialsError} When none are set, or KMS refuses them
   * @throws The errors of `KmsClient`'s own method
   */
  decrypt(request: ServiceRequest<"decrypt">): Promise<SecretBytes> {
    return this.#run("decrypt", request);
  }

  /**
   * Has KMS make a data key, in clear for this enclave only and encrypted under the KMS key. Asks the policy about
   * `GenerateDataKey`.
   *
   * @param request KMS key, and length of the data key
   * @returns Data key; dispose it with `using`
   * @throws The errors of {@link KmsService.decrypt}
   */
  generateKey(request: ServiceRequest<"generateDataKey">): Promise<DataKey> {
    return this.#run("generateDataKey", request);
  }

  /**
   * Has KMS make a key pair, whose private key is in clear for this enclave only and encrypted under the KMS key. Asks the
   * policy about `GenerateDataKeyPair`.
   *
   * @param request KMS key, and kind of key pair
   * @returns Key pair; dispose it with `using`
   * @throws The errors of {@link KmsService.decrypt}
   */
  generateKeyPair(request: ServiceRequest<"generateDataKeyPair">): Promise<DataKeyPair> {
    return this.#run("generateDataKeyPair", request);
  }

  /**
   * Has KMS draw random bytes, for this enclave only. Asks the policy about `GenerateRandom`.
   *
   * @param request Number of bytes, 1 to 1024
   * @returns Random bytes; dispose them with `using`
   * @throws The errors of {@link KmsService.decrypt}
   */
  generateRandom(request: ServiceRequest<"generateRandom">): Promise<SecretBytes> {
    return this.#run("generateRandom", request);
  }

  /**
   * Has the NSM make an attestation document. Its user data are the digest of this boot's keys. It never has a public
   * key: KMS would encrypt plaintexts to that, for whoever holds the private one. Asks the policy about `GetAttestation`.
   *
   * @param request Nonce of the caller, 1 to 512 bytes
   * @returns COSE_Sign1
   * @throws {BadRequestError} When the request is wrong in form
   * @throws {PolicyDeniedError} When the policy did not say yes
   * @throws {AttestationError} When the NSM gives no document, or too many wait for it
   */
  async generateAttestation(request: { readonly nonce: Uint8Array }): Promise<Uint8Array> {
    const nonce = checkForm(() => checkNonce(request));
    const { service, gate } = this.#parts;
    return await service.attest(nonce, this.#record, gate);
  }

  /**
   * Signs data with the key of this boot: COSE_Sign1 over the purpose, the time, the boot id and the SHA-256 of the data,
   * for `verifyEnclaveSignature()`. Asks the policy about `SignData` with the key `boot:` and the purpose, which the log
   * names, too: `Key::"boot:orders/v1"`. No key of KMS has such a name.
   *
   * The purpose must be the application's, and not the caller's: whoever chooses it can get a signature that counts for
   * another part of the application.
   *
   * With `key: "unattested-kms"` a key of KMS on P-256 signs the same statement, under another content type, and the
   * policy is asked about `Sign`. Nothing about that is attested, and `verifyEnclaveSignature()` refuses it: verify it
   * with the public key of `GetPublicKey`.
   *
   * @param data Any number of bytes
   * @param options Purpose, and the key
   * @returns At most 512 bytes
   * @throws {BadRequestError} When the data or the options are wrong in form
   * @throws {PolicyDeniedError} When the policy did not say yes
   * @throws {DisposedError} When the enclave has closed
   * @throws {UnsupportedOperationError} When the application named no key of KMS
   * @throws The errors of {@link KmsService.decrypt}, with a key of KMS
   */
  async signData(data: Uint8Array, options: SignDataOptions): Promise<Uint8Array> {
    const { purpose, key } = checkForm(() => {
      checkBytes(data);
      const given = checkFields("options of signData", options, ["purpose", "key"]);
      return { purpose: checkPurpose(given.purpose), key: checkOneOf("key", given.key, SIGNING_KEYS) };
    });
    if (key === "unattested-kms") return await this.#signUnattested(data, purpose);
    this.#record.keyId = `${BOOT_KEY}${purpose}`;
    this.#permit("SignData", { keyId: this.#record.keyId });
    return await this.#parts.bootKeys.sign(data, purpose);
  }

  /**
   * Hashes data. Asks the policy about `HashData`.
   *
   * @param data Any number of bytes
   * @param algorithm Hash function. Default: `SHA-256`
   * @returns 32, 48 or 64 bytes
   * @throws {BadRequestError} When the data or the algorithm is wrong in form
   * @throws {PolicyDeniedError} When the policy did not say yes
   */
  async secureHash(data: Uint8Array, algorithm: HashAlgorithm = "SHA-256"): Promise<Uint8Array> {
    checkForm(() => {
      checkBytes(data);
      checkOneOf("algorithm", algorithm, HASH_ALGORITHMS);
    });
    this.#permit("HashData");
    return new Uint8Array(await crypto.subtle.digest(algorithm, data as Uint8Array<ArrayBuffer>));
  }

  /**
   * Sets the credentials that sign requests to KMS. Asks the policy about `SetCredentials`: the parent's alone, unless the
   * configuration leaves it to the policy file.
   *
   * @param credentials Credentials; they are copied, and the caller wipes their own
   * @param options Whether to set older ones, too
   * @returns Their generation, which grows by one each time
   * @throws {BadRequestError} When they are wrong in form
   * @throws {PolicyDeniedError} When the policy did not say yes
   * @throws {CredentialsOlderError} When they expire before those in force, and are not forced
   */
  updateCredentials(credentials: ProvidedCredentials, options: SetCredentialsOptions = {}): number {
    const { service, gate } = this.#parts;
    return setCredentials(service, credentials, this.#record, options, gate);
  }

  async #run<K extends OperationName>(name: K, request: ServiceRequest<K>): Promise<Result<K>> {
    const { service, gate } = this.#parts;
    const checked = checkForm(() => {
      refuseCallOptions(request);
      return operationOf(name).check(request as Requested<K>);
    });
    return await service.runChecked(name, checked, service.scope, this.#record, gate);
  }

  #permit(action: BuiltInAction, facts?: RequestFacts): void {
    const { service: { scope }, gate } = this.#parts;
    gate.check({ action, region: scope.region, facts }, this.#record);
  }

  async #signUnattested(data: Uint8Array, purpose: string): Promise<Uint8Array> {
    const { unattestedKmsKey: keyId, bootKeys: { bootId } } = this.#parts;
    if (keyId === undefined) throw noKmsKey();
    return await makeUnattestedSignature({ purpose, timeMs: Date.now(), bootId }, data, async (message) => {
      return (await this.#run("sign", { keyId, message, signingAlgorithm: "ECDSA_SHA_256" })).signature;
    });
  }

  /** Gives what it gave before, for a while and as long as no key was replaced. */
  async #attestedBoot(): Promise<AttestedBoot> {
    const { bootKeys } = this.#parts;
    const kept = attested.get(bootKeys);
    const isYoung = kept !== undefined && performance.now() - kept.madeAt < KEPT_MS;
    if (isYoung && equalBytes(kept.boot.digest, await bootKeys.digest())) {
      this.#permit("GetAttestation");
      return kept.boot;
    }
    const madeAt = performance.now();
    const boot = await attestBoot(this.#parts, undefined, this.#record);
    attested.set(bootKeys, { boot, madeAt });
    return boot;
  }
}

/** Milliseconds for which a document is given again. */
const KEPT_MS = 600_000;

/** Documents that vouch for keys, without a nonce. */
const attested = new WeakMap<BootKeys, { readonly boot: AttestedBoot; readonly madeAt: number }>();

/**
 * Forgets the document that vouches for keys: a register was extended since.
 *
 * @param bootKeys Keys of this boot
 */
export function forgetAttested(bootKeys: BootKeys): void {
  attested.delete(bootKeys);
}

/** Beginning of the name that a policy knows the boot's key by, ahead of the purpose. */
const BOOT_KEY = "boot:";
const SIGNING_KEYS = ["boot", "unattested-kms"] as const;
