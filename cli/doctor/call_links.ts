import { CredentialsError, EnclaveKmsError, KmsError, ProtocolError } from "../../lib/core/errors.ts";
import { UsageError } from "../usage_error.ts";
import { codeOf } from "../failure.ts";
import { broken, ok, untried, type Verdict, warning } from "./finding.ts";
import type { Link } from "./link.ts";
import type { Examination } from "./examination.ts";

/** Exceptions of KMS for a signature that it refuses. */
const CREDENTIAL_CODES: readonly string[] = [
  "ExpiredTokenException",
  "IncompleteSignatureException",
  "InvalidClientTokenId",
  "InvalidSignatureException",
  "MissingAuthenticationTokenException",
  "OptInRequired",
  "SignatureDoesNotMatch",
  "UnrecognizedClientException",
];

const HINTS: Readonly<Record<string, string>> = {
  ExpiredTokenException: "Fetch fresh ones from STS or the parent's instance role: they live for some hours",
  InvalidSignatureException: "Does the secret access key belong to the access key id, and is it complete?",
};

/** Length of the random bytes requested, in bytes. */
const RANDOM_BYTES = 32;

/** Credentials: whether KMS accepts the signature of a GenerateRandom, which changes nothing. */
export const credentialsLink: Link = {
  name: "credentials",
  needs: ["permissions", "library", "nsm", "kms"],
  silence: {
    what: "the signed request is not answered",
    hint: "Is KMS, or this machine, overloaded? Try again",
  },
  async examine(examination): Promise<Verdict> {
    const failure = await signedCall(examination);
    if (
      failure instanceof UsageError || failure instanceof CredentialsError || failure instanceof TypeError
    ) {
      return broken(
        failure.message,
        "See the flags that begin with --aws, and their variables",
        "ERR_CREDENTIALS",
      );
    }
    if (failure instanceof KmsError && CREDENTIAL_CODES.includes(failure.kmsCode)) {
      return broken(failure.message, HINTS[failure.kmsCode] ?? failure.hint, codeOf(failure));
    }
    // It may have failed on the way, which the round trip tells.
    const wasAnswered = [KmsError, ProtocolError].some((kind) => failure instanceof kind);
    if (failure !== undefined && !wasAnswered) return untried("the signed request was not answered");
    return ok("KMS takes the signature");
  },
};

/** Round trip: whether the answer encrypted to this enclave can be opened. */
export const roundTripLink: Link = {
  name: "round-trip",
  needs: ["permissions", "library", "nsm", "kms"],
  silence: {
    what: "the signed request is not answered",
    hint: "Is KMS, or this machine, overloaded? Try again",
  },
  async examine(examination): Promise<Verdict> {
    if ((await examination.finding("credentials")).state === "broken") return untried("needs credentials");
    const failure = await signedCall(examination);
    if (failure === undefined) return ok("KMS sealed random bytes for this enclave, and they were opened");
    if (failure instanceof KmsError && failure.kmsCode === "AccessDeniedException") {
      return warning(
        "the role may not call GenerateRandom, so nothing was tried",
        "Decrypting does not need it. To have it tried, allow kms:GenerateRandom",
      );
    }
    if (failure instanceof EnclaveKmsError) return broken(failure.message, failure.hint, codeOf(failure));
    return untried("it failed for a reason of this program's own");
  },
};

/**
 * Calls GenerateRandom.
 *
 * @returns The error; undefined when the call succeeded
 */
async function signedCall(examination: Examination): Promise<unknown> {
  try {
    await examination.randomBytes(RANDOM_BYTES);
    return undefined;
  } catch (error) {
    return error;
  }
}
