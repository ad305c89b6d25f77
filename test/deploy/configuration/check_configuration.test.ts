import assert from "node:assert/strict";
import fc from "fast-check";
import { describe, test } from "#test";
import { checkConfiguration } from "../../../deploy/configuration/check_configuration.ts";
import { declareSettings } from "../../../enclave/application_settings.ts";
import { configSchema } from "../../../enclave/config_schema.ts";
import { ConfigError } from "../../../enclave/settings.ts";
import { serverConfigSchema } from "../../../server/config.ts";

const SETTINGS = declareSettings({
  keyArn: { type: "string", pattern: "^arn:aws:kms:" },
  refreshSeconds: { type: "integer", minimum: 5, maximum: 60, default: 30 },
  strict: { type: "boolean", default: true },
});
const SCHEMA = JSON.stringify(configSchema(SETTINGS.reader));
const KEY_ARN = "arn:aws:kms:eu-central-1:111122223333:key/1";

/** Checks a file and an environment, which names the file. */
function problemsOf(file: unknown, environment: Record<string, string> = {}, schema = SCHEMA): string[] {
  const text = typeof file === "string" ? file : JSON.stringify(file);
  return checkConfiguration({
    schema,
    file: { path: "/app/config.json", text },
    environment: { ENCLAVE_KMS_CONFIG: "/app/config.json", ...environment },
  });
}

