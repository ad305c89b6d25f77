import assert from "node:assert/strict";
import { describe, test } from "#test";
import { type Credentials, OwnedCredentials } from "../../../lib/aws/credentials.ts";
import { type CredentialsOrigin, readCredentials } from "../../../lib/aws/credentials_shape.ts";

const ID = "ASIAEXAMPLE";
const SECRET = "canary/secret";
const TOKEN = "canary-token==";
const AT = "2026-11-05T12:00:00Z";
const AT_MS = Date.UTC(2026, 10, 5, 12);
const AWS = { AccessKeyId: ID, SecretAccessKey: SECRET, SessionToken: TOKEN, Expiration: AT };
const { SessionToken: _, ...WITHOUT_TOKEN } = AWS;
const CHECKED = { accessKeyId: ID, secretAccessKey: SECRET, sessionToken: TOKEN, expiresAtMs: AT_MS };

const SHAPES: Readonly<Record<string, object>> = {
  "the library": { accessKeyId: ID, secretAccessKey: SECRET, sessionToken: TOKEN, expiration: AT },
  IMDS: {
    Code: "Success",
    LastUpdated: "2026-11-05T06:00:00Z",
    Type: "AWS-HMAC",
    AccessKeyId: ID,
    SecretAccessKey: SECRET,
    Token: TOKEN,
    Expiration: AT,
  },
  ECS: { RoleArn: "arn:aws:iam::111122223333:role/r", ...WITHOUT_TOKEN, Token: TOKEN },
  "aws sts assume-role": {
    Credentials: { ...AWS, Expiration: "2026-11-05T12:00:00+00:00" },
    AssumedRoleUser: { AssumedRoleId: "AROA:s", Arn: "arn:aws:sts::111122223333:assumed-role/r/s" },
    PackedPolicySize: 6,
  },
  "aws sts get-session-token": { Credentials: AWS },
  "aws configure export-credentials": { Version: 1, ...AWS, AccountId: "111122223333" },
};

describe("readCredentials() takes", () => {
  for (const [name, shape] of Object.entries(SHAPES)) {
    test(`what ${name} writes, from code and from JSON`, () => {
      for (const origin of ["code", "json"] as const) {
        assert.deepEqual(readCredentials(shape, origin), CHECKED);
      }
      using owned = OwnedCredentials.copyOf(shape as Credentials);
      assert.deepEqual([owned.accessKeyId, owned.expiresAtMs], [ID, AT_MS]);
      assert.deepEqual(owned.sessionToken?.bytes, new TextEncoder().encode(TOKEN));
    });
  }

  test("credentials for good, without token and expiration", () => {
    for (
      const shape of [{ accessKeyId: ID, secretAccessKey: SECRET }, {
        AccessKeyId: ID,
        SecretAccessKey: SECRET,
      }]
    ) {
      assert.deepEqual(readCredentials(shape, "json"), {
        accessKeyId: ID,
        secretAccessKey: SECRET,
        sessionToken: undefined,
        expiresAtMs: undefined,
      });
    }
  });

  test("more fields than it looks at from code, as AWS's SDK gives them, but none from JSON", () => {
    const given = { ...SHAPES["the library"], accountId: "1", $source: {} };
    assert.deepEqual(readCredentials(given, "code"), CHECKED);
    const fields = "accessKeyId, secretAccessKey, sessionToken, expiration";
    assert.deepEqual(readCredentials(given, "json"), [
      { path: "accountId", expected: `no other fields than ${fields}` },
      { path: "", expected: `no other fields than ${fields}` },
    ]);
  });
});

