import type { Principal } from "../lib/policy/principal.ts";
import type { Channel, HttpEnv } from "./http/http_env.ts";
import type { KmsService } from "./kms_service.ts";
import type { SecretBytes } from "../lib/core/secret_bytes.ts";
import type { RequestFacts } from "../lib/core/request_facts.ts";

export type { Channel };

/** Types of an application that `startEnclave()` runs: values that each of its handlers finds in `c.var`. */
export interface EnclaveEnv extends HttpEnv {
  /** Values of each request. */
  Variables: HttpEnv["Variables"] & {
    /** Caller, as far as it was proved who it is. */
    caller: Principal;
    /** Work of KMS, the NSM and this boot's keys; each call passes the gate. */
    kms: KmsService;
    /** Protection of the request on its way: `clear`, `tls` or `sealed`. */
    channel: Channel;
    /**
     * SHA-256 of a request that was sealed, 64 hex digits: of its id, method, path, headers but for the date, and body. The
     * same request has the same one however often it comes, and in every enclave: a key for what must be done once.
     * Undefined when it was not sealed.
     */
    requestDigest: string | undefined;
    /**
     * Header `traceparent` (W3C Trace Context) for what the handler asks of others: the trace that the caller named, or one
     * that begins here, and the span of this request. The caller chose the trace's id, so it proves nothing.
     */
    traceparent: string;
    /** Secrets of the application, by name; empty until they arrive. */
    secrets: ReadonlyMap<string, SecretBytes>;
    /**
     * Asks the policy about an action of the application, as `gate()` does ahead of a handler.
     *
     * Throws `PolicyDeniedError` unless the policy clearly permits it.
     */
    askPolicy: (action: string, facts?: RequestFacts) => void;
  };
}
