import assert from "node:assert/strict";
import { describe, test } from "#test";
import { absolutePath, listenEndpoint, oneOf, wholeNumber } from "../../enclave/setting_kinds.ts";
import { ConfigError, type Settings, SettingsReader } from "../../enclave/settings.ts";
import type { Endpoint } from "../../lib/core/endpoint.ts";

interface Own {
  readonly listen: Endpoint | null;
  readonly wallets: number;
  readonly mode: "cold" | "hot";
  readonly keyFile: string | undefined;
}

const SETTINGS: Settings<Own> = {
  listen: listenEndpoint("vsock:9000"),
  wallets: wholeNumber({ min: 1, max: 9, default: 3 }),
  mode: oneOf(["cold", "hot"], "cold"),
  keyFile: { ...absolutePath(), isFileOnly: true },
};

describe("an application's own settings", () => {
  const reader = new SettingsReader<Own>("VAULT_", SETTINGS);

  test("come from its variables, over its file, over the defaults", () => {
    const file = () => JSON.stringify({ wallets: 4, mode: "hot", keyFile: "/key" });
    assert.deepEqual(
      reader.read({ VAULT_CONFIG: "/c.json", VAULT_WALLETS: "5", VAULT_LISTEN: "off" }, file),
      {
        listen: null,
        wallets: 5,
        mode: "hot",
        keyFile: "/key",
      },
    );
    assert.deepEqual(reader.read({ VAULT_WALLETS: "" }), {
      listen: { transport: "vsock", cid: 0xffff_ffff, port: 9000 },
      wallets: 3,
      mode: "cold",
    });
  });

  test("are all named when they are wrong, without their values", () => {
    const env = {
      VAULT_CONFIG: "/c.json",
      VAULT_WALLETS: "HUSH",
      VAULT_MODE: "HUSH",
      VAULT_KEY_FILE: "/HUSH",
    };
    assert.throws(() => reader.read(env, () => '{"keyFile":"HUSH","walets":1}'), (error) => {
      assert.ok(error instanceof ConfigError);
      assert.deepEqual(error.problems, [
        "walets (in the file): is no setting; did you mean wallets?",
        "wallets (VAULT_WALLETS): expected a whole number from 1 to 9",
        'mode (VAULT_MODE): expected "cold" or "hot"',
        "keyFile (in the file): expected an absolute path",
      ]);
      return true;
    });
    assert.deepEqual(reader.unknownVariables({ ...env, VAULT_MODES: "HUSH", OTHER: "HUSH" }), [
      "VAULT_KEY_FILE is not read: keyFile can be set in the file only",
      "VAULT_MODES is no setting; did you mean VAULT_MODE?",
    ]);
  });
});