describe("checkConfiguration()", () => {
  test("takes a file and variables that the application takes", () => {
    assert.deepEqual(problemsOf({ keyArn: KEY_ARN, policyFile: "/p.cedar", callers: { 7: { a: 1 } } }), []);
    assert.deepEqual(
      problemsOf({ refreshSeconds: 1 }, {
        KEY_ARN,
        REFRESH_SECONDS: "5",
        STRICT: "0",
        PATH: "/bin",
        VSOCK_PORT: "1",
      }),
      [],
    );
    assert.deepEqual(checkConfiguration({ schema: SCHEMA, file: undefined, environment: { KEY_ARN } }), []);
  });

  test("names everything that is wrong, and what was meant, and never a value", () => {
    const file = { policyFil: "/HUSH", refreshSeconds: "HUSH", callers: { 7: { a: 1.5 } }, "HUSH!": 1 };
    const environment = {
      KEY_ARM: "HUSH",
      STRICT: "HUSH",
      ENCLAVE_KMS_REGON: "HUSH",
      ENCLAVE_KMS_CALLERS: "HUSH",
      ENCLAVE_KMS_NOTHING_LIKE_IT: "HUSH",
      enclave_kms_region: "HUSH",
      VSOCK_PORT: "0",
    };
    assert.deepEqual(problemsOf(file, environment), [
      "policyFil (in the file): is no setting; did you mean policyFile?",
      "a name of other characters than letters, digits and _ (in the file): is no setting",
      "callers.7.a (in the file): expected another type or form",
      "vsockPort (VSOCK_PORT): expected at least 1",
      "refreshSeconds (in the file): expected a whole number",
      "strict (STRICT): expected true or false",
      "keyArn (KEY_ARN): expected to be there",
      "KEY_ARM is no setting; did you mean KEY_ARN?",
      "ENCLAVE_KMS_REGON is no setting; did you mean ENCLAVE_KMS_REGION?",
      "ENCLAVE_KMS_CALLERS is not read: callers can be set in the file only",
      "ENCLAVE_KMS_NOTHING_LIKE_IT is no setting",
      "enclave_kms_region is no setting; did you mean ENCLAVE_KMS_REGION?",
    ]);
  });

  test("refuses a file that no variable names, and a variable whose file is not checked", () => {
    const file = { path: "/app/config.json", text: "{}" };
    const problem = "ENCLAVE_KMS_CONFIG: must be /app/config.json, or the file is not read";
    for (const named of [{}, { ENCLAVE_KMS_CONFIG: "" }, { ENCLAVE_KMS_CONFIG: "/app/other.json" }]) {
      const environment = { KEY_ARN, ...named };
      assert.deepEqual(checkConfiguration({ schema: SCHEMA, file, environment }), [problem]);
    }
    const environment = { KEY_ARN, ENCLAVE_KMS_CONFIG: "/app/config.json" };
    assert.deepEqual(checkConfiguration({ schema: SCHEMA, file: undefined, environment }), [
      "ENCLAVE_KMS_CONFIG: names a file, and configuration.path of the manifest does not",
    ]);
  });

  test("says where a file is no JSON object", () => {
    assert.deepEqual(problemsOf('{\n"HUSH'), ["/app/config.json is not JSON (line 2, column 1)"]);
    assert.match(
      problemsOf('{"policyFile":"/a","policyFile":"/b"}').join(),
      /config\.json cannot be taken: .*twice/,
    );
    for (const file of [[], "null", "1"]) {
      assert.deepEqual(problemsOf(file), ["/app/config.json must hold a JSON object"]);
    }
  });

  test("refuses what is no schema of a configuration", () => {
    for (
      const schema of [
        "{",
        "[]",
        "{}",
        '{"type":"object"}',
        '{"type":"object","properties":{"a":{"$ref":"#"}}}',
      ]
    ) {
      assert.throws(() => problemsOf({}, {}, schema), TypeError, schema);
    }
  });

  test("refuses secrets by their places", () => {
    const secret = "q8Zr1nXk4vLw9TbYc2Hd7Jm5q8Zr1nXk4vLw";
    const [problem = "", ...others] = problemsOf({
      keyArn: KEY_ARN,
      callers: { 7: { tenant: ["a", secret] } },
    });
    assert.deepEqual(others, []);
    assert.equal(problem, "callers.7.tenant[1] (in the file): looks like a value of high entropy");
  });

  test("takes nothing that the application refuses, as far as the schema can tell", () => {
    const values = fc.oneof(
      fc.constantFrom("5", "61", "0", "1", "true", "", KEY_ARN, "SIM", "NITRO", "/a"),
      fc.string(),
    );
    const variables = [
      "KEY_ARN",
      "REFRESH_SECONDS",
      "STRICT",
      "ENV_SETUP",
      "VSOCK_PORT",
      "REGION",
      "ENCLAVE_KMS_ENGINE",
    ];
    let [taken, refused] = [0, 0];
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...variables), values), fc.boolean(), (given, hasArn) => {
        const environment = hasArn ? { ...given, KEY_ARN } : given;
        const problems = checkConfiguration({ schema: SCHEMA, file: undefined, environment });
        const isTaken = isReadable(environment);
        if (isTaken) taken++;
        else refused++;
        assert.equal(problems.length === 0, isTaken, problems.join());
      }),
      {
        numRuns: 400,
        examples: [[{}, true], [{ STRICT: "0" }, true], [{ REFRESH_SECONDS: "5" }, true], [{
          ENV_SETUP: "SIM",
        }, true]],
      },
    );
    assert.ok(taken >= 4 && refused > 50, `${taken} taken, ${refused} refused`);
  });

  test("takes the server's settings", () => {
    const schema = JSON.stringify(serverConfigSchema());
    assert.deepEqual(
      problemsOf({ region: "eu-central-1", http: "off", claims: { roles: "Set<String>" } }, {}, schema),
      [],
    );
    assert.deepEqual(problemsOf({ answers: "sealled" }, { REGION: "eu" }, schema), [
      "region (REGION): expected a text that matches ^[a-z]{2,4}(?:-[a-z]{1,16}){1,3}-[1-9][0-9]?$ (a region such as eu-central-1)",
      'answers (in the file): expected "sealed" or "any"',
    ]);
  });
});

function isReadable(environment: Readonly<Record<string, string>>): boolean {
  try {
    SETTINGS.read(environment);
    return true;
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return false;
  }
}
