/** A part of the library, and the tests that must notice when it is changed. */
export interface Area {
  /** Files that are mutated. */
  readonly mutate: readonly string[];
  /**
   * The tests, as globs. Those that take long and see nothing that the others do not are left out, for every
   * mutant of a constant has all of them run.
   */
  readonly tests: readonly string[];
  /** Each run in a process of its own, for C libraries that a thread cannot unload. Slower. */
  readonly processes?: true;
}

/** Areas by the name that `npm run mutate -- <name>` takes. */
export const AREAS: Readonly<Record<string, Area>> = {
  core: {
    // All that is not of another area, so that a new file is in one.
    mutate: [
      "lib/core/*.ts",
      "!lib/core/{cbor,encode_cbor,bytes,pcrs,attestation_error,encoding,hmac,endpoint,request_facts,secret_*}.ts",
    ],
    tests: [
      "test/lib/core/{checks,deadline,did_you_mean,dispose_all,errors,growing_bytes,json_place}.test.ts",
      "test/lib/core/{own_url,pauses,slots,turn_limiter,write_all}.test.ts",
    ],
  },
  encoding: {
    mutate: ["lib/core/{encoding,hmac,endpoint,secret_*}.ts"],
    tests: ["test/lib/core/{encoding,endpoint,hmac,secret_bytes,secret_json,secret_json_reader}.test.ts"],
  },
  channel: {
    mutate: ["lib/channel/*.ts", "!lib/channel/{mod,typed_client}.ts"],
    tests: ["test/lib/channel/*.test.ts"],
  },
  "typed-client": {
    mutate: ["lib/channel/typed_client.ts", "lib/wire/problem.ts"],
    tests: ["test/lib/channel/typed_client.test.ts"],
  },
  cms: {
    mutate: ["lib/kms/recipient/read_envelope.ts"],
    tests: ["test/lib/kms/recipient/read_envelope.test.ts"],
  },
  sigv4: {
    mutate: ["lib/aws/sigv4.ts", "lib/kms/https/{kms_errors,retry}.ts"],
    tests: ["test/lib/aws/sigv4.test.ts", "test/lib/kms/https/{kms_errors,retry}.test.ts"],
  },
  aws: {
    mutate: ["lib/aws/*.ts", "!lib/aws/sigv4.ts"],
    tests: ["test/lib/aws/*.test.ts"],
  },
  // Without bit_flips.test.ts, which takes ten seconds.
  document: {
    mutate: [
      "lib/attestation/*.ts",
      "lib/core/{cbor,encode_cbor,bytes,pcrs,attestation_error}.ts",
      "!lib/attestation/{mod,session_key}.ts",
    ],
    tests: [
      "test/lib/core/{bytes,cbor,encode_cbor}.test.ts",
      "test/lib/attestation/{boot_attestation,boot_key_digest,certificate,chain,checks,der}.test.ts",
      "test/lib/attestation/{document,document_forms,enclave_signature}.test.ts",
      "test/lib/attestation/{parse_certificate,verify}.test.ts",
    ],
  },
  nsm: {
    mutate: ["lib/nsm/{nsm_answer,nsm_client,nsm_queue,nsm_socket}.ts", "lib/attestation/session_key.ts"],
    tests: ["test/lib/nsm/{nsm_client,nsm_queue}.test.ts", "test/lib/attestation/session_key.test.ts"],
  },
  requests: {
    mutate: ["lib/kms/{data_key,kms_options}.ts", "lib/kms/operations/*.ts"],
    tests: [
      "test/lib/core/checks.test.ts",
      "test/lib/kms/kms_options.test.ts",
      "test/lib/kms/operations/*.test.ts",
    ],
  },
  client: {
    mutate: [
      "lib/kms/{kms_calls,kms_client,kms_decrypt,kms_methods,one_call_client,runtime_crypto}.ts",
      "lib/transport/open_transport.ts",
    ],
    tests: [
      "test/lib/kms/{kms_client,kms_client_calls,one_call_client,runtime_crypto}.test.ts",
      "test/lib/transport/open_transport.test.ts",
    ],
  },
  http: {
    mutate: [
      "lib/transport/{byte_stream,connect,create_fetch,fetch_listener,http_headers,send_response,serve,until_writable}.ts",
    ],
    tests: ["test/lib/transport/{serve,create_fetch}.test.ts"],
  },
  "attested-tls": {
    mutate: ["lib/channel/node/*.ts", "!lib/channel/node/mod.ts"],
    tests: ["test/lib/channel/node/*.test.ts"],
  },
  envelope: {
    mutate: ["lib/envelope/*.ts", "!lib/envelope/{gcm,mod}.ts"],
    tests: ["test/lib/envelope/*.test.ts"],
  },
  facts: {
    mutate: ["lib/policy/{actions,attributes,facts,policy,principal,rate}.ts", "lib/core/request_facts.ts"],
    tests: ["test/lib/policy/{actions,facts,policy,policy_words,principal,rate}.test.ts"],
  },
  plugin: {
    mutate: ["lib/policy/{plugin,wasm}/*.ts"],
    tests: [
      "test/lib/policy/wasm/{instructions,meter,wasm_list,wasm_reader}.test.ts",
      "test/lib/policy/plugin/*.test.ts",
    ],
  },
  wire: {
    mutate: [
      "lib/wire/{binary_http,hpke_suites,oblivious_http,varint,secret_*,signed_secret,age_identity,key_shares}.ts",
      "lib/wire/{answer_chunks,answer_key,binary_http_stream,byte_source,field_list,peer_text}.ts",
    ],
    tests: ["test/lib/wire/*.test.ts"],
  },
  policies: {
    mutate: [
      "lib/policy/policy_file.ts",
      "lib/policy/cedar/{cedar_answers,policy_slices,policy_text,schema,context_use,decision_memory}.ts",
    ],
    tests: [
      "test/lib/policy/policy_file.test.ts",
      "test/lib/policy/cedar/{cedar_answers,policy_slices,policy_text,context_use,decision_memory}.test.ts",
    ],
  },
  // Without the oracles, which take ten seconds and are for Cedar itself.
  cedar: {
    mutate: [
      // All that is not of another area, so that a new file is in one.
      "lib/policy/cedar/*.ts",
      "!lib/policy/cedar/{cedar_answers,policy_*,schema,context_use,decision_memory}.ts",
    ],
    tests: [
      "test/lib/policy/cedar/{cedar_hints,cedar_module,cedar_policy,cedar_spare,hostile}.test.ts",
      "test/lib/policy/principal.test.ts",
    ],
  },
  https: {
    // All that is not of another area, so that a new file is in one.
    mutate: ["lib/kms/https/*.ts", "!lib/kms/https/{kms_errors,retry}.ts"],
    tests: [
      "test/lib/kms/https/{kms_connection*,operations,connection_errors,tls_agent}.test.ts",
      "test/lib/kms/https/{encode_body,https_engine,opening_elsewhere,peer_chain,trusted_certificates}.test.ts",
    ],
  },
  engine: {
    mutate: [
      "lib/kms/{open_engine,no_recipient_engine}.ts",
      "lib/kms/recipient/*.ts",
      "!lib/kms/recipient/{read_envelope,recipient,recipient_key,sdk_*}.ts",
    ],
    tests: [
      "test/lib/kms/{open_engine,unattested_client}.test.ts",
      "test/lib/kms/recipient/{document_cache,nsm_recipient,recipient_rotation}.test.ts",
    ],
  },
  sdk: {
    mutate: [
      "lib/kms/recipient/sdk_*.ts",
      "lib/kms/sdk_client/*.ts",
      "!lib/kms/sdk_client/sdk_client_worker.ts",
    ],
    tests: [
      "test/lib/kms/recipient/{sdk_failures,sdk_release_order,sdk_stall}.test.ts",
      "test/lib/kms/sdk_client/{sdk_client_stall,sdk_client_engine}.test.ts",
      "test/lib/kms/{open_engine,operations}.test.ts",
    ],
    processes: true,
  },
  // In two, for a request to services takes a second.
  "aws-sdk-readers": {
    mutate: [
      "aws_sdk/{attach_recipient,caller_signal,content_length,read_target,request_body,secret_members}.ts",
    ],
    tests: [
      "test/aws_sdk/{caller_signal,content_length,read_target,secret_members}.test.ts",
      "test/aws_sdk/{attach_recipient,parts_of}.test.ts",
    ],
  },
  "aws-sdk": {
    // All that is not of the other area, so that a new file is in one.
    mutate: [
      "aws_sdk/*.ts",
      "!aws_sdk/{attach_recipient,caller_signal,content_length,read_target,request_body,secret_members}.ts",
      "!aws_sdk/{mod,sdk_types}.ts",
    ],
    // Without what takes megabytes, and other libraries over the SDK.
    tests: [
      "test/aws_sdk/{credentials_from_parent,hostile_services,recipient_plugin}.test.ts",
      "test/aws_sdk/{request_bodies,vsock_request_handler}.test.ts",
    ],
  },
  // Of the application base: what decides about credentials and turns.
  credentials: {
    mutate: [
      "enclave/{credential_store,credentials_lease}.ts",
    ],
    tests: ["test/enclave/{credential_store,credential_generations}.test.ts"],
  },
  pacing: {
    mutate: ["enclave/{admission,kms_pacing}.ts"],
    tests: ["test/enclave/{admission,kms_pacing}.test.ts"],
  },
  // In two, for what needs the C SDK takes ten times as long.
  native: {
    mutate: ["lib/native/*.ts", "!lib/native/{handle,sdk_*}.ts", "lib/nsm/seed_kernel_entropy.ts"],
    tests: [
      "test/lib/native/{blocking_calls,hmac,libcrypto,listening_socket,network_interface,nsm_device}.test.ts",
      "test/lib/native/{openssl_cipher,openssl_digest,openssl_rsa_key,socket_descriptor}.test.ts",
      "test/lib/native/{system_calls,tcp_sockets,trust_store}.test.ts",
      "test/lib/native/libcrypto_environments.test.ts",
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

/** Files that are not mutated, and the reason. */
export const LEFT_OUT: Readonly<Record<string, string>> = {
  "aws_sdk/mod.ts": "passes on what others export",
  "aws_sdk/sdk_types.ts": "types",
  "ffi/loader_deno.ts": "runs on Deno only, where Stryker does not",
  "ffi/symbols.ts": "types",
  "lib/attestation/mod.ts": "passes on what others export",
  "lib/channel/node/mod.ts": "passes on what others export",
  "lib/nsm/mod.ts": "passes on what others export",
  "lib/nsm/nsm_transport.ts": "types",
  "lib/nsm/open_nsm.ts": "passes on what others export",
  "lib/envelope/gcm.ts": "types",
  "lib/envelope/mod.ts": "passes on what others export",
  "lib/channel/mod.ts": "passes on what others export",
  "lib/kms/engine.ts": "types",
  "lib/kms/recipient/recipient.ts": "types",
  "lib/kms/recipient/recipient_key.ts": "types",
  "lib/kms/sdk_client/sdk_client_worker.ts": "runs on a thread, where Stryker cannot switch a mutant on",
  "lib/policy/mod.ts": "passes on what others export",
  "lib/transport/*.ts": "except for area `http`, is tested inside a virtual machine (npm run test:vsock)",
  "lib/wire/enclave_tls_name.ts": "is one name",
  "lib/wire/sealed_fields.ts": "names",
  "lib/wire/kmstool_messages.ts": "is tested through the server, test/server/kmstool/",
};
