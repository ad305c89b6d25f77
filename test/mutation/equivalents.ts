/** A change that no test of its area can notice, and why. */
export interface Unnoticeable {
  /** Path of the file, from the root of the repository. */
  readonly file: string;
  /** Text that is replaced, on one line. */
  readonly text: string;
  /** Other text on the line where it begins; default: anything. */
  readonly line?: string;
  /** Replacement; default: anything. */
  readonly replacement?: string;
  /** `equivalent`: the library does the same. `elsewhere`: seen by a test that mutation does not run. */
  readonly kind: "equivalent" | "elsewhere";
  readonly why: string;
}

const CMS = "lib/kms/recipient/read_envelope.ts";
const ENCODING = "lib/core/encoding.ts";
const NSM_ANSWER = "lib/nsm/nsm_answer.ts";
const CHAIN = "lib/attestation/chain.ts";
const ENDPOINT_TEXT = "lib/core/endpoint.ts";
const METER = "lib/policy/wasm/meter.ts";
const KMS_CONNECTION = "lib/kms/https/kms_connection.ts";
const TLS_AGENT = "lib/kms/https/tls_agent.ts";
const TLS_CALL = "lib/kms/https/tls_call.ts";
const CLIENT_THREAD = "lib/kms/sdk_client/sdk_client_thread.ts";
const WIPED_ON_THREAD = "the thread of the C client wipes its jobs: sdk_client_memory.test.ts looks for them";
const SDK_LIBRARY = "lib/native/sdk_library.ts";
const SPREAD = "what is no object spreads to no member of these names";
const SESSION_KEY = "lib/attestation/session_key.ts";

