import type { RequestRecord } from "../telemetry/request_record.ts";

/** Types of a Hono application on an `HttpListener`. */
export interface HttpEnv {
  /** Caller of the request, as the listener hands them to `app.fetch` beside the request. */
  Bindings: {
    /** The caller's CID. */
    cid: number;
    /** Aborts when the caller goes away. */
    gone?: AbortSignal;
    /** Identifies the connection. */
    connection?: object;
    /** Whether the listener has read the body, within its limit. */
    hasWholeBody?: boolean;
  };
  /** Values that middleware sets. */
  Variables: {
    /** Record of the request. */
    record: RequestRecord;
  };
}
