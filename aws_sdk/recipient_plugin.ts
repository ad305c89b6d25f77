import { DEFAULT_REGION } from "../lib/aws/region.ts";
import { checkFields } from "../lib/core/checks.ts";
import { Deadline } from "../lib/core/deadline.ts";
import { DisposedError } from "../lib/core/errors.ts";
import { checkOptions } from "../lib/kms/kms_options.ts";
import { openingTurn } from "../lib/kms/recipient/opening_turns.ts";
import type { RecipientLease } from "../lib/kms/recipient/recipient_rotation.ts";
import type { NsmTransport } from "../lib/nsm/nsm_transport.ts";
import { attachRecipient } from "./attach_recipient.ts";
import { type CallerSignal, followSignal } from "./caller_signal.ts";
import { aborted } from "./exchange_errors.ts";
import { RecipientSource } from "./recipient_source.ts";
import type {
  SdkMiddleware,
  SdkPlace,
  SdkStack,
  SdkStep,
  SdkStepArguments,
  SdkStepOutput,
} from "./sdk_types.ts";
import { fillSecret, secretMemberOf } from "./secret_members.ts";

/** Key pair and documents of a {@link recipientPlugin}, as `KmsClient` has them. The defaults are right for an enclave. */
export interface RecipientPluginOptions {
  /** Engine whose key pair it is. `auto`, the default, takes `sdk` when the C SDK loads and `direct` otherwise. */
  readonly engine?: "auto" | "direct" | "sdk" | undefined;
  /** Absolute path of `libaws-nitro-enclaves-sdk-c.so`. Default: the system's library folders. */
  readonly library?: string | undefined;
  /** Absolute path of OpenSSL's `libcrypto.so.3` for the key pair of engine `direct`, or `off`. Default: as `KmsClient`. */
  readonly libcryptoPath?: string | undefined;
  /** The NSM, for engine `direct`. Default: `/dev/nsm`. A simulator brings its own. */
  readonly nsm?: NsmTransport | undefined;
  /** Milliseconds for the key pair and the document of a call, 1 to 2147483647. Default: 10000. */
  readonly timeoutMs?: number | undefined;
  /** Milliseconds for which an attestation document is used again; 0 to 240000. Default: 60000. */
  readonly attestationMaxAgeMs?: number | undefined;
  /** Milliseconds after which another key pair takes the place of the old one; 1000 to 2147483647. Default: an hour. */
  readonly keyPairMaxAgeMs?: number | undefined;
  /** Attested requests after which another key pair is made as well; 1 to 2147483647. Default: 100000. */
  readonly keyPairMaxUses?: number | undefined;
}

/**
 * Makes a plug-in that attests the commands of `KMSClient` of `@aws-sdk/client-kms`. Decrypt, GenerateDataKey,
 * GenerateDataKeyPair, GenerateRandom and DeriveSharedSecret are sent with an attestation document of this enclave,
 * each try with one that is young enough, and KMS's answer is opened: `Plaintext`, `PrivateKeyPlaintext` or
 * `SharedSecret` is there as the SDK's own types say. Commands that name a `Recipient` themselves are left alone.
 *
 * An answer that has the secret in clear is refused. Everything else, such as retries and errors of KMS, is the SDK's.
 *
 * Not guaranteed: that secrets are wiped. What is opened is a `Uint8Array` that belongs to the program: overwrite it
 * after use. Of `KmsClient`, plaintexts are wiped at the end of their scope.
 *
 * @param options Key pair and documents
 * @returns The plug-in, for `client.middlewareStack.use()`. Dispose it when the client is no longer used
 * @throws {TypeError} When an option is unknown or of a wrong type
 * @throws {RangeError} When a number is out of range
 * @example
 * ```ts
 * import { DecryptCommand, KMSClient } from "@aws-sdk/client-kms";
 * import { recipientPlugin, vsockRequestHandler } from "enclave-kms/aws";
 * import { startSimulator } from "enclave-kms/sim";
 *
 * await using enclave = await startSimulator();
 * const { region, credentials, endpoint, trustedCertificates, nsm } = enclave.clientOptions;
 * const { keyId } = await enclave.createKey();
 * const CiphertextBlob = await enclave.encrypt({ keyId, plaintext: "hello" });
 *
 * const requestHandler = vsockRequestHandler({ endpoint, trustedCertificates }); // in an enclave: { relay }
 * const kms = new KMSClient({ region, credentials, requestHandler });
 * using recipient = recipientPlugin({ nsm }); // in an enclave: no options
 * kms.middlewareStack.use(recipient);
 *
 * const { Plaintext } = await kms.send(new DecryptCommand({ CiphertextBlob }));
 * Plaintext?.length; // 5
 * Plaintext?.fill(0);
 * kms.destroy();
 * ```
 */
