import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe } from "#test";
import { examineParent } from "../../../cli/doctor/examine_parent.ts";
import { firstBroken } from "../../../cli/doctor/examine.ts";
import { PARENT_LINKS } from "../../../cli/doctor/parent_links.ts";
import { logLine } from "../../../cli/parent/event_log.ts";
import { systemdUnit } from "../../../cli/parent/systemd_unit.ts";
import type { ParentEvent } from "../../../parent/runner/parent_state.ts";
import { readParentSettings } from "../../../parent/settings/parent_settings.ts";
import { FlowWorld, RUN_FILE } from "../../../sim/flow/world.ts";
import { FakeNitroCli } from "../../support/fake_nitro_cli.ts";
import { until } from "../../support/until.ts";
import { runHere } from "../terminal_double.ts";
import { divideTests } from "../../support/share.ts";

const test = divideTests();

const MAIN = fileURLToPath(new URL("../../../cli/main.ts", import.meta.url));

const PATIENT_MS = 60_000;

describe("enclave-kms parent", () => {
  let world: FlowWorld;

  beforeAll(async () => {
    world = await FlowWorld.start();
  });
  afterAll(() => world[Symbol.asyncDispose]());

  function config(change: object = {}): string {
    const path = join(world.folder, "config.json");
    writeFileSync(path, JSON.stringify({ ...world.settings, ...change }));
    return path;
  }

  /** Runs the program in a process of its own. */
  async function start(change: object = {}) {
    const [program = "", ...args] = [...RUN_FILE, MAIN, "parent", "--config", config(change)];
    const child = spawn(program, args, {
      stdio: ["ignore", "pipe", "inherit"],
      env: { PATH: process.env["PATH"], HOME: process.env["HOME"], ...world.environment },
    });
    const events: Record<string, unknown>[] = [];
    const output = createInterface({ input: child.stdout });
    output.on("line", (line) => events.push(JSON.parse(line)));
    // The end of the process may be heard of before its last words.
    const said = once(output, "close");
    await until(() => events.some(({ event }) => event === "ready") || child.exitCode !== null);
    assert.equal(child.exitCode, null, JSON.stringify(events));
    return { child, events, said };
  }

  async function serves(): Promise<boolean> {
    const answer = await fetch(`http://127.0.0.1:${world.enclavePort}/v1/mac/a`).catch(() => undefined);
    return (await answer?.json() as { mac?: string } | undefined)?.mac === world.mac("a");
  }

  async function endOf(child: ChildProcess): Promise<number | null> {
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    return child.exitCode;
  }

  test("prints its settings, and no secret, with variables over the file", async () => {
    const { code, stdout } = await runHere(["parent", "--config", config(), "--print-config"], {
      CPU_COUNT: "4",
    });
    const settings = JSON.parse(stdout) as Record<string, unknown>;
    assert.deepEqual([code, settings["cpuCount"], settings["enclaveName"]], [0, 4, "flow"]);
  });

  test("ends with 1 and names every mistake when it is configured wrongly", async () => {
    const { code, stderr } = await runHere(["parent", "--config", config({ cpuCuont: 3 })], {
      ENCLAVE_CID: "3",
    });
    assert.equal(code, 1);
    assert.match(stderr, /cpuCuont: is no setting; is cpuCount meant\?/);
    assert.match(stderr, /ENCLAVE_CID: expected a whole number from 4/);
  });

  test("runs in a process of its own, with a log of JSON, until it is stopped", async () => {
    const { child, events, said } = await start();
    assert.ok(await serves());
    const stopped = await runHere(["stop", "--config", config()]);
    assert.deepEqual([stopped.code, stopped.stdout], [0, "the parent and its enclave have ended\n"]);
    assert.equal(await endOf(child), 0);
    await said;
    for (const line of events) assert.ok(line["time"] !== undefined && line["level"] !== undefined);
    const stages = events.flatMap(({ event, stage }) => event === "stage" ? [stage] : []);
    assert.deepEqual(stages, [
      ...["credentials", "artefacts", "services", "launch", "wait", "inject", "watch", "drain", "ended"],
    ]);
    assert.equal(await serves(), false);
    const again = await runHere(["stop", "--config", config()]);
    assert.deepEqual([again.code, again.stdout], [0, "there is neither a parent nor an enclave\n"]);
  });

  test("drains and ends its enclave on SIGTERM", async () => {
    const { child, events, said } = await start();
    process.kill(child.pid ?? 0, "SIGTERM");
    assert.equal(await endOf(child), 0);
    await said;
    const end = events.find(({ event }) => event === "enclave-ended")?.["end"] as { exitCode?: number };
    assert.equal(end.exitCode, 0);
  });

  test("serves again after it was killed while its enclave ran on", async () => {
    const first = await start();
    process.kill(first.child.pid ?? 0, "SIGKILL");
    await endOf(first.child);
    assert.ok(await serves(), "the enclave runs without its parent");
    const second = await start();
    assert.ok(await serves());
    process.kill(second.child.pid ?? 0, "SIGTERM");
    assert.equal(await endOf(second.child), 0);
  });

  test("examines on a dry run what a start needs, and starts nothing", async () => {
    const { code, stdout } = await runHere(["parent", "--config", config(), "--dry-run"]);
    assert.equal(code, 0, stdout);
    assert.match(stdout, /ok +imds +it answers, in eu-central-1\n/);
    assert.match(stdout, /ok +role +enclave-parent, with credentials for \d+ minutes\n/);
    assert.match(stdout, /ok +s3 +age-key, key-shares can be read\n/);
    assert.match(stdout, /ok +proxy .* accepts connections\n/);
    assert.equal(await serves(), false);
  });
});

