import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { inspect } from "node:util";
import * as sdk from "@aws-sdk/credential-providers";
import { afterAll, describe, test } from "#test";
import { CredentialsError, LibraryLoadError, TimeoutError } from "../../lib/core/errors.ts";
import { chainWith } from "../../parent/credentials/credential_chain.ts";
import { chainCredentials, type ChainOptions } from "../../parent/mod.ts";
import { startImds } from "../../sim/mod.ts";

const folder = mkdtempSync(join(tmpdir(), "enclave-kms-chain-"));
afterAll(() => rmSync(folder, { recursive: true }));

const KEYS = { AWS_ACCESS_KEY_ID: "AKIAENVIRONMENT", AWS_SECRET_ACCESS_KEY: "canary-environment" };
const NOWHERE = { HOME: join(folder, "nobody"), AWS_EC2_METADATA_SERVICE_ENDPOINT: "http://127.0.0.1:1" };

/** Package that must not be needed. */
const neverLoad = () => Promise.reject(new Error("the package was loaded"));

/** Writes a file with profiles, and makes the environment that names it. */
function withProfiles(name: string, text: string) {
  const path = join(folder, name);
  writeFileSync(path, text);
  return { ...NOWHERE, AWS_CONFIG_FILE: path, AWS_SHARED_CREDENTIALS_FILE: join(folder, "none") };
}

async function keyIdOf(
  options: ChainOptions,
  load: Parameters<typeof chainWith>[0] = () => Promise.resolve(sdk),
) {
  using credentials = await chainWith(load, options)();
  return credentials.accessKeyId;
}

