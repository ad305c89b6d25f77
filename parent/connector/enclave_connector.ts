import type {
  BootAttestation,
  BootAttestationOptions,
  ParsedBootAnswer,
} from "../../lib/attestation/boot_attestation.ts";
import type { CallOptions } from "../../lib/core/call_options.ts";
import type { Endpoint } from "../../lib/core/endpoint.ts";
import type { Fetch } from "../../lib/transport/create_fetch.ts";

/** Request to an enclave. */
export interface ConnectorRequest {
  /** Method. Default: `GET`, and `POST` where there is a body. */
  readonly method?: string | undefined;
  /** Path and query, such as `/v1/things?id=7`. */
  readonly path: string;
  /** Headers. Default: none but `content-type: application/json` where the body is an object. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Body: text, bytes, or an object that is sent as JSON. Default: none. */
  readonly body?: string | Uint8Array<ArrayBuffer> | object | undefined;
  /**
   * Whether the enclave may serve it twice without harm. It is then sent once more when the connection breaks before its
   * answer. Default: GET, HEAD and OPTIONS without a body, over a connection that was kept.
   */
  readonly isRepeatable?: boolean | undefined;
}

/** Answer of an enclave. */
export interface ConnectorAnswer {
  /** HTTP status, whatever it is: 403 is an answer, too. */
  readonly status: number;
  /** Headers. */
  readonly headers: Headers;
  /** Body, at most `maxAnswerBytes`. Where it holds a secret, the caller wipes it. */
  readonly body: Uint8Array<ArrayBuffer>;
  /**
   * Reads the body as JSON.
   *
   * @throws {ProtocolError} When it is none
   */
  json(): unknown;
  /** Reads the body as UTF-8. */
  text(): string;
}

/** Limits of waiting for an enclave. */
export interface WaitOptions {
  /** Number of questions after the first one, 0 to 1000000. Default: 60. */
  readonly maxRetries?: number | undefined;
  /** Milliseconds between two questions, 1 to 2147483647. Default: 1000. */
  readonly intervalMs?: number | undefined;
  /** Milliseconds for each question, 1 to 2147483647. Default: 5000. */
  readonly timeoutMs?: number | undefined;
  /** Signal that ends the wait; the promise rejects with its reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Question for an attestation document. */
export interface ConnectorAttestationOptions extends CallOptions {
  /** Nonce of the document, 1 to 512 bytes. Default: 32 random bytes. */
  readonly nonce?: Uint8Array | undefined;
  /** Expectations of the document. Default: none, and nothing is checked. */
  readonly verify?: Omit<BootAttestationOptions, "nonce"> | undefined;
}

/** Attestation that passed every check. */
export interface CheckedAttestation {
  /** Document, nonce, keys and boot id were checked. */
  readonly isChecked: true;
  /** Nonce of the document. */
  readonly nonce: Uint8Array;
  /** Document, and the keys that it vouches for. */
  readonly boot: BootAttestation;
}

/** Attestation of which nothing was checked: anybody between here and the enclave may have made it up. */
export interface UncheckedAttestation {
  /** Nothing was checked. */
  readonly isChecked: false;
  /** Sentence that says so, for a log or a reader. */
  readonly warning: string;
  /** Nonce that was sent. Whether it is in the document was not looked at. */
  readonly nonce: Uint8Array;
  /** Answer in its form. The document is as it came, and vouches for nothing yet. */
  readonly boot: ParsedBootAnswer;
}

/** Attestation of an enclave; `isChecked` tells which one. */
export type ConnectorAttestation = CheckedAttestation | UncheckedAttestation;

/** Limits of a connector; all have defaults. */
export interface ConnectorOptions {
  /** Milliseconds for a request, from its start to the end of its answer, 1 to 2147483647. Default: 30000. */
  readonly timeoutMs?: number | undefined;
  /** Milliseconds for which connecting is tried again, with growing pauses; 0 for one try. Default: 2000. */
  readonly reconnectMs?: number | undefined;
  /** Number of connections, and so of requests, at once, 1 to 4096; the others wait in line. Default: 64. */
  readonly maxConnections?: number | undefined;
  /** Milliseconds that a connection may wait for its next request, 1 to 2147483647. Default: 30000. */
  readonly maxIdleMs?: number | undefined;
  /** Longest body of an answer to `sendRequest`, in bytes, 1 to 2147483647. Default: 1048576. */
  readonly maxAnswerBytes?: number | undefined;
}

/**
 * Caller's half of a conversation with an enclave, over connections that are kept. The enclave's half is an application
 * of `startEnclave`, or an `EnclaveListener`.
 *
 * A request is sent once. It is sent again only where nothing of it was sent (connecting failed), or where serving it
 * twice does no harm: see {@link ConnectorRequest.isRepeatable}.
 *
 * Not guaranteed: privacy, or that an enclave answers. Bytes travel in the clear between this process and the enclave;
 * `getAttestation` with `verify` tells which enclave it is, and `sealedFetch` of `enclave-kms/channel` takes `fetch` as
 * its way and lets nobody read.
 */
export interface EnclaveConnector extends AsyncDisposable {
  /** Address of the enclave. */
  readonly endpoint: Endpoint;
  /** Number of connections that are open, with those that wait for a request. */
  readonly connectionCount: number;
  /** The standard `fetch`, whose requests go to the enclave, whatever host their URLs name. They begin with `http:`. */
  readonly fetch: Fetch;
  /**
   * Sends a request, and reads its answer.
   *
   * @param request Method, path and body
   * @param options Signal and time-out
   * @throws {TypeError} When the request is malformed
   * @throws {ConnectionError} When the enclave cannot be reached, or the connection breaks
   * @throws {TimeoutError} When the time is up
   * @throws {ProtocolError} When the answer has more than `maxAnswerBytes`
   * @throws {DisposedError} After close
   */
  sendRequest(request: ConnectorRequest, options?: CallOptions): Promise<ConnectorAnswer>;
  /**
   * Asks `GET /readyz` until the answer is 200.
   *
   * @param options Number and pace of the questions
   * @throws {NotReadyError} When it never was; `missing` names the parts that the last answer said are not there
   * @throws {DisposedError} After close
   */
  waitForEnclave(options?: WaitOptions): Promise<void>;
  /**
   * Asks `GET /v1/attestation`, and verifies the answer, or says that nothing was checked.
   *
   * @param options Nonce and expectations
   * @throws {AttestationError} When a check fails, or it is no such answer
   * @throws {ProtocolError} When the enclave refuses
   * @throws {ConnectionError} When the enclave cannot be reached, or the connection breaks
   * @throws {TimeoutError} When the time is up
   */
  getAttestation(options?: ConnectorAttestationOptions): Promise<ConnectorAttestation>;
  /**
   * Takes no more requests, lets those that run end, and breaks off those that are left after the grace period.
   *
   * @param options `graceMs`: milliseconds, 0 to 2147483647. Default: 10000
   */
  close(options?: { readonly graceMs?: number | undefined }): Promise<void>;
}
