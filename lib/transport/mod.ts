/**
 * Streams and HTTP over vsock, the same on Node and Deno; TCP and unix sockets take the same way on a laptop.
 *
 * {@link connect} opens a stream, and {@link listen} accepts streams with the CID of each peer. {@link serve} answers
 * HTTP with a fetch handler, and {@link createFetch} asks. The room imports lib/native and lib/core. Begin with
 * open_transport.ts and listen.ts; the files ending in _node and _deno are what each runtime needs for vsock.
 *
 * Not guaranteed: privacy, or who calls. Bytes travel in the clear, and every process on the parent has CID 3.
 *
 * @example
 * ```ts
 * import { connect, listen } from "enclave-kms/vsock";
 *
 * const endpoint = { transport: "tcp", host: "127.0.0.1", port: 0 } as const; // in an enclave: transport "vsock"
 * await using listener = await listen(endpoint, {}, ({ stream, peer }) => {
 *   stream.end(`hello, CID ${peer?.cid ?? "unknown"}`);
 * });
 *
 * const stream = await connect(listener.endpoint);
 * const [greeting] = await stream.take(1).toArray();
 * String(greeting); // "hello, CID unknown"
 * ```
 *
 * @module
 */
export { Bridge, type BridgeCounters, type BridgeOptions, openBridge } from "./bridge.ts";
export type { OnFailure, OpenTarget } from "./bridge_traffic.ts";
export { connect } from "./connect.ts";
export type { Connection, ConnectionStream, GiveWay, VsockPeer } from "./connection.ts";
export { createFetch, type CreateFetchOptions, type Fetch, type VsockAddress } from "./create_fetch.ts";
export type { ServeHandler, ServeInfo } from "./serve_handler.ts";
export { ANY_CID, ANY_VSOCK_PORT, listen, type Listener, type ListenOptions } from "./listen.ts";
export { type HttpServer, serve, type ServeOptions } from "./serve.ts";
export type { CallOptions } from "../core/call_options.ts";
export {
  type Endpoint,
  PARENT_CID,
  type TcpEndpoint,
  type UnixEndpoint,
  type VsockEndpoint,
} from "../core/endpoint.ts";
export {
  ConnectionError,
  DisposedError,
  EnclaveKmsError,
  type ErrorCode,
  type ErrorDetails,
  LibraryLoadError,
  SystemCallError,
  TimeoutError,
} from "../core/errors.ts";
