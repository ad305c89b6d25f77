import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe } from "#test";
import { LaunchError, TimeoutError } from "../../lib/core/errors.ts";
import { launchEnclave, type LaunchOptions, terminateEnclaves } from "../../parent/launch_enclave.ts";
import { FakeNitroCli, FIRST_ID } from "../support/fake_nitro_cli.ts";
import { until } from "../support/until.ts";
import { divideTests } from "../support/share.ts";

const test = divideTests("Deno");

function launch(nitro: FakeNitroCli, options: Partial<LaunchOptions> = {}) {
  return launchEnclave({
    eifPath: nitro.eifPath,
    nitroCli: nitro.path,
    watchIntervalMs: 10,
    timeoutMs: 60_000,
    ...options,
  });
}

async function failureOf(work: Promise<unknown>): Promise<LaunchError> {
  const error = await work.then(() => assert.fail("it did not fail"), (error: unknown) => error);
  assert.ok(error instanceof LaunchError, String(error));
  return error;
}

describe("launchEnclave()", () => {
  test("runs nitro-cli with two CPUs, CID 16 and 512 MiB, and tells what it made", async () => {
    using nitro = new FakeNitroCli();
    await using enclave = await launch(nitro);
    assert.deepEqual(
      { ...enclave, ended: undefined },
      {
        id: FIRST_ID,
        name: "enclave-kms",
        cid: 16,
        cpuCount: 2,
        memoryMib: 512,
        isDebug: false,
        ended: undefined,
      },
    );
    assert.deepEqual(nitro.calls, [
      "describe-enclaves",
      `run-enclave --enclave-name enclave-kms --eif-path ${nitro.eifPath} --enclave-cid 16 --cpu-count 2 --memory 512`,
      "describe-enclaves",
    ]);
  });

  test("hands words to nitro-cli as they are: no shell reads them", async () => {
    using nitro = new FakeNitroCli();
    const eifPath = join(nitro.folder, "a $(touch hit); 'b'.eif");
    writeFileSync(eifPath, "image");
    await using _enclave = await launch(nitro, { eifPath });
    assert.ok(nitro.calls[1]?.includes(eifPath));
    assert.equal(existsSync(join(nitro.folder, "hit")), false);
  });

  test("refuses a name that a command line could take for something else", async () => {
    using nitro = new FakeNitroCli();
    for (const name of ["--all", "a b", "", "ä", "a/b"]) {
      await assert.rejects(launch(nitro, { name }), /name must have/);
    }
    assert.deepEqual(nitro.calls, []);
  });

  test("takes four times the image, rounded up to 64 MiB, and refuses less with the number", async () => {
    using nitro = new FakeNitroCli();
    writeFileSync(nitro.eifPath, new Uint8Array((140 << 20) + 1));
    await using enclave = await launch(nitro);
    assert.equal(enclave.memoryMib, 576);
    await enclave.terminate();
    const { message, hint, nitroName } = await failureOf(launch(nitro, { memoryMib: 563 }));
    assert.match(message, /563 MiB: its image of 141 MiB needs 564$/);
    assert.match(hint, /MEMORY_MIB to 564/);
    assert.equal(nitroName, "InsufficientMemoryRequested");
    await using exact = await launch(nitro, { memoryMib: 564 });
    assert.equal(exact.memoryMib, 564);
  });

  test("says when the image is missing or empty, before it asks nitro-cli", async () => {
    using nitro = new FakeNitroCli();
    assert.match((await failureOf(launch(nitro, { eifPath: "/none.eif" }))).message, /cannot be read$/);
    writeFileSync(nitro.eifPath, "");
    assert.match((await failureOf(launch(nitro))).message, /is empty$/);
    assert.deepEqual(nitro.calls, []);
  });

  test("ends a leftover of the same name, and no other enclave", async () => {
    using nitro = new FakeNitroCli();
    nitro.add({ EnclaveName: "other", EnclaveID: "i-0-encaa", EnclaveCID: 20 });
    nitro.add({ EnclaveName: "enclave-kms", EnclaveID: "i-0-encbb", EnclaveCID: 16 });
    await using enclave = await launch(nitro);
    assert.equal(enclave.name, "enclave-kms");
    assert.deepEqual(nitro.ids, ["i-0-encaa", FIRST_ID]);
  });

  test("refuses a CID that another enclave has, and leaves that one alone", async () => {
    using nitro = new FakeNitroCli();
    nitro.add({ EnclaveCID: 16 });
    assert.match((await failureOf(launch(nitro))).message, /another one has CID 16$/);
    assert.equal(nitro.ids.length, 1);
  });

  test("takes JSON out of noise", async () => {
    using nitro = new FakeNitroCli();
    const noise = 'echo "[2026-01-01] WARN {"\necho "[1]"\necho "{}"\nstandard "$@"\necho "bye ]"\necho "}"';
    for (const command of ["run-enclave", "describe-enclaves", "terminate-enclave"] as const) {
      nitro.replace(command, noise);
    }
    nitro.add({ EnclaveName: "enclave-kms" });
    await using enclave = await launch(nitro);
    assert.equal(enclave.id, FIRST_ID);
  });

  test("names nitro-cli's error, by what it writes or by how it ends", async () => {
    using nitro = new FakeNitroCli();
    nitro.replace("run-enclave", "fail E27 27");
    const written = await failureOf(launch(nitro));
    assert.equal(written.message, "Cannot run nitro-cli run-enclave: E27 InsufficientMemoryAvailable");
    assert.match(written.hint, /memory_mib .*allocator\.yaml/);
    nitro.replace("run-enclave", "exit 22");
    assert.equal((await failureOf(launch(nitro))).nitroName, "InsufficientCpus");
    nitro.replace("run-enclave", "exit 61");
    const unknown = await failureOf(launch(nitro));
    assert.deepEqual([unknown.message, unknown.nitroCode], [
      "Cannot run nitro-cli run-enclave: it ended with 61",
      undefined,
    ]);
    nitro.replace("run-enclave", "kill -9 $$");
    assert.match((await failureOf(launch(nitro))).message, /a signal ended it$/);
  });

  test("says that nitro-cli is not there, or may not be run", async () => {
    using nitro = new FakeNitroCli();
    assert.match(
      (await failureOf(launch(nitro, { nitroCli: "/none/nitro-cli" }))).message,
      /ENOENT|NotFound/,
    );
    assert.match((await failureOf(launch(nitro, { nitroCli: nitro.eifPath }))).message, /EACCES|Permission/);
  });

  for (
    const [name, script] of Object.entries({
      "nothing": "exit 0",
      "half of the JSON": `run_enclave "$@" > whole; head -c 100 whole`,
      "JSON of another shape": `echo '{"EnclaveID": 7}'`,
      "an id that is a flag": `echo '{"EnclaveID":"--all","EnclaveCID":16,"NumberOfCPUs":2,"MemoryMiB":512}'`,
      "a CID that is no number":
        `echo '{"EnclaveID":"i-0-enc1","EnclaveCID":"16","NumberOfCPUs":2,"MemoryMiB":512}'`,
      "more than a megabyte": 'yes \'{"EnclaveID":"x"}\' | head -c 2000000',
    })
  ) {
    test(`refuses an answer that is ${name}`, async () => {
      using nitro = new FakeNitroCli();
      nitro.replace("run-enclave", script);
      assert.match((await failureOf(launch(nitro))).message, /^Cannot read the (answer|output) of /);
    });
  }

  test("ends what a launch left behind whose answer could not be read", async () => {
    using nitro = new FakeNitroCli();
    nitro.replace("run-enclave", 'standard "$@" > /dev/null; echo "{"');
    await failureOf(launch(nitro));
    assert.deepEqual(nitro.ids, []);
  });

  test("ends no enclave of somebody else that has the name which nitro-cli gives when the wanted one is taken", async () => {
    using nitro = new FakeNitroCli();
    nitro.add({ EnclaveName: "enclave-kms_1", EnclaveID: "i-0-encaa", EnclaveCID: 20 });
    nitro.replace("run-enclave", 'standard "$@"; exit 35');
    await failureOf(launch(nitro));
    assert.deepEqual(nitro.ids, ["i-0-encaa"], "what the launch left is ended, and nothing else");
  });

  test("gives up when nitro-cli hangs, and ends what it may have left", async () => {
    using nitro = new FakeNitroCli();
    nitro.replace("run-enclave", 'standard "$@"; exec sleep 3600');
    const error = await launch(nitro, { timeoutMs: 2000 }).then(() => undefined, (error: unknown) => error);
    assert.ok(error instanceof TimeoutError && error.stage === "nitro-cli");
    assert.match(error.message, /run-enclave: no answer from nitro-cli within 2000 ms$/);
    assert.deepEqual(nitro.ids, []);
  });

  test("gives up when all of nitro-cli hangs, and when the caller aborts", async () => {
    using nitro = new FakeNitroCli();
    nitro.replace("describe-enclaves", "exec sleep 3600");
    await assert.rejects(launch(nitro, { timeoutMs: 100 }), TimeoutError);
    const controller = new AbortController();
    const launching = launch(nitro, { signal: controller.signal });
    await until(() => nitro.calls.length === 2);
    controller.abort(new Error("enough"));
    await assert.rejects(launching, /enough/);
  });

  test("refuses an enclave of another name, which nitro-cli makes when the wanted one is taken", async () => {
    using nitro = new FakeNitroCli();
    // It is taken between the look and the launch.
    nitro.replace("run-enclave", 'name=x; shift; run_enclave "$@" > first; standard run-enclave "$@"');
    assert.match((await failureOf(launch(nitro))).message, /its name is enclave-kms_1, and not enclave-kms$/);
    assert.deepEqual(nitro.ids, []);
  });

  test("refuses an enclave of another CID", async () => {
    using nitro = new FakeNitroCli();
    nitro.replace("run-enclave", 'standard "$@" --enclave-cid 17');
    assert.match((await failureOf(launch(nitro))).message, /its CID is 17, and not 16$/);
    assert.deepEqual(nitro.ids, []);
  });

  test("refuses debug mode that nobody asked for, and its lack", async () => {
    using nitro = new FakeNitroCli();
    nitro.replace("run-enclave", 'forced=DEBUG_MODE; standard "$@"');
    assert.match((await failureOf(launch(nitro))).message, /runs in debug mode, which nobody asked for$/);
    nitro.replace("run-enclave", 'forced=NONE; standard "$@"');
    assert.match((await failureOf(launch(nitro, { debug: true }))).message, /does not run in debug mode$/);
    nitro.replace("run-enclave", 'forced=OTHER; standard "$@"');
    assert.match((await failureOf(launch(nitro))).message, /Flags is neither NONE nor DEBUG_MODE$/);
  });

  test("refuses an enclave that has ended already, or does not run", async () => {
    using nitro = new FakeNitroCli();
    nitro.replace("run-enclave", 'standard "$@"; rm enclaves/*');
    assert.match((await failureOf(launch(nitro))).message, /it has ended already$/);
    nitro.replace("run-enclave", 'state=TERMINATING; standard "$@"');
    assert.match((await failureOf(launch(nitro))).message, /its state is TERMINATING$/);
  });

  test("keeps the console's output in debug mode, in a file of bounded length", async () => {
    using nitro = new FakeNitroCli();
    const path = join(nitro.folder, "console.log");
    nitro.replace("console", "yes 0123456789 | head -c 5000; echo last; exec sleep 3600");
    await using enclave = await launch(nitro, { debug: true, consoleFile: { path, maxBytes: 1000 } });
    assert.equal(enclave.isDebug, true);
    const read = () => existsSync(path) ? readFileSync(path, "utf8") : "";
    await until(() => read().endsWith("last\n"));
    assert.ok(read().length <= 1000 && readFileSync(`${path}.1`).length === 1000);
  });

  test("tells of the end of an enclave that ended by itself", async () => {
    using nitro = new FakeNitroCli();
    const enclave = await launch(nitro);
    nitro.kill();
    const { reason, wasAskedFor } = await enclave.ended;
    assert.deepEqual({ reason, wasAskedFor }, { reason: "nitro-cli no longer lists it", wasAskedFor: false });
    await enclave.terminate();
  });

  test("does not take a nitro-cli that fails for an end of the enclave", async () => {
    using nitro = new FakeNitroCli();
    await using enclave = await launch(nitro);
    let end: unknown;
    void enclave.ended.then((value) => end = value);
    nitro.replace("describe-enclaves", "fail E39 39");
    const before = nitro.calls.length;
    await until(() => nitro.calls.length > before + 3);
    assert.equal(end, undefined);
    nitro.replace("describe-enclaves", undefined);
  });

  test("terminates, waits until the enclave is gone, and may be tried again", async () => {
    using nitro = new FakeNitroCli();
    const enclave = await launch(nitro);
    nitro.replace("terminate-enclave", "fail E39 39");
    assert.equal((await failureOf(enclave.terminate())).nitroCode, "E39");
    nitro.replace("terminate-enclave", undefined);
    await enclave.terminate();
    assert.deepEqual(nitro.ids, []);
    assert.equal((await enclave.ended).wasAskedFor, true);
    await enclave.terminate();
  });
});

describe("terminateEnclaves()", () => {
  test("ends the enclaves of a name, and tells how many", async () => {
    using nitro = new FakeNitroCli();
    nitro.add({ EnclaveName: "other", EnclaveID: "i-0-encaa" });
    nitro.add({ EnclaveName: "app", EnclaveID: "i-0-encbb" });
    assert.equal(await terminateEnclaves("app", { nitroCli: nitro.path }), 1);
    assert.equal(await terminateEnclaves("app", { nitroCli: nitro.path }), 0);
    assert.deepEqual(nitro.ids, ["i-0-encaa"]);
  });

  test("fails when the enclave stays", async () => {
    using nitro = new FakeNitroCli();
    nitro.add({ EnclaveName: "app" });
    nitro.replace("terminate-enclave", `echo '{"EnclaveID":"i-0000000000000000-encff","Terminated":true}'`);
    const { message } = await failureOf(terminateEnclaves("app", { nitroCli: nitro.path }));
    assert.match(message, /it was ended, and is still listed$/);
  });
});
