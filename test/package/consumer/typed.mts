/** What a user in TypeScript writes: type-checked against the packed types, and run as it is. */
import {
  type Credentials,
  type DecryptRequest,
  EnclaveKmsError,
  type Endpoint,
  type EngineName,
  KmsClient,
  type KmsClientOptions,
  kmsDecrypt,
  KmsError,
  type SecretBytes,
} from "enclave-kms";
import {
  type AttestationDocument,
  type PcrValue,
  type SealOptions,
  sealTo,
  SessionKey,
  verifyAttestation,
  type VerifyAttestationOptions,
} from "enclave-kms/attestation";
import { attestedKeyPolicy, KMS_FAULTS, type KmsFault, SimulatedKms, startSimulator } from "enclave-kms/sim";

const engine: EngineName = "direct";
const endpoint: Endpoint = { transport: "vsock", cid: 3, port: 8000 };
const credentials: Credentials = { accessKeyId: "a", secretAccessKey: "b", sessionToken: undefined };
export const inAnEnclave: KmsClientOptions = { region: "eu-central-1", credentials, endpoint, engine };

await using enclave = await startSimulator({ region: "eu-central-1" });
const { keyId } = await enclave.createKey({ policy: attestedKeyPolicy({ 0: enclave.nsm.pcr(0) }) });
const ciphertext: Uint8Array<ArrayBuffer> = await enclave.encrypt({ keyId, plaintext: "attack at dawn" });

using plaintext: SecretBytes = await kmsDecrypt({ ...enclave.clientOptions, ciphertext, keyId });
console.log(new TextDecoder().decode(plaintext.bytes));

const request: DecryptRequest = { ciphertext, signal: new AbortController().signal, timeoutMs: 2000 };
const fault: KmsFault = KMS_FAULTS[0] ? { kind: "throttled" } : { kind: "hang" };
await using client = await KmsClient.open(enclave.clientOptions);
using again = await client.decrypt(request);
console.log(again.bytes.length, fault.kind, enclave.kms instanceof SimulatedKms);

const pcrs: Record<number, PcrValue> = { 0: enclave.nsm.pcr(0) };
const expected: VerifyAttestationOptions = { pcrs, maxAgeMs: 60_000, root: enclave.nsm.root };
using session: SessionKey = await SessionKey.create(enclave.nsm, { nonce: new Uint8Array(32) });
const document: AttestationDocument = await verifyAttestation(session.document, expected);
const sealing: SealOptions = { ...expected, pcrs };
using opened: SecretBytes = await session.open(await sealTo(session.document, again, sealing));
console.log(document.digest, opened.length);

// @ts-expect-error: a secret is sealed to measured enclaves only
export const toAnyone = (): Promise<Uint8Array> => sealTo(session.document, again, {});

export function explain(error: unknown): string {
  if (error instanceof KmsError) return `${error.kmsCode} ${error.requestId ?? ""}`;
  return error instanceof EnclaveKmsError ? `${error.code}: ${error.hint}` : "";
}

// @ts-expect-error: an engine has one of four names
export const wrongEngine: EngineName = "fast";

// @ts-expect-error: the region and the credentials have no default
export const withoutOptions = (): Promise<KmsClient> => KmsClient.open({});
