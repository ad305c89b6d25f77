import { DOCUMENT_FORMATS } from "./attestation/document_output.ts";
import type { Command } from "./command.ts";
import { BYTES_NOTE, JSON_FLAG, NSM_FLAG } from "./flags.ts";

/** Commands that make and check attestation documents. */
export const ATTESTATION_COMMANDS: readonly Command[] = [
  {
    name: "attest",
    summary: "prints an attestation document",
    example: "attest --nonce 0102030405060708 --user-data text:hello",
    flags: [
      { name: "nonce", value: "BYTES", help: "Nonce of the document, at most 512 bytes" },
      { name: "user-data", value: "BYTES", help: "User data of it, at most 512 bytes" },
      { name: "public-key", value: "BYTES", help: "Public key, DER or PEM, at most 1024 bytes" },
      { name: "out", value: "FILE", isFile: true, help: "File to write the document to" },
      { name: "format", value: "FORM", choices: DOCUMENT_FORMATS, help: "One of" },
      NSM_FLAG,
      { name: "timeout-ms", value: "MS", help: "Default: 10000" },
    ],
    notes: ["", "Without --format it prints base64, and writes raw bytes to --out.", BYTES_NOTE],
    load: async () => (await import("./commands/attest.ts")).attest,
  },
  {
    name: "verify",
    summary: "checks a document (- is input) or a URL",
    example: "verify document --pcrs build-summary.json --max-age 300",
    argument: { name: "FILE" },
    flags: [
      { name: "pcr", value: "N=HEX", isMany: true, isIndexed: true, help: "Or --pcr0 HEX; of several, any" },
      { name: "pcrs", value: "FILE", isFile: true, help: "build-summary.json, or nitro-cli's JSON" },
      { name: "nonce", value: "BYTES", help: "Expected; hex, base64:…, text:… or @FILE" },
      { name: "user-data", value: "BYTES", help: "Expected" },
      { name: "max-age", value: "SECONDS", help: "Greatest age" },
      {
        name: "root",
        value: "FILE",
        isFile: true,
        simulated: "SIMULATED_ROOT_FILE",
        help: "Root to trust instead of AWS's, DER or PEM",
      },
      { name: "allow-debug", help: "Accept enclaves in debug mode" },
      { name: "at", value: "TIME", help: "Verify at 2026-01-31T12:00:00Z, or at: document" },
      { name: "allow-relay", help: "Of a URL: http, or TLS that ends before it" },
      { name: "watch", value: "SECONDS", help: "URL: check again, and print what changes" },
      { name: "times", value: "N", help: "Checks of --watch; default: until a signal" },
      { name: "timeout-ms", value: "MS", help: "URL: time for a check; default: 10000" },
      { name: "summary", help: "Print short lines to copy" },
      JSON_FLAG,
    ],
    notes: [
      "",
      "FILE: raw, base64, base64url, hex, PEM, JSON of a server, or https://HOST:PORT.",
      "Exit: 0 verified, 1 usage, 2 no answer; others: enclave-kms help exit-codes",
    ],
    load: async () => (await import("./commands/verify.ts")).verify,
  },
];
