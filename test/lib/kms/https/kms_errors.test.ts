import assert from "node:assert/strict";
import { inspect } from "node:util";
import fc from "fast-check";
import { describe, test } from "#test";
import { isClockRefusal, isCredentialsRefusal, kmsError } from "../../../../lib/kms/https/kms_errors.ts";
import type { KmsError } from "../../../../lib/core/errors.ts";

/** Their texts name principals, keys and times, and nothing else. */
const SHOWN = [
  "AccessDeniedException",
  "DependencyTimeoutException",
  "DisabledException",
  "ExpiredTokenException",
  "IncorrectKeyException",
  "InvalidKeyUsageException",
  "KMSInternalException",
  "KMSInvalidStateException",
  "KeyUnavailableException",
  "LimitExceededException",
  "NotFoundException",
  "OptInRequired",
  "ThrottlingException",
  "UnrecognizedClientException",
];

function refuse(body: unknown, status = 400, requestId: string | undefined = "4f1c-1"): KmsError {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return kmsError("Decrypt", { status, requestId, dateMs: undefined, body: new TextEncoder().encode(text) });
}

const HINTS: readonly (readonly [code: string, hint: RegExp])[] = [
  ["AccessDeniedException", /key policy .*kms:RecipientAttestation.*debug mode/],
  ["DependencyTimeoutException", /^KMS failed on its side/],
  ["IncompleteSignatureException", /credentials complete, as STS/],
  ["InvalidGrantTokenException", /grant/],
  ["InvalidKeyUsageException", /not for this kind of operation/],
  ["KMSInvalidMacException", /this very message/],
  ["KMSInvalidSignatureException", /this very message, in this form/],
  ["KeyUnavailableException", /^KMS failed on its side/],
  ["LimitExceededException", /quota/],
  ["MissingAuthenticationTokenException", /credentials complete, as STS/],
  ["SignatureDoesNotMatch", /secret access key/],
  ["InternalFailure", /^KMS failed on its side/],
  ["NobodyKnowsThis", /endpoint lead to KMS/],
  ["ExpiredTokenException", /expired: give a function/],
  ["InvalidCiphertextException", /encryption context .*region/],
  ["IncorrectKeyException", /another key than `keyId`/],
  ["NotFoundException", /region and account/],
  ["UnrecognizedClientException", /credentials/],
  ["InvalidSignatureException", /secret access key/],
  ["DisabledException", /disabled/],
  ["KMSInvalidStateException", /pending deletion/],
  ["ValidationException", /attestation document/],
  ["ThrottlingException", /quota/],
];

