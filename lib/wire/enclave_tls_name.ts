/**
 * DNS name that the certificate of every enclave's own TLS has, beside one with its boot id: a caller, who trusts that
 * one certificate, needs no other to ask for. No name server may know it: `internal` is reserved for private use.
 */
export const ENCLAVE_TLS_NAME = "enclave.internal";
