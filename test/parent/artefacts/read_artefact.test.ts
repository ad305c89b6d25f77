import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, describe, test } from "#test";
import {
  ArtefactError,
  CertificateError,
  ConnectionError,
  CredentialsError,
  EnclaveKmsError,
  ProtocolError,
  readArtefact,
  type ReadArtefactOptions,
  readArtefactSettings,
  TimeoutError,
} from "../../../parent/mod.ts";
import { S3_FAULTS, type S3Fault, SimulatedS3, type SimulatedS3Options } from "../../../sim/mod.ts";
import { HELD_MS, HeldTimers } from "../../support/held_timers.ts";
import { until } from "../../support/until.ts";

const folder = mkdtempSync(join(tmpdir(), "enclave-kms-artefacts-"));
afterAll(() => rmSync(folder, { recursive: true }));

const REGION = "eu-central-1";
const SOURCE = "s3://sealed/age-key";
const CONTENT = Uint8Array.from({ length: 3000 }, (_, index) => index % 251);
const sha256 = createHash("sha256").update(CONTENT).digest("hex");

/** Opens a world with one object, and a reader of it that collects why it tried again. */
async function open(options: SimulatedS3Options = {}) {
  const s3 = await SimulatedS3.start({ region: REGION, ...options });
  s3.createBucket("sealed");
  s3.putObject("sealed", "age-key", CONTENT);
  const retries: Error[] = [];
  const { endpoint, credentials, trustedCertificates } = s3;
  const common = { region: REGION, endpoint, credentials, trustedCertificates };
  const read = (source = SOURCE, more: ReadArtefactOptions = {}) =>
    readArtefact(source, {
      ...common,
      idleTimeoutMs: 2000,
      onRetry: (error) => retries.push(error),
      ...more,
    });
  return { s3, read, retries, [Symbol.asyncDispose]: () => s3[Symbol.asyncDispose]() };
}

async function failureOf(reading: Promise<unknown>): Promise<EnclaveKmsError> {
  const error: unknown = await reading.then(() => undefined, (error: unknown) => error);
  assert.ok(error instanceof EnclaveKmsError, `it is ${String(error)}`);
  return error;
}

async function refusalOf(reading: Promise<unknown>): Promise<ArtefactError> {
  const error = await failureOf(reading);
  assert.ok(error instanceof ArtefactError, `it is ${error.name}: ${error.message}`);
  return error;
}

