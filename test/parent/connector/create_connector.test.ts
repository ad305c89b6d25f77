import assert from "node:assert/strict";
import { describe, test } from "#test";
import {
  createConnector,
  NitroConnector,
  readConnectorSettings,
  SimulationConnector,
} from "../../../parent/mod.ts";

const make = (environment: Record<string, string>, warnings: string[] = []) =>
  createConnector({ environment, onWarning: (sentence) => warnings.push(sentence) });

describe("createConnector()", () => {
  test("is for vsock CID 16, port 8080, unless told otherwise", async () => {
    for (const environment of [{}, { ENV_SETUP: "", ENCLAVE_CID: "" }, { ENV_SETUP: "NITRO" }]) {
      await using connector = make(environment);
      assert.ok(connector instanceof NitroConnector);
      assert.deepEqual(connector.endpoint, { transport: "vsock", cid: 16, port: 8080 });
    }
    await using other = make({ ENCLAVE_CID: "17", VSOCK_PORT: "9000", ENCLAVE_PORT: "1" });
    assert.deepEqual(other.endpoint, { transport: "vsock", cid: 17, port: 9000 });
  });

  test("is for 127.0.0.1:8081 in a simulation, unless told otherwise", async () => {
    await using connector = make({ ENV_SETUP: "SIM" });
    assert.ok(connector instanceof SimulationConnector);
    assert.deepEqual(connector.endpoint, { transport: "tcp", host: "127.0.0.1", port: 8081 });
    await using other = make({ ENV_SETUP: "SIM", ENCLAVE_HOST: "[::1]", ENCLAVE_PORT: "9000" });
    assert.deepEqual(other.endpoint, { transport: "tcp", host: "::1", port: 9000 });
  });

  test("reads the process's environment, and passes limits on", async () => {
    await using connector = createConnector({ timeoutMs: 1000 });
    assert.ok(connector.endpoint.transport === "vsock");
    assert.throws(() => createConnector({ timeoutMs: 0 }), /^RangeError: timeoutMs/);
    assert.throws(() => createConnector({ timeout: 1 } as object), /^TypeError: .*no field `timeout`/);
  });

  test("names everything that is wrong, what was meant, and no value", () => {
    const environment = {
      ENV_SETUP: "SIMM",
      ENCLAVE_CID: "3",
      VSOCK_PORT: "0x10",
      ENCLAVE_HOST: "a b",
      ENCLAVE_PROT: "1",
      ENCLAVE_PORT: "70000",
      unrelated: "s3cr3t",
    };
    const { message } = failure(() => make(environment));
    assert.equal(
      message,
      [
        "The connector's environment has 5 problem(s):",
        "ENV_SETUP: expected NITRO or SIM; did you mean SIM?",
        "ENCLAVE_CID: expected a whole number from 4 to 4294967294",
        "VSOCK_PORT: expected a whole number from 1 to 4294967294",
        "ENCLAVE_HOST: expected a host name or an address",
        "ENCLAVE_PORT: expected a whole number from 1 to 65535",
      ].join("\n  "),
    );
    for (
      const [name, value] of [["ENV_SETUP", "nitro"], ["ENCLAVE_CID", "4294967295"], [
        "ENCLAVE_CID",
        "1e2",
      ]] as const
    ) {
      assert.throws(() => readConnectorSettings({ [name]: value }), new RegExp(name));
    }
  });

  test("warns of variables that are almost ours", async () => {
    const warnings: string[] = [];
    await using _ = make({ ENV_SETP: "SIM", ENCLAVE_CDI: "17", PATH: "/bin", ENCLAVE_CID: "16" }, warnings);
    assert.deepEqual(warnings, ["ENV_SETP is no setting; did you mean ENV_SETUP?"]);
    const { message } = failure(() => make({ ENV_SETUP: "x", ENCLAVE_CDI: "17" }));
    assert.match(message, /ENCLAVE_CDI is no setting; did you mean ENCLAVE_CID\?$/);
  });
});

describe("NitroConnector", () => {
  test("refuses CIDs of no enclave", () => {
    for (const enclaveCid of [0, 1, 2, 3, -1, 0xffff_ffff, 1.5]) {
      assert.throws(() => new NitroConnector({ enclaveCid }), /^RangeError: enclaveCid must be/);
    }
    assert.throws(() => new NitroConnector({ vsockPort: 0 }), /^RangeError: vsockPort must be/);
  });
});

function failure(make: () => unknown): Error {
  try {
    make();
  } catch (error) {
    return error as Error;
  }
  throw new Error("It did not fail");
}
