import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { toJsonSchema } from "@valibot/to-json-schema";
import fc from "fast-check";
import { describe, test } from "#test";
import { declareSettings } from "../../enclave/application_settings.ts";
import { configSchema } from "../../enclave/config_schema.ts";
import { ENCLAVE_READER } from "../../enclave/enclave_config.ts";
import type { JsonObject } from "../../enclave/json.ts";
import { oneOf } from "../../enclave/setting_kinds.ts";
import { ConfigError, type SettingsReader } from "../../enclave/settings.ts";
import { readConfig, serverConfigSchema } from "../../server/config.ts";
import { ROOT } from "../support/documents.ts";
import { accepts } from "../support/json_schema.ts";

const OWN = declareSettings({
  bucket: { type: "string", pattern: "^[a-z0-9.-]{3,63}$", optional: true },
  schemaPrefix: { type: "string", default: "schemas/" },
  mode: { type: "string", enum: ["cold", "hot"], default: "cold" },
  refreshSeconds: { type: "integer", minimum: 5, maximum: 60, default: 30 },
  strict: { type: "boolean", default: true },
});

/** Settings of which JSON Schema cannot tell all: ranges inside of texts, keys, and lengths in UTF-16. */
const NOT_ALL = [
  "kms",
  "telemetry",
  "http",
  "kmstool",
  "tls",
  "control",
  "credentials",
  "tokens",
  "claims",
  "callers",
  "enclaveHost",
];

interface Case {
  readonly schema: JsonObject;
  /** Names of the settings that are refused, when the file has this one alone. */
  readonly refuses: (name: string, value: unknown) => boolean;
}

const readerCase = (reader: SettingsReader<object>): Case => ({
  schema: configSchema(reader),
  refuses: (name, value) =>
    problems(() => reader.read({ ENCLAVE_KMS_CONFIG: "/c" }, () => JSON.stringify({ [name]: value })))
      .length > 0,
});

const CASES: Readonly<Record<string, Case>> = {
  "the server": {
    schema: serverConfigSchema(),
    // Its own start checks settings together, which is not the schema's.
    refuses: (name, value) =>
      problems(() => readConfig({ ENCLAVE_KMS_CONFIG: "/c" }, () => JSON.stringify({ [name]: value })))
        .some((problem) => problem.startsWith(`${name} (in the file): expected`)),
  },
  "an application": readerCase(ENCLAVE_READER),
  "an application with settings of its own": readerCase(OWN.reader),
};

const propertiesOf = (schema: JsonObject) => schema["properties"] as Record<string, JsonObject>;

/** Values that are right for one setting or another, and values at their edges. */
const VALUES: readonly unknown[] = [
  ...["eu-central-1", "us-gov-west-1", "eu", "kms.example", "10.0.0.1", "K-1.example", "/a", "a", "", "off"],
  ...["vsock:8080", "vsock:3:8000", "vsock:99999999999", "tcp:127.0.0.1:80", "TCP:[::1]:0", "tcp:a b:1"],
  ...["unix:/run/a.sock", "unix:", "unix:\n", "tcp:a:1\n", "on", "auto", "sdk-client", "debug", "silent"],
  ...["NITRO", "SIM", "sim", "parent", "policy", "sealed", "any", "true", "1", "0", "5", "cold", "a.b-c"],
  ...[0, 1, 2, 4, 5, 60, 61, 64, 99, 100, 1000, 8080, 65_535, 65_536, 10_000, 100_000, 3_600_000, 1.5, -1],
  ...[0xffff_fffe, 0xffff_ffff, 2 ** 32, Number.MAX_SAFE_INTEGER, true, false, null, [], {}, [1], ["a"]],
  ...[{ 7: { tenant: "a", roles: ["x"], level: 1, on: true } }, { 7: { a: 1.5 } }, { "007": {} }, { 7: 1 }],
  ...[{ [`certificate:${"0a".repeat(32)}`]: {} }, { roles: "Set<String>" }, { roles: "Set" }, {
    "a-b": "Long",
  }],
  ...[[{ issuer: "a" }], [{ issuer: "a", audience: "b", algorithms: ["ES256"], keys: { keys: [{}] } }]],
];

/** Texts that match the pattern of a setting, and values of all kinds. */
function valuesFor({ pattern }: JsonObject): fc.Arbitrary<unknown> {
  const near = typeof pattern === "string" ? [fc.stringMatching(new RegExp(pattern, "u"))] : [];
  return fc.oneof(fc.constantFrom(...VALUES), fc.integer(), fc.string(), fc.jsonValue(), ...near);
}

