import assert from "node:assert/strict";
import { AwsV4Signer } from "aws4fetch";
import fc from "fast-check";
import { afterAll, beforeAll, describe, test } from "#test";
import { type Credentials, OwnedCredentials } from "../../../lib/aws/credentials.ts";
import { KMS_CONTENT_TYPE, SigV4Signer, unsignedHeaders } from "../../../lib/aws/sigv4.ts";
import { DisposedError } from "../../../lib/core/errors.ts";
import { kmsHostName } from "../../../lib/aws/region.ts";
import { chooseLibcrypto, findLibcrypto } from "../../../lib/native/libcrypto.ts";
import { spyOnFill } from "../../support/spy_on_fill.ts";

const REGION = "eu-central-1";
const HOST = kmsHostName(REGION);
const NOON = new Date("2026-11-05T12:34:56.789Z");
const KEYS: Credentials = { accessKeyId: "AKIAEXAMPLE", secretAccessKey: "secret" };

const printable = (maxLength: number) =>
  fc.string({
    unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)),
    minLength: 1,
    maxLength,
  });

const cases = fc.record({
  accessKeyId: fc.stringMatching(/^[A-Z0-9]{1,128}$/),
  secretAccessKey: printable(100),
  sessionToken: fc.option(printable(800), { nil: undefined }),
  region: fc.constantFrom("us-east-1", "eu-central-1", "cn-north-1", "us-isob-east-1"),
  operation: fc.constantFrom("Decrypt", "GenerateDataKey"),
  body: fc.uint8Array({ minLength: 1, maxLength: 500 }),
  date: fc.date({ min: new Date("2015-01-01"), max: new Date("2099-12-31"), noInvalidDate: true }),
});

interface Case extends Credentials {
  readonly sessionToken?: string | undefined;
  readonly secretAccessKey: string;
  readonly accessKeyId: string;
  readonly region: string;
  readonly operation: string;
  readonly body: Uint8Array<ArrayBuffer>;
  readonly date: Date;
}

async function oracle(one: Case): Promise<Record<string, string>> {
  const signer = new AwsV4Signer({
    method: "POST",
    url: `https://${kmsHostName(one.region)}/`,
    headers: { "content-type": KMS_CONTENT_TYPE, "x-amz-target": `TrentService.${one.operation}` },
    body: one.body,
    accessKeyId: one.accessKeyId,
    secretAccessKey: one.secretAccessKey,
    ...(one.sessionToken === undefined ? {} : { sessionToken: one.sessionToken }),
    service: "kms",
    region: one.region,
    datetime: one.date.toISOString().replace(/[:-]|\.\d{3}/g, ""),
    allHeaders: true,
  });
  const { headers } = await signer.sign();
  return { ...Object.fromEntries(headers), host: kmsHostName(one.region) };
}

function ours(signer: SigV4Signer, one: Case): Record<string, string> {
  using credentials = OwnedCredentials.copyOf(one);
  return signer.sign(
    { hostName: kmsHostName(one.region), operation: one.operation, body: one.body },
    credentials,
    one.date,
  );
}

const { reason } = findLibcrypto();
const ways = [
  { name: "OpenSSL", libcrypto: undefined, isSkipped: reason !== undefined, why: reason },
  { name: "node:crypto", libcrypto: "off", isSkipped: false, why: undefined },
];

for (const { name, libcrypto, isSkipped, why } of ways) {
  const title = `SigV4Signer over ${name}${why === undefined ? "" : ` (skipped: ${why})`}`;
  describe.skipIf(isSkipped)(title, () => {
    beforeAll(() => chooseLibcrypto(libcrypto));
    afterAll(() => chooseLibcrypto(undefined));
    suite(libcrypto === undefined);
  });
}

function suite(isOpenssl: boolean): void {
  test("signs byte for byte as aws4fetch does", async () => {
    await fc.assert(
      fc.asyncProperty(cases, async (one) => {
        using signer = new SigV4Signer(one.region);
        const expected = await oracle(one);
        assert.deepEqual(ours(signer, one), expected);
        assert.deepEqual(ours(signer, one), expected, "with the signing key from the cache");
      }),
      { numRuns: 150 },
    );
  });

  test("derives a new key when the day or the credentials change", async () => {
    using signer = new SigV4Signer(REGION);
    const base = {
      ...KEYS,
      region: REGION,
      operation: "Decrypt",
      body: new Uint8Array(3),
      date: NOON,
    } as Case;
    const turns = [
      base,
      { ...base, date: new Date("2026-11-06T00:00:00Z") },
      { ...base, secretAccessKey: "other" },
      { ...base, accessKeyId: "AKIAOTHER" },
      base,
    ];
    for (const turn of turns) assert.deepEqual(ours(signer, turn), await oracle(turn));
  });

  test("signs nothing after dispose", () => {
    const signer = new SigV4Signer(REGION);
    using credentials = OwnedCredentials.copyOf(KEYS);
    const request = { hostName: HOST, operation: "Decrypt", body: new Uint8Array(1) };
    signer.sign(request, credentials, NOON);
    signer[Symbol.dispose]();
    signer[Symbol.dispose]();
    assert.throws(() => signer.sign(request, credentials, NOON), (error) => {
      return error instanceof DisposedError && /SigV4Signer/.test(error.message);
    });
  });

  test("keeps the signing key of the day, and wipes it when it changes and at the end", () => {
    const made: Uint8Array[] = [];
    const wiped: number[] = [];
    using _spy = spyOnFill((bytes) => (made.push(bytes), wiped.push(bytes.length)));
    const signer = new SigV4Signer(REGION);
    const sign = (secretAccessKey: string, date = NOON) => {
      using credentials = OwnedCredentials.copyOf({ ...KEYS, secretAccessKey });
      wiped.length = 0;
      signer.sign({ hostName: HOST, operation: "Decrypt", body: new Uint8Array(1) }, credentials, date);
      return wiped.slice();
    };
    // "AWS4" and the key, and what the day, the region and the service are hashed into.
    const derived = [4 + 6, 32, 32, 32];
    // Without OpenSSL, HMAC wipes blocks and results of its own as well.
    const wipes = (found: readonly number[], expected: readonly number[]) => {
      if (isOpenssl) return assert.deepEqual(found, expected);
      assert.equal(found.filter((length) => length === 4 + 6).length, expected.length > 0 ? 1 : 0);
    };
    wipes(sign("secret"), derived);
    wipes(sign("secret"), []);
    wipes(sign("secret", new Date("2026-11-06T00:00:00Z")), [32, ...derived]);
    wiped.length = 0;
    signer[Symbol.dispose]();
    assert.deepEqual(wiped, [32]);
    assert.ok(made.every((bytes) => bytes.every((byte) => byte === 0)));
  });

  test("leaves the secret access key out of every header", () => {
    using signer = new SigV4Signer(REGION);
    using credentials = OwnedCredentials.copyOf({ ...KEYS, secretAccessKey: "canary" });
    const headers = signer.sign(
      { hostName: HOST, operation: "Decrypt", body: new Uint8Array(1) },
      credentials,
      NOON,
    );
    assert.doesNotMatch(JSON.stringify(headers), /canary/);
  });
}

describe("unsignedHeaders()", () => {
  test("are those of a request, without a signature", () => {
    assert.deepEqual(unsignedHeaders({ hostName: HOST, operation: "Decrypt" }), {
      "content-type": "application/x-amz-json-1.1",
      "host": HOST,
      "x-amz-target": "TrentService.Decrypt",
    });
  });
});
