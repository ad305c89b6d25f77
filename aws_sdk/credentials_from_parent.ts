import { pushedCredentialsOf } from "../enclave/pushed_credentials.ts";
import type { SdkCredentials } from "./sdk_types.ts";

/** The SDK asks again when less than five minutes are left: a minute from now, then. */
const ASK_AGAIN_MS = 360_000;

/** Enclave that the parent pushes credentials to, as `startEnclave()` returns it. */
export interface RunningEnclave {
  /** Name of the application. */
  readonly name: string;
  /** Resolves when the enclave has ended. */
  readonly closed: Promise<void>;
}

/**
 * Makes a credentials provider for AWS SDK v3 clients of what the parent pushes to the enclave:
 * `new S3Client({ credentials: credentialsFromParent(enclave) })`. It is asked again a minute later at most, so that
 * clients take the next credentials soon after they were pushed. Until the first ones are there it rejects.
 *
 * Not guaranteed: that secrets are wiped. The SDK takes credentials as text, which JavaScript cannot overwrite.
 *
 * @param enclave Enclave, from `startEnclave()`
 * @returns Provider. It rejects with a {@link CredentialsError} while there are no credentials
 * @throws {TypeError} When it is no enclave of `startEnclave()`
 * @example
 * ```ts
 * import { credentialsFromParent } from "enclave-kms/aws";
 * import { enclaveApp, startEnclave } from "enclave-kms/enclave";
 * import { startSimulator } from "enclave-kms/sim";
 *
 * await using simulator = await startSimulator(); // in an enclave: no parts, and no environment
 * await using enclave = await startEnclave(enclaveApp(), {
 *   name: "hello",
 *   nsm: simulator.nsm,
 *   environment: { ENV_SETUP: "SIM", ENCLAVE_PORT: "0", CONTROL_PORT: "0", ENCLAVE_KMS_LOG_LEVEL: "silent" },
 * });
 * const credentials = credentialsFromParent(enclave); // for new S3Client({ credentials })
 * await credentials().catch((error) => error.code); // "ERR_CREDENTIALS": the parent has pushed none yet
 * ```
 */
export function credentialsFromParent(enclave: RunningEnclave): () => Promise<SdkCredentials> {
  const take = pushedCredentialsOf(enclave);
  if (take === undefined) throw new TypeError("enclave must be that of startEnclave()");
  return () =>
    new Promise((resolve) => {
      using owned = take();
      const decoder = new TextDecoder();
      resolve({
        accessKeyId: owned.accessKeyId,
        secretAccessKey: decoder.decode(owned.secretAccessKey.bytes),
        ...(owned.sessionToken === undefined
          ? {}
          : { sessionToken: decoder.decode(owned.sessionToken.bytes) }),
        expiration: new Date(Math.min(owned.expiresAtMs ?? Infinity, Date.now() + ASK_AGAIN_MS)),
      });
    });
}
