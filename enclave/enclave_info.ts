import type { EnclaveService } from "./service.ts";
import { BUILD_INFO } from "./telemetry/build_info.ts";

/** Answer of `GET /v1/info`. It is the enclave's own word, which nothing proves: documents do. */
export interface EnclaveInfo {
  /** Name of the application. */
  readonly name: string;
  /** Module id of the NSM, which is the enclave's id; null when there is none. */
  readonly enclaveId: string | null;
  /** Random id of this boot, 32 hex digits. */
  readonly bootId: string;
  /** Whether the NSM is one that software simulates. */
  readonly isSimulated: boolean;
  /** Versions of this package and of the runtime, by name. */
  readonly versions: Readonly<Record<string, string>>;
  /** PCRs in hex, by index; empty when there is no NSM. */
  readonly pcrs: Readonly<Record<string, string>>;
}

/** Facts of an enclave that its service does not know. */
export interface KnownOfEnclave {
  /** Random id of this boot. */
  readonly bootId: string;
  /** Whether the NSM is one that software simulates. */
  readonly isSimulated: boolean;
}

/**
 * Describes the enclave, from its NSM's own document.
 *
 * @param name Name of the application
 * @param service Service that has the NSM
 * @param known Other facts
 */
export async function describeEnclave(
  name: string,
  service: EnclaveService,
  { bootId, isSimulated }: KnownOfEnclave,
): Promise<EnclaveInfo> {
  await service.nsmCheck.answers();
  const { version, runtime, runtimeVersion } = BUILD_INFO;
  return {
    name,
    enclaveId: service.nsmCheck.moduleId ?? null,
    bootId,
    isSimulated,
    versions: { "enclave-kms": version, [runtime]: runtimeVersion },
    pcrs: { ...service.nsmCheck.pcrs },
  };
}
