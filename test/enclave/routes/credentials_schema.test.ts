import assert from "node:assert/strict";
import { describe, test } from "#test";
import { parseCredentials } from "../../../enclave/routes/credentials.ts";
import { CREDENTIALS_SCHEMA } from "../../../enclave/routes/credentials_schema.ts";
import { BadRequestError } from "../../../enclave/service_errors.ts";
import { accepts } from "../../support/json_schema.ts";

type Body = Readonly<Record<string, unknown>>;

const EXPIRATION = "2026-11-30T12:00:00Z";
const OWN = { accessKeyId: "AKIA", secretAccessKey: "secret" };
const AWS = { AccessKeyId: "AKIA", SecretAccessKey: "secret" };

/** Bodies in each form. */
const GOOD: readonly Body[] = [
  OWN,
  { ...OWN, sessionToken: "token", expiration: EXPIRATION, force: true },
  AWS,
  {
    ...AWS,
    Token: "token",
    Expiration: EXPIRATION,
    Code: "Success",
    LastUpdated: EXPIRATION,
    Type: "AWS-HMAC",
  },
  { ...AWS, Token: "token", Expiration: EXPIRATION, RoleArn: "arn", AccountId: "111122223333" },
  { Version: 1, ...AWS, SessionToken: "token", Expiration: EXPIRATION, force: false },
  { Credentials: AWS },
  { Credentials: { ...AWS, SessionToken: "token" }, AssumedRoleUser: {}, PackedPolicySize: 6, force: true },
];

const VALUES: readonly unknown[] = [
  undefined,
  ...["", "a", "a b", "a/b", "a,b", "a-b", "a.b", "é", "a\n", "\u007f", "!~", "Success", "1"],
  ...[128, 129, 1024, 1025, 16_384, 16_385].map((length) => "a".repeat(length)),
  ...[0, 1, 2, 1e11, 1e11 + 1, 8.64e15, 8.65e15, true, false, null, [], {}, AWS, OWN],
  ...["2026-11-30T12:00:00+01:00", "2026-11-30T12:00:00.123456789Z", "2026-11-30T12:00:00", "2026-11-30"],
];

/** Fields whose values are not used: the reader takes any, and the document says what AWS writes there. */
const UNUSED = ["LastUpdated", "Type", "RoleArn", "AccountId"];

const NAMES = [
  ...["accessKeyId", "secretAccessKey", "sessionToken", "expiration", "force"],
  ...["AccessKeyId", "SecretAccessKey", "SessionToken", "Token", "Expiration", "Code", "Version"],
  ...["Credentials", "AssumedRoleUser", "Subject", "region", "toString"],
];

/** Makes a body with one field of another value, or without it. */
const changed = (body: Body, name: string, value: unknown): Body =>
  JSON.parse(JSON.stringify({ ...body, [name]: value }));

function isTaken(body: unknown): boolean {
  try {
    parseCredentials(body);
    return true;
  } catch (error) {
    assert.ok(error instanceof BadRequestError);
    return false;
  }
}

describe("the schema of credentials", () => {
  test("accepts each form that AWS and the library write", () => {
    for (const body of GOOD) {
      assert.deepEqual(
        [accepts(CREDENTIALS_SCHEMA, body), isTaken(body)],
        [true, true],
        JSON.stringify(body),
      );
    }
  });

  test("accepts what the server takes, and nothing else, with any field changed", () => {
    let taken = 0;
    let refused = 0;
    const compare = (body: unknown) => {
      const isGood = isTaken(body);
      assert.equal(accepts(CREDENTIALS_SCHEMA, body), isGood, JSON.stringify(body).slice(0, 300));
      isGood ? taken++ : refused++;
    };
    for (const body of GOOD) {
      for (const name of NAMES) {
        for (const value of VALUES) {
          compare(changed(body, name, value));
          const inner = body["Credentials"] as Body | undefined;
          if (inner !== undefined) compare({ ...body, Credentials: changed(inner, name, value) });
        }
      }
    }
    for (const body of VALUES.filter((value) => value !== undefined)) compare(body);
    assert.ok(taken > 200 && refused > 2000, `${taken} taken, ${refused} refused`);
  });

  test("says of fields that are not used what AWS writes there", () => {
    for (const name of UNUSED) {
      assert.equal(accepts(CREDENTIALS_SCHEMA, { ...AWS, [name]: "text" }), true);
      assert.equal(accepts(CREDENTIALS_SCHEMA, { ...AWS, [name]: 7 }), false);
      assert.equal(isTaken({ ...AWS, [name]: 7 }), true);
    }
  });
});
