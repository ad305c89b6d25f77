import {
  type BootAttestation,
  type BootAttestationOptions,
  checkBootOptions,
  readBootAttestation,
} from "../../attestation/boot_attestation.ts";
import { CALL_FIELDS, type CallOptions, checkCall } from "../../core/call_options.ts";
import { checkFields } from "../../core/checks.ts";
import { Deadline } from "../../core/deadline.ts";
import { checkEndpoint, type Endpoint } from "../../core/endpoint.ts";
import { createFetch } from "../../transport/create_fetch.ts";
import { askAttestation } from "./ask_attestation.ts";
import { readAttestedCertificate } from "./attested_certificate.ts";

/** Expectations of the enclave, and limits of the question. `pcrs` must be given. */
export interface AttestedCertificateOptions
  extends Omit<BootAttestationOptions, "nonce" | "at">, CallOptions {
}

/** Verified certificate of an enclave's TLS, for clients of any library. */
export interface AttestedTlsCertificate {
  /** The certificate alone, PEM: the only authority that a client is to trust. */
  readonly pem: string;
  /** Boot that the document vouches for. */
  readonly boot: BootAttestation;
}

/**
 * Asks an enclave for the certificate of its TLS, and verifies it, for clients that bring a TLS of their own, such as
 * those of gRPC. They trust this one certificate as their only authority, under the name `enclave.internal`.
 *
 * The question goes in the clear, with a nonce of its own: nothing in it is secret, and nothing in the answer is
 * believed before it is verified. After the enclave has restarted it has another certificate, and TLS with the old one
 * fails: ask again then.
 *
 * Not guaranteed: that it is always the same enclave. Any that has the expected PCRs passes; `boot` tells them apart.
 *
 * @param endpoint Address of the enclave's HTTP, or of a bridge to it
 * @param options Expectations of the document, as for `verifyAttestation`; signal and time-out, in milliseconds.
 *   Default: 10000
 * @returns The certificate, and the boot that has it
 * @throws {AttestationError} When the enclave is not an expected one, has no TLS, or the certificate is another's
 * @throws {ConnectionError} When nothing answers there, or the connection breaks
 * @throws {ProtocolError} When the answer is none
 * @throws {TimeoutError} When the time is up first
 * @throws {TypeError} When an option is unknown or of a wrong type, or `pcrs` is missing or names no register
 * @throws {RangeError} When an option is empty or out of range
 * @example
 * ```ts
 * import { mkdtempSync, writeFileSync } from "node:fs";
 * import { tmpdir } from "node:os";
 * import { join } from "node:path";
 * import { fetchAttestedCertificate } from "enclave-kms/channel/node";
 * import { enclaveApp, startEnclave } from "enclave-kms/enclave";
 * import { startSimulator } from "enclave-kms/sim";
 *
 * const policy = join(mkdtempSync(join(tmpdir(), "hello-")), "policy.cedar");
 * writeFileSync(policy, 'permit(principal, action == Action::"GetAttestation", resource);');
 * const settings = { ENV_SETUP: "SIM", ENCLAVE_PORT: "0", CONTROL_PORT: "0", ENCLAVE_KMS_TLS: "tcp:127.0.0.1:0" };
 * const environment = { ...settings, ENCLAVE_KMS_POLICY_FILE: policy, ENCLAVE_KMS_LOG_LEVEL: "silent" };
 * await using simulator = await startSimulator();
 * await using enclave = await startEnclave(enclaveApp(), { name: "hello", nsm: simulator.nsm, environment });
 *
 * // At the caller, with PCRs from the build, and without `root`, which is for the simulator.
 * const pcrs = { 0: simulator.nsm.pcr(0) };
 * const { pem } = await fetchAttestedCertificate(enclave.endpoint, { pcrs, root: simulator.nsm.root });
 * pem.startsWith("-----BEGIN CERTIFICATE-----"); // true
 * ```
 */
export async function fetchAttestedCertificate(
  endpoint: Endpoint,
  options: AttestedCertificateOptions,
): Promise<AttestedTlsCertificate> {
  const target = checkEndpoint(endpoint);
  const { signal, timeoutMs, ...expected } = checkFields(
    "options of an attested certificate",
    options,
    FIELDS,
  );
  const expectations = checkBootOptions({ ...expected });
  const call = checkCall({ signal, timeoutMs }, DEFAULT_TIMEOUT_MS);
  using deadline = new Deadline("attest the enclave", call.timeoutMs, call.signal, "enclave");
  const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
  const asking = askAttestation(createFetch(target), nonce, deadline.signal, "http:");
  const boot = await readBootAttestation(await deadline.race(asking), { ...expectations, nonce });
  const { pem } = await readAttestedCertificate(boot);
  return { pem, boot };
}

const FIELDS = ["pcrs", "root", "maxAgeMs", "allowDebug", ...CALL_FIELDS];
const DEFAULT_TIMEOUT_MS = 10_000;
const NONCE_BYTES = 32;
