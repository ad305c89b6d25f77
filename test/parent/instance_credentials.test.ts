import assert from "node:assert/strict";
import { createServer, type Server } from "node:net";
import { inspect } from "node:util";
import { describe } from "#test";
import { OwnedCredentials } from "../../lib/aws/credentials.ts";
import { imdsCredentials, ImdsError, type ImdsOptions, instanceRegion, probeImds } from "../../parent/mod.ts";
import { IMDS_FAULTS, type ImdsFault, type SimulatedImds, startImds } from "../../sim/mod.ts";
import { divideTests } from "../support/share.ts";

const test = divideTests("Deno");

/** Environment of a process that sets nothing. */
const env = {};

/** Times for what answers, on a slow machine, too. */
const LONG = { timeoutMs: 60_000, tryTimeoutMs: 60_000, maxAttempts: 2, env };

/** Times for what does not answer. */
const SHORT = { timeoutMs: 600, tryTimeoutMs: 100, maxAttempts: 2, env };

const NAME = "x-aws-ec2-metadata-token-ttl-seconds";

/** Asks, and says how it failed. */
async function failureOf(imds: SimulatedImds, options: ImdsOptions = {}): Promise<ImdsError> {
  const provider = imdsCredentials({ endpoint: imds.endpoint, ...LONG, ...options });
  const failure: unknown = await provider().then((credentials) => credentials[Symbol.dispose](), (e) => e);
  assert.ok(failure instanceof ImdsError, `${failure}`);
  assertSilent(failure, imds);
  return failure;
}

/** A message shows nothing of the credentials. */
function assertSilent(error: ImdsError, { credentials }: SimulatedImds): void {
  const shown = `${inspect(error)} ${error.hint} ${error.stack}`;
  for (const secret of [credentials.secretAccessKey, credentials.sessionToken]) {
    assert.ok(!shown.includes(secret) && !shown.includes(secret.slice(0, 12)));
  }
}

async function assertServed(imds: SimulatedImds): Promise<void> {
  using given = await imdsCredentials({ endpoint: imds.endpoint, ...LONG })();
  using owned = OwnedCredentials.copyOf(given);
  using expected = OwnedCredentials.copyOf(imds.credentials);
  assert.ok(owned.equals(expected));
}