describe("readArtefact() from S3", () => {
  test("reads an object over TLS, and in the clear on loopback", async () => {
    for (const tls of [true, false]) {
      await using world = await open({ tls });
      assert.deepEqual(await world.read(SOURCE, { sha256 }), CONTENT);
      assert.deepEqual(world.retries, []);
    }
  });

  test("reads keys of any spelling as they stand", async () => {
    await using world = await open();
    for (
      const key of [
        "a b+c",
        "%2e%2e/x",
        "ä/ö/€",
        "a//b",
        "/a",
        "(x)!*'~",
        "?versionId=x#y",
        "...",
        "a\\..\\b",
        "\u202e",
      ]
    ) {
      world.s3.putObject("sealed", key, new TextEncoder().encode(key));
      assert.equal(new TextDecoder().decode(await world.read(`s3://sealed/${key}`)), key);
      assert.equal(world.s3.requests.at(-1)?.key, key);
    }
  });

  test("refuses hostile names before anything is sent", async () => {
    await using world = await open();
    const sources = [
      ...["s3://sealed", "s3://sealed/", "s3:///key", "s3://", "s3:sealed/key", "S3://sealed/key"],
      ...["s3://../key", "s3://a..b/key", "s3://SEALED/key", "s3://sea_led/key", "s3://127.0.0.1/key"],
      ...["s3://user@sealed/key", "s3://sealed:80/key", "s3://x/key", `s3://${"a".repeat(64)}/key`],
      ...[
        "s3://sealed/../other/key",
        "s3://sealed/a/./b",
        "s3://sealed/..",
        "s3://sealed/\ud800",
        "s3://sealed/\0",
      ],
      ...[
        `s3://sealed/${"ä".repeat(513)}`,
        "s3://séaled/key",
        "s3://sealed%2f..%2fother/key",
        "s3://x--x-s3/key",
      ],
      ...["http://sealed/key", "relative/path", "./x", "", "file://host/x", "file:///x?y", "file:///x#y"],
    ];
    for (const source of sources) await assert.rejects(world.read(source), TypeError, source);
    for (const source of [new URL("https://sealed/key"), 5, null]) {
      await assert.rejects(world.read(source as unknown as string), TypeError);
    }
    assert.deepEqual(world.s3.requests, []);
  });

  test("refuses malformed options before anything is sent", async () => {
    await using world = await open();
    const wrong: Readonly<Record<string, unknown>>[] = [
      ...[{ region: "moon" }, { region: undefined }, { credentials: undefined }, { credentials: {} }],
      ...[{ sha256: "abc" }, { sha256: new Uint8Array(31) }, { sha256: "" }, { versionId: "" }, {
        versionId: "a b",
      }],
      ...[{ maxBytes: 0 }, { maxBytes: 1.5 }, { timeoutMs: 0 }, { idleTimeoutMs: 1 }, { onRetry: 5 }, {
        sha265: "",
      }],
      ...[
        "http://s3.example",
        "http://10.0.0.1",
        "https://a/b",
        "https://u:p@a",
        "ftp://a",
        "x",
        "http://127.evil.example",
      ]
        .map((endpoint) => ({ endpoint })),
    ];
    for (const options of wrong) {
      const rejected = (error: unknown) => error instanceof TypeError || error instanceof RangeError;
      await assert.rejects(world.read(SOURCE, options), rejected, JSON.stringify(options));
    }
    assert.deepEqual(world.s3.requests, []);
  });

  test("every fault ends in the object, or in an error that says why; and then in service", async () => {
    const fatal: Partial<Record<string, string>> = {
      "denies": "denied",
      "answers 403 without XML": "denied",
      "sends elsewhere": "redirect",
      "sends 4 MB without a length": "too-large",
    };
    await using world = await open();
    for (const { name, fault } of S3_FAULTS) {
      world.s3.injectFault(fault, { times: 1 });
      const idleTimeoutMs = fault.kind === "hang" ? 50 : 2000;
      const reading = world.read(SOURCE, { idleTimeoutMs });
      if (fatal[name] === undefined) assert.equal((await reading).length, CONTENT.length, name);
      else assert.equal((await refusalOf(reading)).reason, fatal[name], name);
      world.s3.clearFaults();
      world.s3.putObject("sealed", "age-key", CONTENT);
      assert.deepEqual(await world.read(), CONTENT, `after: ${name}`);
    }
  });

  test("goes on where it was cut, and reads no byte twice", async () => {
    await using world = await open();
    world.s3.injectFault({ kind: "cut", afterBytes: 700 }, { times: 4 });
    assert.deepEqual(await world.read(SOURCE, { sha256 }), CONTENT);
    const ranges = world.s3.requests.map(({ range }) => range);
    assert.deepEqual(ranges, [undefined, "bytes=700-", "bytes=1400-", "bytes=2100-", "bytes=2800-"]);
    assert.equal(world.retries.length, 4);
  });

  test("never puts bytes of two versions together", async () => {
    await using world = await open();
    world.s3.injectFault({ kind: "change", afterBytes: 700 }, { times: 1 });
    assert.deepEqual(await world.read(), CONTENT.map((byte) => byte ^ 0xff));
    const reasons = world.retries.map((error) => error instanceof ArtefactError ? error.reason : error.name);
    assert.equal(reasons.at(-1), "changed");
    assert.deepEqual(world.s3.requests.map(({ range }) => range), [undefined, "bytes=700-", undefined]);
  });

  test("a change under a pinned version is none, and under a pinned digest an error", async () => {
    await using world = await open();
    const { versionId } = world.s3.putObject("sealed", "age-key", CONTENT);
    world.s3.injectFault({ kind: "change", afterBytes: 700 }, { times: 1 });
    assert.deepEqual(await world.read(SOURCE, { versionId }), CONTENT);
    const { reason, message } = await refusalOf(world.read(SOURCE, { sha256 }));
    assert.equal(reason, "digest");
    assert.ok(
      message.includes(createHash("sha256").update(CONTENT.map((byte) => byte ^ 0xff)).digest("hex")),
    );
  });

  test("what answers a request for the rest with something else is read anew", async () => {
    for (const kind of ["wholeForPart", "wrongPart"] as const) {
      await using world = await open();
      world.s3.injectFault({ kind }, { times: 2 });
      world.s3.injectFault({ kind: "cut", afterBytes: 700 }, { times: 1 });
      assert.deepEqual(await world.read(SOURCE, { sha256 }), CONTENT, kind);
    }
  });

  test("says what S3 says, with the likeliest cause", async () => {
    await using world = await open();
    world.s3.createBucket("unlisted", { listable: false });
    world.s3.createBucket("elsewhere", { region: "eu-west-1" });
    const cases = [
      ["s3://sealed/none", "missing", "NoSuchKey", /key right/],
      ["s3://none/none", "missing", "NoSuchBucket", /no such bucket/],
      ["s3://unlisted/none", "denied", "AccessDenied", /ListBucket.*GetObject.*kms:Decrypt/],
      ["s3://elsewhere/key", "region", "PermanentRedirect", /in eu-west-1, and eu-central-1 was asked/],
    ] as const;
    for (const [source, reason, s3Code, hint] of cases) {
      const error = await refusalOf(world.read(source));
      assert.deepEqual([error.reason, error.s3Code, error.retryable], [reason, s3Code, false], source);
      assert.match(error.hint, hint);
      assert.match(error.requestId ?? "", /^[0-9A-F]{16}$/);
    }
    const version = await refusalOf(world.read(SOURCE, { versionId: "none" }));
    assert.deepEqual([version.reason, version.s3Code], ["missing", "NoSuchVersion"]);
    const wrongRegion = await refusalOf(world.read(SOURCE, { region: "us-east-1" }));
    assert.match(wrongRegion.hint, /in eu-central-1, and us-east-1 was asked/);
    assert.deepEqual(world.retries, []);
  });

  test("a clock that is wrong is said to be, and by how much", async () => {
    await using world = await open();
    world.s3.clock.offsetMs = 23 * 60_000;
    const error = await refusalOf(world.read());
    assert.deepEqual([error.reason, error.s3Code], ["clock", "RequestTimeTooSkewed"]);
    assert.match(error.hint, /23 minutes behind/);
    world.s3.clock.offsetMs = -40 * 60_000;
    assert.match((await refusalOf(world.read())).hint, /40 minutes ahead of/);
  });

  test("asks the provider for other credentials when S3 refuses the ones it has", async () => {
    await using world = await open();
    const old = world.s3.issueCredentials();
    world.s3.expireCredentials(old);
    const answers = [old, world.s3.issueCredentials()];
    let asked = 0;
    const credentials = () => ({ ...answers[asked++] ?? old, expiration: Date.now() + 3_600_000 });
    assert.deepEqual(await world.read(SOURCE, { credentials }), CONTENT);
    assert.equal(asked, 2);
    const refused = await refusalOf(world.read(SOURCE, { credentials: old }));
    assert.deepEqual([refused.reason, refused.s3Code], ["credentials", "ExpiredToken"]);
    const failing = () => Promise.reject(new Error("no metadata service"));
    assert.ok(await failureOf(world.read(SOURCE, { credentials: failing })) instanceof CredentialsError);
  });

  test("no failure tells the secret access key or the token", async () => {
    await using world = await open();
    const secretAccessKey = "Secret/Secret/Secret/Secret/Secret/Secre";
    const error = await refusalOf(
      world.read(SOURCE, { credentials: { ...world.s3.credentials, secretAccessKey } }),
    );
    assert.equal(error.s3Code, "SignatureDoesNotMatch");
    const told = `${error.stack} ${error.hint} ${JSON.stringify(error)}`;
    assert.ok(!told.includes(secretAccessKey) && !told.includes(world.s3.credentials.sessionToken));
  });

  test("follows no redirect: who is named there gets no request, and no signature", async () => {
    let requestCount = 0;
    const other = createServer((_, response) => {
      requestCount++;
      response.end();
    });
    await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
    try {
      await using world = await open();
      const address = other.address();
      assert.ok(typeof address === "object" && address !== null);
      const location = `http://127.0.0.1:${address.port}/key`;
      world.s3.injectFault({ kind: "redirect", location });
      assert.equal((await refusalOf(world.read())).reason, "redirect");
      assert.equal(requestCount, 0);
      await fetch(location);
      assert.equal(requestCount, 1, "it would have been there");
    } finally {
      other.closeAllConnections();
      await new Promise((resolve) => other.close(resolve));
    }
  });

  test("a certificate of another authority, or for another host, is refused at once", async () => {
    await using world = await open({ tls: true });
    await using other = await open({ tls: true });
    const { trustedCertificates } = other.s3;
    const foreign = await failureOf(world.read(SOURCE, { trustedCertificates }));
    assert.ok(foreign instanceof CertificateError, `${foreign.name}: ${foreign.message}`);
    const endpoint = world.s3.endpoint.replace("localhost", "127.0.0.1");
    assert.ok(await failureOf(world.read(SOURCE, { endpoint })) instanceof CertificateError);
    assert.deepEqual(world.s3.requests, []);
    assert.deepEqual(world.retries, []);
  });

  test("reads no more than the cap, whatever length is told", async () => {
    await using world = await open();
    assert.equal((await world.read(SOURCE, { maxBytes: 3000 })).length, 3000);
    const { reason, message } = await refusalOf(world.read(SOURCE, { maxBytes: 2999 }));
    assert.deepEqual([reason, message], [
      "too-large",
      `Cannot read artefact ${SOURCE}: it has more than 2999 bytes`,
    ]);
    world.s3.injectFault({ kind: "endless", bytes: 1_000_000 });
    assert.equal((await refusalOf(world.read(SOURCE, { maxBytes: 10_000 }))).reason, "too-large");
    // A length that is not told cannot be checked: what came may be a part.
    world.s3.injectFault({ kind: "endless", bytes: 100 }, { times: 1 });
    world.s3.clearFaults();
    world.s3.injectFault({ kind: "endless", bytes: 100 }, { times: 1 });
    assert.deepEqual(await world.read(SOURCE, { sha256 }), CONTENT);
    assert.ok(world.retries.at(-1) instanceof ProtocolError);
  });

  test("one deadline is over all tries, and its error has the last try's failure", async () => {
    const faults: readonly S3Fault[] = [
      { kind: "hang" },
      { kind: "refusal", s3Code: "SlowDown" },
      { kind: "cut", afterBytes: 0 },
      { kind: "slow", bytes: 500, pauseMs: 100 },
    ];
    for (const fault of faults) {
      await using world = await open();
      world.s3.injectFault(fault);
      const idleTimeoutMs = fault.kind === "slow" ? 60_000 : 100;
      using timers = new HeldTimers();
      const failed = failureOf(world.read(SOURCE, { timeoutMs: HELD_MS, idleTimeoutMs }));
      await until(() => fault.kind === "slow" ? world.s3.requests.length > 0 : world.retries.length > 0);
      timers.goOff();
      const error = await failed;
      assert.ok(error instanceof TimeoutError, `${fault.kind}: ${error.name} ${error.message}`);
      assert.equal(error.stage, "artefact");
      const isRetried = fault.kind !== "slow";
      assert.equal(error.cause instanceof EnclaveKmsError, isRetried, fault.kind);
      if (isRetried) assert.match(error.message, /; the last try: Cannot (?:read|ask) /);
    }
  });

  test("nobody who listens is an error that names the host; a caller's abort is the caller's", async () => {
    await using world = await open();
    const { endpoint } = world.s3;
    await world.s3[Symbol.asyncDispose]();
    using timers = new HeldTimers();
    const failed = failureOf(world.read(SOURCE, { timeoutMs: HELD_MS }));
    await until(() => world.retries.length > 0);
    timers.goOff();
    const error = await failed;
    assert.ok(error.cause instanceof ConnectionError);
    assert.ok(error.cause.message.includes(new URL(endpoint).host));
    const reason = new Error("enough");
    await assert.rejects(world.read(SOURCE, { signal: AbortSignal.abort(reason) }), reason);
    const controller = new AbortController();
    const reading = world.read(SOURCE, { signal: controller.signal });
    setTimeout(() => controller.abort(reason), 50);
    await assert.rejects(reading, reason);
  });
});