/** Starts a server on 127.0.0.1. */
async function serve(answer: (request: IncomingMessage, response: ServerResponse) => void) {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  return {
    url: `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function answerJson(response: ServerResponse, body: unknown): void {
  response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(body));
}

const CONTAINER = {
  AccessKeyId: "ASIACONTAINER",
  SecretAccessKey: "canary-container",
  Token: "canary-token",
  Expiration: "2027-01-01T00:00:00Z",
};

describe("chainCredentials() takes the first that is configured:", () => {
  test("the environment, without AWS's package", async () => {
    const env = {
      ...NOWHERE,
      ...KEYS,
      AWS_SESSION_TOKEN: "canary-token",
      AWS_CREDENTIAL_EXPIRATION: "2027-01-01T00:00:00Z",
    };
    using credentials = await chainWith(neverLoad, { env })();
    const { accessKeyId, secretAccessKey, sessionToken, expiration } = credentials;
    const text = (part: unknown) => new TextDecoder().decode(part as Uint8Array);
    assert.deepEqual([accessKeyId, text(secretAccessKey), text(sessionToken), expiration], [
      ...["AKIAENVIRONMENT", "canary-environment", "canary-token", Date.UTC(2027, 0)],
    ]);
  });

  test("a profile that is named comes before the environment, and the default profile after it", async () => {
    const profiles = withProfiles(
      "order",
      "[default]\naws_access_key_id = AKIADEFAULT\naws_secret_access_key = s\n" +
        "[profile other]\naws_access_key_id = AKIAOTHER\naws_secret_access_key = s\n",
    );
    assert.equal(await keyIdOf({ env: { ...profiles, ...KEYS } }), "AKIAENVIRONMENT");
    assert.equal(await keyIdOf({ env: { ...profiles, ...KEYS, AWS_PROFILE: "other" } }), "AKIAOTHER");
    assert.equal(await keyIdOf({ env: { ...profiles, ...KEYS }, profile: "other" }), "AKIAOTHER");
    assert.equal(await keyIdOf({ env: profiles }), "AKIADEFAULT");
    // Half of a pair is none, as an empty variable is.
    assert.equal(
      await keyIdOf({ env: { ...profiles, AWS_ACCESS_KEY_ID: "AKIA", AWS_PROFILE: "" } }),
      "AKIADEFAULT",
    );
  });

  test("the instance's role, past a default profile that names a region only", async () => {
    await using imds = await startImds();
    const env = { ...withProfiles("region", "[default]\nregion = eu-central-1\n"), HOME: folder };
    const options = { env, imds: { endpoint: imds.endpoint } };
    assert.equal(await keyIdOf(options, neverLoad), imds.credentials.accessKeyId);
  });

  test("a process, which is run anew each time", async () => {
    const file = join(folder, "process.json");
    const write = (AccessKeyId: string) =>
      writeFileSync(file, JSON.stringify({ Version: 1, AccessKeyId, SecretAccessKey: "s" }));
    const env = withProfiles("process", `[profile p]\ncredential_process = cat ${file}\n`);
    const provider = chainCredentials({ env, profile: "p" });
    for (const id of ["AKIA1", "AKIA2"]) {
      write(id);
      using credentials = await provider();
      assert.equal(credentials.accessKeyId, id);
    }
  });

  test("a profile whose file was changed", async () => {
    const text = (id: string) => `[profile p]\naws_access_key_id = ${id}\naws_secret_access_key = s\n`;
    const env = withProfiles("changing", text("AKIA1"));
    const provider = chainCredentials({ env, profile: "p" });
    (await provider())[Symbol.dispose]();
    withProfiles("changing", text("AKIA2"));
    using credentials = await provider();
    assert.equal(credentials.accessKeyId, "AKIA2");
  });

  test("a container, with the token of EKS pod identity, and retries of this library's own", async () => {
    const tokenFile = join(folder, "token");
    writeFileSync(tokenFile, "pod-token");
    let asked = 0;
    await using agent = await serve((request, response) => {
      assert.equal(request.headers.authorization, "pod-token");
      if (++asked < 3) response.writeHead(500).end();
      else answerJson(response, CONTAINER);
    });
    const env = {
      ...NOWHERE,
      AWS_CONTAINER_CREDENTIALS_FULL_URI: `${agent.url}/v1/credentials`,
      AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: tokenFile,
    };
    assert.equal(await keyIdOf({ env, timeoutMs: 60_000 }), "ASIACONTAINER");
    assert.equal(asked, 3);
  });

  test("a task of ECS, whose agent's path comes before a whole URL, and a token's file before a token", async () => {
    const asked: unknown[] = [];
    const fake = {
      ...sdk,
      fromHttp: (init: unknown) => {
        asked.push(init);
        return () => Promise.resolve({ accessKeyId: "ASIATASK", secretAccessKey: "s" });
      },
    };
    const env = {
      ...NOWHERE,
      AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: "/v2/credentials/1",
      AWS_CONTAINER_CREDENTIALS_FULL_URI: "http://127.0.0.1:1/",
      AWS_CONTAINER_AUTHORIZATION_TOKEN: "canary",
      AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: "/token",
    };
    const options = { env, timeoutMs: 60_000 };
    assert.equal(await keyIdOf(options, () => Promise.resolve(fake as never)), "ASIATASK");
    const [{ timeout, ...init } = {}] = asked as Record<string, unknown>[];
    assert.ok(Number(timeout) > 0);
    assert.deepEqual(init, {
      ...{ ec2MetadataV1Disabled: true, maxRetries: 0 },
      awsContainerCredentialsRelativeUri: "/v2/credentials/1",
      awsContainerAuthorizationTokenFile: "/token",
    });
  });

  test("a web identity, with the region's STS", async () => {
    const asked: unknown[] = [];
    const fake = {
      ...sdk,
      fromTokenFile: (init: unknown) => {
        asked.push(init);
        return () => Promise.resolve({ accessKeyId: "ASIAWEB", secretAccessKey: "s" });
      },
    };
    const env = {
      ...NOWHERE,
      AWS_WEB_IDENTITY_TOKEN_FILE: "/token",
      AWS_ROLE_ARN: "arn:aws:iam::123456789012:role/r",
      AWS_ROLE_SESSION_NAME: "session",
      AWS_REGION: "eu-central-1",
    };
    assert.equal(await keyIdOf({ env }, () => Promise.resolve(fake as never)), "ASIAWEB");
    assert.deepEqual(asked, [{
      webIdentityTokenFile: "/token",
      roleArn: "arn:aws:iam::123456789012:role/r",
      roleSessionName: "session",
      clientConfig: { region: "eu-central-1" },
    }]);
  });
});

describe("chainCredentials() fails", () => {
  const env = withProfiles("empty", "");

  test("for a source that is configured and broken, and takes no other identity in its place", async () => {
    const failing = { ...env, ...KEYS, AWS_PROFILE: "nobody" };
    await assert.rejects(chainCredentials({ env: failing, maxAttempts: 1 })(), {
      name: "CredentialsError",
      message: 'Cannot get credentials from profile "nobody": it failed with CredentialsProviderError',
      hint: /--profile nobody says more$/,
    });
  });

  test("with no word of what a process said", async () => {
    const processEnv = withProfiles(
      "failing",
      "[profile p]\ncredential_process = sh -c 'echo canary >&2; exit 1'\n",
    );
    await assert.rejects(
      chainCredentials({ env: processEnv, profile: "p", maxAttempts: 1 })(),
      (error: Error) => {
        assert.ok(error instanceof CredentialsError);
        assert.ok(!inspect(error, { depth: 9, showHidden: true }).includes("canary"));
        return true;
      },
    );
  });

  test("for malformed variables, and names the field alone", async () => {
    for (
      const [name, field] of [["AWS_CREDENTIAL_EXPIRATION", "expiration"], [
        "AWS_SESSION_TOKEN",
        "sessionToken",
      ]]
    ) {
      const wrong = { ...env, ...KEYS, [name ?? ""]: "canary canary" };
      await assert.rejects(chainCredentials({ env: wrong })(), (error: Error) => {
        assert.ok(error instanceof CredentialsError && !inspect(error).includes("canary canary"));
        assert.match(
          error.message,
          new RegExp(`^Cannot get credentials from the environment: .*credentials\\.${field}:`),
        );
        return true;
      });
    }
  });

  test("in time, when a source hangs, and for the caller's signal", async () => {
    await using agent = await serve(() => {});
    const hanging = { ...env, AWS_CONTAINER_CREDENTIALS_FULL_URI: agent.url };
    await assert.rejects(chainCredentials({ env: hanging, timeoutMs: 50 })(), TimeoutError);
    const signal = AbortSignal.abort(new Error("enough"));
    await assert.rejects(chainCredentials({ env: hanging })({ signal }), /^Error: enough$/);
  });

  test("when the package is needed and not installed", async () => {
    const load = () => Promise.reject(new LibraryLoadError("not installed", { hint: "npm install" }));
    await assert.rejects(keyIdOf({ env, profile: "p" }, load), LibraryLoadError);
  });

  test("for options that do not exist or are wrong", () => {
    const refused = (options: object, error: object) => assert.throws(() => chainCredentials(options), error);
    refused({ profil: "p" }, TypeError);
    refused({ profile: "" }, RangeError);
    refused({ timeoutMs: 0 }, RangeError);
    refused({ maxAttempts: 1.5 }, RangeError);
    refused({ imds: { endpoint: "http://10.0.0.1" } }, TypeError);
  });
});

describe("version 1 of the metadata service", () => {
  const env = withProfiles(
    "instance",
    "[profile p]\nrole_arn = arn:aws:iam::123456789012:role/r\ncredential_source = Ec2InstanceMetadata\n",
  );

  test("stays off in a profile that leads there, where AWS's package alone would use it", async () => {
    await using imds = await startImds({ isVersionOneAllowed: true });
    const name = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
    const before = process.env[name];
    process.env[name] = imds.endpoint;
    try {
      const unsafe = () =>
        imds.requests.filter(({ method, hasToken }) => method === "GET" && !hasToken).length;
      using _ = imds.injectFault({ kind: "versionOneOnly" });
      await assert.rejects(chainCredentials({ env, profile: "p", maxAttempts: 1 })(), CredentialsError);
      assert.ok(imds.requests.length > 0 && unsafe() === 0);
      // It goes on to STS, which is not there.
      const { AWS_CONFIG_FILE: configFilepath } = env;
      const roleAssumer = () => Promise.reject(new Error("no STS"));
      await assert.rejects(sdk.fromIni({ profile: "p", configFilepath, roleAssumer })());
      assert.ok(unsafe() > 0);
    } finally {
      if (before === undefined) delete process.env[name];
      else process.env[name] = before;
    }
  });
});
