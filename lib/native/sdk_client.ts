import {
  AWS_KEY_SPEC,
  AWS_KMS_CLIENT_CONFIGURATION,
  AWS_SOCKET_DOMAIN,
  encodeSocketEndpoint,
} from "../../ffi/layouts.ts";
import type { Pointer } from "../../ffi/symbols.ts";
import {
  SdkGenericError,
  SdkKmsClientError,
  SdkKmsConfigError,
  SdkKmsDecryptError,
  SdkKmsRequestError,
} from "../core/errors.ts";
import { Handle } from "./handle.ts";
import { libc } from "./libc.ts";
import type { SdkByteBuffer } from "./sdk_byte_buffer.ts";
import { checkSdk, type Sdk } from "./sdk_library.ts";
import type { SdkString } from "./sdk_string.ts";

/** Kind of socket that the C client opens. */
export type SocketDomain = keyof typeof AWS_SOCKET_DOMAIN;

/**
 * `struct aws_socket_endpoint` in C memory, where the configuration's pointer to it stays valid.
 *
 * Corresponds to `aws_mem_calloc` and `aws_mem_release`.
 */
export class SdkSocketEndpoint extends Handle<"aws_socket_endpoint"> {
  /**
   * Makes the struct.
   *
   * @param sdk The library
   * @param allocator Its allocator
   * @param address CID in decimal, IP address or socket path, at most 107 bytes
   * @param port 0 to 2^32 - 1
   * @throws {SdkGenericError} When C has no memory
   */
  static create(
    sdk: Sdk,
    allocator: Pointer<"aws_allocator">,
    address: string,
    port: number,
  ): SdkSocketEndpoint {
    const struct = encodeSocketEndpoint(address, port);
    const pointer = checkSdk(sdk, sdk.call.aws_mem_calloc(allocator, 1, struct.length), SdkGenericError, {
      action: "allocate the endpoint",
      cFunction: "aws_mem_calloc",
      hint: "Is the enclave out of memory?",
    });
    libc().call.memmove(pointer, struct, struct.length);
    return new SdkSocketEndpoint(
      "SdkSocketEndpoint",
      pointer as Pointer<string> as Pointer<"aws_socket_endpoint">,
      (address) => sdk.call.aws_mem_release(allocator, address),
    );
  }
}

/** Parts of a client configuration. All of them must live until the client is made. */
export interface SdkClientParts {
  readonly region: SdkString;
  readonly endpoint: SdkSocketEndpoint;
  readonly domain: SocketDomain;
  readonly accessKeyId: SdkString;
  readonly secretAccessKey: SdkString;
  /** Session token; empty for none, since C crashes on NULL. */
  readonly sessionToken: SdkString;
  /** Host name instead of `kms.<region>.amazonaws.com`. */
  readonly hostName: SdkString | undefined;
}

/**
 * Configuration of a C KMS client.
 *
 * Corresponds to `aws_nitro_enclaves_kms_client_config_default` and
 * `aws_nitro_enclaves_kms_client_config_destroy`.
 */
export class SdkClientConfiguration extends Handle<"aws_nitro_enclaves_kms_client_configuration"> {
  /**
   * Makes a configuration.
   *
   * @param sdk The library
   * @param parts Parts; C copies them, except the region, the endpoint and the host name, which it only points to
   * @throws {SdkKmsConfigError} When C makes none
   */
  static create(sdk: Sdk, parts: SdkClientParts): SdkClientConfiguration {
    const pointer = sdk.call.aws_nitro_enclaves_kms_client_config_default(
      parts.region.pointer,
      parts.endpoint.pointer,
      AWS_SOCKET_DOMAIN[parts.domain],
      parts.accessKeyId.pointer,
      parts.secretAccessKey.pointer,
      parts.sessionToken.pointer,
    );
    const created = checkSdk(sdk, pointer, SdkKmsConfigError, {
      action: "configure the KMS client",
      cFunction: "aws_nitro_enclaves_kms_client_config_default",
      hint: "Is the enclave out of memory?",
    });
    const release = sdk.call.aws_nitro_enclaves_kms_client_config_destroy;
    const configuration = new SdkClientConfiguration("SdkClientConfiguration", created, release);
    if (parts.hostName !== undefined) configuration.#setHostName(parts.hostName);
    return configuration;
  }

