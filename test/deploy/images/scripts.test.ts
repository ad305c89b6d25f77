import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { describe } from "#test";
import { RUN_FILE } from "../../../sim/flow/world.ts";
import { tableRows } from "../../support/documents.ts";
import { FakeNitroCli, FIRST_ID } from "../../support/fake_nitro_cli.ts";
import { until } from "../../support/until.ts";
import { divideTests } from "../../support/share.ts";

const test = divideTests();

const SCRIPTS = fileURLToPath(new URL("../../../deploy/images/", import.meta.url));
const MAIN = fileURLToPath(new URL("../../../cli/main.ts", import.meta.url));
const PARENT = fileURLToPath(new URL("../../support/parent_child.ts", import.meta.url));
const PAGE = readFileSync(new URL("../../../docs/running-the-parent.md", import.meta.url), "utf8");

/** Other shells that call themselves sh, such as Amazon Linux's. */
const SHELLS = ["sh", "bash"].filter((shell) => spawnSync(shell, ["-c", "true"]).status === 0);
const hasShellcheck = spawnSync("shellcheck", ["--version"]).status === 0;

type Variables = Readonly<Record<string, string>>;

/** Instance with nitro-cli and our command line, on which the scripts run. */
class Instance implements AsyncDisposable {
  readonly nitro = new FakeNitroCli();
  readonly folder: string = mkdtempSync(join(tmpdir(), "enclave-kms-scripts-"));
  readonly #started: ChildProcess[] = [];

  constructor() {
    const run = RUN_FILE.map((word) => `'${word}'`).join(" ");
    this.install(`case " $* " in
      *" --check "* | *" --print-config "* | " stop "*) exec ${run} '${MAIN}' "$@" ;;
      *) echo $$ > '${this.folder}/parent.pid'; exec ${run} '${PARENT}' "$@" ;;
    esac`);
  }

  /** Puts lines of sh in the place of `enclave-kms`. */
  install(script: string): void {
    const path = join(this.folder, "enclave-kms");
    writeFileSync(path, `#!/bin/sh\n${script}\n`);
    chmodSync(path, 0o700);
  }

  get variables(): Variables {
    const { PATH, HOME = "/" } = process.env;
    return {
      PATH: `${this.folder}:${PATH}`,
      HOME,
      STATE_FOLDER: join(this.folder, "state"),
      NITRO_CLI: this.nitro.path,
      EIF_PATH: this.nitro.eifPath,
      CREDENTIALS_SOURCE: "none",
      KMS_PROXY_ENABLE: "false",
      READINESS_SLEEP_SECONDS: "3600",
      HEALTH_CHECK_INTERVAL: "1",
    };
  }

  /** Starts a script. */
  start(script: string, variables: Variables = {}, args: readonly string[] = [], shell = "sh") {
    const log = join(this.folder, `${this.#started.length}.log`);
    writeFileSync(log, "");
    const env = { ...this.variables, ...variables, LOG: log };
    const words = ["-c", 'exec "$0" "$@" >"$LOG" 2>&1', shell, join(SCRIPTS, script), ...args];
    const child = spawn("sh", words, { env, stdio: "ignore" });
    this.#started.push(child);
    return {
      child,
      ended: endOf(child),
      get output() {
        return readFileSync(log, "utf8");
      },
    };
  }

  /** Runs a script to its end. */
  async run(script: string, variables?: Variables, args?: readonly string[], shell?: string) {
    const running = this.start(script, variables, args, shell);
    const code = await running.ended;
    return { code, output: running.output };
  }

