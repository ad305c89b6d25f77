import { CredentialsSource } from "../../lib/aws/credentials_source.ts";
import type { CredentialsProvider, OwnedCredentials } from "../../lib/aws/credentials.ts";
import type { Deadline } from "../../lib/core/deadline.ts";
import {
  ConnectionError,
  EnclaveKmsError,
  LibraryLoadError,
  ProtocolError,
  TimeoutError,
} from "../../lib/core/errors.ts";
import { Pauses } from "../../lib/core/pauses.ts";
import { ArtefactError } from "./artefact_error.ts";
import { ObjectReader, type ObjectRequest, type Signer } from "./object_reader.ts";

/** Pauses between tries, in milliseconds. */
const PAUSES = { firstMs: 100, maxMs: 5000 };

/** Object to read, and what its tries share. */
export interface ObjectTries extends ObjectRequest {
  /** Credentials, or a function. */
  readonly credentials: CredentialsProvider;
  /** Is told each failure after which another try is made. */
  readonly onRetry: (error: Error) => void;
}

/**
 * Reads an object of S3 in as many tries as the deadline has room for, with pauses that grow.
 *
 * @param tries Object and credentials
 * @param deadline Deadline of all tries together
 * @returns The object, whole
 * @throws {TimeoutError} When the deadline passes; its cause is the last try's failure
 * @throws {ArtefactError} When S3 refuses, or the object is too large or keeps changing
 * @throws {CertificateError} When S3's certificate is not accepted
 * @throws {CredentialsError} When the credentials' provider fails
 * @throws {LibraryLoadError} When `aws4fetch` is not installed
 */
export async function readObject(tries: ObjectTries, deadline: Deadline): Promise<Uint8Array> {
  const reader = new ObjectReader(tries, await loadSigner());
  using source = new CredentialsSource(tries.credentials);
  const pauses = new Pauses(PAUSES);
  let last: Error | undefined;
  try {
    for (;;) {
      try {
        return await tryWithOthers(reader, source, deadline);
      } catch (error) {
        if (!canPass(error)) throw error;
        last = error;
        tries.onRetry(error);
      }
      pauses.begin();
      await deadline.sleep(pauses.remainingMs);
    }
  } catch (error) {
    throw error instanceof TimeoutError && last !== undefined ? withCause(error, last) : error;
  }
}

/** Makes a try, and another one when S3 refuses the credentials and the provider has others. */
async function tryWithOthers(
  reader: ObjectReader,
  source: CredentialsSource,
  deadline: Deadline,
): Promise<Uint8Array> {
  deadline.stage = "credentials";
  using credentials = await source.get(deadline);
  deadline.stage = "artefact";
  try {
    return await reader.read(credentials, deadline.signal);
  } catch (error) {
    if (!(error instanceof ArtefactError) || error.reason !== "credentials") throw error;
    using others = await othersOf(source, credentials, deadline);
    if (others === undefined) throw error;
    return await reader.read(others, deadline.signal);
  }
}

async function othersOf(
  source: CredentialsSource,
  used: OwnedCredentials,
  deadline: Deadline,
): Promise<OwnedCredentials | undefined> {
  deadline.stage = "credentials";
  const others = await source.getOther(used, deadline);
  deadline.stage = "artefact";
  return others;
}

/** Tells whether another try may go better. */
function canPass(error: unknown): error is Error {
  if (error instanceof ArtefactError) return error.retryable;
  return error instanceof ConnectionError || error instanceof ProtocolError;
}

function withCause(error: TimeoutError, last: Error): TimeoutError {
  const hint = last instanceof EnclaveKmsError ? last.hint : error.hint;
  return new TimeoutError(`${error.message}; the last try: ${last.message}`, {
    stage: error.stage,
    hint,
    cause: last,
  });
}

async function loadSigner(): Promise<Signer> {
  try {
    return (await import("aws4fetch")).AwsV4Signer;
  } catch (cause) {
    throw new LibraryLoadError("Cannot read from S3: aws4fetch is not installed", {
      hint: "Install it beside this package: npm install aws4fetch",
      cause,
    });
  }
}