describe("readArtefact() from a file", () => {
  const path = join(folder, "artefact");
  writeFileSync(path, CONTENT);

  test("reads a path, a URL, and through a symbolic link", async () => {
    const link = join(folder, "link");
    symlinkSync(path, link);
    for (const source of [path, pathToFileURL(path), pathToFileURL(path).href, link]) {
      assert.deepEqual(await readArtefact(source, { sha256 }), CONTENT);
    }
  });

  test("refuses what is missing, no file, too large or another one", async () => {
    mkdirSync(join(folder, "directory"));
    execFileSync("mkfifo", [join(folder, "pipe")]);
    const reasonOf = async (name: string, options: ReadArtefactOptions = {}) =>
      (await refusalOf(readArtefact(join(folder, name), options))).reason;
    assert.equal(await reasonOf("none"), "missing");
    assert.equal(await reasonOf("artefact/below"), "missing");
    assert.equal(await reasonOf("directory"), "refused");
    assert.equal(await reasonOf("pipe"), "refused");
    assert.equal(await reasonOf("artefact", { maxBytes: 2999 }), "too-large");
    assert.equal(await reasonOf("artefact", { sha256: "0".repeat(64) }), "digest");
    assert.equal((await refusalOf(readArtefact("/dev/zero"))).reason, "refused");
  });
});

