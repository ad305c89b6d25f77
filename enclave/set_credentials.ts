import type { ProvidedCredentials } from "../lib/aws/credentials.ts";
import type { SetCredentialsOptions } from "./credential_store.ts";
import type { Keeper } from "./gate.ts";
import type { EnclaveService } from "./service.ts";
import { describeCredentials } from "../lib/aws/logged_credentials.ts";
import type { RequestRecord } from "./telemetry/request_record.ts";

/**
 * Sets the credentials that sign the service's own requests, if the policy says yes to `SetCredentials`.
 *
 * @param service Service that gets them
 * @param credentials Credentials in any form; they are copied, and the caller wipes their own
 * @param record Record of the request, which notes the generation, and of the key id its ends only
 * @param options Whether to set older ones, too
 * @param gate Gate that is asked. Default: the service's own
 * @returns Their generation, which grows by one each time
 * @throws {PolicyDeniedError} When the policy did not say yes
 * @throws {BadRequestError} When they are wrong in form
 * @throws {CredentialsOlderError} When they expire before those in force, and are not forced
 */
export function setCredentials(
  service: EnclaveService,
  credentials: ProvidedCredentials,
  record: RequestRecord,
  options?: SetCredentialsOptions,
  gate?: Keeper,
): number {
  const { region, credentials: store } = service.scope;
  const owned = service.acceptCredentials("SetCredentials", credentials, region, record, gate);
  const generation = store.set(owned, options);
  record.credentials = describeCredentials(owned, generation);
  return generation;
}
