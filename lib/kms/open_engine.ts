import { CredentialsSource } from "../aws/credentials_source.ts";
import { disposeAll } from "../core/dispose_all.ts";
import type { Deadline } from "../core/deadline.ts";
import { LibraryLoadError } from "../core/errors.ts";
import type { CheckedOptions } from "./kms_options.ts";
import { findKeyPairLibcrypto, type Libcrypto } from "../native/libcrypto.ts";
import { NsmDevice } from "../native/nsm_device.ts";
import { SdkLibrary } from "../native/sdk_library.ts";
import { checkSystemTrust } from "../native/trust_store.ts";
import { openTransport } from "../transport/open_transport.ts";
import type { KmsEngine } from "./engine.ts";
import { KmsConnection } from "./https/kms_connection.ts";
import { checkRuntimeTrust } from "./https/check_trusted_certificates.ts";
import { HttpsEngine } from "./https/https_engine.ts";
import { NsmRecipient } from "./recipient/nsm_recipient.ts";
import { OpensslRecipientKey } from "./recipient/openssl_recipient_key.ts";
import type { Recipient } from "./recipient/recipient.ts";
import { RecipientRotation } from "./recipient/recipient_rotation.ts";
import { SdkClientEngine } from "./sdk_client/sdk_client_engine.ts";
import { SdkRecipient } from "./recipient/sdk_recipient.ts";
import { NO_RECIPIENT, NoRecipientEngine } from "./no_recipient_engine.ts";

/** Options of {@link openEngine} besides those of a client. */
export interface OpeningOptions {
  /** Whether to connect to KMS while the key pair is made: for an engine whose first call comes at once. */
  readonly connectsAhead?: boolean | undefined;
}

/**
 * Makes the engine that the options ask for.
 *
 * `auto` takes `sdk` when the C SDK loads and `direct` otherwise. A library that is named must load, and an
 * NSM that is given is used: the C SDK could not.
 *
 * @param options After every check
 * @param deadline When to give up
 * @param opening Options of the opening
 * @throws {LibraryLoadError} When the engine needs a library that does not load
 * @throws {AttestationError} When there is no NSM
 * @throws {CertificateError} When there are no certificate authorities to trust KMS by
 */
export async function openEngine(
  options: CheckedOptions,
  deadline: Deadline,
  opening: OpeningOptions = {},
): Promise<KmsEngine> {
  const credentials = new CredentialsSource(options.credentials, options.expiredCredentials);
  try {
    return await chooseEngine({ ...options, ...opening, credentials }, deadline);
  } catch (error) {
    credentials[Symbol.dispose]();
    throw error;
  }
}

/** Checked options with credentials that the engine will own. */
type Parts = Omit<CheckedOptions, "credentials"> & OpeningOptions & {
  readonly credentials: CredentialsSource;
};

/** Checked options that recipients are made by. */
export type RecipientParts = Pick<
  CheckedOptions,
  | "engine"
  | "library"
  | "libcryptoPath"
  | "nsm"
  | "attestationMaxAgeMs"
  | "keyPairMaxAgeMs"
  | "keyPairMaxUses"
>;

/**
 * Makes the recipients of an engine without the engine, for whoever speaks to KMS by other means.
 *
 * @param options After every check. Engine `sdk-client` has no recipients of its own
 * @param deadline When to give up
 * @returns Recipients; the caller disposes them
 * @throws {LibraryLoadError} When the engine needs a library that does not load
 * @throws {AttestationError} When there is no NSM
 */
export async function openRecipients(
  options: RecipientParts,
  deadline: Deadline,
): Promise<RecipientRotation> {
  const { engine, library, attestationMaxAgeMs, keyPairMaxAgeMs, keyPairMaxUses } = options;
  const found = engine === "auto" ? findLibrary(options) : undefined;
  const sdk = engine === "sdk" ? SdkLibrary.acquire(library) : found;
  const { make, shared } = sdk === undefined ? directRecipients(options) : sdkRecipients(sdk);
  try {
    const recipient = await make(deadline);
    const limits = { attestationMaxAgeMs, keyPairMaxAgeMs, keyPairMaxUses };
    return new RecipientRotation({ recipient, makeRecipient: make, shared, ...limits });
  } catch (error) {
    shared?.[Symbol.dispose]();
    throw error;
  }
}

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

function findLibrary({ library, nsm }: RecipientParts): SdkLibrary | undefined {
  if (library !== undefined) return SdkLibrary.acquire(library);
  if (nsm !== undefined) return undefined;
  try {
    return SdkLibrary.acquire();
  } catch (error) {
    if (error instanceof LibraryLoadError) return undefined;
    throw error;
  }
}

/** Finds OpenSSL for the key pair. One that was named is not replaced in silence: whoever names it relies on it. */
function keyPairLibcrypto(path: string | undefined): Libcrypto | undefined {
  const { libcrypto, reason = "", hint = "" } = findKeyPairLibcrypto({ path });
  if (libcrypto !== undefined || path === undefined || path === "off") return libcrypto;
  throw new LibraryLoadError(`Cannot have the key pair in OpenSSL: ${reason}`, { hint });
}

async function openDirect(options: Parts, deadline: Deadline): Promise<KmsEngine> {
  return await openHttps("direct", options, directRecipients(options), deadline);
}

function directRecipients(options: RecipientParts): Recipients {
  const libcrypto = keyPairLibcrypto(options.libcryptoPath);
  const nsm = options.nsm ?? NsmDevice.open();
  const shared = options.nsm === undefined ? nsm : undefined;
  const makeKey = libcrypto && (() => OpensslRecipientKey.create(libcrypto));
  const make = (until: Deadline) => NsmRecipient.create(nsm, { owned: false, makeKey }, until);
  return { make, shared };
}

async function openUnattested(options: Parts, deadline: Deadline): Promise<KmsEngine> {
  const make = () => Promise.resolve(NO_RECIPIENT);
  return new NoRecipientEngine(await openHttps("direct", options, { make, shared: undefined }, deadline));
}

async function openSdk(options: Parts, library: SdkLibrary, deadline: Deadline): Promise<KmsEngine> {
  return await openHttps("sdk", options, sdkRecipients(library), deadline);
}

function sdkRecipients(library: SdkLibrary): Recipients {
  return { make: (until) => SdkRecipient.create(library, until), shared: library };
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
  const { region, hostName, maxAttempts } = options;
  const { attestationMaxAgeMs, keyPairMaxAgeMs, keyPairMaxUses } = options;
  const making = makeFirst(options, { make, shared }, deadline);
  let connection: KmsConnection | undefined;
  try {
    // While another thread makes the key pair.
    connection = openConnection(options);
    return new HttpsEngine({
      name,
      region,
      hostName,
      maxAttempts,
      attestationMaxAgeMs,
      keyPairMaxAgeMs,
      keyPairMaxUses,
      recipient: await making,
      makeRecipient: make,
      shared,
      connection,
      credentials: options.credentials,
    });
  } catch (error) {
    using _connection = connection;
    await making.then((recipient) => disposeAll([recipient, shared]), () => {});
    throw error;
  }
}

function openConnection(options: Parts): KmsConnection {
  const { endpoint, hostName, trustedCertificates, maxConnections, connectionMaxIdleMs } = options;
  const open = (deadline: Deadline) => openTransport(endpoint, deadline);
  const maxIdleMs = connectionMaxIdleMs;
  const connection = new KmsConnection({ open, hostName, trustedCertificates, maxConnections, maxIdleMs });
  // A connection that is closed before its first request costs a try.
  if (options.connectsAhead && options.maxAttempts > 1) connection.connectAhead();
  return connection;
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
