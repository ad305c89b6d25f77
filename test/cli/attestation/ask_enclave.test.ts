import assert from "node:assert/strict";
import { isEnclaveUrl, parseEnclaveUrl } from "../../../cli/attestation/ask_enclave.ts";
import { UsageError } from "../../../cli/usage_error.ts";
import { describe, test } from "#test";

describe("the URL of an enclave", () => {
  const urls: readonly (readonly [text: string, url: string, host: string, port: number])[] = [
    ["https://enclave.example", "https://enclave.example/v1/attestation", "enclave.example", 443],
    ["https://enclave.example:8443/", "https://enclave.example:8443/v1/attestation", "enclave.example", 8443],
    ["HTTPS://enclave.example/app/", "https://enclave.example/app/v1/attestation", "enclave.example", 443],
    ["https://enclave.example/attestation", "https://enclave.example/attestation", "enclave.example", 443],
    ["https://e.example/a/v1/attestation", "https://e.example/a/v1/attestation", "e.example", 443],
    ["https://[2001:db8::1]:9/", "https://[2001:db8::1]:9/v1/attestation", "2001:db8::1", 9],
    ["http://127.0.0.1:3000", "http://127.0.0.1:3000/v1/attestation", "127.0.0.1", 3000],
    ["http://[::1]", "http://[::1]/v1/attestation", "::1", 80],
    ["http://localhost/", "http://localhost/v1/attestation", "localhost", 80],
  ];
  for (const [text, url, host, port] of urls) {
    test(`is ${text}`, () => {
      assert.ok(isEnclaveUrl(text));
      const { endpoint, ...rest } = parseEnclaveUrl(text, false);
      assert.deepEqual({ ...rest }, { url, channel: url.startsWith("https:") ? "attested" : "clear" });
      assert.deepEqual({ ...endpoint }, { transport: "tcp", host, port });
    });
  }

  test("of http is this machine's, unless a relay is allowed", () => {
    for (
      const text of [
        "http://enclave.example",
        "http://10.0.0.1",
        "http://127.0.0.1.example",
        "http://localhost.example",
        "http://localhost.:80",
        "http://[::ffff:7f00:1]",
        "http://0.0.0.0",
      ]
    ) {
      assert.throws(() => parseEnclaveUrl(text, false), /must be of this machine .* --allow-relay/);
      assert.equal(parseEnclaveUrl(text, true).channel, "clear");
    }
    assert.equal(parseEnclaveUrl("https://enclave.example", true).channel, "relayed");
  });

  for (
    const text of [
      "https://",
      "https://user@enclave.example",
      "https://:word@enclave.example",
      "https://enclave.example/?nonce=1",
      "https://enclave.example/?",
      "https://enclave.example/#a",
      "https://enclave.example:0",
      "https://enclave.example:65536",
      "ftp://enclave.example",
      `https://enclave.example/${"a".repeat(2048)}`,
    ]
  ) {
    test(`is not ${text.slice(0, 40)}`, () => {
      assert.throws(() => parseEnclaveUrl(text, true), (error: Error) => {
        assert.ok(error instanceof UsageError);
        assert.doesNotMatch(error.message, /word/);
        return true;
      });
    });
  }

  test("is told from a file", () => {
    for (const file of ["document", "-", "./https:/x", "https", "vsock:3:4"]) {
      assert.equal(isEnclaveUrl(file), false);
    }
  });
});
