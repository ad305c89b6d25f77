import assert from "node:assert/strict";
import { ConfigError } from "../../enclave/settings.ts";
import { readConfig, unknownVariables, variableOf } from "../../server/config.ts";
import { describe, test } from "#test";

const read = (env: Record<string, string>, file?: unknown) =>
  readConfig(
    file === undefined ? env : { ENCLAVE_KMS_CONFIG: "/config.json", ...env },
    () => typeof file === "string" ? file : JSON.stringify(file),
  );

const problemsOf = (env: Record<string, string>, file?: unknown): readonly string[] => {
  try {
    read(env, file);
    return [];
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.problems;
  }
};

describe("readConfig()", () => {
  test("has the defaults of an enclave", () => {
    const config = read({ ENCLAVE_KMS_REGION: "eu-central-1" });
    assert.deepEqual(config.http, { transport: "vsock", cid: 0xffff_ffff, port: 8080 });
    assert.deepEqual(config.kmstool, { transport: "vsock", cid: 0xffff_ffff, port: 3000 });
    assert.deepEqual(config.kms, { transport: "vsock", cid: 3, port: 8000 });
    assert.deepEqual(config.credentials, { transport: "vsock", cid: 0xffff_ffff, port: 7100 });
    assert.equal(config.credentialSetters, "parent");
    assert.equal(config.policyFile, undefined);
    assert.equal(config.policyFuel, 2_000_000);
    assert.equal(config.developmentCid, 1);
  });

  test("leaves the port for credentials closed where control is, unless it is set", () => {
    const region = { ENCLAVE_KMS_REGION: "eu-central-1" };
    assert.equal(read({ ...region, ENCLAVE_KMS_CONTROL: "off" }).credentials, undefined);
    assert.equal(read({ ...region, ENCLAVE_KMS_CREDENTIALS: "off" }).credentials, undefined);
    assert.deepEqual(read({ ...region, ENCLAVE_KMS_CREDENTIALS: "off" }).control?.transport, "vsock");
    const local = { ...region, ENCLAVE_KMS_HTTP: "tcp:127.0.0.1:0", ENCLAVE_KMS_KMSTOOL: "off" };
    assert.equal(read(local).credentials, undefined);
    const path = { ENCLAVE_KMS_CREDENTIALS: "unix:/run/credentials.sock" };
    assert.deepEqual(read({ ...local, ...path }).credentials, {
      transport: "unix",
      path: "/run/credentials.sock",
    });
    assert.match(problemsOf({ ...local, ENCLAVE_KMS_CREDENTIALS: "tcp:127.0.0.1:1" }).join(), /credentials/);
  });

  test("reads a file, and the environment over it", () => {
    const file = {
      region: "eu-west-1",
      http: "tcp:[::1]:80",
      maxConcurrent: 3,
      callers: { 7: { tenant: "a" } },
    };
    const config = read({ ENCLAVE_KMS_MAX_CONCURRENT: "5", ENCLAVE_KMS_KMSTOOL: "unix:/run/kmstool" }, file);
    assert.deepEqual(config.http, { transport: "tcp", host: "::1", port: 80 });
    assert.deepEqual(config.kmstool, { transport: "unix", path: "/run/kmstool" });
    assert.equal(config.region, "eu-west-1");
    assert.equal(config.maxConcurrent, 5);
    assert.deepEqual(config.callers, { 7: { tenant: "a" } });
  });

  test("loses no attribute of a caller, and takes no CID that it would not find", () => {
    const callers =
      '{"7":{"constructor":"a","__proto__":"b","tenant":"c","level":1,"on":true,"roles":["x"]}}';
    const file = `{"region":"eu-west-1","callers":${callers}}`;
    assert.equal(JSON.stringify(read({}, file).callers), callers);
    const problem =
      "callers (in the file): expected attributes by CID or certificate:<SHA-256>: texts, whole numbers, booleans and lists of texts";
    for (
      const wrong of [
        ...[{ "007": {} }, { "4294967296": {} }, { "-1": {} }, { "": {} }, { "1.0": {} }, [], null, "7"],
        ...[{ 7: [] }, { 7: null }, { 7: { a: 1.5 } }, { 7: { a: {} } }, { 7: { a: [1] } }, {
          7: { a: null },
        }],
      ]
    ) {
      assert.deepEqual(problemsOf({ ENCLAVE_KMS_REGION: "eu-west-1" }, { callers: wrong }), [problem]);
    }
  });

  test("takes kmstool's own variables, after ours; an empty one is not set", () => {
    const config = read({ REGION: "us-east-2", ENDPOINT: "kms.example.com", ENCLAVE_KMS_ENGINE: "" });
    assert.equal(config.region, "us-east-2");
    assert.equal(config.hostName, "kms.example.com");
    assert.equal(config.engine, "auto");
    assert.equal(read({ REGION: "us-east-2", ENCLAVE_KMS_REGION: "eu-west-1" }).region, "eu-west-1");
    assert.equal(variableOf("requestTimeoutMs"), "ENCLAVE_KMS_REQUEST_TIMEOUT_MS");
  });

  test("lists everything that is wrong at once, and repeats no value", () => {
    const problems = problemsOf(
      {
        ENCLAVE_KMS_REGION: "HUSH-1",
        ENCLAVE_KMS_MAX_WAITING: "HUSH",
        ENCLAVE_KMS_POLICY_FILE: "HUSH.cedar",
      },
      { engine: "HUSH", http: "HUSH", callers: { HUSH: {} }, "HUSH HUSH": 1, idleTimeoutMs: 1.5 },
    );
    assert.equal(problems.length, 8, problems.join("\n"));
    assert.ok(problems.includes("region (ENCLAVE_KMS_REGION): expected a region such as eu-central-1"));
    assert.ok(
      problems.includes("maxWaiting (ENCLAVE_KMS_MAX_WAITING): expected a whole number from 0 to 100000"),
    );
    assert.ok(
      problems.includes("a name of other characters than letters, digits and _ (in the file): is no setting"),
    );
    const place = "expected vsock:<port>, tcp:<host>:<port>, unix:<path> or off";
    assert.ok(problems.includes(`http (in the file): ${place}`));
    assert.ok(
      problems.includes('engine (in the file): expected "auto" or "direct" or "sdk" or "sdk-client"'),
    );
    assert.doesNotMatch(problems.join("\n"), /HUSH/);
    assert.match(problemsOf({ REGION: "HUSH" }).join(), /^region \(REGION\): expected a region/);
  });

  test("listens on a port of vsock for anyone, not on a CID, and on any port of TCP", () => {
    const { http } = read({ ENCLAVE_KMS_REGION: "eu-west-1", ENCLAVE_KMS_HTTP: "tcp:localhost:0" });
    assert.deepEqual(http, { transport: "tcp", host: "localhost", port: 0 });
    const problem = /^http \(ENCLAVE_KMS_HTTP\): expected vsock:<port>/;
    for (const value of ["vsock:3:80", "vsock:4294967296", "off "]) {
      const problems = problemsOf({ ENCLAVE_KMS_REGION: "eu-west-1", ENCLAVE_KMS_HTTP: value });
      assert.match(problems.join("\n"), problem);
    }
    assert.equal(
      problemsOf({ ENCLAVE_KMS_REGION: "eu-west-1", ENCLAVE_KMS_KMS: "tcp:localhost:0" }).length,
      1,
    );
  });

  test("checks settings against each other", () => {
    assert.deepEqual(problemsOf({}), ["region (ENCLAVE_KMS_REGION): must be set"]);
    assert.deepEqual(problemsOf({ ENCLAVE_KMS_HTTP: "off" }), []);
    assert.deepEqual(problemsOf({ ENCLAVE_KMS_HTTP: "off", ENCLAVE_KMS_KMSTOOL: "off" }), [
      "http, tls, kmstool: one of them must listen",
    ]);
    assert.equal(problemsOf({ ENCLAVE_KMS_HTTP: "off", ENCLAVE_KMS_REQUEST_TIMEOUT_MS: "60000" }).length, 1);
  });

  test("names what is no setting, and what was most likely meant", () => {
    const region = { ENCLAVE_KMS_REGION: "eu-west-1" };
    assert.deepEqual(
      problemsOf(region, { policyfile: "/p.cedar", requestTimeoutMS: 5, zzz: 1, caller: {} }),
      [
        "policyfile (in the file): is no setting; did you mean policyFile?",
        "requestTimeoutMS (in the file): is no setting; did you mean requestTimeoutMs?",
        "zzz (in the file): is no setting",
        "caller (in the file): is no setting; did you mean callers?",
      ],
    );
    assert.deepEqual(
      unknownVariables({
        ...region,
        ENCLAVE_KMS_CONFIG: "/config.json",
        ENCLAVE_KMS_POLCY_FILE: "/HUSH",
        ENCLAVE_KMS_CALLERS: "{}",
        enclave_kms_region: "HUSH",
        ENCLAVE_KMS_ZZZ: "HUSH",
        PATH: "/bin",
      }),
      [
        "ENCLAVE_KMS_POLCY_FILE is no setting; did you mean ENCLAVE_KMS_POLICY_FILE?",
        "ENCLAVE_KMS_CALLERS is not read: callers can be set in the file only",
        "enclave_kms_region is no setting; did you mean ENCLAVE_KMS_REGION?",
        "ENCLAVE_KMS_ZZZ is no setting",
      ],
    );
  });

  test("says what is wrong with the file, and where, and nothing that is in it", () => {
    assert.deepEqual(problemsOf({}, "{"), [
      "ENCLAVE_KMS_CONFIG: /config.json is not JSON (line 1, column 2)",
    ]);
    assert.deepEqual(problemsOf({}, '{\n  "region": HUSH\n}'), [
      "ENCLAVE_KMS_CONFIG: /config.json is not JSON (line 2, column 13)",
    ]);
    assert.deepEqual(problemsOf({}, []), ["ENCLAVE_KMS_CONFIG: /config.json must hold a JSON object"]);
    assert.throws(() => readConfig({ ENCLAVE_KMS_CONFIG: "/no/such.json" }), {
      problems: ["ENCLAVE_KMS_CONFIG: /no/such.json cannot be read (ENOENT)"],
    });
    assert.throws(() => readConfig({ ENCLAVE_KMS_CONFIG: "/" }), {
      problems: ["ENCLAVE_KMS_CONFIG: / cannot be read (EISDIR)"],
    });
  });
});