export function recipientPlugin(options: RecipientPluginOptions = {}): RecipientPlugin {
  const given = checkFields("options of recipientPlugin", options, FIELDS);
  // Neither has a part in what is made here.
  const checked = checkOptions({ ...given, region: DEFAULT_REGION, credentials: NO_CREDENTIALS });
  if (checked.engine === "sdk-client") throw new TypeError("engine must be one of auto, direct, sdk");
  return new RecipientPlugin(new RecipientSource(checked, checked.timeoutMs), checked.timeoutMs);
}

const FIELDS = [
  "engine",
  "library",
  "libcryptoPath",
  "nsm",
  "timeoutMs",
  "attestationMaxAgeMs",
  "keyPairMaxAgeMs",
  "keyPairMaxUses",
];
const NO_CREDENTIALS = { accessKeyId: "", secretAccessKey: "" };

/** Place inside of the SDK's tries, before each is signed. */
const PLACE: SdkPlace = {
  name: "enclaveKmsRecipientMiddleware",
  relation: "before",
  toMiddleware: "httpSigningMiddleware",
  override: true,
};

/** Plug-in of a `KMSClient`; see {@link recipientPlugin}. */
export class RecipientPlugin implements Disposable {
  readonly #source: RecipientSource;
  readonly #timeoutMs: number;

  /** @internal */
  constructor(source: RecipientSource, timeoutMs: number) {
    this.#source = source;
    this.#timeoutMs = timeoutMs;
  }

  /**
   * Adds the plug-in to a client. Called by `client.middlewareStack.use()`.
   *
   * @param stack Middleware of the client
   */
  applyToStack(stack: SdkStack): void {
    const middleware: SdkMiddleware = (next, context) => async (args) => {
      const member = secretMemberOf(context, args.request);
      if (member === undefined || hasRecipient(args.input)) return await next(args);
      const caller = callerOf(context);
      try {
        return await this.#attest(next, args, member, caller.signal);
      } catch (error) {
        throw error instanceof DisposedError && this.#source.isDisposed
          ? new DisposedError("RecipientPlugin")
          : error;
      } finally {
        caller.leave();
      }
    };
    stack.addRelativeTo(middleware as never, PLACE);
  }

  /** Destroys the key pairs; commands that take a recipient fail from then on. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    this.#source[Symbol.dispose]();
  }

  async #attest(
    next: SdkStep,
    args: SdkStepArguments,
    member: string,
    signal: AbortSignal | undefined,
  ): Promise<SdkStepOutput> {
    using deadline = new Deadline("attest the request", this.#timeoutMs, signal);
    using lease = await this.#source.take(deadline);
    deadline.stage = "nsm";
    const request = attachRecipient(args.request, await lease.document(deadline));
    const answer = await next({ ...args, request });
    await fillSecret(answer.output, member, (envelope) => open(lease, envelope));
    return answer;
  }
}

/** Looks for a recipient of the caller. The SDK leaves one that is null out, as if it were not there. */
function hasRecipient(input: { readonly Recipient?: unknown }): boolean {
  return input.Recipient !== undefined && input.Recipient !== null;
}

/** Opens an answer. Its bytes belong to the caller of the SDK from then on, who is their only holder. */
async function open(lease: RecipientLease, envelope: Uint8Array): Promise<Uint8Array> {
  const { openElsewhere } = lease;
  if (openElsewhere !== undefined) return (await openElsewhere(envelope)).bytes;
  await openingTurn();
  return lease.open(envelope).bytes;
}

/** Finds the signal of the caller, where this version of the SDK passes it on. */
function callerOf(context: object): { readonly signal: AbortSignal | undefined; readonly leave: () => void } {
  const { __smithy_context: { abortSignal } = {} } = context as {
    readonly __smithy_context?: { readonly abortSignal?: unknown };
  };
  if (typeof abortSignal !== "object" || abortSignal === null) return { signal: undefined, leave: () => {} };
  const controller = new AbortController();
  const abort = () => controller.abort(aborted(abortSignal));
  if ((abortSignal as CallerSignal).aborted) abort();
  return { signal: controller.signal, leave: followSignal(abortSignal, abort) };
}
