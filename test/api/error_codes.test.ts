/**
 * Codes of errors: a `switch` over them is checked, and each entry exports the classes that it throws.
 *
 * @module
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "#test";
import * as errors from "../../lib/core/errors.ts";
import type { EnclaveKmsError, ErrorCode } from "../../mod.ts";
import { ROOT } from "../support/source_files.ts";

/** Fails to compile when a case names a code that does not exist, or when the type of `code` is no union. */
function kindOf(error: EnclaveKmsError): string {
  switch (error.code) {
    case "ERR_KMS":
      return "refused";
    case "ERR_ATTESTATION_PCR":
    case "ERR_ENVELOPE_FORMAT":
      return "wrong";
    // @ts-expect-error -- no error has this code
    case "ERR_KSM":
      return "misspelt";
    default: {
      // @ts-expect-error -- the codes above are not among the rest
      const rest: "ERR_KMS" | "ERR_ATTESTATION_PCR" = error.code;
      return rest;
    }
  }
}

type Names<Code extends ErrorCode> = Readonly<Record<Code, string>>;

/** Codes without a number of faults: one is missing in the second, so that it would not compile. */
type Plain = Exclude<
  ErrorCode,
  `ERR_${"ATTESTATION" | "ENVELOPE" | "IMDS" | "SECRET" | "SHARED_KEY"}_${string}`
>;
const NAMES: Names<Plain> = {
  ERR_LIBRARY_LOAD: "LibraryLoadError",
  ERR_SDK_INIT: "SdkInitError",
  ERR_SDK_GENERIC: "SdkGenericError",
  ERR_SDK_KMS_CONFIG: "SdkKmsConfigError",
  ERR_SDK_KMS_CLIENT: "SdkKmsClientError",
  ERR_SDK_KMS_DECRYPT: "SdkKmsDecryptError",
  ERR_SDK_KMS_REQUEST: "SdkKmsRequestError",
  ERR_SYSTEM_CALL: "SystemCallError",
  ERR_OPENSSL: "OpensslError",
  ERR_KMS: "KmsError",
  ERR_CONNECTION: "ConnectionError",
  ERR_CERTIFICATE: "CertificateError",
  ERR_TIMEOUT: "TimeoutError",
  ERR_UNSUPPORTED_OPERATION: "UnsupportedOperationError",
  ERR_PROTOCOL: "ProtocolError",
  ERR_CREDENTIALS: "CredentialsError",
  ERR_POLICY_DENIED: "PolicyDeniedError",
  ERR_POLICY_LOAD: "PolicyLoadError",
  ERR_DISPOSED: "DisposedError",
  ERR_NOT_READY: "NotReadyError",
  ERR_KMSTOOL: "KmstoolError",
  ERR_CHANNEL: "ChannelError",
  ERR_CHANNEL_RENEWED: "ChannelRenewedError",
  ERR_IMAGE: "ImageError",
  ERR_KEY_POLICY: "KeyPolicyError",
  ERR_LAUNCH: "LaunchError",
  ERR_ARTEFACT: "ArtefactError",
  ERR_BAD_REQUEST: "BadRequestError",
  ERR_CALLER_GONE: "CallerGoneError",
  ERR_CLOCK: "ClockError",
  ERR_CREDENTIALS_OLDER: "CredentialsOlderError",
  ERR_OVERLOADED: "OverloadedError",
  ERR_TOKEN: "TokenError",
};
// @ts-expect-error -- ERR_TIMEOUT is missing
const _INCOMPLETE: Names<"ERR_KMS" | "ERR_TIMEOUT"> = { ERR_KMS: "KmsError" };

type ErrorClass = new (message: string, details: { hint: string; cFunction: string }) => EnclaveKmsError;

describe("error codes", () => {
  test("narrow in a switch", () => {
    const details = { hint: "h", kmsCode: "k", requestId: undefined, httpStatus: 400, retryable: false };
    assert.equal(kindOf(new errors.KmsError("m", details)), "refused");
    assert.equal(kindOf(new errors.AttestationError("PCR", "m", details)), "wrong");
    assert.equal(kindOf(new errors.DisposedError("x")), "ERR_DISPOSED");
  });

  test("are one for each class of the library", () => {
    for (const [code, name] of Object.entries(NAMES)) {
      const Class = (errors as Readonly<Record<string, unknown>>)[name] as ErrorClass | undefined;
      // The base of applications throws six more.
      if (Class !== undefined) assert.equal(new Class("m", { hint: "h", cFunction: "f" }).code, code);
    }
    const abstract = [
      "EnclaveKmsError",
      "NativeError",
      "AttestationError",
      "SecretError",
      "SecretRefusedError",
      "SharedKeyError",
    ];
    const classes = Object.keys(errors).filter((name) => name.endsWith("Error") && !abstract.includes(name));
    assert.deepEqual(classes.filter((name) => !Object.values(NAMES).includes(name)), []);
  });
});

describe("an entry exports the errors that its code throws:", () => {
  const { exports, imports } = JSON.parse(read("package.json")) as {
    exports: Record<string, string>;
    imports: Record<string, Record<string, string>>;
  };
  const faulty = ["AttestationError", "EnvelopeError", "ImdsError", "SecretError", "SharedKeyError"];
  const classes = [...Object.values(NAMES), ...faulty];
  // Programs and the simulator's tools: nobody catches what they throw by its class.
  const entries = Object.entries(exports).filter(([name]) => ![".", "./cli", "./sim"].includes(name));

  for (const [name, entry] of [[".", "mod.ts"], ...entries] as const) {
    test(name, () => {
      const exported = read(entry);
      // A failed request to the server is an answer: what can be caught is what its start throws.
      const thrown = name === "./server"
        ? [...read("server/server.ts").matchAll(/@throws \{(\w+)\}/g)].map(([, error = ""]) => error)
        : [...reached(entry, imports)].flatMap(errorsIn).filter((error) => classes.includes(error));
      // narrow() makes results of failures, and throws none.
      assert.ok(thrown.length > 0 || name === "./channel");
      const missing = [...new Set(thrown)].filter((error) => !new RegExp(`\\b${error}\\b`).test(exported));
      assert.deepEqual(missing, []);
    });
  }
});

/** Lists the files that a file loads when it runs, with itself. */
function reached(entry: string, imports: Record<string, Record<string, string>>): Set<string> {
  const files = new Set<string>();
  const follow = (file: string): void => {
    if (files.has(file) || !existsSync(join(ROOT, file))) return;
    files.add(file);
    for (const [, to = ""] of read(file).matchAll(/^(?:import|export)(?! type)[^;"]*from "([.#][^"]+)"/gm)) {
      const targets = to.startsWith("#") ? Object.values(imports[to] ?? {}) : [join(dirname(file), to)];
      for (const target of targets) follow(join(target));
    }
  };
  follow(join(entry));
  return files;
}

/** Names the classes of errors that a file makes, but for those in comments. */
function errorsIn(file: string): string[] {
  const code = read(file).replaceAll(/\/\*\*[^]*?\*\//g, "");
  return [...code.matchAll(/\bnew (\w+Error)\(/g)].map(([, name = ""]) => name);
}

function read(file: string): string {
  return readFileSync(join(ROOT, file), "utf8");
}