describe("the JSON Schema of a configuration", () => {
  for (const [what, { schema, refuses }] of Object.entries(CASES)) {
    test(`of ${what} refuses what the reader refuses, as far as it can tell, and nothing else`, () => {
      let [taken, refused] = [0, 0];
      for (const [name, property] of Object.entries(propertiesOf(schema))) {
        const check = (value: unknown) => {
          const [fits, isRefused] = [accepts(schema, { [name]: value }), refuses(name, value)];
          if (isRefused) refused++;
          else taken++;
          if (!fits) assert.ok(isRefused, `${name} is refused by the schema only`);
          else if (!NOT_ALL.includes(name)) assert.ok(!isRefused, `${name} is refused by the reader only`);
        };
        VALUES.forEach(check);
        fc.assert(fc.property(valuesFor(property), check), { numRuns: 50 });
      }
      assert.ok(taken > 200 && refused > 1000, `${taken} taken, ${refused} refused`);
      assert.equal(accepts(schema, { policyFil: "/p" }), false);
      assert.equal(accepts(schema, {}), true);
    });

    test(`of ${what} has the defaults that the reader has, and variables that set each setting`, () => {
      for (const [name, property] of Object.entries(propertiesOf(schema))) {
        if (property["default"] !== undefined) {
          assert.equal(accepts(property, property["default"]), true, name);
        }
        const variables = [property["x-env"] ?? [], property["x-env-others"] ?? []].flat();
        for (const variable of variables) assert.match(String(variable), /^[A-Z][A-Z0-9_]+$/);
      }
      assert.equal(schema["x-env"], "ENCLAVE_KMS_CONFIG");
    });
  }

  test("names the variables in the order in which they count", () => {
    const { vsockPort, region, callers, schemaPrefix } = propertiesOf(configSchema(OWN.reader));
    const variablesOf = (property?: JsonObject) => [property?.["x-env"], property?.["x-env-others"]];
    assert.deepEqual(variablesOf(vsockPort), ["VSOCK_PORT", ["ENCLAVE_KMS_VSOCK_PORT"]]);
    assert.deepEqual(variablesOf(region), ["ENCLAVE_KMS_REGION", ["REGION"]]);
    assert.deepEqual(variablesOf(callers), [undefined, undefined]);
    assert.deepEqual(variablesOf(schemaPrefix), ["SCHEMA_PREFIX", ["ENCLAVE_KMS_SCHEMA_PREFIX"]]);
  });

  test("says of choices and switches what valibot's own converter says", () => {
    const { $schema: _, ...converted } = toJsonSchema(oneOf(["a", "b"], "b").schema, { errorMode: "ignore" });
    assert.deepEqual({ type: "string", ...converted }, oneOf(["a", "b"], "b").jsonSchema);
    for (const name of ["strict", "mode", "schemaPrefix"]) {
      const setting = OWN.reader.settings.get(name)!;
      const { $schema: _, ...own } = toJsonSchema(setting.schema as never, { errorMode: "ignore" });
      assert.deepEqual({ type: "string", ...own }, { ...setting.jsonSchema }, name);
    }
  });

  test("takes no required setting for given", () => {
    const settings = declareSettings({ keyArn: { type: "string" } });
    const schema = configSchema(settings.reader);
    assert.equal(accepts(schema, {}), false);
    assert.equal(accepts(schema, { keyArn: "a" }), true);
    assert.deepEqual(problems(() => settings.read({})), ["keyArn (KEY_ARN): must be set"]);
    assert.deepEqual(settings.read({ KEY_ARN: "a" }), { keyArn: "a" });
  });
});

const COMMAND = "Deno" in globalThis ? ["run", "--quiet", "--no-prompt", "-A", "--unstable-vsock"] : [];
const FLAG = "--print-config-schema";

const run = (program: string, args: readonly string[], env: Record<string, string> = {}) =>
  promisify(execFile)(process.execPath, [...COMMAND, program, ...args], {
    cwd: ROOT,
    env: { ...process.env, NO_COLOR: "1", ...env },
  });

describe("--print-config-schema", () => {
  test("of the server writes its schema and ends, whatever the environment is", async () => {
    const { stdout, stderr } = await run("server/main.ts", [FLAG], { ENCLAVE_KMS_HTTP: "HUSH" });
    assert.deepEqual(JSON.parse(stdout), serverConfigSchema());
    assert.equal(stderr, "");
  });

  test("of an application does it before a setting, a file or a socket is looked at", async () => {
    const { stdout, stderr } = await run("examples/signer/main.ts", [FLAG], { ENV_SETUP: "HUSH" });
    const { properties, required } = JSON.parse(stdout);
    assert.deepEqual(required, ["signerKeyArn"]);
    assert.equal(properties.signerKeyArn["x-env"], "SIGNER_KEY_ARN");
    assert.equal(properties.vsockPort.default, 8080);
    assert.equal(stderr, "");
    // Without the flag it looks at them.
    await assert.rejects(run("examples/signer/main.ts", []), /signerKeyArn \(SIGNER_KEY_ARN\): must be set/);
  });

  test("of an application without settings of its own is startEnclave()'s", async () => {
    const { stdout } = await run("examples/sign-service/main.ts", [FLAG]);
    assert.deepEqual(JSON.parse(stdout), configSchema(ENCLAVE_READER));
  });

  test("ends with 1 when nobody takes the schema", async () => {
    const full = openSync("/dev/full", "w");
    const child = spawn(process.execPath, [...COMMAND, join(ROOT, "server/main.ts"), FLAG], {
      stdio: ["ignore", full, "ignore"],
    });
    closeSync(full);
    assert.equal(await new Promise((resolve) => child.on("close", resolve)), 1);
  });
});

function problems(read: () => unknown): readonly string[] {
  try {
    read();
    return [];
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.problems;
  }
}