/** Looked at one by one. */
export const UNNOTICEABLE: readonly Unnoticeable[] = [
  {
    file: CMS,
    text: "byte === undefined",
    replacement: "false",
    kind: "equivalent",
    why: "undefined is no byte that is expected, and no length: the same error a line later",
  },
  {
    file: CMS,
    text: "end > this.#bytes.length",
    kind: "equivalent",
    why:
      "something always has to follow a field, so a short field meets the same error at the end of the bytes",
  },
  ...[
    'typeof target.setFromBase64 === "function"',
    'typeof target.setFromHex === "function"',
    '"function"',
    "target.setFromBase64(text);",
    "target.setFromHex(text);",
  ].map((text) => ({
    file: ENCODING,
    text,
    kind: "elsewhere" as const,
    why: "Node 24 has no such method; Deno has, and the same tests run there",
  })),
  {
    file: "lib/core/secret_json.ts",
    text: "index < input.length",
    replacement: "index <= input.length",
    kind: "equivalent",
    why:
      "what is written behind the last digits is overwritten by the text that follows, or beyond the buffer",
  },
  ...[
    ["expected.length === 0", "true"],
    ["!expected.every((name) => found.has(name))", "false"],
    ["expected.every((name) => found.has(name))", "expected.some(name => found.has(name))"],
  ].map(([text = "", replacement = ""]) => ({
    file: NSM_ANSWER,
    text,
    replacement,
    kind: "equivalent" as const,
    why: "whoever reads a member that is not there meets the same error",
  })),
  ...[
    ["true", "client.#owned = true;"],
    ["this.#transport[Symbol.dispose]();", ""],
    ["this.#disposed", "if (this.#disposed) return;"],
    ["this.#owned", "if (this.#owned)"],
  ].map(([text = "", line = ""]) => ({
    file: "lib/nsm/nsm_client.ts",
    text,
    line,
    kind: "elsewhere" as const,
    why: "a client that opened the device itself is tested where there is one (nsm_device.test.ts)",
  })),
  {
    file: SESSION_KEY,
    text: "false",
    line: "SUITE.GenerateKeyPair(false)",
    replacement: "true",
    kind: "equivalent",
    why: "whether the private key could be exported: it is in a private field, and nothing exports it",
  },
  {
    file: SESSION_KEY,
    text: "sealed.length < SEAL_OVERHEAD_BYTES",
    replacement: "false",
    kind: "equivalent",
    why: "what is too short cannot be opened either, with the same error",
  },
  {
    file: SESSION_KEY,
    text: "spki.length === SPKI_HEAD.length + POINT_LENGTH",
    replacement: "true",
    kind: "equivalent",
    why: "a point of another length cannot be imported, with the same error",
  },
  ...[
    "buffer instanceof ArrayBuffer && buffer.byteLength === bytes.length",
    "buffer.byteLength === bytes.length",
    "{ return new SecretBytes(new Uint8Array(buffer)); }",
    "bytes.fill(0);",
  ].map((text) => ({
    file: SESSION_KEY,
    text,
    kind: "equivalent" as const,
    why: "the cipher gives bytes with a buffer of their own, and a copy of them is the same secret",
  })),
  ...[
    [
      '""',
      'const type = typeof refusal["__type"]',
      "it has a blank in it, and so is no exception's name either",
    ],
    ['typeof parsed === "object" && parsed !== null', "", SPREAD],
    ['typeof parsed === "object"', "", SPREAD],
    ["parsed !== null", "", SPREAD],
    [
      "requestId !== undefined",
      "",
      "the text of undefined is a request id in form, and undefined is returned",
    ],
  ].map(([text = "", line = "", why = ""]) => ({
    file: "lib/kms/https/kms_errors.ts",
    text,
    line,
    kind: "equivalent" as const,
    why,
  })),
  {
    file: "lib/kms/https/retry.ts",
    text: "delayMs >= deadline.remainingMs",
    replacement: "delayMs > deadline.remainingMs",
    kind: "equivalent",
    why: "a random wait that ends in the same nanosecond as the deadline",
  },
  ...["{ once: true }", "true"].map((text) => ({
    file: "lib/core/slots.ts",
    text,
    line: "{ once: true }",
    kind: "equivalent" as const,
    why: "a signal aborts once",
  })),
  {
    file: ENDPOINT_TEXT,
    text: "[]",
    kind: "equivalent",
    why: "what a match would have first, the whole text, is passed over",
  },
  {
    file: ENDPOINT_TEXT,
    text: "host === undefined",
    replacement: "false",
    kind: "equivalent",
    why: "without a host there is no port, which is then no number in range",
  },
  {
    file: "lib/attestation/failures.ts",
    text: '"Is this an attestation document of a Nitro Enclave?"',
    kind: "equivalent",
    why: "every check that can fail there has a hint of its own",
  },
  ...[
    [
      "signer === undefined",
      "if (signer",
      "false",
      "reading its key throws within the same try, which means no",
    ],
    ["false", "importKey(", "true", "whether a public key could be exported: nothing does"],
    ["above === undefined", "if (above", "false", "a chain with a certificate in it has one above each"],
    [
      "chain.slice(0, -1)",
      "pathLength = Infinity",
      "chain",
      "the signer has no path length, which was checked before, and -1 certificates below it",
    ],
  ].map(([text = "", line = "", replacement = "", why = ""]) => ({
    file: CHAIN,
    text,
    line,
    replacement,
    kind: "equivalent" as const,
    why,
  })),
  {
    file: CHAIN,
    text: 'toHex(new Uint8Array(await crypto.subtle.digest("SHA-256", first))) === AWS_NITRO_ROOT_SHA256',
    replacement: "false",
    kind: "elsewhere",
    why: "seen by the tests with genuine documents, which are not part of the repository",
  },
  {
    file: "lib/attestation/der.ts",
    text: "second === undefined",
    replacement: "false",
    kind: "equivalent",
    why: "there is a second byte, since there is more than one",
  },
  {
    file: METER,
    text: "known.set(units, written);",
    kind: "equivalent",
    why: "a charge is written anew each time: the same bytes, only later",
  },
  ...[
    ["lib/kms/recipient/document_cache.ts", "ageMs >= this.#maxAgeMs", "ageMs > this.#maxAgeMs"],
    [
      "lib/kms/recipient/document_cache.ts",
      "ageMs >= this.#maxAgeMs * REFRESH_AT",
      "ageMs > this.#maxAgeMs * REFRESH_AT",
    ],
    [
      "lib/kms/recipient/document_cache.ts",
      "now - running.since < MAX_SILENCE_MS",
      "now - running.since <= MAX_SILENCE_MS",
    ],
    ["lib/kms/recipient/document_cache.ts", "askedAt >= this.#askedAt", "askedAt > this.#askedAt"],
    [
      "lib/kms/recipient/document_cache.ts",
      "performance.now() - this.#usedAt >= this.#maxAgeMs * KEPT_FRESH_LIFETIMES",
      "performance.now() - this.#usedAt > this.#maxAgeMs * KEPT_FRESH_LIFETIMES",
    ],
    [
      "lib/nsm/nsm_queue.ts",
      "performance.now() - this.#running.since >= MAX_SILENCE_MS",
      "performance.now() - this.#running.since > MAX_SILENCE_MS",
    ],
    ["lib/kms/recipient/recipient_rotation.ts", "now < this.#pauseUntil", "now <= this.#pauseUntil"],
    [
      "lib/kms/recipient/recipient_rotation.ts",
      "now - this.#current.since >= keyPairMaxAgeMs",
      "now - this.#current.since > keyPairMaxAgeMs",
    ],
  ].map(([file = "", text = "", replacement = ""]) => ({
    file,
    text,
    replacement,
    kind: "equivalent" as const,
    why: "the clock counts in less than microseconds: nobody comes at that very one",
  })),
  {
    file: "lib/aws/kms_clock.ts",
    text: "dateMs === undefined",
    line: "const offsetMs = dateMs",
    replacement: "false",
    kind: "equivalent",
    why: "what is no number is not believed either",
  },
  ...[
    ['"ask KMS for the time"', "lib/kms/https/https_engine.ts"],
    ['"make a key pair"', "lib/kms/recipient/recipient_rotation.ts"],
  ].map(([text = "", file = ""]) => ({
    file,
    text,
    kind: "equivalent" as const,
    why: "only the message of its time-out has it, and that is caught: nobody sees it",
  })),
  {
    file: "lib/kms/recipient/node_recipient_key.ts",
    text: "contentKey.length !== CONTENT_KEY_BYTES",
    replacement: "false",
    kind: "equivalent",
    why: "AES-256 takes no key of another length, and every failure becomes the same error",
  },
  {
    file: "lib/kms/recipient/node_recipient_key.ts",
    text: "offset < ciphertext.length",
    replacement: "offset <= ciphertext.length",
    kind: "equivalent",
    why: "what is decrypted besides is nothing",
  },
  ...["{ once: true }", "true"].map((text) => ({
    file: TLS_CALL,
    text,
    line: 'signal.addEventListener("abort", abort, { once: true });',
    kind: "equivalent" as const,
    why: "a signal aborts once",
  })),
  {
    file: TLS_CALL,
    text: "signal.aborted",
    line: "if (signal.aborted) return;",
    replacement: "false",
    kind: "equivalent",
    why: "the promise is settled by then, and the listener has run",
  },
  {
    file: TLS_CALL,
    text: '"abort"',
    line: 'signal.removeEventListener("abort", abort);',
    kind: "equivalent",
    why: "a promise that is settled takes no notice of an abort: only memory would show",
  },
  {
    file: TLS_AGENT,
    text: '"aborted"',
    kind: "equivalent",
    why: "the call reports its own reason instead",
  },
  {
    file: KMS_CONNECTION,
    text: '"/"',
    line: 'path: "/",',
    kind: "equivalent",
    why: "it is what node:https asks for by itself",
  },
  ...[
    ['{ this.#calls.delete(call); deadline.signal.removeEventListener("abort", onPassed); }', "} finally {"],
    ["this.#calls.delete(call);", ""],
    ['"abort"', 'deadline.signal.removeEventListener("abort", onPassed);'],
  ].map(([text = "", line = ""]) => ({
    file: KMS_CONNECTION,
    text,
    line,
    kind: "equivalent" as const,
    why: "a call that is over takes no notice of an abort: only memory would show",
  })),
  {
    file: KMS_CONNECTION,
    text: 'typeof requestId === "string"',
    replacement: "true",
    kind: "equivalent",
    why: "a header that is not there is undefined; the type checker knows lists of other headers",
  },
  {
    file: KMS_CONNECTION,
    text: "date === undefined",
    replacement: "false",
    kind: "equivalent",
    why: "the text of undefined is no date",
  },
  ...[
    ["isSecret", "if (isSecret) sendApart(request, bytes);"],
    ['"Deno" in globalThis', ""],
    ['"Deno"', 'if ("Deno" in globalThis)'],
    ["request.flushHeaders();", ""],
  ].map(([text = "", line = ""]) => ({
    file: KMS_CONNECTION,
    text,
    line,
    kind: "elsewhere" as const,
    why: "what stays in memory of a body is seen by test/lib/kms/memory.test.ts",
  })),
  ...[
    '"error"',
    '"close"',
    '() => response.readableEnded || reject(new Error("The answer was cut off"))',
    'response.readableEnded || reject(new Error("The answer was cut off"))',
    '"The answer was cut off"',
  ]
    .map((
      text,
    ) => ({
      file: KMS_CONNECTION,
      text,
      line: "response.on(",
      kind: "equivalent" as const,
      why:
        "an answer that breaks off reports an error and then closes: either is enough, and both say the same",
    })),
  {
    file: "lib/kms/operations/kms_reply.ts",
    text: '":"',
    line: "return [parts.slice(0, 5)",
    kind: "equivalent",
    why: "it is compared with what was put together in the same way, of parts of one length",
  },
  ...["lib/kms/kms_calls.ts", "lib/kms/kms_decrypt.ts"].map((file) => ({
    file,
    text: "deadline.throwIfPassed();",
    kind: "equivalent" as const,
    why: "whatever an engine waits for asks the deadline first",
  })),
  {
    file: "lib/kms/kms_calls.ts",
    text: "this.#closing !== undefined",
    replacement: "false",
    kind: "equivalent",
    why: "a closed engine says the same, only later",
  },
  ...[
    ["lib/transport/open_transport.ts", 'error instanceof Error && "code" in error'],
    ["lib/transport/open_transport.ts", '""'],
  ].map(([file = "", text = ""]) => ({
    file,
    text,
    line: "const reason =",
    kind: "equivalent" as const,
    why: "an error of the system's always has a code; the type checker does not know",
  })),
  ...['endpoint.transport === "vsock"', '"vsock"'].map((text) => ({
    file: "lib/transport/open_transport.ts",
    text,
    kind: "elsewhere" as const,
    why: "vsock is connected inside a virtual machine only (npm run test:vsock)",
  })),
  ...["{ once: true }", "true"].map((text) => ({
    file: "lib/core/deadline.ts",
    text,
    line: "{ once: true }",
    kind: "equivalent" as const,
    why: "a signal aborts once",
  })),
  ...['"/sys/class/misc/hw_random/rng_current"', '"nsm-hwrng"'].map((text) => ({
    file: "lib/nsm/seed_kernel_entropy.ts",
    text,
    kind: "elsewhere" as const,
    why: "is looked at by seed_kernel_entropy.test.ts",
  })),
  ...[
    ['typeof error.code === "string"', "true", "what is no text does not look like a code"],
    ['"code" in error && typeof error.code === "string"', "", "what is no text does not look like a code"],
    ['""', "", "is no name and no code, and left out like one"],
  ].map(([text = "", replacement = "", why = ""]) => ({
    file: "lib/aws/provider_question.ts",
    text,
    ...(replacement === "" ? {} : { replacement }),
    kind: "equivalent" as const,
    why,
  })),
  ...[
    ["this.#given !== undefined", "false", "what was given once is the same again"],
    ["kept?.credentials", "", "who refreshes has some that are kept, and expire"],
    ["expiresAtMs !== undefined", "true", "undefined is not before any time"],
  ].map(([text = "", replacement = "", why = ""]) => ({
    file: "lib/aws/credentials_source.ts",
    text,
    ...(replacement === "" ? {} : { replacement }),
    kind: "equivalent" as const,
    why,
  })),
  {
    file: "lib/kms/open_engine.ts",
    text: "await making.then((recipient) => disposeAll([recipient, shared]), () => {});",
    kind: "equivalent",
    why: "whatever a connection could refuse was refused before a key pair was made",
  },
  ...[
    ["nsm !== undefined"],
    ["{ return SdkLibrary.acquire(); }"],
    ["{ if (error instanceof LibraryLoadError) return undefined; throw error; }"],
    ["error instanceof LibraryLoadError", "true"],
  ].map(([text = "", replacement]) => ({
    file: "lib/kms/open_engine.ts",
    text,
    ...(replacement === undefined ? {} : { replacement }),
    kind: "elsewhere" as const,
    why: "shows only where the C SDK is installed in one of its usual places",
  })),
  {
    file: "lib/kms/recipient/document_cache.ts",
    text: "timer.unref();",
    kind: "elsewhere",
    why: "what keeps a process from ending is seen by test/lib/kms/exit.test.ts",
  },
  {
    file: "lib/kms/https/https_engine.ts",
    text: "secretMember !== undefined",
    kind: "elsewhere",
    why: "what stays in memory of a body is seen by test/lib/kms/memory.test.ts",
  },
  ...['"mixed"', "false"].map((text) => ({
    file: "lib/nsm/seed_kernel_entropy.ts",
    text,
    line: "counts",
    kind: "elsewhere" as const,
    why: "without CAP_SYS_ADMIN only, or in a process of its own, where Stryker cannot switch a mutant on",
  })),
  ...["piece.length", "piece.length + SLACK_BYTES"].map((length) => ({
    file: "lib/envelope/node_gcm.ts",
    text: `this.#overwriter.update(NOTHING_SECRET.subarray(0, ${length}));`,
    kind: "elsewhere" as const,
    why: "what stays in memory of a stream is seen by test/lib/kms/memory.test.ts",
  })),
  {
    file: "lib/envelope/node_gcm.ts",
    text: "{ authTagLength: TAG_BYTES }",
    kind: "equivalent",
    why: "no other length than 16 bytes ever gets there",
  },
  {
    file: "lib/envelope/encryption_context.ts",
    text: "this.#offset > this.#bytes.length",
    replacement: "false",
    kind: "equivalent",
    why: "whoever is beyond the end has not read to the end: as malformed, a moment later",
  },
  {
    file: "lib/aws/credentials_shape.ts",
    text: String.raw`/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:?\d\d)$/`,
    replacement: String.raw`/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:?\d\d)/`,
    kind: "equivalent",
    why: "Date.parse takes nothing behind a time zone",
  },
  {
    file: "lib/kms/sdk_client/sdk_client_engine.ts",
    text: "!this.#disposed",
    replacement: "true",
    kind: "equivalent",
    why: "what it disposes is harmless to dispose twice",
  },
  ...['file.protocol === "file:"', '"file:"'].map((text) => ({
    file: CLIENT_THREAD,
    text,
    kind: "equivalent" as const,
    why: "a text that imports the worker's file does the same as that file",
  })),
  ...['".ts"', '"./sdk_client_worker.js"'].map((text) => ({
    file: CLIENT_THREAD,
    text,
    kind: "elsewhere" as const,
    why: "JavaScript, whose worker has another name, is tested as a package (npm run test:package)",
  })),
  {
    file: CLIENT_THREAD,
    text: "() => busy",
    replacement: "() => undefined",
    kind: "elsewhere",
    why: "a process that ends while C is busy is seen by test/lib/kms/exit.test.ts",
  },
  {
    file: "lib/kms/sdk_client/sdk_client_job.ts",
    text: "{ for (const bytes of jobBytes(job)) bytes.fill(0); }",
    kind: "elsewhere",
    why: WIPED_ON_THREAD,
  },
  {
    file: "lib/kms/sdk_client/sdk_client_job.ts",
    text: "bytes.fill(0);",
    kind: "elsewhere",
    why: WIPED_ON_THREAD,
  },
  ...[
    "argumentsInUse.add(args);",
    "argumentsInUse.delete(args);",
    "{ argumentsInUse.delete(args); }",
  ].map((text) => ({
    file: "ffi/library.ts",
    text,
    kind: "equivalent" as const,
    why: "koffi keeps the arguments by itself: it is for Deno, where Stryker does not run",
  })),
  ...["{ deep: isolated }", "options.isolated ?? false", "false"].map((text) => ({
    file: "ffi/loader_koffi.ts",
    text,
    ...(text === "false" ? { line: "options.isolated ?? false" } : {}),
    kind: "elsewhere" as const,
    why: "shows with the real C SDK only, whose names clash with those that Node exports",
  })),
  {
    file: "ffi/loader_koffi.ts",
    text: '"libc"',
    line: 'throw new LoadFailure(path ?? "libc", (error as Error).message);',
    kind: "equivalent",
    why: "without a path it is the process itself, whose loading does not fail",
  },
  {
    file: CLIENT_THREAD,
    text: "(bytes) => bytes.fill(0)",
    kind: "elsewhere",
    why: "what comes too late is looked for by sdk_client_memory.test.ts",
  },
  ...[["index >= 0", "false"], ["index >= 0", "index > 0"]].map(([text = "", replacement = ""]) => ({
    file: CLIENT_THREAD,
    text,
    replacement,
    kind: "equivalent" as const,
    why: "who is still in line when he gives up passes his turn on when it comes",
  })),
  {
    file: CLIENT_THREAD,
    text: "worker?.unref",
    replacement: "worker.unref",
    kind: "equivalent",
    why: "a job that has not returned has a thread; the type checker does not know",
  },
  ...["lib/kms/find_library.ts", SDK_LIBRARY].map((file) => ({
    file,
    text: '""',
    line: 'path ?? ""',
    kind: "equivalent" as const,
    why: "a library that was opened by its path has one; the type checker does not know",
  })),
  {
    file: "lib/native/sdk_client.ts",
    text: "request.encryptionContext?.pointer",
    kind: "equivalent",
    why: "only called with an encryption context",
  },
  ...[["keyCode !== 0", "false"], [
    "keyCode !== 0 || contentKey.length !== CONTENT_KEY_BYTES",
    "keyCode !== 0 && contentKey.length !== CONTENT_KEY_BYTES",
  ]].map(([text = "", replacement = ""]) => ({
    file: "lib/native/sdk_key_pair.ts",
    text,
    replacement,
    kind: "equivalent" as const,
    why: "where C cannot unwrap the content key it leaves none, whose length is wrong too",
  })),
  {
    file: "lib/native/sdk_key_pair.ts",
    text: "contentKey.length !== CONTENT_KEY_BYTES",
    replacement: "false",
    kind: "equivalent",
    why: "aws_cms_cipher_decrypt refuses such a key too; this does not count on it",
  },
  ...["{ isolated: true }", "true"].map((text) => ({
    file: SDK_LIBRARY,
    text,
    line: "openLibrary(candidate",
    kind: "elsewhere" as const,
    why: "shows with the real C SDK only, whose names clash with those that Node exports",
  })),
  ...[
    ["lib/native/descriptor.ts", "fd < 0", "fd <= 0"],
    ["lib/native/kernel_random.ts", "fd >= 0", "fd > 0"],
    ["lib/native/kernel_random.ts", "fd < 0", "fd <= 0"],
    ["lib/native/listening_socket.ts", "fd < 0", "fd <= 0"],
    ["lib/native/nsm_device.ts", "fd >= 0", "fd > 0"],
    ["lib/native/socket_descriptor.ts", "fd >= 0", "fd > 0"],
    [
      "lib/native/listening_socket.ts",
      "libc().call.dup3(listening, fd, O_CLOEXEC) < 0",
      "libc().call.dup3(listening, fd, O_CLOEXEC) <= 0",
    ],
    [
      "lib/native/socket_descriptor.ts",
      "libc().call.dup3(connection, fd, O_CLOEXEC) < 0",
      "libc().call.dup3(connection, fd, O_CLOEXEC) <= 0",
    ],
  ].map(([file = "", text = "", replacement = ""]) => ({
    file,
    text,
    replacement,
    kind: "equivalent" as const,
    why: "0 is standard input, which the tests' process never closes: no other descriptor gets its number",
  })),
  ...[
    "{ return SocketDescriptor.connect(AF_VSOCK, encodeSockaddrVm(cid, port), `vsock ${cid}:${port}`, timeoutMs); }",
    "`vsock ${cid}:${port}`",
    "setConnectTimeout(fd, timeoutMs);",
    "{ const duration = encodeTimeval(timeoutMs); libc().call.setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, duration, duration.length); }",
    "libc().call.setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, duration, duration.length);",
    "family === AF_VSOCK",
  ].map((text) => ({
    file: "lib/native/socket_descriptor.ts",
    text,
    line: text === "family === AF_VSOCK" ? "setConnectTimeout" : "",
    kind: "elsewhere" as const,
    why: "vsock is connected inside a virtual machine only (npm run test:vsock)",
  })),
  ...[["lib/policy/cedar/policy_text.ts", '""', "before[before.length - 1]"], [
    "lib/policy/cedar/policy_text.ts",
    '""',
    "const first = token[0]",
  ]].map(([file = "", text = "", line = ""]) => ({
    file,
    text,
    line,
    kind: "equivalent" as const,
    why: "there is always one; the type checker does not know",
  })),
];

/**
 * Finds the reason why no test can notice a mutant.
 *
 * @param file Path of the mutant's file, from the root of the repository
 * @param text Text that it replaces
 * @param line Line on which the text begins
 * @param replacement Text in its place
 */
export function unnoticeable(
  file: string,
  text: string,
  line: string,
  replacement?: string,
): Unnoticeable | undefined {
  return UNNOTICEABLE.find((known) =>
    known.file === file && known.text === text && line.includes(known.line ?? "") &&
    (known.replacement === undefined || known.replacement === replacement)
  );
}