describe("doctor --parent", () => {
  let world: FlowWorld;

  beforeAll(async () => {
    world = await FlowWorld.start();
  });
  afterAll(() => world[Symbol.asyncDispose]());

  async function examine(change: object, isDryRun = true) {
    const path = join(world.folder, "doctor.json");
    writeFileSync(path, JSON.stringify({ ...world.settings, ...change }));
    const settings = readParentSettings({}, path);
    return await examineParent({ settings, timeoutMs: PATIENT_MS, isDryRun });
  }

  test("has each link with what to do about it", () => {
    const names = PARENT_LINKS.map(({ name }) => name);
    assert.deepEqual(names, ["runtime", "imds", "role", "s3", "proxy", "launch", "injection"]);
    for (const { name, silence } of PARENT_LINKS) assert.ok((silence.hint ?? "").length > 10, name);
  });

  test("names the metadata service when it does not answer, and leaves untried what hangs on it", async () => {
    await world.imds.close();
    const findings = await examine({});
    await world.imds.listen();
    assert.equal(firstBroken(findings)?.link, "imds");
    assert.ok((firstBroken(findings)?.hint ?? "").length > 10);
    assert.deepEqual(findings.filter(({ state }) => state === "untried").map(({ link }) => link), [
      "role",
      "s3",
    ]);
  });

  test("names the role when the instance has none", async () => {
    world.imds.role = null;
    const findings = await examine({});
    world.imds.role = "enclave-parent";
    assert.equal(firstBroken(findings)?.link, "role");
  });

  test("names the artefact that is missing", async () => {
    const found = firstBroken(await examine({ keySharesSource: "s3://sealed/none" }));
    assert.deepEqual([found?.link, found?.what.startsWith("key-shares: ")], ["s3", true]);
  });

  test("names the way to KMS when nothing listens there", async () => {
    assert.equal(firstBroken(await examine({ kmsProxyDestPort: 1 }))?.link, "proxy");
  });

  test("warns when the settings have another region than the instance", async () => {
    const findings = await examine({
      region: "us-east-1",
      ageKeySource: undefined,
      keySharesSource: undefined,
    });
    assert.equal(findings.find(({ link }) => link === "imds")?.state, "warning");
  });

  test("names injection when no enclave answers, and when it lacks what was injected", async () => {
    const found = firstBroken(await examine({}, false));
    assert.equal(found?.link, "injection");
    const { code, stdout } = await runHere([
      "doctor",
      "--parent",
      join(world.folder, "doctor.json"),
      "--json",
    ]);
    assert.equal(code, 4);
    assert.equal((JSON.parse(stdout) as { firstBroken: string }).firstBroken, "injection");
  });

  test("names launch: no image, too little memory, a failing nitro-cli, no enclave, debug mode", async () => {
    using nitro = new FakeNitroCli();
    const change = {
      envSetup: "NITRO",
      command: undefined,
      simulationFolder: undefined,
      enclaveName: "app",
      eifPath: nitro.eifPath,
      nitroCli: nitro.path,
    };
    const launch = async (more: object = {}, isDryRun = false) =>
      (await examine({ ...change, ...more }, isDryRun)).find(({ link }) => link === "launch");
    assert.match((await launch({ eifPath: "/none.eif" }))?.what ?? "", /image cannot be read/);
    assert.match((await launch({ memoryMib: 10 }))?.what ?? "", /needs 44$/);
    nitro.replace("describe-enclaves", "fail E39 39");
    assert.match((await launch())?.what ?? "", /E39/);
    nitro.replace("describe-enclaves", undefined);
    assert.match((await launch())?.what ?? "", /^no enclave of that name runs$/);
    assert.match((await launch({}, true))?.what ?? "", /nitro_enclaves|the enclave would get 512 MiB/);
    nitro.add({ EnclaveName: "app", Flags: "DEBUG_MODE" });
    assert.match((await launch())?.what ?? "", /debug mode, which nobody asked for/);
    assert.equal((await launch({ debugMode: true }))?.state, "warning");
    nitro.add({ EnclaveName: "app", Flags: "NONE" });
    assert.equal((await launch())?.state, "ok");
  });
});

