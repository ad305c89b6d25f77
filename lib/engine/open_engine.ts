import { CredentialsSource } from "../credentials.ts";
import type { Deadline } from "../deadline.ts";
import { LibraryLoadError } from "../errors.ts";
import type { CheckedOptions } from "../kms_options.ts";
import { NsmDevice } from "../native/nsm_device.ts";
import { SdkLibrary } from "../native/sdk_library.ts";
import type { KmsEngine } from "./engine.ts";
import { KmsConnection } from "./https/kms_connection.ts";
import { HttpsEngine } from "./https_engine.ts";
import { NsmRecipient } from "./nsm_recipient.ts";
import type { Recipient } from "./recipient.ts";
import { SdkClientEngine } from "./sdk_client_engine.ts";
import { SdkRecipient } from "./sdk_recipient.ts";

/**
 * Makes the engine that the options ask for.
 *
 * `auto` takes `sdk` when the C SDK loads and `direct` otherwise. A library that is named must load, and an
 * NSM that is given is used: the C SDK could not.
 *
 * @param options After every check
 * @param deadline When to give up
 * @throws {LibraryLoadError} When the engine needs a library that does not load
 * @throws {AttestationError} When there is no NSM
 */
export async function openEngine(options: CheckedOptions, deadline: Deadline): Promise<KmsEngine> {
  switch (options.engine) {
    case "direct":
      return await openDirect(options, deadline);
    case "sdk":
      return await openSdk(options, SdkLibrary.acquire(options.library), deadline);
    case "sdk-client":
      return openSdkClient(options, SdkLibrary.acquire(options.library));
    case "auto": {
      const library = findLibrary(options);
      return library === undefined
        ? await openDirect(options, deadline)
        : await openSdk(options, library, deadline);
    }
  }
}

function findLibrary({ library, nsm }: CheckedOptions): SdkLibrary | undefined {
  if (library !== undefined) return SdkLibrary.acquire(library);
  if (nsm !== undefined) return undefined;
  try {
    return SdkLibrary.acquire();
  } catch (error) {
    if (error instanceof LibraryLoadError) return undefined;
    throw error;
  }
}

async function openDirect(options: CheckedOptions, deadline: Deadline): Promise<KmsEngine> {
  const nsm = options.nsm ?? NsmDevice.open();
  return openHttps("direct", options, await NsmRecipient.create(nsm, deadline));
}

async function openSdk(options: CheckedOptions, library: SdkLibrary, deadline: Deadline): Promise<KmsEngine> {
  using own = library;
  return openHttps("sdk", options, await SdkRecipient.create(own, deadline));
}
