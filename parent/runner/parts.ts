import type { PushState } from "../credentials/push_events.ts";
import type { RunningEnclave } from "../running_enclave.ts";

/** Secret that the parent hands to the enclave, sealed. */
export interface SealedSecret {
  /** Name, for messages and metrics. */
  readonly name: string;
  /** Vsock port of the enclave that takes it. */
  readonly port: number;
  /** Bytes as they are sent. */
  readonly content: Uint8Array;
}

/** Readiness of an enclave, as it says itself; anybody on the way may have made it up. */
export interface EnclaveReadiness {
  /** Whether all that it needs is there. */
  readonly isReady: boolean;
  /** Parts that are missing. */
  readonly missing: readonly string[];
}

/** Pushing of credentials to one enclave, ahead of their expiration, until it is disposed. */
export interface CredentialsPush extends AsyncDisposable {
  /** State of it. */
  readonly state: PushState;
  /**
   * Tells whether the enclave has credentials that serve: it is sent others, after pauses that grow, while it has not.
   *
   * @param hasCredentials Whether it says so
   */
  noteEnclave(hasCredentials: boolean): void;
}

/** Service of the parent that stays open while enclaves come and go. */
export interface ParentService extends AsyncDisposable {
  /** Name for logs and metrics: `kms-proxy`, `tls-relay`, `ingress`, `egress` or `telemetry`. */
  readonly kind: string;
  /** Address that it listens on, such as `vsock:8000`. */
  readonly address: string;
  /** Counts of it. */
  readonly counters: Readonly<Record<string, number>>;
}

/** Conversation with one enclave. */
export interface EnclaveConversation extends AsyncDisposable {
  /**
   * Asks whether it is ready.
   *
   * @returns undefined when nothing that can be believed answers
   */
  askReadiness(signal: AbortSignal): Promise<EnclaveReadiness | undefined>;
  /** Reads its metrics, as it gives them; undefined when it gives none. */
  readMetrics(signal: AbortSignal): Promise<string | undefined>;
  /**
   * Hands it a sealed secret.
   *
   * @throws {EnclaveKmsError} When it does not take it
   */
  sendSecret(secret: SealedSecret, signal: AbortSignal): Promise<void>;
  /** Asks it to end in good order. */
  shutDown(signal: AbortSignal): Promise<void>;
}

/** Parts that {@link Supervisor} puts in order. */
export interface ParentParts extends AsyncDisposable {
  /** Asks the source of credentials once; undefined when there is none. */
  readonly checkCredentials: ((signal: AbortSignal) => Promise<void>) | undefined;
  /** Reads the sealed secrets. */
  readSecrets(signal: AbortSignal): Promise<readonly SealedSecret[]>;
  /** Opens the services, all or none. */
  openServices(): Promise<readonly ParentService[]>;
  /** Launches the enclave. */
  launch(signal: AbortSignal): Promise<RunningEnclave>;
  /** Begins a conversation with it. */
  converse(enclave: RunningEnclave): EnclaveConversation;
  /** Pushes credentials once, and begins to push them ahead of their expiration; undefined when there is no source. */
  readonly startPushing:
    | ((enclave: RunningEnclave, signal: AbortSignal) => Promise<CredentialsPush>)
    | undefined;
}
