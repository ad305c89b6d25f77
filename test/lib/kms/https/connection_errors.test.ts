import assert from "node:assert/strict";
import { describe, test } from "#test";
import {
  handshakeError,
  openError,
  requestError,
  UnreachableError,
} from "../../../../lib/kms/https/connection_errors.ts";
import { CertificateError, ConnectionError, ProtocolError } from "../../../../lib/core/errors.ts";

const HOST = "kms.eu-central-1.amazonaws.com";
const failure = (code?: unknown) => Object.assign(new Error("no"), code === undefined ? {} : { code });

/** Errors that pass by themselves, by the names of Node and of Deno. */
const PASSING = [
  ...["ECONNREFUSED", "ECONNRESET", "ECONNABORTED", "EPIPE", "ENOENT", "EAGAIN", "EAI_AGAIN", "EHOSTUNREACH"],
  ...["ENETUNREACH", "ETIMEDOUT", "ConnectionRefused", "ConnectionReset"],
];
const LASTING = ["ENOTFOUND", "EACCES", "XECONNRESET", "ECONNRESETX", "EPIP"];

describe("openError()", () => {
  const opening = (message: string, cause?: unknown) => new ConnectionError(message, { hint: "h", cause });

  for (const code of PASSING) {
    test(`${code} may pass`, () => {
      for (const error of [opening("m", failure(code)), opening(`Cannot connect to vsock 3:8000: ${code}`)]) {
        const opened = openError(error);
        assert.ok(opened instanceof UnreachableError);
        assert.deepEqual([opened.name, opened.code, opened.message, opened.hint, opened.cause], [
          ...["ConnectionError", "ERR_CONNECTION", error.message, "h"],
          error.cause,
        ]);
      }
    });
  }

  test("all else stays as it is", () => {
    const others = [
      ...LASTING.flatMap((code) => [opening("m", failure(code)), opening(`at 3:8000: ${code}`)]),
      ...[opening("m"), opening("at 3:8000: ECONNRESET!"), opening("at 3:8000: not ECONNRESET")],
      ...[opening("m", { code: "ECONNRESET" }), failure("ECONNRESET"), undefined],
    ];
    for (const error of others) assert.equal(openError(error), error);
  });
});

describe("handshakeError()", () => {
  const hint =
    "Can the proxy on the parent reach KMS, and does it forward bytes unchanged? TLS must end in the enclave";
  const clock = "Is the enclave's clock right? The service's certificate is not valid at the time it shows";
  const untrusted =
    "Is the service's certificate authority in trustedCertificates, or in the runtime's store if there are none? " +
    "Deno also reports an expired certificate like this: is the enclave's clock right?";
  const certificates = {
    CERT_HAS_EXPIRED: clock,
    CERT_NOT_YET_VALID: clock,
    ERR_TLS_CERT_ALTNAME_INVALID:
      `Does the endpoint lead to ${HOST}? The certificate there is for another name; ` +
      "check region and hostName",
    ...Object.fromEntries(
      [
        ...[
          "CERT_UNTRUSTED",
          "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
          "DEPTH_ZERO_SELF_SIGNED_CERT",
          "CRL_HAS_EXPIRED",
        ],
        ...["SELF_SIGNED_CERT_IN_CHAIN", "HOSTNAME_MISMATCH", "INVALID_CA", "INVALID_PURPOSE", "UNSPECIFIED"],
        ...[
          "PATH_LENGTH_EXCEEDED",
          "ERROR_IN_CERT_NOT_AFTER_FIELD",
          "ERR_TLS_CERT_X",
          "ERR_SSL_CERTIFICATE_UNKNOWN",
        ],
        "ERR_SSL_INVALID_PURPOSE",
      ].map((code) => [code, untrusted]),
    ),
  };
  for (const [code, hint] of Object.entries(certificates)) {
    test(`${code} is the certificate's fault`, () => {
      const cause = failure(code);
      const error = handshakeError(cause, HOST);
      assert.ok(error instanceof CertificateError);
      assert.equal(error.message, `Cannot trust KMS: the certificate was refused (${code})`);
      assert.deepEqual([error.hint, error.cause], [hint, cause]);
    });
  }

  for (
    const [code, isPassing] of [
      ...PASSING.map((code) => [code, true] as const),
      ["", true],
      ["UNSPECIFIED_X", false],
      ["X_CERT_", false],
      ["EPROTO", false],
    ] as const
  ) {
    test(`${code === "" ? "no code" : code} is the connection's`, () => {
      const cause = failure(code === "" ? undefined : code);
      const error = handshakeError(cause, HOST);
      assert.ok(error instanceof ConnectionError);
      assert.equal(error instanceof UnreachableError, isPassing);
      const suffix = code === "" ? "" : ` (${code})`;
      assert.equal(error.message, `Cannot connect to KMS: the TLS handshake failed${suffix}`);
      assert.deepEqual([error.hint, error.cause], [hint, cause]);
    });
  }

  test("a code that is no text is none", () => {
    for (const cause of [failure(7), { code: "EPROTO" }, null, "EPROTO"]) {
      assert.equal(handshakeError(cause, HOST).message, "Cannot connect to KMS: the TLS handshake failed");
    }
  });
});

describe("requestError()", () => {
  test("leaves the library's own errors alone", () => {
    const own = new ProtocolError("m", { hint: "h" });
    assert.equal(requestError(own), own);
  });

  test("tells what is no HTTP from a connection that broke", () => {
    const http = requestError(failure("HPE_INVALID_CONSTANT"));
    assert.ok(http instanceof ProtocolError);
    assert.equal(http.message, "Cannot read KMS's answer: it is not HTTP/1.1 (HPE_INVALID_CONSTANT)");
    assert.equal(
      http.hint,
      "Does the endpoint lead to KMS, or to a proxy that speaks another protocol?",
    );
    for (
      const [cause, suffix] of [[failure("ECONNRESET"), " (ECONNRESET)"], [failure(), ""], [
        failure("XHPE_"),
        " (XHPE_)",
      ]] as const
    ) {
      const broken = requestError(cause);
      assert.ok(broken instanceof ConnectionError && !(broken instanceof UnreachableError));
      assert.equal(broken.message, `Cannot complete the request to KMS: the connection broke${suffix}`);
      assert.equal(broken.hint, "Did the proxy on the parent restart, or reach a limit of its own?");
      assert.equal(broken.cause, cause);
    }
  });
});
