import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import * as sdk from "@aws-sdk/credential-providers";
import { describe } from "#test";
import { chainWith } from "../../../parent/credentials/credential_chain.ts";
import { RUNTIME_COMMANDS } from "../../support/runtime_commands.ts";
import { divideTests } from "../../support/share.ts";

const test = divideTests();

const CHILD = fileURLToPath(new URL("../../support/chain_child.ts", import.meta.url));
const COMMAND = RUNTIME_COMMANDS["Deno" in globalThis ? "Deno" : "Node"] ?? [];
const START_URL = "https://example.awsapps.com/start";
const TOKEN = "canary-sso-token";

const PROFILES: Readonly<Record<string, string>> = {
  "of a session": `[default]
sso_session = work
sso_account_id = 123456789012
sso_role_name = parent
[sso-session work]
sso_start_url = ${START_URL}
sso_region = us-east-1
sso_registration_scopes = sso:account:access
`,
  "of the old form": `[default]
sso_start_url = ${START_URL}
sso_region = us-east-1
sso_account_id = 123456789012
sso_role_name = parent
`,
};

/** Home of somebody who has logged in, and a portal that gives credentials for the token of that. */
async function openWorld(profile: string, expiresAt: string, answer?: (response: ServerResponse) => void) {
  const home = mkdtempSync(join(tmpdir(), "enclave-kms-sso-"));
  const cache = join(home, ".aws", "sso", "cache");
  mkdirSync(cache, { recursive: true });
  writeFileSync(join(home, ".aws", "config"), profile);
  const login = JSON.stringify({ accessToken: TOKEN, expiresAt, startUrl: START_URL, region: "us-east-1" });
  for (const key of ["work", START_URL]) {
    writeFileSync(join(cache, `${createHash("sha1").update(key).digest("hex")}.json`), login);
  }
  const asked: Pick<IncomingMessage, "url" | "headers">[] = [];
  const server = createServer((request, response) => {
    asked.push({ url: request.url ?? "", headers: request.headers });
    if (answer !== undefined) return answer(response);
    const roleCredentials = {
      accessKeyId: "ASIASSO",
      secretAccessKey: "canary-sso-secret",
      sessionToken: "canary-sso-session",
      expiration: Date.UTC(2100, 0),
    };
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ roleCredentials }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const env = {
    PATH: process.env["PATH"],
    HOME: home,
    DENO_DIR: process.env["DENO_DIR"] ?? join(process.env["HOME"] ?? home, ".cache", "deno"),
    AWS_REGION: "eu-central-1",
    AWS_ENDPOINT_URL_SSO: `http://127.0.0.1:${port}`,
    AWS_EC2_METADATA_SERVICE_ENDPOINT: "http://127.0.0.1:1",
  };
  return {
    asked,
    async get(): Promise<unknown> {
      const [program = "", ...args] = [...COMMAND, CHILD];
      const { stdout, stderr } = await promisify(execFile)(program, args, { env });
      assert.ok(!`${stdout}${stderr}`.includes("canary"), "neither token nor secret is written anywhere");
      return JSON.parse(stdout);
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      rmSync(home, { recursive: true });
    },
  };
}

const LATER = "2100-01-01T00:00:00Z";

describe("SSO", () => {
  for (const [form, profile] of Object.entries(PROFILES)) {
    test(`gives credentials for the login ${form}, through AWS's package`, async () => {
      await using world = await openWorld(profile, LATER);
      assert.deepEqual(await world.get(), { accessKeyId: "ASIASSO", expiration: Date.UTC(2100, 0) });
      const [request] = world.asked;
      const { pathname, searchParams } = new URL(request?.url ?? "", "http://portal");
      assert.equal(pathname, "/federation/credentials");
      assert.deepEqual([...searchParams].toSorted(), [
        ["account_id", "123456789012"],
        ["role_name", "parent"],
      ]);
      assert.equal(request?.headers["x-amz-sso_bearer_token"], TOKEN);
    });

    test(`fails, and asks nobody, when the login ${form} is over`, async () => {
      await using world = await openWorld(profile, "2020-01-01T00:00:00Z");
      const { code, message } = await world.get() as { code: string; message: string };
      assert.equal(code, "ERR_CREDENTIALS");
      assert.match(message, /^Cannot get credentials from profile "default": it failed/);
      assert.deepEqual(world.asked, []);
    });
  }

  test("fails, without a word of the portal's, when it refuses", async () => {
    const refuse = (response: ServerResponse) =>
      void response.writeHead(403, { "content-type": "application/json" }).end('{"message":"canary"}');
    await using world = await openWorld(PROFILES["of a session"] ?? "", LATER, refuse);
    assert.equal((await world.get() as { code: string }).code, "ERR_CREDENTIALS");
    assert.ok(world.asked.length > 0);
  });

  test("is asked in the profile's sso_region, and roles in the parent's region", async () => {
    const given: Record<string, unknown>[] = [];
    const spy = {
      ...sdk,
      fromIni: (init: Record<string, unknown>) => {
        given.push(init);
        return () => Promise.resolve({ accessKeyId: "ASIAINI", secretAccessKey: "s" });
      },
    };
    const env = { HOME: "/nobody", AWS_PROFILE: "work", AWS_REGION: "eu-central-1" };
    using _credentials = await chainWith(() => Promise.resolve(spy as never), { env })();
    // AWS's package takes clientConfig's region before sso_region.
    assert.equal(given[0]?.["clientConfig"], undefined);
    assert.deepEqual(given[0]?.["parentClientConfig"], { region: "eu-central-1" });
  });
});
