import type { NsmTransport } from "../lib/nsm/nsm_transport.ts";
import type { Admission } from "./admission.ts";
import type { KmsTime } from "./callers/kms_time.ts";
import type { EnginePool } from "./engine_pool.ts";
import type { Gate } from "./gate.ts";
import type { Need } from "./readiness.ts";
import type { Metrics } from "./telemetry/metrics.ts";

/** Parts of an `EnclaveService`, which owns the engines and the NSM from then on. */
export interface ServiceParts {
  /** Gate, which is asked first. */
  readonly gate: Gate;
  /** Admission, which bounds the number of requests that run at once. */
  readonly admission: Admission;
  /** Region of the keys, for HTTP. */
  readonly region: string;
  /** Engines that speak to KMS. */
  readonly engines: EnginePool;
  /** Makes attestation documents; none when there is no module. */
  readonly nsm: NsmTransport | undefined;
  /** Milliseconds for one request, with the wait for its turn. */
  readonly timeoutMs: number;
  /** Whether there is a policy that can say yes. */
  readonly hasPolicy: () => boolean;
  /** Needs of the application, for its readiness. Default: all. */
  readonly needs?: readonly Need[] | undefined;
  /** Clock that tokens and certificates are judged by. Default: neither is taken. */
  readonly clock?: Pick<KmsTime, "learn"> | undefined;
  /** Counts KMS's refusals, and what is tried again. Default: nothing does. */
  readonly metrics?: Pick<Metrics, "countKmsError" | "countKmsRetry"> | undefined;
  /** Makes the user data of the documents that callers ask for: the digest of this boot's keys. Default: none. */
  readonly userData?: (() => Promise<Uint8Array>) | undefined;
}
