import { CredentialsSource } from "../aws/credentials_source.ts";
import type { Deadline } from "../core/deadline.ts";
import { LibraryLoadError } from "../core/errors.ts";
import type { CheckedOptions } from "./kms_options.ts";
import { NsmDevice } from "../native/nsm_device.ts";
import { SdkLibrary } from "../native/sdk_library.ts";
import { checkSystemTrust } from "../native/trust_store.ts";
import { openTransport } from "../transport/open_transport.ts";
import type { KmsEngine } from "./engine.ts";
import { KmsConnection } from "./https/kms_connection.ts";
import { checkRuntimeTrust } from "./https/trusted_certificates.ts";
import { HttpsEngine } from "./https/https_engine.ts";
import { NsmRecipient } from "./recipient/nsm_recipient.ts";
import type { Recipient } from "./recipient/recipient.ts";
import { SdkClientEngine } from "./sdk_client/sdk_client_engine.ts";
import { SdkRecipient } from "./recipient/sdk_recipient.ts";
import { NO_RECIPIENT, UnattestedEngine } from "./unattested_engine.ts";

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
 * @throws {CertificateError} When there are no certificate authorities to trust KMS by
 */
export async function openEngine(options: CheckedOptions, deadline: Deadline): Promise<KmsEngine> {
  const credentials = new CredentialsSource(options.credentials, options.expiredCredentials);
  try {
    return await chooseEngine({ ...options, credentials }, deadline);
  } catch (error) {
    credentials[Symbol.dispose]();
    throw error;
  }
}

/** Checked options with credentials that the engine will own. */
type Parts = Omit<CheckedOptions, "credentials"> & { readonly credentials: CredentialsSource };

async function chooseEngine(options: Parts, deadline: Deadline): Promise<KmsEngine> {
  if (options.recipient === "none") return await openUnattested(options, deadline);
  switch (options.engine) {
    case "direct":
      return await openDirect(options, deadline);
    case "sdk":
      return await openSdk(options, SdkLibrary.acquire(options.library), deadline);
    case "sdk-client":
      if (options.trustedCertificates === undefined) checkSystemTrust();
      return openSdkClient(options, SdkLibrary.acquire(options.library));
    case "auto": {
      const library = findLibrary(options);
      return library === undefined
        ? await openDirect(options, deadline)
        : await openSdk(options, library, deadline);
    }
  }
}

function findLibrary({ library, nsm }: Parts): SdkLibrary | undefined {
  if (library !== undefined) return SdkLibrary.acquire(library);
  if (nsm !== undefined) return undefined;
  try {
    return SdkLibrary.acquire();
  } catch (error) {
    if (error instanceof LibraryLoadError) return undefined;
    throw error;
  }
}

async function openDirect(options: Parts, deadline: Deadline): Promise<KmsEngine> {
  const nsm = options.nsm ?? NsmDevice.open();
  const shared = options.nsm === undefined ? nsm : undefined;
  const make = (until: Deadline) => NsmRecipient.create(nsm, { owned: false }, until);
  return await openHttps("direct", options, { make, shared }, deadline);
}

async function openUnattested(options: Parts, deadline: Deadline): Promise<KmsEngine> {
  const make = () => Promise.resolve(NO_RECIPIENT);
  return new UnattestedEngine(await openHttps("direct", options, { make, shared: undefined }, deadline));
}

async function openSdk(options: Parts, library: SdkLibrary, deadline: Deadline): Promise<KmsEngine> {
  const make = (until: Deadline) => SdkRecipient.create(library, until);
  return await openHttps("sdk", options, { make, shared: library }, deadline);
}

/** Way to make recipients, and the resource that they share. */
interface Recipients {
  readonly make: (deadline: Deadline) => Promise<Recipient>;
  readonly shared: Disposable | undefined;
}

async function openHttps(
  name: "direct" | "sdk",
  options: Parts,
  { make, shared }: Recipients,
  deadline: Deadline,
): Promise<KmsEngine> {
  const recipient = await makeFirst(options, { make, shared }, deadline);
  const { region, hostName, trustedCertificates, maxAttempts, endpoint } = options;
  const { attestationMaxAgeMs, keyPairMaxAgeMs, keyPairMaxUses, maxConnections, connectionMaxIdleMs } =
    options;
  try {
    const open = (deadline: Deadline) => openTransport(endpoint, deadline);
    return new HttpsEngine({
      name,
      region,
      hostName,
      maxAttempts,
      attestationMaxAgeMs,
      keyPairMaxAgeMs,
      keyPairMaxUses,
      recipient,
      makeRecipient: make,
      shared,
      connection: new KmsConnection({
        open,
        hostName,
        trustedCertificates,
        maxConnections,
        maxIdleMs: connectionMaxIdleMs,
      }),
      credentials: options.credentials,
    });
  } catch (error) {
    using _shared = shared;
    using _recipient = recipient;
    throw error;
  }
}

async function makeFirst(
  { trustedCertificates }: Parts,
  { make, shared }: Recipients,
  deadline: Deadline,
): Promise<Recipient> {
  try {
    if (trustedCertificates === undefined) checkRuntimeTrust();
    return await make(deadline);
  } catch (error) {
    shared?.[Symbol.dispose]();
    throw error;
  }
}

function openSdkClient(options: Parts, library: SdkLibrary): KmsEngine {
  const { region, endpoint, hostName, hostNameGiven, trustedCertificates, credentials } = options;
  return new SdkClientEngine({
    library,
    region,
    endpoint,
    // The C client knows only kms.<region>.amazonaws.com.
    hostName: hostNameGiven || !hostName.endsWith(".amazonaws.com") ? hostName : undefined,
    trustedCertificates,
    credentials,
  });
}
