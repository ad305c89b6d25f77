/** A part of the library, and the tests that have to notice when it is changed. */
export interface Area {
  /** What is mutated. */
  readonly mutate: readonly string[];
  /**
   * The tests, as globs. Those that take long and see nothing that the others do not are left out, for every
   * mutant of a constant has all of them run.
   */
  readonly tests: readonly string[];
  /** Each run in a process of its own, for C libraries that a thread cannot unload. Slower. */
  readonly processes?: true;
}

/** By the name that `npm run mutate -- <name>` takes. */
export const AREAS: Readonly<Record<string, Area>> = {
  cms: {
    mutate: ["lib/kms/recipient/cms_envelope.ts"],
    tests: ["test/lib/kms/recipient/cms_envelope.test.ts"],
  },
  encoding: {
    mutate: [
      "lib/core/encoding.ts",
      "lib/core/hmac.ts",
      "lib/aws/region.ts",
      "lib/core/secret_bytes.ts",
      "lib/core/secret_json.ts",
      "lib/core/endpoint_text.ts",
    ],
    tests: ["test/lib/{encoding,hmac,region,secret_bytes,secret_json,endpoint_text}.test.ts"],
  },
  sigv4: {
    mutate: ["lib/engine/https/{sigv4,kms_errors,retry,slots}.ts"],
    tests: ["test/lib/engine/https/{sigv4,kms_errors,retry,slots}.test.ts"],
  },
  // Without bit_flips.test.ts, which takes ten seconds.
  document: {
    mutate: [
      "lib/attestation/*.ts",
      "!lib/attestation/{mod,nsm_answer,nsm_client,nsm_queue,nsm_transport,session_key}.ts",
      "lib/core/attestation_error.ts",
    ],
    tests: [
      "test/lib/attestation/{cbor,certificate,chain,checks,der,document,document_forms}.test.ts",
      "test/lib/attestation/{parse_certificate,verify}.test.ts",
    ],
  },
  nsm: {
    mutate: ["lib/attestation/{nsm_answer,nsm_client,nsm_queue,session_key}.ts"],
    tests: ["test/lib/attestation/{nsm_client,nsm_queue,session_key}.test.ts"],
  },
  requests: {
    mutate: ["lib/{kms_request,request_fields,checks,kms_options,data_key,endpoint}.ts"],
    tests: ["test/lib/{checks,kms_request,kms_options}.test.ts"],
  },
  client: {
    mutate: [
      // All that is not of another area, so that a new file is in one.
      "lib/*.ts",
      "!lib/{attestation_error,checked_request,encoding,endpoint*,find_library,hmac,nsm,region,secret_*}.ts",
      "!lib/{checks,data_key,kms_options,kms_request,request_fields,seed_kernel_entropy}.ts",
    ],
    tests: [
      "test/lib/{kms_client,kms_client_calls,kms_operations,errors,deadline}.test.ts",
      "test/lib/{credentials,credentials_source,credentials_words,transport,turn_limiter}.test.ts",
    ],
  },
  envelope: {
    mutate: ["lib/envelope/*.ts"],
    tests: ["test/lib/envelope/*.test.ts"],
  },
  facts: {
    mutate: ["lib/policy/{facts,policy,rate}.ts"],
    tests: ["test/lib/policy/{facts,policy,policy_words,rate}.test.ts"],
  },
  plugin: {
    mutate: ["lib/policy/{meter,wasm_*}.ts"],
    tests: ["test/lib/policy/{instructions,meter,wasm_list,wasm_policy,wasm_reader}.test.ts"],
  },
  policies: {
    mutate: [
      "lib/policy/{cedar_answers,policy_file,policy_slices,policy_text,schema}.ts",
      "lib/policy/{context_use,decision_memory}.ts",
    ],
    tests: [
      "test/lib/policy/{cedar_answers,policy_file,policy_slices,policy_text}.test.ts",
      "test/lib/policy/{context_use,decision_memory}.test.ts",
    ],
  },
  // Without the oracles, which take ten seconds and are for Cedar itself.
  cedar: {
    mutate: [
      // All that is not of another area, so that a new file is in one.
      "lib/policy/*.ts",
      "!lib/policy/{mod,facts,policy,rate,meter,wasm_*,cedar_answers,policy_*,schema}.ts",
      "!lib/policy/{context_use,decision_memory}.ts",
    ],
    tests: ["test/lib/policy/{cedar_module,cedar_policy,hostile}.test.ts"],
  },
  https: {
    mutate: [
      "lib/engine/https/*.ts",
      "!lib/engine/https/{sigv4,kms_errors,retry,slots,clock}.ts",
    ],
    tests: [
      "test/lib/engine/https/{kms_connection*,operations,connection_errors,tls_agent}.test.ts",
      "test/lib/kms/https/trusted_certificates.test.ts",
      "test/lib/kms/https/https_engine.test.ts",
    ],
  },
  engine: {
    mutate: [
      "lib/aws/clock.ts",
      // All that is not of another area, so that a new file is in one.
      "lib/engine/*.ts",
      "!lib/engine/{cms_envelope,engine,recipient,sdk_*}.ts",
    ],
    tests: [
      "test/lib/engine/{clock,document_cache,https_engine,nsm_recipient}.test.ts",
      "test/lib/engine/{open_engine,recipient_rotation}.test.ts",
    ],
  },
  sdk: {
    mutate: ["lib/engine/sdk_*.ts", "!lib/kms/sdk_client/sdk_client_worker.ts"],
    tests: [
      "test/lib/engine/{sdk_failures,sdk_release_order,sdk_stall,sdk_client_stall,sdk_client_engine}.test.ts",
      "test/lib/engine/{open_engine,operations}.test.ts",
    ],
    processes: true,
  },
  // In two, for what needs the C SDK takes ten times as long.
  native: {
    mutate: ["lib/native/*.ts", "!lib/native/{handle,sdk_*}.ts", "lib/nsm/seed_kernel_entropy.ts"],
    tests: [
      "test/lib/native/{blocking_calls,listening_socket,nsm_device,socket_descriptor}.test.ts",
      "test/lib/native/{system_calls,tcp_sockets,trust_store}.test.ts",
      "test/lib/nsm/seed_kernel_entropy.test.ts",
    ],
    processes: true,
  },
  handles: {
    mutate: ["lib/native/{handle,sdk_*}.ts", "lib/kms/find_library.ts"],
    tests: ["test/lib/native/{handle,sdk_client,sdk_handles,sdk_tracer,system_calls}.test.ts"],
    processes: true,
  },
  ffi: {
    mutate: ["ffi/*.ts", "!ffi/{loader_deno,symbols}.ts"],
    tests: [
      "test/ffi/*.test.ts",
      "test/lib/native/{handle,sdk_handles,socket_descriptor,listening_socket}.test.ts",
    ],
    processes: true,
  },
};

/** What is not mutated, and why. */
export const LEFT_OUT: Readonly<Record<string, string>> = {
  "ffi/loader_deno.ts": "runs on Deno only, where Stryker does not",
  "ffi/symbols.ts": "types",
  "lib/attestation/mod.ts": "passes on what others export",
  "lib/nsm/nsm_transport.ts": "types",
  "lib/kms/checked_request.ts": "types",
  "lib/kms/engine.ts": "types",
  "lib/kms/recipient/recipient.ts": "types",
  "lib/kms/sdk_client/sdk_client_worker.ts": "runs on a thread, where Stryker cannot switch a mutant on",
  "lib/nsm/open_nsm.ts": "passes on what others export",
  "lib/policy/mod.ts": "passes on what others export",
  "lib/vsock/*.ts": "is tested inside a virtual machine (npm run test:vsock)",
};