  /** Sets the only field without a parameter in C. */
  #setHostName(hostName: SdkString): void {
    const value = new Uint8Array(new ArrayBuffer(8));
    new DataView(value.buffer).setBigUint64(0, hostName.pointer, true);
    const field = this.pointer + BigInt(AWS_KMS_CLIENT_CONFIGURATION.host_name);
    libc().call.memmove(field as Pointer<string>, value, value.length);
  }
}

/** Request to decrypt. */
export interface SdkDecryptRequest {
  readonly ciphertext: SdkByteBuffer;
  readonly keyId: SdkString | undefined;
  /** Algorithm; C requires one with every key id. */
  readonly encryptionAlgorithm: SdkString | undefined;
  /** Encryption context, a JSON object of strings. */
  readonly encryptionContext: SdkString | undefined;
}

/** Request to encrypt. */
export interface SdkEncryptRequest {
  readonly keyId: SdkString;
  readonly plaintext: SdkByteBuffer;
  /** Encryption context, a JSON object of strings. */
  readonly encryptionContext: SdkString | undefined;
}

type OptionalCall =
  | "aws_kms_encrypt_blocking_with_context"
  | "aws_kms_generate_data_key_blocking"
  | "aws_kms_generate_random_blocking";

const NO_REASON = "The C client does not say why: use engine direct or sdk to see KMS's own error";

/**
 * KMS client of the C SDK: connects when it is made, and blocks. Upstream's code may hang or crash: see the engine
 * that uses it.
 *
 * Corresponds to `aws_nitro_enclaves_kms_client_new`, `aws_kms_decrypt_blocking`,
 * `aws_kms_decrypt_blocking_with_context`, `aws_kms_encrypt_blocking_with_context`,
 * `aws_kms_generate_data_key_blocking`, `aws_kms_generate_random_blocking` and
 * `aws_nitro_enclaves_kms_client_destroy`.
 */
export class SdkClient extends Handle<"aws_nitro_enclaves_kms_client"> {
  readonly #sdk: Sdk;

  private constructor(sdk: Sdk, pointer: Pointer<"aws_nitro_enclaves_kms_client">) {
    super("SdkClient", pointer, sdk.call.aws_nitro_enclaves_kms_client_destroy);
    this.#sdk = sdk;
  }

  /**
   * Connects a client.
   *
   * @param sdk The library
   * @param configuration Configuration; read now and not kept
   * @throws {SdkKmsClientError} When C makes none: C does not say why
   */
  static create(sdk: Sdk, configuration: SdkClientConfiguration): SdkClient {
    const pointer = sdk.call.aws_nitro_enclaves_kms_client_new(configuration.pointer);
    const created = checkSdk(sdk, pointer, SdkKmsClientError, {
      action: "create the KMS client",
      cFunction: "aws_nitro_enclaves_kms_client_new",
      hint: "Is the proxy running on the parent, and the certificate bundle in the image?",
    });
    return new SdkClient(sdk, created);
  }

