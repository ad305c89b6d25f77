/** Thing that a call waited for when its time was up. */
export type TimeoutStage =
  /** Nothing outside: the process was busy, or the time was very short. */
  | "process"
  /** A turn among the requests that the server runs at once. */
  | "admission"
  /** The caller's function that provides credentials. */
  | "credentials"
  /** The RSA key pair. */
  | "key-pair"
  /** The Nitro Secure Module. */
  | "nsm"
  /** One of `maxConnections` connections to KMS. */
  | "free-connection"
  /** The socket to the proxy, or to KMS. */
  | "connect"
  /** The TLS handshake. */
  | "tls"
  /** First byte of KMS's answer. */
  | "kms"
  /** The end of KMS's answer. */
  | "body"
  /** A connection to the enclave: one of `maxConnections`, or the enclave to listen. */
  | "enclave-connect"
  /** An answer of the enclave, or the handshake of a channel that ends in it. */
  | "enclave"
  /** The program nitro-cli, on the parent. */
  | "nitro-cli"
  /** An artefact, from S3. */
  | "artefact"
  /** The collector of telemetry. */
  | "collector"
  /** The call before this one to return from the C client. */
  | "sdk-client-turn"
  /** The C client, which does not say what it waits for. */
  | "sdk-client";

/** Missing thing of each stage, for the message, and its likeliest cause. */
export const TIMEOUT_STAGES: Readonly<
  Record<TimeoutStage, { readonly missing: string; readonly hint: string }>
> = {
  process: {
    missing: "not done",
    hint: "Nothing outside was waited for: is this process starved of CPU, or timeoutMs very short?",
  },
  admission: {
    missing: "no turn among the server's requests",
    hint:
      "All maxConcurrent requests were busy: is KMS or the NSM slow, or maxConcurrent too low for the load?",
  },
  credentials: {
    missing: "no answer from the credentials provider",
    hint:
      "The function given as `credentials` did not settle: does it wait for the parent without a time-out of its own?",
  },
  "key-pair": {
    missing: "no RSA key pair",
    hint: "Is this process starved of CPU, or the kernel of random numbers (see seedKernelEntropy)?",
  },
  nsm: {
    missing: "no answer from the NSM",
    hint:
      "The module takes one request at a time, and its driver up to 120 s: does another program of this enclave ask it?",
  },
  "free-connection": {
    missing: "no free connection to KMS",
    hint: "All maxConnections were in use: is KMS slow, or maxConnections too low for the load?",
  },
  connect: {
    missing: "no connection to the endpoint",
    hint: "Nothing answers there: is the proxy on the parent running (in an enclave, vsock CID 3 port 8000)?",
  },
  tls: {
    missing: "no TLS handshake with KMS",
    hint: "Something accepted the connection and then sent nothing: can the proxy on the parent reach KMS?",
  },
  kms: {
    missing: "no answer from KMS",
    hint: "The request was sent: is KMS slow (raise timeoutMs), or did the proxy stop forwarding?",
  },
  body: {
    missing: "no end of KMS's answer",
    hint: "The answer began and stopped: did the proxy on the parent stop forwarding?",
  },
  "enclave-connect": {
    missing: "no connection to the enclave",
    hint:
      "Is the enclave running under that CID (nitro-cli describe-enclaves), or is every connection in use?",
  },
  enclave: {
    missing: "no answer from the enclave",
    hint: "Something accepted the connection: is the enclave busy, or did the parent stop forwarding?",
  },
  "nitro-cli": {
    missing: "no answer from nitro-cli",
    hint: "Does nitro-enclaves-allocator.service run, and is the instance short of memory? See its log",
  },
  artefact: {
    missing: "no whole artefact",
    hint: "Can this machine reach S3 in the artefact's region, directly or through a VPC endpoint?",
  },
  collector: {
    missing: "no answer from the collector",
    hint: "Does the collector of telemetry run, and take OTLP over HTTP there?",
  },
  "sdk-client-turn": {
    missing: "no turn on the C client's thread",
    hint: "The C client does one call at a time in the whole process: use engine direct or sdk for more",
  },
  "sdk-client": {
    missing: "no answer from the C client",
    hint: "It does not say what it waits for (NSM, proxy or KMS): engine direct or sdk names it",
  },
};
