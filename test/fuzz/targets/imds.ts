import { isUtf8 } from "node:buffer";
import { readSecretJson, type SecretJsonValue } from "../../../lib/core/secret_json_reader.ts";
import { readAnswerHead } from "../../../parent/imds/http_answer.ts";
import { readCredentialsDocument } from "../../../parent/imds/credentials_document.ts";
import { ImdsError } from "../../../parent/imds/imds_error.ts";
import { dictionary, expect, expectSame, type FuzzTarget, oracle, utf8 } from "../target.ts";

const DOCUMENT = JSON.stringify({
  Code: "Success",
  LastUpdated: "2026-11-30T12:00:00Z",
  Type: "AWS-HMAC",
  AccessKeyId: "ASIAEXAMPLE",
  SecretAccessKey: "a/b+c",
  Token: "t==",
  Expiration: "2026-11-30T18:00:00Z",
});

const JSON_WORDS = [
  "null",
  "true",
  "1e9",
  '""',
  "[]",
  "{}",
  '{"a":',
  "\\u0041",
  "\\/",
  '\\"',
  '"__proto__":',
  "\\ud800",
];

function answer(body: string, length = body.length): Uint8Array {
  return utf8(`HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ${length}\r\n\r\n${body}`);
}

/** Answers of the metadata service for a role: the head, and the document behind it. */
export const imds: FuzzTarget = {
  name: "imds",
  maxLength: 70_000,
  covers: ["parent/imds/http_answer.ts", "parent/imds/credentials_document.ts"],
  dictionary: dictionary(
    ...JSON_WORDS,
    ...[
      "HTTP/1.1 ",
      "HTTP/1.0 ",
      "200",
      "401",
      "\r\n",
      "\r\n\r\n",
      "Content-Length: ",
      "Transfer-Encoding: chunked",
    ],
    ...[
      "Success",
      "AssumeRoleUnauthorizedAccess",
      '"Code":',
      '"AccessKeyId":',
      '"Token":',
      '"SecretAccessKey":',
    ],
  ),
  seeds: () =>
    Promise.resolve([
      answer(DOCUMENT),
      answer('{"Code":"AssumeRoleUnauthorizedAccess","Message":"EC2 cannot assume the role"}'),
      answer("", 5),
      utf8(`HTTP/1.0 404 Not Found\r\n\r\n`),
      utf8(`HTTP/1.1 200 OK\r\n\r\n${DOCUMENT.replace("a/b", "a\\/b")}`),
    ]),
  run(input) {
    const head = readAnswerHead(input);
    if (head === "incomplete") return head;
    if ("reason" in head) return head.reason;
    checkHead(input, head.status, head.bodyStart);
    const end = head.bodyEnd ?? input.length;
    if (end > input.length) return "cut";
    const body = input.slice(head.bodyStart, end);
    const text = new TextDecoder().decode(body);
    try {
      using owned = readCredentialsDocument(body);
      const read = oracle("JSON.parse", () => JSON.parse(text)) as Record<string, unknown>;
      const decode = (part: Uint8Array | undefined) => new TextDecoder().decode(part);
      expectSame(
        [owned.accessKeyId, decode(owned.secretAccessKey.bytes), decode(owned.sessionToken?.bytes)],
        [read["AccessKeyId"], read["SecretAccessKey"], read["Token"]],
        "the credentials",
      );
      expect(
        read["Code"] === undefined || read["Code"] === "Success" || typeof read["Code"] !== "string",
        "the code",
      );
      expect(owned.expiresAtMs === Date.parse(String(read["Expiration"])), "the expiration");
      return "credentials";
    } catch (error) {
      if (!(error instanceof ImdsError)) throw error;
      checkSilent(error, text);
      return error.code;
    }
  },
};

/** Walks the head by hand: its end is the first empty line, and its status stands at its place. */
function checkHead(input: Uint8Array, status: number, bodyStart: number): void {
  const head = String.fromCharCode(...input.subarray(0, bodyStart));
  expect(head.indexOf("\r\n\r\n") === bodyStart - 4, "the head ends elsewhere");
  expect(/^HTTP\/1\.[01] /.test(head) && Number(head.slice(9, 12)) === status, "the status is another");
  expect(!/^transfer-encoding:/im.test(head), "a transfer coding was passed over");
}

/** An error repeats no long word of what was read, but for the code. */
function checkSilent({ message }: ImdsError, text: string): void {
  expect(message.length < 300 && /^[ -~]*$/.test(message), "the message is not bounded and printable");
  const words = message.match(/[\w+/=]{12,}/g) ?? [];
  for (const word of words.filter((word) => text.includes(word))) {
    expect(/^(?:[A-Za-z]{1,64})$/.test(word), "the message repeats what was read");
  }
}

/** JSON whose secrets stay bytes: what it takes, JSON.parse reads as the same. */
export const secretJson: FuzzTarget = {
  name: "json",
  maxLength: 8192,
  covers: ["lib/core/secret_json_reader.ts"],
  dictionary: dictionary(...JSON_WORDS, '"secret":', '"secret":"', "\\u00", "0xc3bc", "0xff", "0xefbbbf"),
  seeds: () =>
    Promise.resolve([
      '{"secret":"a\\/b\\u002F\\n","x":{"secret":"","y":-1.5e+3},"z":[1]}',
      '{ "a" : true , "b" : null, "c":"ü\\"" }',
      '{"a":{"b":{"c":{"secret":"deep"}}},"a":1}',
    ].map((text) => utf8(text))),
  run(input) {
    const text = isUtf8(input) ? new TextDecoder("utf-8", { ignoreBOM: true }).decode(input) : undefined;
    const read = readSecretJson(input, ["secret"]);
    if (read === undefined) return "refused";
    expect(text !== undefined, "it is no UTF-8");
    expectSame(plain(read), oracle("JSON.parse", () => sorted(JSON.parse(text))), "the object");
    return "read";
  },
};

/** Replaces bytes by text, and objects by their sorted entries: one of ours has no prototype. */
function plain(value: SecretJsonValue): unknown {
  if (value instanceof Uint8Array) return new TextDecoder().decode(value);
  return typeof value === "object" && value !== null
    ? Object.entries(value).map(([name, inner]) => [name, plain(inner)]).toSorted()
    : value;
}

function sorted(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  return Object.entries(value).map(([name, inner]) => [name, sorted(inner)]).toSorted();
}
