import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, test } from "#test";
import { ATTACK_NAMES, ATTACKS, type Target } from "../../bench/attack/attacks.ts";
import { callFor, type Served } from "../../bench/attack/good_caller.ts";
import { formatVerdicts, isWithin, judgeAttack } from "../../bench/attack/verdict.ts";
import type { Endpoint } from "../../lib/core/endpoint.ts";
import type { Policy } from "../../lib/policy/policy.ts";
import { Fixture, PLAINTEXT } from "../server/fixture.ts";
import { Serving } from "../server/serving.ts";

const MAX_CONNECTIONS = 32;

const policy: Policy = {
  name: "denies the tag",
  decide: ({ context: { encryptionContext } }) => ({
    allowed: !Object.hasOwn(encryptionContext, "denied"),
    reason: "the tag",
    determining: [],
  }),
};

describe("every attack", () => {
  const folder = mkdtempSync(join(tmpdir(), "enclave-kms-attack-"));
  let fixture: Fixture;
  let serving: Serving;
  let target: Target;
  let plaintext = "";

  beforeAll(async () => {
    fixture = await Fixture.start({ policy });
    await fixture.setCredentials();
    serving = new Serving(fixture);
    const { simulator } = fixture;
    const { keyId } = await simulator.createKey();
    plaintext = Buffer.from(PLAINTEXT).toString("base64");
    const ciphertext = Buffer.from(await simulator.encrypt({ keyId, plaintext: PLAINTEXT })).toString(
      "base64",
    );
    const listen = (protocol: "http" | "kmstool"): Promise<Endpoint> =>
      serving.listen(protocol, { transport: "unix", path: join(folder, protocol) }, {
        maxConnections: MAX_CONNECTIONS,
      });
    const [http, kmstool] = [await listen("http"), await listen("kmstool")];
    target = { http, kmstool, ciphertext, maxConnections: MAX_CONNECTIONS };
  });
  afterAll(async () => {
    await serving[Symbol.asyncDispose]();
    await fixture[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  for (const name of ATTACK_NAMES) {
    test(`gets under way, lets a good caller be served, and stops when it is told to: ${name}`, async () => {
      const stop = new AbortController();
      let count = 0;
      const { promise: underWay, resolve: isUnderWay } = Promise.withResolvers<void>();
      const attack = { target, stop: stop.signal, count: () => void count++, isUnderWay };
      const attacking = ATTACKS[name](attack);
      try {
        await underWay;
        const samples = [{ ciphertext: target.ciphertext, plaintext }];
        const { latenciesMs, failures } = await callFor(target.http, samples, 50);
        assert.deepEqual(failures, {});
        assert.ok(latenciesMs.length >= 1);
      } finally {
        stop.abort(new Error("stopped"));
        await attacking;
      }
      assert.ok(count > 0);
    });
  }
});

describe("judgeAttack()", () => {
  const served = (...latenciesMs: number[]): Served => ({ latenciesMs, failures: {} });
  const rounds = [
    { alone: served(1, 1, 1), attacked: served(2, 2, 2), done: 5 },
    { alone: served(2, 2, 2), attacked: served(8, 8, 8), done: 7 },
    { alone: served(1, 1, 1), attacked: served(3, 3, 3), done: 6 },
  ];

  test("takes the median of the rounds' ratios, and holds it to three", () => {
    const verdict = judgeAttack("NUL bytes, 18 KB a second", "Node, unix", rounds);
    assert.deepEqual([verdict.alone.p99, verdict.attacked.p99, verdict.ratio], [1, 3, 3]);
    assert.deepEqual([verdict.calls, verdict.done, isWithin(verdict)], [9, 6, true]);
    const slower = [...rounds, { alone: served(1), attacked: served(3.2), done: 6 }];
    assert.equal(isWithin(judgeAttack("NUL bytes, 18 KB a second", "Node, unix", slower)), false);
  });

  test("a call that failed is infinitely late; where none was served there is no ratio, and none is held", () => {
    const failures = { "The answer is 503": 2 };
    const failed = { latenciesMs: [1, Infinity, Infinity], failures };
    const some = judgeAttack(
      "NUL bytes, 18 KB a second",
      "Node, unix",
      rounds.map((round) => ({ ...round, attacked: failed })),
    );
    assert.deepEqual([some.ratio, some.failures, isWithin(some)], [
      Infinity,
      { "The answer is 503": 6 },
      false,
    ]);
    const none = [{ alone: served(1), attacked: served(), done: 0 }];
    assert.equal(isWithin(judgeAttack("NUL bytes, 18 KB a second", "Node, unix", none)), false);
    assert.match(formatVerdicts([some]), /\nFAIL {2}NUL bytes.* Infinity {2}6 of 9 /);
  });
});