  /** Starts an enclave, and waits until the parent has launched it. */
  async launch(variables?: Variables, shell?: string) {
    const running = this.start("run-enclave.sh", variables, [], shell);
    await until(() => running.output.includes('"launched"'), () => running.output);
    return running;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (
      const child of this.#started.filter(({ exitCode, signalCode }) => (exitCode ?? signalCode) === null)
    ) {
      process.kill(child.pid ?? 0, "SIGTERM");
      await endOf(child);
    }
    this.nitro[Symbol.dispose]();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

async function endOf(child: ChildProcess): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  return child.exitCode;
}

describe("the scripts", () => {
  for (const script of ["run-enclave.sh", "stop-enclave.sh"]) {
    test(`${script} is a script of sh`, () => {
      for (const shell of SHELLS) assert.equal(spawnSync(shell, ["-n", join(SCRIPTS, script)]).status, 0);
    });

    // Installed by .ci/run; whoever has it not still has the tests of what the scripts do.
    test.skipIf(!hasShellcheck)(`${script} is one that shellcheck passes`, () => {
      const { status, stdout } = spawnSync("shellcheck", [join(SCRIPTS, script)], { encoding: "utf8" });
      assert.equal(status, 0, stdout);
    });
  }

  test("run-enclave.sh passes each variable of docs/running-the-parent.md on under its other name", async () => {
    await using instance = new Instance();
    instance.install("env; echo '{ \"debugMode\": false }'; exit 0");
    const rows = tableRows(PAGE).map((row) => row.map((cell) => cell.replaceAll("`", "")))
      .filter(([name = ""]) => /^[A-Z_]{3,}$/.test(name));
    const names = rows.map(([name]) => name);
    for (const name of ["ENCLAVE_MEMORY_MB", "ENCLAVE_CPU_COUNT", "ENCLAVE_CID", "EIF_PATH"]) {
      assert.ok(names.includes(name), name);
    }
    for (const [name = "", passedOn = ""] of rows.filter(([, passedOn]) => passedOn !== "")) {
      const { output } = await instance.run("run-enclave.sh", { [name]: "4242" });
      assert.match(output, new RegExp(`^${passedOn}=4242$`, "m"), name);
    }
  });

  test("run-enclave.sh refuses two names of one setting that differ, and an interval that is none", async () => {
    await using instance = new Instance();
    const twice = await instance.run("run-enclave.sh", { ENCLAVE_MEMORY_MB: "512", MEMORY_MIB: "1024" });
    assert.deepEqual([twice.code, twice.output], [
      1,
      "run-enclave: ENCLAVE_MEMORY_MB and MEMORY_MIB are the same setting, and must not differ\n",
    ]);
    for (const interval of ["0", "05", "-1", "1.5", "ten", "100000", "1; touch x", "$(id)"]) {
      const { code, output } = await instance.run("run-enclave.sh", { HEALTH_CHECK_INTERVAL: interval });
      assert.equal(code, 1, interval);
      assert.match(output, /^run-enclave: HEALTH_CHECK_INTERVAL must be a whole number/, interval);
    }
    assert.deepEqual(instance.nitro.calls, []);
  });

  test("run-enclave.sh takes a value for a value, and runs nothing in it", async () => {
    await using instance = new Instance();
    const marker = join(instance.folder, "marker");
    const { code, output } = await instance.run("run-enclave.sh", {
      ENCLAVE_MEMORY_MB: `$(touch ${marker})`,
    });
    assert.equal(code, 1);
    assert.match(output, /MEMORY_MIB: expected a whole number/);
    assert.equal(spawnSync("ls", [marker]).status === 0, false);
  });

  for (const shell of SHELLS) {
    test(`run-enclave.sh ends with 1 when nitro-cli no longer lists the enclave (${shell})`, async () => {
      await using instance = new Instance();
      const running = await instance.launch({
        ENCLAVE_MEMORY_MB: "2048",
        ENCLAVE_CPU_COUNT: "3",
        ENCLAVE_CID: "20",
      }, shell);
      const wanted = `--eif-path ${instance.nitro.eifPath} --enclave-cid 20 --cpu-count 3 --memory 2048`;
      assert.ok(instance.nitro.calls.includes(`run-enclave --enclave-name enclave-kms ${wanted}`));
      assert.match(running.output, /no console: the hypervisor has one in debug mode only/);
      // Nothing starts it again behind the script's back.
      instance.nitro.replace("run-enclave", "fail E39 39");
      instance.nitro.kill();
      assert.equal(await running.ended, 1, running.output);
      assert.match(running.output, /the enclave does not run, and is given up: .*hint: /s);
      assert.deepEqual(instance.nitro.ids, []);
    });

    for (const signal of ["SIGTERM", "SIGHUP"] as const) {
      test(`run-enclave.sh ends the enclave in good order on ${signal} (${shell})`, async () => {
        await using instance = new Instance();
        const running = await instance.launch({}, shell);
        process.kill(running.child.pid ?? 0, signal);
        assert.equal(await running.ended, 0, running.output);
        assert.match(running.output, /"stage":"ended"/);
        assert.deepEqual(instance.nitro.ids, []);
      });
    }

    test(`run-enclave.sh launches nothing when a signal comes while it reads the settings (${shell})`, async () => {
      await using instance = new Instance();
      const [reads, goesOn, runs] = ["reads", "goes-on", "runs"].map((name) => join(instance.folder, name));
      instance.install(`case " $* " in
        *" --print-config "*) : > '${reads}'; while [ -e '${reads}' ] && [ ! -e '${goesOn}' ]; do sleep 0.02; done; echo '{}' ;;
        *) : > '${runs}' ;;
      esac`);
      const running = instance.start("run-enclave.sh", {}, [], shell);
      await until(() => existsSync(reads ?? ""), () => running.output);
      process.kill(running.child.pid ?? 0, "SIGTERM");
      writeFileSync(goesOn ?? "", "");
      assert.equal(await running.ended, 0, running.output);
      assert.deepEqual([existsSync(runs ?? ""), running.output], [false, ""]);
    });

    test(`run-enclave.sh says what it was told as it stands, backslashes and all (${shell})`, async () => {
      await using instance = new Instance();
      instance.install(`case " $* " in
        *" --print-config "*) echo '{}' ;;
        *" --check "*) printf '%s\\n' 'a\\tb\\c d'; exit 1 ;;
        *) exec sleep 3600 ;;
      esac`);
      const { code, output } = await instance.run("run-enclave.sh", {}, [], shell);
      assert.equal(code, 1, output);
      assert.ok(output.includes("is given up: a\\tb\\c d\n"), output);
    });
  }

  test("run-enclave.sh makes the folder of the console for its user alone", async () => {
    await using instance = new Instance();
    instance.install(`case " $* " in
      *" --print-config "*) echo '{ "envSetup": "NITRO", "debugMode": true }' ;;
    esac`);
    const { code, output } = await instance.run("run-enclave.sh");
    assert.equal(code, 0, output);
    assert.equal(statSync(join(instance.folder, "state")).mode & 0o777, 0o700);
  });

  test("run-enclave.sh ends with 1 when the state is not RUNNING", async () => {
    await using instance = new Instance();
    const running = await instance.launch();
    instance.nitro.replace("describe-enclaves", `standard "$@" | sed 's/RUNNING/TERMINATING/'`);
    instance.nitro.replace("run-enclave", "fail E39 39");
    assert.equal(await running.ended, 1, running.output);
    assert.match(running.output, /is given up: .*(?:TERMINATING|E39 EnclaveProcessConnectionFailure)/s);
  });

  const failures = [["E22", "InsufficientCpus"], ["E27", "InsufficientMemoryAvailable"], [
    "E36",
    "EnclaveBootFailure",
  ]] as const;
  for (const [code, name] of failures) {
    test(`run-enclave.sh ends with 1 and ${code} when the launch fails with it`, async () => {
      await using instance = new Instance();
      instance.nitro.replace("run-enclave", `fail ${code} ${code.slice(1)}`);
      const { code: exit, output } = await instance.run("run-enclave.sh");
      assert.equal(exit, 1, output);
      assert.match(output, new RegExp(`is given up: .*${code} ${name}`));
      assert.deepEqual(instance.nitro.ids, []);
    });
  }

  test("run-enclave.sh shows the console in debug mode, and says that KMS will refuse", async () => {
    await using instance = new Instance();
    instance.nitro.replace("console", "echo Booting\nexec sleep 3600");
    const running = await instance.launch({ ENCLAVE_DEBUG_MODE: "true" });
    await until(() => running.output.includes("Booting"), () => running.output);
    assert.match(running.output, /debug mode: the console follows\. Its PCRs are zero/);
    process.kill(running.child.pid ?? 0, "SIGTERM");
    assert.equal(await running.ended, 0, running.output);
  });

  test("run-enclave.sh says nothing of a parent that was killed but its code, and stop-enclave.sh ends what it left", async () => {
    await using instance = new Instance();
    const running = await instance.launch();
    process.kill(Number(readFileSync(join(instance.folder, "parent.pid"), "utf8")), "SIGKILL");
    assert.notEqual(await running.ended, 0);
    assert.deepEqual(instance.nitro.ids, [FIRST_ID]);
    const { code, output } = await instance.run("stop-enclave.sh");
    // On a busy machine it says before what it waits for.
    assert.equal(code, 0, output);
    assert.match(output, /^the enclave has ended; there was no parent\n$/m);
    assert.deepEqual(instance.nitro.ids, []);
  });

  test("stop-enclave.sh ends both, with the arguments that it is given, and run-enclave.sh ends with 0", async () => {
    await using instance = new Instance();
    const running = await instance.launch();
    const stopped = await instance.run("stop-enclave.sh", {}, ["--timeout-ms", "600000"]);
    assert.equal(stopped.code, 0, stopped.output);
    assert.match(stopped.output, /^the parent and its enclave have ended\n$/m);
    assert.equal(await running.ended, 0, running.output);
    assert.deepEqual(instance.nitro.ids, []);
  });

  test("a parent ends its enclave in good order on SIGHUP", async () => {
    await using instance = new Instance();
    const running = await instance.launch();
    process.kill(Number(readFileSync(join(instance.folder, "parent.pid"), "utf8")), "SIGHUP");
    assert.equal(await running.ended, 0, running.output);
    assert.deepEqual(instance.nitro.ids, []);
  });

  test("run-enclave.sh and stop-enclave.sh end with 2 when nitro-cli cannot end the enclave", async () => {
    await using instance = new Instance();
    const running = await instance.launch();
    instance.nitro.replace("terminate-enclave", "fail E39 39");
    const { code, output } = await instance.run("stop-enclave.sh", {}, ["--timeout-ms", "600000"]);
    assert.equal(code, 2, output);
    assert.match(output, /Cannot run nitro-cli terminate-enclave: E39/);
    assert.equal(await running.ended, 2, running.output);
    assert.deepEqual(instance.nitro.ids, [FIRST_ID]);
  });

  test("stop-enclave.sh ends what the parent could not", async () => {
    await using instance = new Instance();
    const running = await instance.launch();
    instance.nitro.replace(
      "terminate-enclave",
      'if [ -e tried ]; then standard "$@"; else : > tried; fail E39 39; fi',
    );
    const { code, output } = await instance.run("stop-enclave.sh", {}, ["--timeout-ms", "600000"]);
    assert.equal(code, 0, output);
    assert.match(output, /^the parent has ended, and the enclave that it has left$/m);
    assert.equal(await running.ended, 2, running.output);
    assert.deepEqual(instance.nitro.ids, []);
  });
});