  /**
   * Decrypts.
   *
   * @param request The request
   * @param plaintext Filled by C; the caller disposes it, after an error too
   * @throws {SdkKmsDecryptError} When KMS refuses or the answer cannot be opened: C does not say which
   */
  decrypt(request: SdkDecryptRequest, plaintext: SdkByteBuffer): void {
    const [cFunction, code] = request.encryptionContext === undefined
      ? ["aws_kms_decrypt_blocking", this.#decryptPlain(request, plaintext)] as const
      : ["aws_kms_decrypt_blocking_with_context", this.#decryptWithContext(request, plaintext)] as const;
    checkSdk(this.#sdk, code, SdkKmsDecryptError, {
      action: "decrypt",
      cFunction,
      hint: NO_REASON,
    });
  }

  /**
   * Encrypts.
   *
   * @param request The plaintext and the key
   * @param ciphertext Filled by C; the caller disposes it, after an error too
   * @throws {SdkKmsRequestError} When KMS refuses: C does not say why
   */
  encrypt(request: SdkEncryptRequest, ciphertext: SdkByteBuffer): void {
    const { keyId, plaintext, encryptionContext } = request;
    this.#ask("encrypt", "aws_kms_encrypt_blocking_with_context", (encrypt) =>
      encrypt(
        this.pointer,
        keyId.pointer,
        plaintext.struct,
        encryptionContext?.pointer ?? null,
        ciphertext.struct,
      ));
  }

  /**
   * Makes a data key.
   *
   * @param keyId Key of KMS
   * @param keySpec Length of the data key
   * @param plaintext Filled by C; the caller disposes it, after an error too
   * @param ciphertext Filled by C, too; the caller disposes it
   * @throws {SdkKmsRequestError} When KMS refuses: C does not say why
   */
  generateDataKey(
    keyId: SdkString,
    keySpec: keyof typeof AWS_KEY_SPEC,
    plaintext: SdkByteBuffer,
    ciphertext: SdkByteBuffer,
  ): void {
    this.#ask("generate a data key", "aws_kms_generate_data_key_blocking", (generate) =>
      generate(
        this.pointer,
        keyId.pointer,
        AWS_KEY_SPEC[keySpec],
        plaintext.struct,
        ciphertext.struct,
      ));
  }

  /**
   * Gets random bytes.
   *
   * @param numberOfBytes Number of bytes, 1 to 1024
   * @param plaintext Filled by C; the caller disposes it, after an error too
   * @throws {SdkKmsRequestError} When KMS refuses: C does not say why
   */
  generateRandom(numberOfBytes: number, plaintext: SdkByteBuffer): void {
    this.#ask(
      "generate random bytes",
      "aws_kms_generate_random_blocking",
      (generate) => generate(this.pointer, numberOfBytes, plaintext.struct),
    );
  }

  /** Calls a function that older releases of the library lack. */
  #ask<Name extends OptionalCall>(
    action: string,
    cFunction: Name,
    call: (found: NonNullable<Sdk["call"][Name]>) => number,
  ): void {
    const found: Sdk["call"][Name] = this.#sdk.call[cFunction];
    if (found === undefined) {
      throw new SdkKmsRequestError(`Cannot ${action}: the C SDK is too old`, {
        cFunction,
        hint: "Use aws-nitro-enclaves-sdk-c 0.4.2 or later, or engine direct or sdk",
      });
    }
    checkSdk(this.#sdk, call(found), SdkKmsRequestError, { action, cFunction, hint: NO_REASON });
  }

  #decryptPlain(request: SdkDecryptRequest, plaintext: SdkByteBuffer): number {
    return this.#sdk.call.aws_kms_decrypt_blocking(
      this.pointer,
      request.keyId?.pointer ?? null,
      request.encryptionAlgorithm?.pointer ?? null,
      request.ciphertext.struct,
      plaintext.struct,
    );
  }

  #decryptWithContext(request: SdkDecryptRequest, plaintext: SdkByteBuffer): number {
    const decrypt = this.#sdk.call.aws_kms_decrypt_blocking_with_context;
    if (decrypt === undefined) {
      throw new SdkKmsDecryptError("Cannot decrypt with an encryption context: the C SDK is too old", {
        cFunction: "aws_kms_decrypt_blocking_with_context",
        hint: "Use aws-nitro-enclaves-sdk-c 0.4.2 or later, or engine direct or sdk",
      });
    }
    return decrypt(
      this.pointer,
      request.keyId?.pointer ?? null,
      request.encryptionAlgorithm?.pointer ?? null,
      request.ciphertext.struct,
      request.encryptionContext?.pointer ?? null,
      plaintext.struct,
    );
  }
}
