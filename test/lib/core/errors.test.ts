import assert from "node:assert/strict";
import { describe, test } from "#test";
import * as errors from "../../../lib/core/errors.ts";

const cause = new Error("below");
const details = { hint: "look here", cause };
const native = { ...details, cFunction: "aws_x", nativeCode: 7 };
const kms = { ...details, kmsCode: "X", requestId: "1-2", httpStatus: 400, retryable: true };
const place = { ...details, line: 1, column: 2, policyId: "policy0" };

const nitro = { nitroCode: "E22", nitroName: "InsufficientMemoryAvailable" };

/** Every class that can be thrown, with its code and what it has of its own. */
const ERRORS: Readonly<
  Record<string, readonly [code: string, make: () => errors.EnclaveKmsError, own: object]>
> = {
  LibraryLoadError: ["ERR_LIBRARY_LOAD", () => new errors.LibraryLoadError("m", details), {}],
  SdkInitError: ["ERR_SDK_INIT", () => new errors.SdkInitError("m", native), native],
  SdkGenericError: ["ERR_SDK_GENERIC", () => new errors.SdkGenericError("m", native), native],
  SdkKmsConfigError: ["ERR_SDK_KMS_CONFIG", () => new errors.SdkKmsConfigError("m", native), native],
  SdkKmsClientError: ["ERR_SDK_KMS_CLIENT", () => new errors.SdkKmsClientError("m", native), native],
  SdkKmsDecryptError: ["ERR_SDK_KMS_DECRYPT", () => new errors.SdkKmsDecryptError("m", native), native],
  SdkKmsRequestError: ["ERR_SDK_KMS_REQUEST", () => new errors.SdkKmsRequestError("m", native), native],
  SystemCallError: ["ERR_SYSTEM_CALL", () => new errors.SystemCallError("m", native), native],
  OpensslError: ["ERR_OPENSSL", () => new errors.OpensslError("m", native), native],
  KmsError: ["ERR_KMS", () => new errors.KmsError("m", kms), {
    ...kms,
    throttled: false,
    credentialsRefused: false,
  }],
  ConnectionError: ["ERR_CONNECTION", () => new errors.ConnectionError("m", details), {}],
  CertificateError: ["ERR_CERTIFICATE", () => new errors.CertificateError("m", details), {}],
  TimeoutError: ["ERR_TIMEOUT", () => new errors.TimeoutError("m", { ...details, stage: "nsm" }), {
    stage: "nsm",
  }],
  UnsupportedOperationError: [
    "ERR_UNSUPPORTED_OPERATION",
    () => new errors.UnsupportedOperationError("m", details),
    {},
  ],
  ChannelError: ["ERR_CHANNEL", () => new errors.ChannelError("m", { ...details, status: 403 }), {
    status: 403,
  }],
  ProtocolError: ["ERR_PROTOCOL", () => new errors.ProtocolError("m", details), {}],
  CredentialsError: ["ERR_CREDENTIALS", () => new errors.CredentialsError("m", details), {}],
  PolicyDeniedError: ["ERR_POLICY_DENIED", () => new errors.PolicyDeniedError("m", details), {}],
  PolicyLoadError: ["ERR_POLICY_LOAD", () => new errors.PolicyLoadError("m", place), place],
  KmstoolError: ["ERR_KMSTOOL", () => new errors.KmstoolError("m", { ...details, reason: "no" }), {
    reason: "no",
  }],
  NotReadyError: ["ERR_NOT_READY", () => new errors.NotReadyError("m", { ...details, missing: ["nsm"] }), {
    missing: ["nsm"],
  }],
  AttestationError: [
    "ERR_ATTESTATION_PCR",
    () => new errors.AttestationError("PCR", "m", { ...details, nsmCode: "InvalidIndex" }),
    { nsmCode: "InvalidIndex" },
  ],
  ImageError: ["ERR_IMAGE", () => new errors.ImageError("m", details), {}],
  KeyPolicyError: ["ERR_KEY_POLICY", () => new errors.KeyPolicyError("m", details), {}],
  LaunchError: ["ERR_LAUNCH", () => new errors.LaunchError("m", { ...details, ...nitro }), nitro],
  SecretError: ["ERR_SECRET_FRAME", () => new errors.SecretError("FRAME", "m", details), {}],
  SharedKeyError: ["ERR_SHARED_KEY_PIN", () => new errors.SharedKeyError("PIN", "m", details), {}],
};

describe("errors", () => {
  test("are all in this table", () => {
    // Those with a message of their own are made below, and by what throws them.
    const classes = Object.keys(errors).filter((name) =>
      !/^(?:EnclaveKms|Native|Disposed|ChannelRenewed|SecretRefused)Error$/.test(name)
    );
    assert.deepEqual(classes.sort(), Object.keys(ERRORS).sort());
  });

  for (const [name, [code, make, own]] of Object.entries(ERRORS)) {
    test(`${name} has the code ${code}, and what it was made of`, () => {
      const error = make();
      assert.ok(error instanceof errors.EnclaveKmsError && error instanceof Error);
      assert.deepEqual([error.name, error.code, error.message], [name, code, "m"]);
      const { message: _, name: __, ...properties } = error as errors.EnclaveKmsError & { cause: unknown };
      assert.deepEqual({ ...properties, cause: error.cause }, { ...details, ...own, code });
    });
  }

  test("SecretRefusedError says what the enclave's receipt said", () => {
    const error = new errors.SecretRefusedError({ code: "ERR_SECRET_NAME", message: "Cannot take it" });
    assert.deepEqual([error.name, error.code, error.enclaveCode], [
      "SecretRefusedError",
      "ERR_SECRET_REFUSED",
      "ERR_SECRET_NAME",
    ]);
    assert.match(error.message, /refused it with ERR_SECRET_NAME: Cannot take it$/);
    assert.match(error.hint, /troubleshooting/);
    assert.equal(new errors.SecretRefusedError({ code: "ERR_X", message: "m", hint: "h" }).hint, "h");
  });

  test("ChannelRenewedError says by itself what happened", () => {
    const error = new errors.ChannelRenewedError();
    assert.deepEqual([error.name, error.code], ["ChannelRenewedError", "ERR_CHANNEL_RENEWED"]);
    assert.match(error.message, /^Cannot tell/);
  });

  test("have a cause only where there is one", () => {
    assert.equal("cause" in new errors.ConnectionError("m", { hint: "" }), false);
    assert.equal("cause" in new errors.ConnectionError("m", { hint: "", cause: undefined }), false);
    assert.equal(new errors.ConnectionError("m", { hint: "", cause: null }).cause, null);
  });

  test("C that set no error number has 0", () => {
    const error = new errors.SystemCallError("m", { hint: "", cFunction: "open" });
    assert.ok(error instanceof errors.NativeError);
    assert.equal(error.nativeCode, 0);
  });

  test("DisposedError names what is gone", () => {
    const error = new errors.DisposedError("SecretBytes");
    assert.deepEqual([error.name, error.code], ["DisposedError", "ERR_DISPOSED"]);
    assert.equal(error.message, "Cannot use SecretBytes: it was disposed");
    assert.equal(error.hint, "Is it used after its `using` scope ended, or after close()?");
  });
});
