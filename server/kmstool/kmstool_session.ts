import { checkRegion, DEFAULT_REGION } from "../../lib/aws/region.ts";
import type { Credentials } from "../../lib/aws/credentials.ts";
import { CredentialStore } from "../../enclave/credential_store.ts";
import {
  field,
  KMSTOOL_ERRORS,
  type KmstoolErrorText,
  type KmstoolMessage,
  KmstoolRefusal,
  okMessage,
  parseMessage,
  plaintextMessage,
  readEncryptionContext,
} from "../../lib/wire/kmstool_messages.ts";
import type { RequestRecord } from "../../enclave/telemetry/request_record.ts";
import type { EnclaveService, Scope } from "../../enclave/service.ts";
import { BadRequestError } from "../../enclave/service_errors.ts";

/** State of one connection: its own credentials and region, nobody else's. */
export class KmstoolSession implements Disposable {
  readonly #service: EnclaveService;
  readonly #region: string | undefined;
  #scope: Scope | undefined;

  /**
   * @param service Does the work
   * @param region The enclave's own; messages then may not name another
   */
  constructor(service: EnclaveService, region: string | undefined) {
    this.#service = service;
    this.#region = region;
  }

  /**
   * Does what one message asks for.
   *
   * @param bytes The message, without its NUL
   * @param record Record of the request
   * @returns The answer, for the caller to wipe
   * @throws {KmstoolRefusal} When it is refused, or fails
   */
  async handle(bytes: Uint8Array, record: RequestRecord): Promise<Uint8Array<ArrayBuffer>> {
    const message = parseMessage(bytes);
    const operation = field(message, "Operation");
    if (operation === undefined) throw new KmstoolRefusal(KMSTOOL_ERRORS.noOperation);
    if (typeof operation !== "string") throw new KmstoolRefusal(KMSTOOL_ERRORS.operationType);
    if (operation === "SetClient") return await this.#setClient(message, record);
    if (operation === "Decrypt") return await this.#decrypt(message, record);
    throw new KmstoolRefusal(KMSTOOL_ERRORS.operationUnknown);
  }

  /** Wipes the credentials. */
  [Symbol.dispose](): void {
    this.#scope?.credentials[Symbol.dispose]();
    this.#scope = undefined;
  }

  /** Sets credentials and region. The old ones stay in force until all of it has succeeded. */
  async #setClient(message: KmstoolMessage, record: RequestRecord): Promise<Uint8Array<ArrayBuffer>> {
    record.operation = "SetOwnCredentials";
    const credentials = readCredentials(message);
    const region = this.#readRegion(message);
    try {
      const owned = this.#service.acceptCredentials("SetOwnCredentials", credentials, region, record);
      const scope = { region, credentials: new CredentialStore() };
      scope.credentials.set(owned);
      this.#scope = await this.#exchange(scope);
    } catch (error) {
      throw refusalOf(error, KMSTOOL_ERRORS.credentials, KMSTOOL_ERRORS.client);
    }
    return okMessage();
  }

  async #exchange(scope: Scope): Promise<Scope> {
    try {
      await this.#service.openRegion(scope.region);
    } catch (error) {
      scope.credentials[Symbol.dispose]();
      throw error;
    }
    this.#scope?.credentials[Symbol.dispose]();
    return scope;
  }

  async #decrypt(message: KmstoolMessage, record: RequestRecord): Promise<Uint8Array<ArrayBuffer>> {
    record.operation = "Decrypt";
    const scope = this.#scope;
    if (scope === undefined) throw new KmstoolRefusal(KMSTOOL_ERRORS.noClient);
    const request = {
      ciphertext: readCiphertext(message),
      encryptionContext: readEncryptionContext(message),
    };
    try {
      using plaintext = await this.#service.run("decrypt", request, scope, record);
      return plaintextMessage(plaintext.bytes);
    } catch (error) {
      if (isNotBase64(error)) throw new KmstoolRefusal(KMSTOOL_ERRORS.ciphertextType);
      throw refusalOf(error, KMSTOOL_ERRORS.decrypt, KMSTOOL_ERRORS.decrypt);
    }
  }

  #readRegion(message: KmstoolMessage): string {
    const named = field(message, "AwsRegion");
    if (named === undefined) return this.#region ?? DEFAULT_REGION;
    try {
      if (this.#region === undefined) return checkRegion(named as string);
    } catch {
      // Said below.
    }
    throw new KmstoolRefusal(KMSTOOL_ERRORS.region);
  }
}

function readCredentials(message: KmstoolMessage): Credentials {
  const accessKeyId = field(message, "AwsAccessKeyId");
  const secretAccessKey = field(message, "AwsSecretAccessKey");
  const sessionToken = field(message, "AwsSessionToken");
  if (typeof accessKeyId !== "string" || typeof secretAccessKey !== "string") {
    throw new KmstoolRefusal(KMSTOOL_ERRORS.credentials);
  }
  if (sessionToken !== undefined && typeof sessionToken !== "string") {
    throw new KmstoolRefusal(KMSTOOL_ERRORS.credentials);
  }
  return { accessKeyId, secretAccessKey, sessionToken: sessionToken === "" ? undefined : sessionToken };
}

/** Reads the ciphertext as it is sent: the operation's own check decodes it, once. */
function readCiphertext(message: KmstoolMessage): string {
  const ciphertext = field(message, "Ciphertext");
  if (ciphertext === undefined) throw new KmstoolRefusal(KMSTOOL_ERRORS.noCiphertext);
  if (typeof ciphertext === "string") return ciphertext;
  throw new KmstoolRefusal(KMSTOOL_ERRORS.ciphertextType);
}

function isNotBase64(error: unknown): boolean {
  return error instanceof BadRequestError &&
    error.problems.some(({ path, expected }) => path === "ciphertext" && expected === "canonical base64");
}

function refusalOf(error: unknown, badForm: KmstoolErrorText, otherwise: KmstoolErrorText): KmstoolRefusal {
  return new KmstoolRefusal(error instanceof BadRequestError ? badForm : otherwise, error);
}
