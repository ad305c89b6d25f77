import assert from "node:assert/strict";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "#test";
import {
  enclaveVariableOf,
  endpointsOf,
  readEnclaveConfig,
  unknownEnclaveVariables,
} from "../../enclave/enclave_config.ts";
import { ConfigError } from "../../enclave/settings.ts";
import { ANY_CID } from "../../lib/transport/listen.ts";

const onVsock = (port: number) => ({ transport: "vsock", cid: ANY_CID, port });

function problemsOf(env: Record<string, string>): readonly string[] {
  try {
    readEnclaveConfig(env);
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.problems;
  }
  return [];
}

describe("an application's settings", () => {
  test("are for an enclave by default", () => {
    const config = readEnclaveConfig({});
    assert.equal(config.envSetup, "NITRO");
    assert.deepEqual(endpointsOf(config), { http: onVsock(8080), control: onVsock(7099) });
    const other = readEnclaveConfig({ VSOCK_PORT: "9000", CONTROL_PORT: "0" });
    assert.deepEqual(endpointsOf(other), { http: onVsock(9000), control: undefined });
  });

  test("are for TCP and a unix socket in a simulation", () => {
    const path = join(tmpdir(), "enclave-kms-control-7099.sock");
    assert.deepEqual(endpointsOf(readEnclaveConfig({ ENV_SETUP: "SIM" })), {
      http: { transport: "tcp", host: "127.0.0.1", port: 8081 },
      control: { transport: "unix", path },
    });
    const env = { ENV_SETUP: "SIM", ENCLAVE_HOST: "::1", ENCLAVE_KMS_CONTROL_SOCKET: "/run/c.sock" };
    assert.deepEqual(problemsOf(env), ["enclaveHost (ENCLAVE_HOST): expected a host name or an address"]);
    const other = readEnclaveConfig({ ...env, ENCLAVE_HOST: "localhost", ENCLAVE_PORT: "9" });
    assert.deepEqual(endpointsOf(other), {
      http: { transport: "tcp", host: "localhost", port: 9 },
      control: { transport: "unix", path: "/run/c.sock" },
    });
  });

  test("come from the short names, then from ENCLAVE_KMS_*, then from the file", () => {
    const file = () => JSON.stringify({ vsockPort: 3, controlPort: 3, enclavePort: 3, envSetup: "SIM" });
    const { vsockPort, controlPort, enclavePort, envSetup } = readEnclaveConfig({
      ENCLAVE_KMS_CONFIG: "/c.json",
      VSOCK_PORT: "1",
      ENCLAVE_KMS_VSOCK_PORT: "2",
      ENCLAVE_KMS_CONTROL_PORT: "2",
      CONTROL_PORT: "", // an empty variable is not set
    }, { readFile: file });
    assert.deepEqual([vsockPort, controlPort, enclavePort, envSetup], [1, 2, 3, "SIM"]);
    assert.equal(enclaveVariableOf("vsockPort"), "ENCLAVE_KMS_VSOCK_PORT");
  });

  test("are refused by the name that counted", () => {
    assert.deepEqual(problemsOf({ VSOCK_PORT: "0", ENCLAVE_KMS_VSOCK_PORT: "2", ENV_SETUP: "sim" }), [
      'envSetup (ENV_SETUP): expected "NITRO" or "SIM"',
      "vsockPort (VSOCK_PORT): expected a whole number from 1 to 4294967294",
    ]);
    assert.deepEqual(problemsOf({ ENCLAVE_KMS_IDLE_TIMEOUT_MS: "1000" }), [
      "idleTimeoutMs: must be longer than requestTimeoutMs",
    ]);
    assert.deepEqual(unknownEnclaveVariables({ ENCLAVE_KMS_VSOK_PORT: "1", ENCLAVE_HOST: "a", DEBUG: "x" }), [
      "ENCLAVE_KMS_VSOK_PORT is no setting; did you mean ENCLAVE_KMS_VSOCK_PORT?",
    ]);
  });

  test("are looked for under almost their names, which may be why another is wrong", () => {
    assert.deepEqual(unknownEnclaveVariables({ ENV_SETP: "SIM", ENCLAVE_PROT: "1", PORT: "1", PATH: "/" }), [
      "ENV_SETP is no setting; did you mean ENV_SETUP?",
      "ENCLAVE_PROT is no setting; did you mean ENCLAVE_PORT?",
    ]);
    assert.deepEqual(unknownEnclaveVariables({ ENV_SETP: "SIM", ENV_SETUP: "SIM" }), []);
    assert.deepEqual(problemsOf({ ENV_SETP: "SIM", ENCLAVE_KMS_CONTROL_SOCKET: "c.sock" }), [
      "controlSocket (ENCLAVE_KMS_CONTROL_SOCKET): expected an absolute path",
      "ENV_SETP is no setting; did you mean ENV_SETUP?",
    ]);
  });

  test("take no simulated NSM and no control socket but in a simulation", () => {
    const env = { ENCLAVE_KMS_SIMULATED_NSM: "/n.sock", ENCLAVE_KMS_CONTROL_SOCKET: "/c.sock" };
    assert.deepEqual(problemsOf(env), [
      "simulatedNsm: must not be set unless envSetup (ENV_SETUP) is SIM",
      "controlSocket: must not be set unless envSetup (ENV_SETUP) is SIM",
    ]);
    assert.deepEqual(problemsOf({ ...env, ENV_SETUP: "SIM" }), []);
  });

  test("have more log for DEBUG=1 and true, and for no other value", () => {
    const levelOf = (env: Record<string, string>) => readEnclaveConfig(env).logLevel;
    for (const value of ["1", "true"]) assert.equal(levelOf({ DEBUG: value }), "debug");
    for (const value of ["", "0", "false", "TRUE", "yes", "*", "express:*", "11", " 1"]) {
      assert.equal(levelOf({ DEBUG: value }), "info", value);
    }
    assert.equal(levelOf({ DEBUG: "0", ENCLAVE_KMS_DEBUG: "1" }), "info");
    assert.equal(levelOf({ DEBUG: "1", ENCLAVE_KMS_LOG_LEVEL: "error" }), "debug");
  });
});
