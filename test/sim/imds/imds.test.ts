import assert from "node:assert/strict";
import process from "node:process";
import { fromInstanceMetadata } from "@aws-sdk/credential-providers";
import { describe, test } from "#test";
import { IMDS_FAULTS, type SimulatedImds, startImds } from "../../../sim/mod.ts";

const ROLES = "/latest/meta-data/iam/security-credentials/";

type Headers = Readonly<Record<string, string>>;

async function ask(imds: SimulatedImds, path: string, headers: Headers = {}, method = "GET") {
  const response = await fetch(`${imds.endpoint}${path}`, { method, headers });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

const putToken = (imds: SimulatedImds, headers: Headers) => ask(imds, "/latest/api/token", headers, "PUT");

async function tokenOf(imds: SimulatedImds, seconds = "60"): Promise<Headers> {
  const { text } = await putToken(imds, { "x-aws-ec2-metadata-token-ttl-seconds": seconds });
  return { "x-aws-ec2-metadata-token": text };
}

/** Sets environment variables, as AWS's SDK reads them, until it is disposed. */
function environment(variables: Readonly<Record<string, string>>): Disposable {
  const before = Object.keys(variables).map((name) => [name, process.env[name]] as const);
  Object.assign(process.env, variables);
  return {
    [Symbol.dispose]() {
      for (const [name, value] of before) {
        if (value === undefined) delete process.env[name];
        else process.env[name] = value;
      }
    },
  };
}

describe("simulated metadata service", () => {
  test("gives a token for 1 to 21600 seconds, and refuses other times to live", async () => {
    await using imds = await startImds();
    const name = "x-aws-ec2-metadata-token-ttl-seconds";
    for (const seconds of ["1", "21600"]) {
      const { status, headers, text } = await putToken(imds, { [name]: seconds });
      assert.deepEqual([status, headers.get(name), text.length], [200, seconds, 56]);
    }
    for (const seconds of ["0", "21601", "-1", "1.5", "x", "", "99999999"]) {
      assert.equal((await putToken(imds, { [name]: seconds })).status, 400, seconds);
    }
    assert.equal((await putToken(imds, {})).status, 400);
    assert.equal((await ask(imds, "/latest/api/token")).status, 405);
  });

  test("refuses a token to what was forwarded", async () => {
    await using imds = await startImds();
    const headers = { "x-aws-ec2-metadata-token-ttl-seconds": "60", "x-forwarded-for": "10.0.0.1" };
    assert.equal((await putToken(imds, headers)).status, 403);
  });

  test("tells the role, its credentials and the region to those with a token", async () => {
    await using imds = await startImds({ role: "my+role", region: "us-gov-west-1", lifetimeMs: 3_600_000 });
    const headers = await tokenOf(imds);
    assert.equal((await ask(imds, ROLES, headers)).text, "my+role");
    const document = JSON.parse((await ask(imds, `${ROLES}my+role`, headers)).text) as Record<string, string>;
    const { accessKeyId, secretAccessKey, sessionToken } = imds.credentials;
    const { LastUpdated = "", Expiration = "", ...rest } = document;
    assert.deepEqual(rest, {
      Code: "Success",
      Type: "AWS-HMAC",
      AccessKeyId: accessKeyId,
      SecretAccessKey: secretAccessKey,
      Token: sessionToken,
    });
    assert.equal(Date.parse(Expiration) - Date.parse(LastUpdated), 3_600_000);
    assert.equal((await ask(imds, "/latest/meta-data/placement/region", headers)).text, "us-gov-west-1");
    const identity = await ask(imds, "/latest/dynamic/instance-identity/document", headers);
    assert.equal((JSON.parse(identity.text) as { region: string }).region, "us-gov-west-1");
    assert.equal((await ask(imds, `${ROLES}other`, headers)).status, 404);
    assert.equal((await ask(imds, "/latest/elsewhere", headers)).status, 404);
    assert.equal((await ask(imds, ROLES, headers, "POST")).status, 405);
  });

  test("answers 401 without a token, with a wrong one, and with one that has expired or is forgotten", async () => {
    let now = Date.now();
    await using imds = await startImds({ now: () => now });
    const status = async (headers: Headers) => (await ask(imds, ROLES, headers)).status;
    assert.equal(await status({}), 401);
    assert.equal(await status({ "x-aws-ec2-metadata-token": "A" }), 401);
    const headers = await tokenOf(imds, "60");
    now += 59_999;
    assert.equal(await status(headers), 200);
    now += 1;
    assert.equal(await status(headers), 401);
    const others = await tokenOf(imds);
    imds.forgetTokens();
    assert.equal(await status(others), 401);
    assert.deepEqual(imds.requests.map(({ method, hasToken }) => `${method} ${hasToken}`), [
      ...["GET false", "GET true", "PUT false", "GET true", "GET true", "PUT false", "GET true"],
    ]);
  });

  test("answers version 1 only where that is allowed, or all that there is", async () => {
    await using imds = await startImds({ isVersionOneAllowed: true });
    assert.equal((await ask(imds, ROLES)).text, "enclave-parent");
    assert.equal((await ask(imds, ROLES, { "x-aws-ec2-metadata-token": "A" })).status, 401);
    await using old = await startImds();
    using _ = old.injectFault({ kind: "versionOneOnly" });
    assert.equal((await putToken(old, { "x-aws-ec2-metadata-token-ttl-seconds": "60" })).status, 404);
    assert.equal((await ask(old, ROLES)).text, "enclave-parent");
  });

  test("answers 404 without a role, and makes new credentials", async () => {
    await using imds = await startImds({ role: null });
    const headers = await tokenOf(imds);
    assert.equal((await ask(imds, ROLES, headers)).status, 404);
    imds.role = "late";
    const before = imds.credentials;
    assert.equal((await ask(imds, ROLES, headers)).text, "late");
    assert.notEqual(imds.rotate().accessKeyId, before.accessKeyId);
    assert.match((await ask(imds, `${ROLES}late`, headers)).text, new RegExp(imds.credentials.accessKeyId));
  });

  test("gives credentials a lifetime of their own when it rotates them, and afterwards the usual one", async () => {
    const now = Date.UTC(2026, 0, 1);
    await using imds = await startImds({ role: "late", now: () => now });
    const headers = await tokenOf(imds);
    const lifetimeOf = async () => {
      const { Expiration } = JSON.parse((await ask(imds, `${ROLES}late`, headers)).text);
      return Date.parse(Expiration) - now;
    };
    imds.rotate({ lifetimeMs: 90_000 });
    assert.equal(await lifetimeOf(), 90_000);
    imds.rotate();
    assert.equal(await lifetimeOf(), 21_600_000);
    assert.throws(() => imds.rotate({ lifetimeMs: 0 }), RangeError);
  });

  test("keeps its port when it is closed and listens again", async () => {
    await using imds = await startImds();
    const { endpoint } = imds;
    await imds.close();
    await assert.rejects(fetch(endpoint));
    await imds.listen();
    assert.equal(imds.endpoint, endpoint);
    assert.equal((await ask(imds, ROLES)).status, 401);
  });

  test("a fault that does not exist is refused, and each of the table is injected", async () => {
    await using imds = await startImds();
    assert.throws(() => imds.injectFault({ kind: "silent" } as never), TypeError);
    assert.throws(() => imds.injectFault({ kind: "latency" } as never), TypeError);
    for (const { fault } of IMDS_FAULTS) imds.injectFault(fault);
    imds.clearFaults();
    assert.equal((await ask(imds, ROLES)).status, 401);
  });
});

describe("AWS's own client of the metadata service", () => {
  test("reads the same credentials", async () => {
    await using imds = await startImds();
    using _ = environment({ AWS_EC2_METADATA_SERVICE_ENDPOINT: imds.endpoint });
    const read = await fromInstanceMetadata({ ec2MetadataV1Disabled: true })();
    const { accessKeyId, secretAccessKey, sessionToken, expiration } = read;
    assert.deepEqual({ accessKeyId, secretAccessKey, sessionToken }, imds.credentials);
    assert.ok(expiration instanceof Date && expiration.getTime() > Date.now() + 21_000_000);
    assert.deepEqual(imds.requests.map(({ method, target, hasToken }) => `${method} ${target} ${hasToken}`), [
      "PUT /latest/api/token false",
      `GET ${ROLES} true`,
      `GET ${ROLES}enclave-parent true`,
    ]);
  });

  test("falls back to version 1 where nobody forbids it", async () => {
    await using imds = await startImds();
    using _ = environment({ AWS_EC2_METADATA_SERVICE_ENDPOINT: imds.endpoint });
    using _fault = imds.injectFault({ kind: "versionOneOnly" });
    const read = await fromInstanceMetadata()();
    assert.equal(read.accessKeyId, imds.credentials.accessKeyId);
    await assert.rejects(fromInstanceMetadata({ ec2MetadataV1Disabled: true })());
  });
});