describe("the log of the parent", () => {
  const events: readonly ParentEvent[] = [
    { event: "stage", stage: "launch" },
    { event: "service", kind: "kms-proxy", address: "vsock:8000" },
    { event: "credentials", reason: "start", isKept: true },
    { event: "secret", name: "age-key", port: 7101, bytes: 200 },
    { event: "ready", afterMs: 12 },
    { event: "unready", missing: ["policy"] },
    { event: "notice", message: "a\nb" },
    { event: "enclave-ended", end: { atMs: 1, reason: "it died", wasAskedFor: false } },
    {
      event: "failure",
      pauseMs: 7,
      failure: { stage: "launch", atMs: 1, code: "ERR_LAUNCH", message: "m", hint: "h" },
    },
    {
      event: "launched",
      enclave: { id: "i", name: "app", cid: 16, cpuCount: 2, memoryMib: 512, isDebug: true, launchedAtMs: 1 },
    },
  ];

  test("is one line of JSON for each event, with its time and level", () => {
    for (const event of events) {
      const line = logLine(event, "json", new Date(0));
      assert.equal(line.indexOf("\n"), line.length - 1);
      const { time, level } = JSON.parse(line) as { time: string; level: string };
      assert.equal(time, "1970-01-01T00:00:00.000Z");
      assert.equal(
        level,
        event.event === "failure" ? "error" : /unr|not|end/.test(event.event) ? "warn" : "info",
      );
    }
  });

  test("is text for a reader, which says what matters", () => {
    const text = events.map((event) => logLine(event, "text", new Date(0))).join("");
    for (
      const part of [
        "00:00:00 launching the enclave\n",
        "IN DEBUG MODE",
        "older ones, as the source fails",
        "m (ERR_LAUNCH); next start in 7 ms\n         hint: h\n",
        "the enclave is not ready: policy\n",
      ]
    ) assert.ok(text.includes(part), part);
  });
});

describe("--print-unit", () => {
  test("prints a unit that starts this program, and shuts it in", async () => {
    const { code, stdout } = await runHere(["parent", "--print-unit", "--config", "/etc/a b%.json"]);
    assert.equal(code, 0);
    assert.match(stdout, /^ExecStart=\/.* parent --config "\/etc\/a b%%\.json"$/m);
    for (
      const line of [
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=",
        "ProtectSystem=strict",
        "DeviceAllow=/dev/nitro_enclaves rw",
        "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_VSOCK",
        "KillMode=mixed",
        "LimitCORE=0",
        "Requires=nitro-enclaves-allocator.service",
      ]
    ) assert.ok(stdout.includes(`\n${line}\n`), line);
  });

  test("quotes what systemd would read otherwise", () => {
    const unit = systemdUnit({ command: ["/opt/$x/node", 'a"b\\'], config: "/c" });
    assert.match(unit, /^ExecStart=\/opt\/\$\$x\/node "a\\"b\\\\" parent --config \/c$/m);
  });
});