describe("kmsError()", () => {
  for (const [code, hint] of HINTS) {
    test(`has a hint for ${code}`, () => {
      const error = refuse({ __type: code });
      assert.equal(error.kmsCode, code);
      assert.equal(error.message, `Cannot decrypt: KMS answered ${code}`);
      assert.match(error.hint, hint);
    });
  }

  test("carries status and request id", () => {
    const error = refuse({ __type: "com.amazonaws.kms#NotFoundException" }, 404, "b1e2-7");
    assert.deepEqual([error.kmsCode, error.httpStatus, error.requestId], [
      "NotFoundException",
      404,
      "b1e2-7",
    ]);
    assert.equal(refuse({}, 400, "evil\u001b[2J").requestId, undefined);
  });

  test("knows what a retry can help", () => {
    const yes = [
      "ThrottlingException",
      "LimitExceededException",
      "KMSInternalException",
      "DependencyTimeoutException",
    ];
    for (const code of [...yes, "KeyUnavailableException"]) {
      assert.equal(refuse({ __type: code }).retryable, true, code);
    }
    const no = ["AccessDeniedException", "InvalidCiphertextException", "ExpiredTokenException", "Whatever"];
    for (const code of no) assert.equal(refuse({ __type: code }).retryable, false, code);
    for (const status of [429, 500, 503]) assert.equal(refuse("<html>", status).retryable, true);
    assert.equal(refuse("<html>", 403).retryable, false);
  });

  test("knows what is throttling: not all that a retry can help", () => {
    const yes = ["Throttling", "ThrottlingException", "ThrottledException", "TooManyRequestsException"];
    const also = ["SlowDown", "LimitExceeded", "LimitExceededException", "RequestLimitExceeded"];
    for (const code of [...yes, ...also, "RequestThrottled", "RequestThrottledException"]) {
      const { throttled, retryable } = refuse({ __type: code });
      assert.deepEqual([throttled, retryable], [true, true], code);
    }
    for (const code of ["KMSInternalException", "KeyUnavailableException", "AccessDeniedException"]) {
      assert.equal(refuse({ __type: code }).throttled, false, code);
    }
    for (const code of ["NotThrottling", "ThrottlingExceptions"]) {
      assert.deepEqual([refuse({ __type: code }).throttled, refuse({ __type: code }).retryable], [
        false,
        false,
      ]);
    }
    assert.equal(refuse("<html>", 429).throttled, true);
    for (const status of [500, 503]) assert.equal(refuse("<html>", status).throttled, false);
  });

  test("names other operations in words", () => {
    const body = new TextEncoder().encode('{"__type":"NotFoundException"}');
    const answer = { status: 400, requestId: undefined, dateMs: undefined, body };
    assert.equal(
      kmsError("GenerateDataKey", answer).message,
      "Cannot generate data key: KMS answered NotFoundException",
    );
  });

  test("names status and media type of an answer that is not KMS's, never its text, and who may have made it", () => {
    const secret = "c2VjcmV0";
    const body = new TextEncoder().encode(`<html>${secret}</html>`);
    for (
      const [status, contentType, requestId, said, hint] of [
        [302, "text/html; charset=utf-8", undefined, "status 302 (text/html)", /KMS never redirects$/],
        [
          403,
          "text/html",
          undefined,
          "status 403 (text/html)",
          /A TLS-inspecting proxy may have refused the request$/,
        ],
        [429, "text/plain", undefined, "status 429 (text/plain)", /It limits the request rate$/],
        [502, "text/html", undefined, "status 502 (text/html)", /A load balancer answers like this/],
        [503, undefined, "4f1c-1", "status 503 (without a media type)", /^KMS's front end answered/],
        [400, secret, undefined, "status 400 (without a media type)", /^Something other than KMS answers/],
      ] as const
    ) {
      const error = kmsError("Decrypt", { status, contentType, requestId, dateMs: undefined, body });
      assert.equal(error.message, `Cannot decrypt: the answer has ${said} and is not an error of KMS`);
      assert.match(error.hint, hint);
      assert.deepEqual([error.kmsCode, error.httpStatus], ["UnknownError", status]);
      assert.ok(!inspect(error).includes(secret));
    }
  });

  test("shows what KMS says of principals and keys, whichever way it spells the field", () => {
    const text = "User: arn:aws:sts::1:assumed-role/r/i is not authorized to perform: kms:Decrypt.";
    for (const field of ["message", "Message"]) {
      const { message } = refuse({ __type: "AccessDeniedException", [field]: text });
      assert.equal(message, `Cannot decrypt: KMS answered AccessDeniedException: ${text.slice(0, -1)}`);
    }
  });

  test("shows the texts of these exceptions, and of no other", () => {
    for (const code of SHOWN) {
      const { message } = refuse({ __type: code, message: "It is so" });
      assert.equal(message, `Cannot decrypt: KMS answered ${code}: It is so`);
    }
  });

  test("takes one full stop off the end, and none from within", () => {
    const { message } = refuse({ __type: "NotFoundException", message: " Key v1.2 of a.b is not. " });
    assert.equal(message, "Cannot decrypt: KMS answered NotFoundException: Key v1.2 of a.b is not");
  });

  test("takes a text that is no string for none", () => {
    for (const message of [7, null, {}]) {
      assert.equal(
        refuse({ __type: "NotFoundException", message }).message,
        "Cannot decrypt: KMS answered NotFoundException",
      );
    }
  });

  test("shows nothing of texts that repeat the request", () => {
    const text = "The Canonical String should have been 'POST x-amz-security-token:canary'";
    const codes = [
      "InvalidSignatureException",
      "IncompleteSignatureException",
      "ValidationException",
      "Other",
    ];
    for (const code of codes) {
      assert.doesNotMatch(inspect(refuse({ __type: code, message: text }), { depth: 9 }), /canary/);
    }
  });

  test("blames the clock for a signature that is too old or too young", () => {
    for (
      const text of [
        "Signature expired: 20261105T120000Z is now earlier than",
        "Signature not yet current: 2026",
      ]
    ) {
      const { hint } = refuse({ __type: "InvalidSignatureException", message: text });
      assert.match(hint, /clock right\? .* less than a day off$/);
    }
    const other = refuse({ __type: "InvalidSignatureException", message: "No Signature expired" });
    assert.doesNotMatch(other.hint, /clock/);
  });

  test("strips, cuts and redacts the text it shows", () => {
    const show = (message: string) => refuse({ __type: "NotFoundException", message }).message;
    assert.equal(
      show("a\u001b[31m\r\nb\u2028c\u202ed"),
      "Cannot decrypt: KMS answered NotFoundException: a [31m b c d",
    );
    assert.ok(show("word ".repeat(500)).length < 600);
    assert.match(show(`token ${"x".repeat(300)} end`), /: token \[redacted\] end$/);
  });

  for (const body of ["", "null", "7", '"text"', "[]", "{}", "<html>", '{"__type":7}', '{"__type":"a b"}']) {
    test(`takes ${JSON.stringify(body)} for an unknown error`, () => {
      assert.equal(refuse(body, 500).kmsCode, "UnknownError");
    });
  }

  test("looks up no hint that nobody wrote", () => {
    for (const code of ["constructor", "toString", "__proto__", "hasOwnProperty"]) {
      assert.equal(typeof refuse({ __type: code }).hint, "string");
    }
  });

  test("never throws, and shows only words", () => {
    fc.assert(fc.property(fc.json(), fc.string(), (json, text) => {
      for (
        const body of [json, text, { __type: text, message: text }, {
          __type: "NotFoundException",
          message: text,
        }]
      ) {
        const error = refuse(body);
        assert.match(error.kmsCode, /^[A-Za-z]\w*$/);
        assert.doesNotMatch(error.message, /\p{Cc}/u);
      }
    }));
  });
});

describe("isClockRefusal() and isCredentialsRefusal()", () => {
  const answer = (body: unknown, status = 400) => ({
    status,
    requestId: undefined,
    dateMs: undefined,
    body: new TextEncoder().encode(JSON.stringify(body)),
  });
  const message = "Signature expired: 20261105T120000Z is now earlier than";

  test("tell a signature refused for its time from all else", () => {
    for (const __type of ["InvalidSignatureException", "SignatureDoesNotMatch"]) {
      assert.equal(isClockRefusal(answer({ __type, message })), true);
      assert.equal(isClockRefusal(answer({ __type, message }, 200)), false);
      assert.equal(isClockRefusal(answer({ __type, message: "The signature does not match" })), false);
    }
    for (
      const __type of ["AccessDeniedException", "NotInvalidSignatureException", "SignatureDoesNotMatchEver"]
    ) {
      assert.equal(isClockRefusal(answer({ __type, message })), false);
    }
  });

  const refusals = [
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
  ];

  for (const __type of refusals) {
    test(`tell that credentials are refused with ${__type}, and the error does as well`, () => {
      assert.equal(isCredentialsRefusal(answer({ __type })), true);
      assert.equal(isCredentialsRefusal(answer({ __type }, 200)), false);
      assert.equal(kmsError("Decrypt", answer({ __type, message: "no" })).credentialsRefused, true);
    });
  }

  test("tell refused credentials from all else, a wrong clock among it", () => {
    const others = [
      { __type: "AccessDeniedException" },
      { __type: "NotExpiredTokenException" },
      { __type: "InvalidGrantTokenException" },
      { __type: "InvalidSignatureException", message },
      { __type: "SignatureDoesNotMatch", message },
      { message: "ExpiredTokenException" },
    ];
    for (const other of others) {
      assert.equal(isCredentialsRefusal(answer(other)), false);
      assert.equal(kmsError("Decrypt", answer(other)).credentialsRefused, false);
    }
  });
});
