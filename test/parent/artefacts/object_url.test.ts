import assert from "node:assert/strict";
import { describe, test } from "#test";
import { checkS3Endpoint, objectUrl } from "../../../parent/artefacts/object_url.ts";

const object = { bucket: "sealed", key: "a b/c", versionId: undefined };

describe("objectUrl()", () => {
  test("has the bucket in the host of the region and its partition", () => {
    assert.equal(
      objectUrl(object, "eu-central-1", undefined).href,
      "https://sealed.s3.eu-central-1.amazonaws.com/a%20b/c",
    );
    assert.equal(objectUrl(object, "cn-north-1", undefined).host, "sealed.s3.cn-north-1.amazonaws.com.cn");
  });

  test("has it in the path where a certificate would not cover the host, and at an endpoint", () => {
    const dotted = { ...object, bucket: "a.b", versionId: "x/y" };
    const url = "https://s3.eu-central-1.amazonaws.com/a.b/a%20b/c?versionId=x%2Fy";
    assert.equal(objectUrl(dotted, "eu-central-1", undefined).href, url);
    const endpoint = checkS3Endpoint("https://vpce.example:8443/");
    assert.equal(
      objectUrl(object, "eu-central-1", endpoint).href,
      "https://vpce.example:8443/sealed/a%20b/c",
    );
  });

  test("leads nowhere else, whatever the key", () => {
    for (const key of ["@evil.example/", "//evil.example", "\\\\evil.example\\x", ":80/", "%2f..%2fother"]) {
      const { host, pathname } = objectUrl({ ...object, key }, "eu-central-1", undefined);
      assert.equal(host, "sealed.s3.eu-central-1.amazonaws.com");
      assert.equal(decodeURIComponent(pathname), `/${key}`);
    }
  });
});

describe("checkS3Endpoint()", () => {
  test("takes HTTPS, and HTTP on loopback addresses only", () => {
    for (
      const endpoint of [
        "https://s3.example",
        "http://127.0.0.1:8000",
        "http://[::1]:8000",
        "http://localhost",
      ]
    ) {
      assert.equal(checkS3Endpoint(endpoint), endpoint);
    }
    const wrong = [
      "http://s3.example",
      "http://127.0.0.1.example",
      "http://128.0.0.1",
      "https://a/b",
      "https://a?b",
      "s3",
    ];
    for (const endpoint of wrong) assert.throws(() => checkS3Endpoint(endpoint), TypeError, endpoint);
  });
});
