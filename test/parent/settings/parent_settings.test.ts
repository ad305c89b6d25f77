import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, test } from "#test";
import { allSecrets, parentVariables, readParentSettings } from "../../../parent/settings/parent_settings.ts";
import { SETTING_TABLE } from "../../../parent/settings/setting_table.ts";
import { ROOT } from "../../support/source_files.ts";
import type { Environment } from "../../../parent/kms_proxy_settings.ts";

const folder = mkdtempSync(join(tmpdir(), "enclave-kms-settings-"));
afterAll(() => rmSync(folder, { recursive: true }));

const LEAST = { EIF_PATH: "/srv/app.eif", AWS_REGION: "eu-central-1" };

function fileOf(content: unknown): string {
  const path = join(folder, "parent.json");
  writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
  return path;
}

function problemsOf(env: Environment, file?: string): string {
  try {
    readParentSettings(env, file);
  } catch (error) {
    assert.ok(error instanceof TypeError);
    return error.message;
  }
  return assert.fail("it was accepted");
}

describe("readParentSettings()", () => {
  test("has the defaults of the scripts that it replaces", () => {
    const settings = readParentSettings(LEAST);
    const { cpuCount, enclaveCid, memoryMib, debugMode, kmsProxyPorts, credentials, credentialsPort } =
      settings;
    assert.deepEqual(
      { cpuCount, enclaveCid, memoryMib, debugMode, kmsProxyPorts, credentials, credentialsPort },
      {
        cpuCount: 2,
        enclaveCid: 16,
        memoryMib: undefined,
        debugMode: false,
        kmsProxyPorts: [5000, 8000],
        credentials: "imds",
        credentialsPort: 7100,
      },
    );
    assert.deepEqual(allSecrets(settings), []);
  });

  test("reads a file, and variables over it", () => {
    const path = fileOf({ eifPath: "/srv/a.eif", region: "eu-central-1", cpuCount: 4, enclaveCid: 20 });
    const settings = readParentSettings({ CPU_COUNT: "8", ENCLAVE_CID: "" }, path);
    assert.deepEqual([settings.cpuCount, settings.enclaveCid, settings.eifPath], [8, 20, "/srv/a.eif"]);
    assert.equal(readParentSettings({ ENCLAVE_KMS_PARENT_CONFIG: path }).enclaveCid, 20);
  });

  test("reads the default recipe, and secrets of the file after it", () => {
    const path = fileOf({
      secrets: [{ name: "more", port: 7200, source: "/srv/more", sha256: "0".repeat(64) }],
    });
    const settings = readParentSettings({
      ...LEAST,
      AGE_KEY_S3_URI: "s3://sealed/age-key",
      KEY_SHARES_S3_URI: "s3://sealed/shares",
      KEY_SHARES_VSOCK_PORT: "7110",
    }, path);
    assert.deepEqual(allSecrets(settings).map(({ name, port }) => [name, port]), [
      ["age-key", 7101],
      ["key-shares", 7110],
      ["more", 7200],
    ]);
  });

  test("names everything that is wrong at once, and no value", () => {
    const message = problemsOf({
      ENV_SETUP: "PROD",
      CPU_COUNT: "two",
      MEMORY_MIB: "0",
      EIF_PATH: "app.eif",
      KMS_PROXY_PORT: "5000,5000",
      ENCLAVE_NAME: "--all",
      ENCLAVE_DEBUG_MODE: "yes",
    });
    for (
      const line of [
        "ENV_SETUP: expected one of NITRO, SIM",
        "CPU_COUNT: expected a whole number from 1 to 1024",
        "MEMORY_MIB: expected a whole number from 1 to 16777216",
        "EIF_PATH: expected an absolute path",
        "KMS_PROXY_PORT: expected vsock ports, each once",
        "ENCLAVE_NAME: expected 1 to 64 letters, digits and _.-",
        "ENCLAVE_DEBUG_MODE: expected true or false",
      ]
    ) assert.ok(message.includes(`\n  ${line}`), `${line} is not in ${message}`);
    assert.ok(!/PROD|--all|app\.eif/.test(message));
  });

  test("refuses what is unknown or malformed in the file", () => {
    assert.match(problemsOf(LEAST, fileOf({ cpuCuont: 2 })), /cpuCuont: is no setting; is cpuCount meant\?/);
    assert.match(problemsOf(LEAST, fileOf({ cpuCount: "2" })), /cpuCount: expected a whole number/);
    assert.match(
      problemsOf(LEAST, fileOf({ secrets: [{ name: "a", port: 1 }] })),
      /secrets: expected a list/,
    );
    const secret = { name: "a", port: 1, source: "/a", sah256: "0" };
    assert.match(problemsOf(LEAST, fileOf({ secrets: [secret] })), /secrets: expected a list/);
    assert.match(problemsOf(LEAST, fileOf("{\n  x }")), /is not JSON at 2:3$/);
    assert.match(problemsOf(LEAST, fileOf("[]")), /must be a JSON object$/);
    assert.match(problemsOf(LEAST, "/none.json"), /cannot be read$/);
    assert.match(problemsOf(LEAST, fileOf('{"__proto__": {"cpuCount": 4}}')), /is no setting/);
  });

  test("names what is missing, and what contradicts itself", () => {
    assert.match(problemsOf({}), /eifPath \(EIF_PATH\): must be set unless envSetup \(ENV_SETUP\) is SIM/);
    assert.match(problemsOf({ EIF_PATH: "/a" }), /region \(AWS_REGION\): must be set/);
    assert.match(
      problemsOf({ ENV_SETUP: "SIM", AWS_REGION: "eu-central-1" }),
      /command .*\n.*simulationFolder/,
    );
    const twice = { ...LEAST, AGE_KEY_S3_URI: "/a", AGE_KEY_VSOCK_PORT: "7100" };
    assert.match(problemsOf(twice), /must not have a port twice, nor one of another use/);
    const path = fileOf({ secrets: [{ name: "age-key", port: 7200, source: "/a" }] });
    assert.match(problemsOf({ ...LEAST, AGE_KEY_S3_URI: "/a" }, path), /must not have a name twice/);
  });

  test("leads no outside caller to a port where the enclave takes secrets, whichever that is", () => {
    for (
      const [enclavePort, variable] of [
        [7200, "AWS_CREDS_VSOCK_PORT"],
        [7201, "AGE_KEY_VSOCK_PORT"],
        [7202, "CONTROL_PORT"],
      ] as const
    ) {
      const path = fileOf({ ingress: [{ port: 50_051, enclavePort }] });
      const env = { ...LEAST, AGE_KEY_S3_URI: "/a", [variable]: String(enclavePort) };
      assert.match(problemsOf(env, path), new RegExp(`ingress: must not lead to ${enclavePort}`));
    }
    const own = fileOf({
      ingress: [{ port: 50_051, enclavePort: 7203 }],
      secrets: [{ name: "mine", port: 7203, source: "/a" }],
    });
    assert.match(problemsOf(LEAST, own), /ingress: must not lead to 7203/);
  });

  test("does without a region where nothing needs one", () => {
    assert.equal(readParentSettings({ EIF_PATH: "/a", KMS_PROXY_ENABLE: "false" }).region, undefined);
  });

  test("has a variable of its own for each setting that may be in the environment", () => {
    const variables = parentVariables().map(([, variable]) => variable);
    assert.equal(new Set(variables).size, variables.length);
    assert.ok(
      variables.includes("READINESS_SLEEP_SECONDS") && variables.includes("OTEL_EXPORTER_OTLP_ENDPOINT"),
    );
  });
});

describe("docs/running-the-parent.md", () => {
  test("has every setting and its variable in the table", () => {
    const page = readFileSync(join(ROOT, "docs/running-the-parent.md"), "utf8");
    const [table = ""] = /^\| setting .*\n(?:\|.*\n)+/m.exec(page) ?? [];
    const rows = new Map(
      [...table.matchAll(/^\| `(\w+)` +\| (?:`(\w+)`)? *\|/gm)].map(([, name, variable]) => [name, variable]),
    );
    const missing = Object.entries(SETTING_TABLE).filter(([name, { variable }]) =>
      !rows.has(name) || rows.get(name) !== variable
    );
    assert.deepEqual(missing.map(([name]) => name), []);
    const known = Object.entries(SETTING_TABLE).filter(([, { variable }]) => variable !== undefined);
    const told = [...rows].filter(([, variable]) => variable !== undefined);
    assert.deepEqual(told.map(([name]) => name).sort(), known.map(([name]) => name).sort());
  });
});