describe("readArtefactSettings()", () => {
  test("reads the names of the recipe, and empty ones as none", () => {
    const env = {
      AGE_KEY_S3_URI: "s3://sealed/age-key",
      KEY_SHARES_S3_URI: "/etc/shares",
      AWS_REGION: REGION,
      AWS_ENDPOINT_URL_S3: "https://bucket.vpce-1.s3.eu-central-1.vpce.amazonaws.com/",
    };
    assert.deepEqual(readArtefactSettings(env), {
      ageKey: "s3://sealed/age-key",
      keyShares: "/etc/shares",
      region: REGION,
      endpoint: "https://bucket.vpce-1.s3.eu-central-1.vpce.amazonaws.com",
    });
    const none = { ageKey: undefined, keyShares: undefined, region: undefined, endpoint: undefined };
    assert.deepEqual(readArtefactSettings({ AGE_KEY_S3_URI: "", KEY_SHARES_S3_URI: "" }), none);
  });

  test("names the variable that is wrong", () => {
    const cases = [
      [{ AGE_KEY_S3_URI: "bucket/key", AWS_REGION: REGION }, /^AGE_KEY_S3_URI: source must be/],
      [{ KEY_SHARES_S3_URI: "s3://a..b/key", AWS_REGION: REGION }, /^KEY_SHARES_S3_URI: /],
      [{ AGE_KEY_S3_URI: "s3://sealed/key" }, /^AGE_KEY_S3_URI: .*AWS_REGION/],
      [{ AWS_REGION: "moon" }, /^AWS_REGION: /],
      [{ AWS_ENDPOINT_URL_S3: "http://s3.example" }, /^AWS_ENDPOINT_URL_S3: endpoint/],
    ] as const;
    for (const [env, message] of cases) {
      assert.throws(() => readArtefactSettings(env), { name: "TypeError", message });
    }
  });
});