describe("imdsCredentials()", () => {
  test("gets the credentials of the role, by a token", async () => {
    await using imds = await startImds();
    const provider = imdsCredentials({ endpoint: imds.endpoint, env });
    using given = await provider();
    const { accessKeyId, secretAccessKey, sessionToken } = imds.credentials;
    const text = (part: unknown) => new TextDecoder().decode(part as Uint8Array);
    assert.equal(given.accessKeyId, accessKeyId);
    assert.equal(text(given.secretAccessKey), secretAccessKey);
    assert.equal(text(given.sessionToken), sessionToken);
    assert.ok(Number(given.expiration) > Date.now() + 21_000_000);
    assert.deepEqual(imds.requests.map(({ method, hasToken }) => `${method} ${hasToken}`), [
      ...["PUT false", "GET true", "GET true"],
    ]);
  });

  test("keeps the token, and asks for the credentials each time", async () => {
    await using imds = await startImds();
    const provider = imdsCredentials({ endpoint: imds.endpoint, env, role: "enclave-parent" });
    using first = await provider();
    imds.rotate();
    using second = await provider();
    assert.notEqual(first.accessKeyId, second.accessKeyId);
    assert.deepEqual(imds.requests.map(({ method }) => method), ["PUT", "GET", "GET"]);
  });

  test("gives bytes that are wiped on dispose, and shows none of them", async () => {
    await using imds = await startImds();
    const given = await imdsCredentials({ endpoint: imds.endpoint, env })();
    const { secretAccessKey, sessionToken } = given;
    assert.ok(!inspect(given, { depth: 9, showHidden: true }).includes(imds.credentials.secretAccessKey));
    assert.ok(!JSON.stringify(given).includes(imds.credentials.secretAccessKey));
    assert.ok(secretAccessKey instanceof Uint8Array && sessionToken instanceof Uint8Array);
    given[Symbol.dispose]();
    assert.ok([...secretAccessKey, ...sessionToken].every((byte) => byte === 0));
  });

  test("renews a token that the service takes no longer, once", async () => {
    await using imds = await startImds();
    const provider = imdsCredentials({ endpoint: imds.endpoint, ...LONG });
    (await provider())[Symbol.dispose]();
    imds.forgetTokens();
    (await provider())[Symbol.dispose]();
    assert.deepEqual(imds.requests.slice(3).map(({ method, target }) => `${method} ${target.length > 20}`), [
      ...["GET true", "PUT false", "GET true", "GET true"],
    ]);
    const before = imds.requests.length;
    using _ = imds.injectFault({ kind: "answer", status: 401, body: "", on: "roles" });
    await assert.rejects(provider(), { code: "ERR_IMDS_TOKEN", question: "role", httpStatus: 401 });
    assert.deepEqual(imds.requests.slice(before).map(({ method }) => method), ["GET", "PUT", "GET"]);
  });

  test("renews a token before the time to live that the service gave it", async () => {
    // A service that gives a second only, whatever it is asked for.
    await using server = await rawServer((request) => {
      if (request.startsWith("PUT")) return `HTTP/1.1 200 OK\r\n${NAME}: 0\r\ncontent-length: 1\r\n\r\nT`;
      return "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
    });
    const provider = imdsCredentials({ endpoint: server.endpoint, env });
    await assert.rejects(provider(), { code: "ERR_IMDS_NO_ROLE" });
    await assert.rejects(provider(), { code: "ERR_IMDS_NO_ROLE" });
    assert.deepEqual(server.requests.map((request) => request.slice(0, 3)), ["PUT", "GET", "PUT", "GET"]);
    assert.match(server.requests[1] ?? "", /\r\nx-aws-ec2-metadata-token: T\r\n/);
  });

  test("tries again what is busy, silent or cut off", async () => {
    await using imds = await startImds();
    const faults: readonly ImdsFault[] = [
      { kind: "answer", status: 503, body: "", on: "token" },
      { kind: "silence", on: "roles" },
      { kind: "truncate", byte: 300, on: "credentials" },
      { kind: "reset", byte: 0, on: "token" },
    ];
    for (const fault of faults) {
      imds.injectFault(fault, { times: 2 });
      const tryTimeoutMs = fault.kind === "silence" ? 400 : 60_000;
      const options = { ...LONG, endpoint: imds.endpoint, tryTimeoutMs, maxAttempts: 10 };
      (await imdsCredentials(options)())[Symbol.dispose]();
    }
  });

  test("gives up after its attempts", async () => {
    await using imds = await startImds();
    using _ = imds.injectFault({ kind: "answer", status: 503, body: "" });
    assert.equal((await failureOf(imds, { maxAttempts: 3 })).code, "ERR_IMDS_BUSY");
    assert.equal(imds.requests.length, 3);
    assert.equal((await failureOf(imds, { maxAttempts: 1 })).code, "ERR_IMDS_BUSY");
    assert.equal(imds.requests.length, 4);
  });

  test("ends with the caller's signal, at once and for its reason", async () => {
    await using imds = await startImds();
    using _ = imds.injectFault({ kind: "silence" });
    const provider = imdsCredentials({
      endpoint: imds.endpoint,
      env,
      timeoutMs: 60_000,
      tryTimeoutMs: 60_000,
    });
    const controller = new AbortController();
    const asked = provider({ signal: controller.signal });
    setTimeout(() => controller.abort(new Error("enough")), 20);
    await assert.rejects(asked, /^Error: enough$/);
    await assert.rejects(provider({ signal: AbortSignal.abort(new Error("before")) }), /^Error: before$/);
    await assert.rejects(provider({ signal: AbortSignal.timeout(20) }), (error: unknown) => {
      return error instanceof DOMException && error.name === "TimeoutError";
    });
  });
});

