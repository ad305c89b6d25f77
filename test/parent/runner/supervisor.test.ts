import assert from "node:assert/strict";
import { describe, test } from "#test";
import { ConnectionError, LaunchError } from "../../../lib/core/errors.ts";
import { until } from "../../support/until.ts";
import { FakeWorld } from "./fake_parts.ts";
import { HELD_MS, HeldTimers } from "../../support/held_timers.ts";

const failure = new LaunchError("Cannot do it", { hint: "h" });

describe("Supervisor", () => {
  test("does everything in order, and ends it in order", async () => {
    await using world = new FakeWorld();
    const supervisor = world.start();
    await supervisor.ready;
    const { stage, isReady, launchCount, enclave } = supervisor.state;
    assert.deepEqual([stage, isReady, launchCount, enclave?.id], ["watch", true, 1, "enclave 1"]);
    await supervisor.stop();
    assert.deepEqual(world.steps, [
      "checkCredentials",
      "readSecrets",
      "openServices",
      "launch",
      "startPushing",
      "secret age-key 7101",
      "shutDown",
      "pushing ended",
      "terminate enclave 1",
      "openServices",
      "services closed",
      "parts ended",
    ]);
    assert.deepEqual(world.stages, [
      "credentials",
      "artefacts",
      "services",
      "launch",
      "wait",
      "inject",
      "watch",
      "drain",
      "ended",
    ]);
    assert.deepEqual(
      [supervisor.state.isReady, supervisor.state.enclave, supervisor.state.lastEnd?.reason],
      [false, undefined, "it was shut down"],
    );
  });

  for (
    const step of [
      "checkCredentials",
      "readSecrets",
      "openServices",
      "launch",
      "startPushing",
      "sendSecret",
    ] as const
  ) {
    test(`tries again when ${step} fails, says so, and is not ready meanwhile`, async () => {
      await using world = new FakeWorld();
      world.break(step, failure);
      const supervisor = world.start();
      const state = await world.reach(({ failureCount }) => failureCount > 2);
      assert.equal(state.isReady, false);
      assert.deepEqual([state.lastFailure?.code, state.lastFailure?.message], ["ERR_LAUNCH", "Cannot do it"]);
      world.break(step, undefined);
      await supervisor.ready;
      const ended = world.steps.filter((name) => name.startsWith("terminate"));
      assert.equal(ended.length, world.enclaves.length - 1, "every enclave but the last one is ended");
    });

    test(`ends at once while ${step} hangs`, async () => {
      await using world = new FakeWorld();
      if (step !== "openServices") world.break(step, "hang");
      const supervisor = world.start();
      await until(() =>
        world.steps.length > 0 && supervisor.state.stage !== "credentials" || step === "checkCredentials"
      );
      await supervisor.stop();
      assert.equal(supervisor.state.stage, "ended");
      assert.equal(supervisor.state.enclave, undefined);
    });
  }

  test("pauses longer after each failure", async () => {
    await using world = new FakeWorld();
    world.break("launch", failure);
    world.start({ firstPauseMs: 4, maxPauseMs: 1_000_000 });
    await world.reach(({ failureCount }) => failureCount > 3);
    const pauses = world.events.flatMap((event) => event.event === "failure" ? [event.pauseMs ?? 0] : []);
    assert.ok((pauses[3] ?? 0) > (pauses[0] ?? 0), String(pauses));
  });

  test("launches again when the enclave ends, and injects all again", async () => {
    await using world = new FakeWorld();
    const supervisor = world.start();
    await supervisor.ready;
    world.enclaves[0]?.die("out of memory");
    await until(() => supervisor.state.launchCount === 2 && supervisor.state.isReady);
    const { lastEnd, lastFailure } = supervisor.state;
    assert.deepEqual([lastEnd?.reason, lastEnd?.wasAskedFor], ["out of memory", false]);
    assert.match(lastFailure?.message ?? "", /^Cannot go on: the enclave has ended: out of memory$/);
    assert.equal(world.steps.filter((step) => step === "secret age-key 7101").length, 2);
    assert.equal(world.steps.filter((step) => step === "openServices").length, 1, "services stay open");
  });

  test("is not ready from the moment that the enclave has ended", async () => {
    await using world = new FakeWorld();
    const supervisor = world.start({ firstPauseMs: 1_000_000, maxPauseMs: 1_000_000 });
    await supervisor.ready;
    world.enclaves[0]?.die();
    await world.reach(({ stage }) => stage === "pause");
    assert.equal(supervisor.state.isReady, false);
  });

  test("ends an enclave that is not ready in time, and says at which step and what is missing", async () => {
    await using world = new FakeWorld();
    world.missing = ["policy"];
    using timers = new HeldTimers();
    const supervisor = world.start({ readinessMs: HELD_MS });
    await world.reach(({ missing }) => missing.includes("policy"));
    timers.goOff();
    const { lastFailure } = await world.reach(({ failureCount }) => failureCount === 1);
    assert.match(
      lastFailure?.message ?? "",
      /not ready within 654321 ms, at the step inject; missing: policy$/,
    );
    world.missing = [];
    await supervisor.ready;
    assert.ok(world.steps.includes("terminate enclave 1"));
  });

  test("ends an enclave that never answers", async () => {
    await using world = new FakeWorld();
    world.missing = undefined;
    world.start({ readinessMs: 100 });
    const { lastFailure } = await world.reach(({ failureCount }) => failureCount === 1);
    assert.match(lastFailure?.message ?? "", /at the step wait; it does not say why$/);
  });

  test("does not hang on an enclave that takes questions and never answers them", async () => {
    await using world = new FakeWorld();
    world.break("askReadiness", "hang");
    world.start({ readinessMs: 100 });
    await world.reach(({ failureCount }) => failureCount === 1);
    world.break("askReadiness", undefined);
    await world.reach(({ isReady }) => isReady);
  });

  test("reports an enclave that is no longer ready, and leaves it running", async () => {
    await using world = new FakeWorld();
    const supervisor = world.start();
    await supervisor.ready;
    world.missing = ["policy"];
    const state = await world.reach(({ isReady }) => !isReady);
    assert.deepEqual([state.missing, state.stage, state.launchCount], [["policy"], "watch", 1]);
    world.missing = [];
    await world.reach(({ isReady }) => isReady);
    assert.equal(supervisor.state.launchCount, 1);
  });

  test("tells the pushing whether the enclave has credentials, and nothing while it does not answer", async () => {
    await using world = new FakeWorld();
    const supervisor = world.start();
    await supervisor.ready;
    world.missing = ["credentials"];
    await until(() => world.sights.includes(false));
    world.missing = ["policy"];
    await until(() => world.sights.at(-1) === true);
    world.missing = undefined;
    const questions = world.questions;
    await until(() => world.questions > questions + 2);
    const told = world.sights.length;
    await until(() => world.questions > questions + 22);
    assert.equal(world.sights.length, told);
  });

  test("launches again when the enclave does not answer for too long", async () => {
    await using world = new FakeWorld();
    await world.start({ unreachableMs: 50 }).ready;
    world.missing = undefined;
    const { lastFailure } = await world.reach(({ failureCount }) => failureCount === 1);
    assert.match(lastFailure?.message ?? "", /it does not answer for 50 ms$/);
    world.missing = [];
    await world.reach(({ isReady, launchCount }) => isReady && launchCount === 2);
  });

  test("uses the artefacts that were read last while their source is down", async () => {
    await using world = new FakeWorld();
    await world.start().ready;
    world.break("readSecrets", new ConnectionError("Cannot reach S3", { hint: "h" }));
    world.enclaves[0]?.die();
    await world.reach(({ isReady, launchCount }) => isReady && launchCount === 2);
    assert.ok(world.events.some((event) => event.event === "notice" && /ERR_CONNECTION/.test(event.message)));
  });

  test("keeps an enclave in its state that it could not end", async () => {
    await using world = new FakeWorld();
    world.break("terminate", failure);
    world.break("sendSecret", failure);
    world.start({ firstPauseMs: 1_000_000, maxPauseMs: 1_000_000 });
    const { enclave } = await world.reach(({ stage }) => stage === "pause");
    assert.equal(enclave?.id, "enclave 1");
  });

  test("terminates an enclave that does not end in good order", async () => {
    await using world = new FakeWorld();
    const supervisor = world.start({ graceMs: 50 });
    await supervisor.ready;
    world.break("shutDown", "hang");
    await supervisor.stop();
    assert.ok(world.steps.includes("terminate enclave 1"));
    assert.equal(supervisor.state.lastEnd?.wasAskedFor, true);
  });

  test("rejects the wait for readiness when it ends before", async () => {
    await using world = new FakeWorld();
    world.break("launch", "hang");
    const supervisor = world.start();
    await world.reach(({ stage }) => stage === "launch");
    await supervisor.stop();
    await assert.rejects(supervisor.ready, LaunchError);
  });

  test("names only the kind of an error that is none of the library's", async () => {
    await using world = new FakeWorld();
    world.break("launch", new Error("secret"));
    world.start();
    const { lastFailure } = await world.reach(({ failureCount }) => failureCount > 0);
    assert.deepEqual([lastFailure?.code, lastFailure?.message], ["ERR_UNEXPECTED", "an unexpected Error"]);
  });
});
