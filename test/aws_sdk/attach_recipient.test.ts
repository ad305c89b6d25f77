import assert from "node:assert/strict";
import { describe, test } from "#test";
import { attachRecipient } from "../../aws_sdk/attach_recipient.ts";

const DOCUMENT = new Uint8Array([1, 2, 250]);
const RECIPIENT = { AttestationDocument: "AQL6", KeyEncryptionAlgorithm: "RSAES_OAEP_SHA_256" };

interface Made {
  readonly body: string;
  readonly headers: Record<string, string>;
}

/** Request as the SDK has it: of a class, with methods. */
class Request {
  headers: Record<string, string> = { "Content-Length": "1", "x-amz-target": "TrentService.Decrypt" };
  body: unknown;

  constructor(body: unknown) {
    this.body = body;
  }

  isRequest(): boolean {
    return true;
  }
}

const attach = (body: unknown) => attachRecipient(new Request(body), DOCUMENT) as Made & Request;

describe("attachRecipient()", () => {
  for (const text of ["{}", "{ }", '{"a":"é"}', '{ "a" : {} }']) {
    test(`puts the document into ${text}, and says how long it is then`, () => {
      for (const body of [text, new TextEncoder().encode(text)]) {
        const made = attach(body);
        assert.deepEqual(JSON.parse(made.body), { Recipient: RECIPIENT, ...JSON.parse(text) });
        assert.deepEqual(made.headers, {
          "x-amz-target": "TrentService.Decrypt",
          "content-length": String(new TextEncoder().encode(made.body).length),
        });
      }
    });
  }

  test("leaves the request as it is, and its copy is of the same class", () => {
    const request = new Request("{}");
    const made = attachRecipient(request, DOCUMENT) as Request;
    assert.equal(request.body, "{}");
    assert.equal(request.headers["Content-Length"], "1");
    assert.ok(made instanceof Request && made.isRequest());
  });

  for (
    const body of [undefined, "", "[]", "{", "}", "a{}", "{}b", "[]}", "{[]", new Uint8Array([0xa0]), {}]
  ) {
    test(`refuses ${body instanceof Uint8Array ? "bytes of CBOR" : JSON.stringify(body)}`, () => {
      assert.throws(() => attach(body), {
        code: "ERR_UNSUPPORTED_OPERATION",
        message: /its body is not JSON/,
        hint: /JSON protocol/,
      });
    });
  }
});