describe("imdsCredentials() names the failure:", () => {
  const cases: readonly (readonly [fault: ImdsFault, code: string, hint: RegExp])[] = [
    [{ kind: "silence", on: "token" }, "SILENT", /hop limit .* to 2/],
    [{ kind: "silence", on: "roles" }, "SILENT", /overloaded/],
    [{ kind: "drip", ms: 100 }, "SILENT", /./],
    [{ kind: "versionOneOnly" }, "VERSION_1", /version 1 is never used/],
    [{ kind: "answer", status: 405, body: "", on: "token" }, "VERSION_1", /./],
    [{ kind: "answer", status: 403, body: "secret" }, "FORBIDDEN", /switched off/],
    [{ kind: "answer", status: 400, body: "", on: "token" }, "TOKEN", /./],
    [{ kind: "answer", status: 401, body: "", on: "credentials" }, "TOKEN", /./],
    [{ kind: "answer", status: 404, body: "", on: "roles" }, "NO_ROLE", /instance profile/],
    [{ kind: "answer", status: 200, body: "", on: "roles" }, "NO_ROLE", /instance profile/],
    [{ kind: "answer", status: 404, body: "", on: "credentials" }, "ROLE", /detached/],
    [{ kind: "answer", status: 500, body: "" }, "BUSY", /./],
    [{ kind: "answer", status: 429, body: "" }, "BUSY", /./],
    [{ kind: "answer", status: 302, body: "" }, "ANSWER", /./],
    [{ kind: "answer", status: 200, body: "a b", on: "token" }, "ANSWER", /./],
    [{ kind: "answer", status: 200, body: "a\nb", on: "roles" }, "ANSWER", /./],
    [{ kind: "answer", status: 200, body: "../x", on: "roles" }, "ANSWER", /./],
    [{ kind: "answer", status: 200, body: "<html>", on: "credentials" }, "ANSWER", /./],
    [{ kind: "answer", status: 200, body: "{}", on: "credentials" }, "ANSWER", /./],
    [{ kind: "notHttp" }, "ANSWER", /./],
    [{ kind: "oversized", bytes: 100_000 }, "ANSWER", /./],
    [{ kind: "endless", bytes: 8_000_000 }, "ANSWER", /./],
    [{ kind: "truncate", byte: 0 }, "CUT", /./],
    [{ kind: "truncate", byte: 300, on: "credentials" }, "CUT", /./],
    [{ kind: "reset", byte: 0 }, "CUT", /./],
    [{ kind: "code", code: "AssumeRoleUnauthorizedAccess" }, "REFUSED", /trust policy/],
    [{ kind: "code", code: "<script>" }, "REFUSED", /./],
  ];
  for (const [fault, code, hint] of cases) {
    test(`${JSON.stringify(fault)} is ${code}`, async () => {
      await using imds = await startImds();
      using injected = imds.injectFault(fault);
      const isSlow = fault.kind === "silence" || fault.kind === "drip";
      const failure = await failureOf(imds, isSlow ? SHORT : {});
      assert.equal(failure.code, `ERR_IMDS_${code}`, failure.message);
      assert.match(failure.hint, hint);
      assert.match(failure.message, /^Cannot get (?:a token|the instance's (?:role|credentials))[^.]*[^.]$/);
      assert.ok(!failure.message.includes("<") && failure.message.length < 200);
      injected[Symbol.dispose]();
      await assertServed(imds);
    });
  }

  test("nothing listens", async () => {
    await using imds = await startImds();
    await imds.close();
    assert.equal((await failureOf(imds)).code, "ERR_IMDS_UNREACHABLE");
  });

  test("it is switched off in the environment, and nothing is asked", async () => {
    await using imds = await startImds();
    const failure = await failureOf(imds, { env: { AWS_EC2_METADATA_DISABLED: "true" } });
    assert.equal(failure.code, "ERR_IMDS_OFF");
    assert.deepEqual(imds.requests, []);
  });

  test("a role that is not the instance's", async () => {
    await using imds = await startImds();
    assert.equal((await failureOf(imds, { role: "other" })).code, "ERR_IMDS_ROLE");
  });

  test("gives what expires in the past or far in the future: the time is advice", async () => {
    await using imds = await startImds();
    for (const ms of [-86_400_000, 86_400_000 * 36_500]) {
      using _ = imds.injectFault({ kind: "clockSkew", ms });
      using given = await imdsCredentials({ endpoint: imds.endpoint, env })();
      assert.ok(Math.abs(Number(given.expiration) - Date.now() - ms - 21_600_000) < 120_000);
    }
  });

  test("every fault of the table ends in time, with an error of its own or an answer, and without version 1", async () => {
    for (const { name, fault } of IMDS_FAULTS) {
      await using imds = await startImds({ isVersionOneAllowed: true });
      using injected = imds.injectFault(fault);
      const provider = imdsCredentials({ endpoint: imds.endpoint, ...SHORT });
      const outcome: unknown = await provider().then((given) => (given[Symbol.dispose](), "given"), (e) => e);
      if (outcome !== "given") assert.ok(outcome instanceof ImdsError, `${name}: ${outcome}`);
      assert.ok(imds.requests.every(({ method, hasToken }) => method === "PUT" || hasToken), name);
      injected[Symbol.dispose]();
      await assertServed(imds);
    }
  });
});

describe("endpoint of the metadata service", () => {
  test("comes from the environment", async () => {
    await using imds = await startImds();
    const given = { AWS_EC2_METADATA_SERVICE_ENDPOINT: imds.endpoint };
    (await imdsCredentials({ env: given })())[Symbol.dispose]();
    (await imdsCredentials({ env: { AWS_EC2_METADATA_SERVICE_ENDPOINT: `${imds.endpoint}/` } })())
      [Symbol.dispose]();
    assert.equal(await instanceRegion({ env: given }), "eu-central-1");
    // An option comes first, and an empty variable is none.
    const elsewhere = { AWS_EC2_METADATA_SERVICE_ENDPOINT: "http://127.0.0.1:1" };
    (await imdsCredentials({ endpoint: imds.endpoint, env: elsewhere })())[Symbol.dispose]();
    for (const mode of ["IPv4", "ipv6", ""]) {
      imdsCredentials({
        env: { AWS_EC2_METADATA_SERVICE_ENDPOINT: "", AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE: mode },
      });
    }
  });

  test("must be near, over HTTP, and nothing but a host and a port", () => {
    const near = [
      "169.254.169.254",
      "[fd00:ec2::254]",
      "localhost:1338",
      "127.1.2.3",
      "[::1]:80",
      "[fe80::1]",
    ];
    for (const host of near) imdsCredentials({ endpoint: `http://${host}`, env });
    for (
      const endpoint of [
        ...[
          "https://169.254.169.254",
          "169.254.169.254",
          "http://10.0.0.1",
          "http://imds.example",
          "http://[2001:db8::1]",
        ],
        ...[
          "http://127.0.0.1/latest",
          "http://u:p@127.0.0.1",
          "http://127.0.0.1?a",
          "http://127.0.0.1#a",
          "ftp://127.0.0.1",
        ],
        ...[
          "http://169.254.169.254.evil.example",
          "http://127.evil.example",
          "http://fd00.example",
          "http://[::ffff:8.8.8.8]",
          "",
        ],
      ]
    ) {
      assert.throws(() => imdsCredentials({ endpoint, env }), {
        name: "TypeError",
        message: /^endpoint must /,
      }, endpoint);
    }
    assert.throws(
      () => imdsCredentials({ env: { AWS_EC2_METADATA_SERVICE_ENDPOINT: "http://10.0.0.1" } }),
      /^TypeError: AWS_EC2_METADATA_SERVICE_ENDPOINT must be on a loopback/,
    );
    assert.throws(
      () => imdsCredentials({ env: { AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE: "IPv5" } }),
      /^TypeError: AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE must be IPv4 or IPv6/,
    );
  });

  test("options that do not exist or are wrong are refused", () => {
    const refused = (options: object, error: object) =>
      assert.throws(() => imdsCredentials({ env, ...options }), error);
    refused({ rol: "a" }, TypeError);
    refused({ role: "a/b" }, TypeError);
    refused({ role: "" }, TypeError);
    refused({ timeoutMs: 0 }, RangeError);
    refused({ tryTimeoutMs: -1 }, RangeError);
    refused({ maxAttempts: 0 }, RangeError);
    refused({ maxAttempts: "3" }, TypeError);
  });
});

describe("probeImds() and instanceRegion()", () => {
  test("tell the region, the role and the expiration", async () => {
    await using imds = await startImds({ role: "r", region: "ap-south-2", lifetimeMs: 3_600_000 });
    const { region, role, expiresAtMs } = await probeImds({ endpoint: imds.endpoint, env });
    assert.deepEqual([region, role], ["ap-south-2", "r"]);
    assert.ok(Math.abs(expiresAtMs - Date.now() - 3_600_000) < 60_000);
  });

  test("refuse what is no region, and name the question", async () => {
    await using imds = await startImds({ region: "<nowhere>" });
    const asked = { endpoint: imds.endpoint, env };
    await assert.rejects(instanceRegion(asked), { code: "ERR_IMDS_ANSWER", question: "region" });
    await using roleless = await startImds({ role: null });
    await assert.rejects(probeImds({ endpoint: roleless.endpoint, env }), {
      code: "ERR_IMDS_NO_ROLE",
      question: "role",
    });
  });
});

/** Starts a server that answers each request with text. */
async function rawServer(answer: (request: string) => string) {
  const requests: string[] = [];
  const server: Server = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", (chunk) => {
      requests.push(String(chunk));
      socket.end(answer(String(chunk)));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return {
    requests,
    endpoint: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}
