import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, test } from "#test";
import { DisposedError, SystemCallError } from "../../../lib/core/errors.ts";
import { NetworkInterface } from "../../../lib/native/network_interface.ts";
import { raiseLoopback } from "../../../lib/transport/loopback.ts";
import { replaceCalls } from "./replaced_calls.ts";

const CHILD = fileURLToPath(new URL("../../support/loopback_child.ts", import.meta.url));
const RUN = "Deno" in globalThis ? ["run", "--quiet", "--no-prompt", "--no-check", "--allow-all"] : [];

/** Runs a program in a network of its own, where the loopback interface is down, as in a fresh enclave. */
const OWN_NETWORK: readonly string[] = ["unshare", "--net"];

const hasOwnNetwork = canRun([...OWN_NETWORK, "true"]);
const REASON = hasOwnNetwork ? "" : " (skipped: this process may make no network of its own)";

function canRun([program = "", ...args]: readonly string[]): boolean {
  try {
    execFileSync(program, args, { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

async function runChild(wrapper: readonly string[]): Promise<unknown[]> {
  const [program = "", ...args] = [...wrapper, process.execPath, ...RUN, CHILD];
  const { stdout } = await promisify(execFile)(program, args);
  return JSON.parse(stdout) as unknown[];
}

describe("raiseLoopback()", () => {
  test.skipIf(!hasOwnNetwork)(
    `raises an interface that is down, and then 127.0.0.1 works${REASON}`,
    async () => {
      const [before, ...after] = await runChild(OWN_NETWORK);
      assert.equal((before as Error).name, "ConnectionError");
      assert.deepEqual(after, [true, false, "echo"]);
    },
  );

  test.skipIf(!hasOwnNetwork)(`says which right is missing${REASON}`, async () => {
    const [, raised] = await runChild([...OWN_NETWORK, "setpriv", "--bounding-set=-net_admin"]);
    assert.deepEqual(raised, {
      name: "SystemCallError",
      message: "Cannot raise the network interface lo: ioctl failed with EPERM",
      hint: "Only root, or a process with CAP_NET_ADMIN, may raise an interface: run as root in the enclave",
    });
  });

  test("leaves an interface alone that is up", () => {
    assert.equal(raiseLoopback(), false);
  });
});

describe("NetworkInterface", () => {
  test("names an interface that is not there", () => {
    using missing = NetworkInterface.open("nowhere0");
    assert.throws(() => missing.isUp, (error) => {
      assert.ok(error instanceof SystemCallError);
      assert.equal(error.message, "Cannot look at the network interface nowhere0: ioctl failed with ENODEV");
      assert.equal(error.hint, "This kernel has no interface of that name");
      return true;
    });
    assert.throws(() => missing.raise(), /^SystemCallError: Cannot look at the network interface nowhere0/);
  });

  test("cannot be opened without a socket", () => {
    using _ = replaceCalls({ socket: () => -1 });
    assert.throws(() => NetworkInterface.open("lo"), {
      name: "SystemCallError",
      cFunction: "socket",
    });
  });

  test("closes its socket once, and is of no use then", () => {
    const network = NetworkInterface.open("lo");
    assert.equal(network.isUp, true);
    network[Symbol.dispose]();
    network[Symbol.dispose]();
    assert.throws(() => network.isUp, DisposedError);
  });
});
