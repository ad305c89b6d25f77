import type { TcpEndpoint } from "../lib/core/endpoint.ts";
import type { SimulatedCredentials } from "../sim/kms/kms_credentials.ts";

/** The round trips over which everything is measured, in milliseconds. */
export const ROUND_TRIPS_MS = [0, 5, 20] as const;

/** One of {@link ROUND_TRIPS_MS}. */
export type RoundTripMs = (typeof ROUND_TRIPS_MS)[number];

/** Ciphertext and its plaintext, base64. */
export interface Sample {
  readonly ciphertext: string;
  readonly plaintext: string;
}

/** Something that listens, once for each round trip. */
export type Reachable = Readonly<Record<RoundTripMs, TcpEndpoint>>;

/** Setting that every measured process gets: the simulated KMS and its addresses. */
export interface Setting {
  readonly region: string;
  readonly credentials: SimulatedCredentials;
  readonly kms: Reachable;
  /** PEM of the simulator's authority, and the file it is in. */
  readonly trustedCertificates: string;
  readonly trustedCertificatesFile: string;
  /** Socket of the software NSM; processes under the supervisor have it as `/dev/nsm`. */
  readonly nsmSocket: string;
  readonly samples: readonly Sample[];
  /** Bytes that a warm decrypt sends and receives, with those of TLS. */
  readonly wire: { readonly requestBytes: number; readonly answerBytes: number };
  /** A KMS that verifies each ciphertext and document once only, with an authority of its own. */
  readonly replaying: { readonly kms: Reachable; readonly trustedCertificates: string };
}

/** Counts of the simulated KMS and NSM so far. */
export interface Counts {
  readonly requests: number;
  readonly connections: number;
  readonly documents: number;
}

/** The parts that can be chosen, and come from the environment or are compiled: what is not there is `undefined`. */
export interface Parts {
  /** Script of this project's command line, packed for Node.js. */
  readonly cli: string;
  /** A kmstool_enclave_cli; without it the command line of this project takes its place. */
  readonly kmstool: string | undefined;
  /** Library that sends its AF_VSOCK connections to TCP. */
  readonly vsockRedirect: string | undefined;
  /** The C SDK, or its double. */
  readonly sdkLibrary: string | undefined;
  /** Name and version of the cryptographic library under the C SDK. */
  readonly sdkCrypto: string | undefined;
  /** OpenSSL 3 for Deno: Node.js has its own. */
  readonly libcrypto: string | undefined;
  /** Whether the processes have a `/dev/nsm`. */
  readonly hasDevice: boolean;
}