describe("readCredentials() names every field that is wrong", () => {
  const own = SHAPES["the library"] as Record<string, unknown>;
  const missing = (path: string) => ({ path, expected: "to be there" });
  const ofAws = "AccessKeyId, SecretAccessKey, SessionToken, Token, Expiration, Code, LastUpdated, Type, " +
    "RoleArn, AccountId, Version";
  const time = "ISO 8601 with a time zone, or milliseconds since 1970";
  const cases:
    readonly (readonly [given: unknown, problems: readonly { path: string; expected: string }[]])[] = [
      ...[undefined, null, 7, "canary", [], [own]].map((given) =>
        [given, [{ path: "", expected: "an object" }]] as const
      ),
      [{}, [missing("accessKeyId"), missing("secretAccessKey")]],
      [{ Credentials: "canary" }, [{ path: "Credentials", expected: "an object" }]],
      [{ Credentials: {} }, [missing("Credentials.AccessKeyId"), missing("Credentials.SecretAccessKey")]],
      [{ ...own, sessionToken: null }, [{ path: "sessionToken", expected: "a string" }]],
      [{ ...own, expiration: "canary" }, [{ path: "expiration", expected: time }]],
      [{ ...own, secretAccessKey: "canary canary", expiration: 1 }, [
        { path: "secretAccessKey", expected: "printable ASCII without spaces" },
        { path: "expiration", expected: time },
      ]],
      [{ ...own, accessKeyId: "A/canary" }, [{
        path: "accessKeyId",
        expected: "neither a slash nor a comma",
      }]],
      [{ ...own, secretAccessKey: "" }, [{ path: "secretAccessKey", expected: "1 to 1024 bytes" }]],
      [{ ...own, Expiration: AT }, [{ path: "Expiration", expected: "nothing beside accessKeyId" }]],
      [{ accessKeyID: ID, ...AWS }, [{ path: "accessKeyID", expected: `no other fields than ${ofAws}` }]],
      [{ ...AWS, Token: TOKEN }, [{ path: "Token", expected: "nothing beside SessionToken" }]],
      [{ ...AWS, Version: 2 }, [{ path: "Version", expected: "1, as credential_process has it" }]],
      [
        { Code: "AssumeRoleUnauthorizedAccess", LastUpdated: AT },
        [
          { path: "Code", expected: '"Success", as IMDS has it' },
          missing("AccessKeyId"),
          missing("SecretAccessKey"),
        ],
      ],
      [{ Credentials: { ...AWS, SecretAccessKey: 7 } }, [
        { path: "Credentials.SecretAccessKey", expected: "a string" },
      ]],
      [{ Credentials: AWS, canary: "canary" }, [
        {
          path: "canary",
          expected: "no other fields than Credentials, AssumedRoleUser, FederatedUser, PackedPolicySize, " +
            "SourceIdentity, SubjectFromWebIdentityToken, Provider, Audience, Subject, SubjectType, Issuer, " +
            "NameQualifier, ResponseMetadata",
        },
      ]],
    ];
  for (const [index, [given, problems]] of cases.entries()) {
    test(`${problems.map(({ path }) => path || "all of it").join(", ")} (${index})`, () => {
      assert.deepEqual(readCredentials(given, "json"), problems);
    });
  }

  test("but not one that may be a secret in the place of a name", () => {
    for (const name of ["wJalrXUtnFEMI7MDENG", "a".repeat(25), "a b", "é"]) {
      const read = readCredentials({ ...own, [name]: 1 }, "json");
      assert.ok(Array.isArray(read));
      assert.deepEqual(read.map(({ path }) => path), [""]);
    }
  });

  test("and what belongs to another way of writing, from code as well", () => {
    const mixed: readonly (readonly [object, string])[] = [
      [{ ...own, SessionToken: TOKEN }, "SessionToken"],
      [{ ...own, Credentials: AWS }, "Credentials"],
      [{ ...AWS, Token: TOKEN }, "Token"],
      [{ Credentials: { ...AWS, sessionToken: TOKEN } }, "Credentials.sessionToken"],
    ];
    for (const [given, path] of mixed) {
      for (const origin of ["code", "json"] as CredentialsOrigin[]) {
        const read = readCredentials(given, origin);
        assert.ok(Array.isArray(read), path);
        assert.deepEqual(read.map((problem) => problem.path), [path]);
      }
      assert.throws(() => OwnedCredentials.copyOf(given as Credentials), (error: Error) => {
        assert.match(
          error.message,
          new RegExp(`^Cannot use credentials\\.${path}: expected nothing beside `),
        );
        return error instanceof TypeError;
      });
    }
  });
});
