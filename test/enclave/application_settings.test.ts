import assert from "node:assert/strict";
import { describe, test } from "#test";
import { declareSettings, type SettingDeclarations } from "../../enclave/application_settings.ts";
import { enclaveApp } from "../../enclave/enclave_app.ts";
import { ConfigError } from "../../enclave/settings.ts";
import { startEnclave } from "../../enclave/start.ts";

const DECLARATIONS = {
  s3Bucket: { type: "string", pattern: "^[a-z0-9.-]{3,63}$" },
  otelEndpoint: { type: "string", variable: "OTEL_EXPORTER_OTLP_ENDPOINT", optional: true },
  mode: { type: "string", enum: ["cold", "hot"], default: "cold" },
  refreshSeconds: { type: "integer", minimum: 1, maximum: 60, default: 30 },
  strict: { type: "boolean", default: true },
} as const;

const problemsOf = (env: Record<string, string>): readonly string[] => {
  try {
    declareSettings(DECLARATIONS).read(env);
    return [];
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.problems;
  }
};

describe("declareSettings()", () => {
  test("reads values from the variables, with the defaults", () => {
    const settings = declareSettings(DECLARATIONS);
    assert.deepEqual(settings.read({ S3_BUCKET: "schemas" }), {
      s3Bucket: "schemas",
      otelEndpoint: undefined,
      mode: "cold",
      refreshSeconds: 30,
      strict: true,
    });
    const { mode, refreshSeconds, strict, otelEndpoint } = settings.read({
      S3_BUCKET: "schemas",
      MODE: "hot",
      ENCLAVE_KMS_REFRESH_SECONDS: "5",
      STRICT: "0",
      OTEL_EXPORTER_OTLP_ENDPOINT: "http://a",
    });
    const typed: readonly ["cold" | "hot", number, boolean, string | undefined] = [
      mode,
      refreshSeconds,
      strict,
      otelEndpoint,
    ];
    assert.deepEqual(typed, ["hot", 5, false, "http://a"]);
  });

  test("names everything that is wrong, and never a value", () => {
    assert.deepEqual(problemsOf({ S3_BUCKT: "HUSH", MODE: "HUSH", REFRESH_SECONDS: "61", STRICT: "yes" }), [
      "s3Bucket (S3_BUCKET): must be set",
      'mode (MODE): expected "cold" or "hot"',
      "refreshSeconds (REFRESH_SECONDS): expected a whole number from 1 to 60",
      "strict (STRICT): expected true or false",
      "S3_BUCKT is no setting; did you mean S3_BUCKET?",
    ]);
    assert.deepEqual(problemsOf({ S3_BUCKET: "HUSH", ENCLAVE_PORT: "HUSH" }), [
      "enclavePort (ENCLAVE_PORT): expected a whole number from 0 to 65535",
      "s3Bucket (S3_BUCKET): expected a text that matches ^[a-z0-9.-]{3,63}$",
    ]);
  });

  test("refuses declarations that are wrong", () => {
    const refused: readonly (readonly [unknown, RegExp])[] = [
      [{ region: { type: "string" } }, /setting of every application/],
      [{ vsock: { type: "string", variable: "VSOCK_PORT" } }, /taken/],
      [{ a: { type: "string", variable: "B" }, b: { type: "string" } }, /taken/],
      [{ a: { type: "string", variable: "ENCLAVE_KMS_REGION" } }, /ENCLAVE_KMS_/],
      [{ a: { type: "string", variable: "a" } }, /capital letters/],
      [{ "A-b": { type: "string" } }, /names of letters/],
      [{ __proto__: null, constructor: { type: "toString" } }, /string, integer or boolean/],
      [{ a: { type: "number" } }, /string, integer or boolean/],
      [{ a: null }, /string, integer or boolean/],
      [{ a: { type: "string", patern: "^a$" } }, /no field `patern`/],
      [{ a: { type: "string", pattern: "(" } }, /regular expression/],
      [{ a: { type: "string", pattern: "a", enum: ["a"] } }, /both/],
      [{ a: { type: "string", enum: [] } }, /list of words/],
      [{ a: { type: "string", pattern: "^a$", default: "b" } }, /default does not fit/],
      [{ a: { type: "integer", minimum: 2, maximum: 1 } }, /maximum/],
      [{ a: { type: "integer", minimum: 0, maximum: 9, default: 10 } }, /default does not fit/],
      [{ a: { type: "boolean", default: "true" } }, /default does not fit/],
      [{ a: { type: "boolean", optional: 1 } }, /optional must be a boolean/],
      [Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`a${i}`, { type: "string" }])), /at most 64/],
    ];
    for (const [declarations, why] of refused) {
      assert.throws(() => declareSettings(declarations as SettingDeclarations), why, String(why));
    }
  });

  test("are known to startEnclave(), which takes nothing else for them", async () => {
    const environment = {
      ENV_SETUP: "SIM",
      ENCLAVE_PORT: "0",
      CONTROL_PORT: "0",
      ENCLAVE_KMS_LOG_LEVEL: "silent",
    };
    const settings = declareSettings({ s3Bucket: { type: "string" } });
    const options = { name: "own", signals: false, needs: [], settings } as const;
    await assert.rejects(startEnclave(enclaveApp(), { ...options, environment }), (error) => {
      assert.ok(error instanceof ConfigError);
      return error.problems[0] === "s3Bucket (S3_BUCKET): must be set";
    });
    await using enclave = await startEnclave(enclaveApp(), {
      ...options,
      environment: { ...environment, S3_BUCKET: "schemas" },
    });
    assert.equal(enclave.endpoint.transport, "tcp");
    const forged = { read: () => ({}) } as never;
    await assert.rejects(
      startEnclave(enclaveApp(), { ...options, settings: forged, environment }),
      TypeError,
    );
  });
});
