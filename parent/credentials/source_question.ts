import {
  type CredentialsProvider,
  disposeOriginal,
  OwnedCredentials,
  type ProvidedCredentials,
} from "../../lib/aws/credentials.ts";
import { nameOfFailure } from "../../lib/aws/provider_question.ts";
import { Deadline } from "../../lib/core/deadline.ts";
import { CredentialsError, EnclaveKmsError } from "../../lib/core/errors.ts";

/**
 * Source of credentials: credentials, or a function that returns them, such as `imdsCredentials()` makes. The function
 * is told when nobody waits any more.
 */
export type CredentialSource =
  | CredentialsProvider
  | ((options: { readonly signal: AbortSignal }) => ProvidedCredentials | Promise<ProvidedCredentials>);

/**
 * Asks a source once.
 *
 * @param source The source
 * @param timeoutMs Milliseconds to wait
 * @param signal Ends the wait
 * @returns A copy of the credentials, for the caller to dispose; the original is disposed
 * @throws {EnclaveKmsError} The source's own error of this library, a {@link TimeoutError}, or a
 *   {@link CredentialsError} that names only the kind of another error, whose message may hold a secret
 */
export async function askSource(
  source: CredentialSource,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<OwnedCredentials> {
  using deadline = new Deadline("get credentials", timeoutMs, signal, "credentials");
  const answer = ask(source, deadline.signal);
  // One that comes too late is wiped all the same.
  answer.then((late) => deadline.signal.aborted && disposeOriginal(late), () => {});
  try {
    return take(await deadline.race(answer));
  } catch (error) {
    if (error instanceof EnclaveKmsError || signal.aborted) throw error;
    throw new CredentialsError(`Cannot get credentials: the source failed${nameOfFailure(error)}`, {
      hint: "The source's error is not shown, since it may hold secrets: log it inside the source",
    });
  }
}

async function ask(source: CredentialSource, signal: AbortSignal): Promise<ProvidedCredentials> {
  return await (typeof source === "function" ? source({ signal }) : source);
}

function take(given: ProvidedCredentials): OwnedCredentials {
  try {
    return OwnedCredentials.takeOver(given);
  } catch (error) {
    const reason = error instanceof TypeError ? error.message : "Cannot use credentials: they cannot be read";
    throw new CredentialsError(reason, { hint: "Does the source return what AWS handed out?" });
  }
}
