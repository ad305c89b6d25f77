import type { RequestRecord } from "../telemetry/request_record.ts";

/** Protection of a request on its way: none, TLS that ends inside the enclave, or sealed HTTP. */
export type Channel = "clear" | "tls" | "sealed";

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
    /** Protection of the request on its way. Default: `clear`. */
    channel?: Channel;
    /** The client's certificate that TLS verified, DER. Default: none. */
    certificate?: Uint8Array;
    /** Whether the client has a certificate whose time cannot be judged yet. Default: false. */
    hasUnjudgedCertificate?: boolean;
    /** Whether the request came over the control listener, which the parent alone reaches. Default: false. */
    isControl?: boolean;
    /**
     * Header lines that the listener adds to the answer, names and values in turns, where the answer has none of that
     * name. Default: there is no listener, and answers have them themselves.
     */
    addedLines?: string[];
    /** Digest of a request that was sealed, 64 hex digits. Default: it was not sealed. */
    requestDigest?: string;
    /** Record of a request that was sealed in another: both are one request, and one line of the log. */
    record?: RequestRecord;
  };
  /** Values that middleware sets. */
  Variables: {
    /** Record of the request. */
    record: RequestRecord;
  };
}

/** Facts about a connection that its requests get beside its CID, as bindings. */
export type ConnectionBindings = Pick<
  HttpEnv["Bindings"],
  "channel" | "certificate" | "hasUnjudgedCertificate"
>;
