import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, test } from "#test";
import { Admission } from "../../enclave/admission.ts";
import { isCallers } from "../../enclave/callers_setting.ts";
import { Gate, type GateParts, parentOnly } from "../../enclave/gate.ts";
import { createLogger } from "../../enclave/telemetry/log.ts";
import { Metrics } from "../../enclave/telemetry/metrics.ts";
import { RefusalLog } from "../../enclave/telemetry/refusal_log.ts";
import { RequestRecord } from "../../enclave/telemetry/request_record.ts";
import type { Policy, PolicyFacts, Principal } from "../../lib/policy/mod.ts";
import { RateCounter } from "../../lib/policy/rate.ts";

const PARENT_CID = 3;
const SHA256 = "5a".repeat(32);
const ANN = { type: "Token", issuer: "https://id.example", subject: "ann@example.org", claims: {} } as const;
const BOB = { ...ANN, subject: "bob@example.org" } as const;
const CERTIFICATE = { type: "Certificate", sha256: SHA256 } as const;

function recordOf(principal?: Principal, connection: object = {}): RequestRecord {
  const record = new RequestRecord("http", PARENT_CID, undefined, connection);
  if (principal !== undefined) record.principal = principal;
  return record;
}

function setUp(parts: Partial<GateParts> = {}) {
  const lines: Record<string, unknown>[] = [];
  const logger = createLogger("debug", (line) => lines.push(JSON.parse(line)));
  const refusals = new RefusalLog({ logger });
  const asked: PolicyFacts[] = [];
  const policy: Policy = {
    name: "recording",
    decide(facts) {
      asked.push(facts);
      return { allowed: facts.context.recentCount <= 2, reason: "", determining: [] };
    },
  };
  const gate = new Gate({
    policy,
    credentialPolicy: parentOnly,
    rate: new RateCounter(),
    refusals,
    attributes: {},
    pcrs: () => ({}),
    ...parts,
  });
  const log = { logger, metrics: new Metrics(), refusals };
  return { gate, asked, lines, log };
}

describe("the principal of a request", () => {
  test("is whoever comes from its CID, until it is proved who it is, and then stays", () => {
    const record = recordOf();
    assert.deepEqual(record.principal, { type: "Caller", cid: PARENT_CID });
    record.principal = ANN;
    assert.throws(() => record.principal = { type: "Parent" }, /is set once/);
    assert.equal(record.principal, ANN);
  });

  test("is what the policy is asked about, with the operator's attributes of its own", () => {
    const { gate, asked } = setUp({
      attributes: { "3": { tenant: "red" }, [`certificate:${SHA256}`]: { tenant: "blue" } },
    });
    for (const principal of [undefined, ANN, CERTIFICATE, { type: "Parent" }] as const) {
      gate.check({ action: "Decrypt", region: "eu-west-1" }, recordOf(principal));
    }
    assert.deepEqual(asked.map(({ principal }) => principal), [
      { type: "Caller", cid: PARENT_CID, attributes: { tenant: "red" } },
      ANN,
      { ...CERTIFICATE, attributes: { tenant: "blue" } },
      { type: "Parent" },
    ]);
  });

  test("counts by itself: nobody uses up another's rate, and a new connection is no new rate", () => {
    const { gate } = setUp();
    const ask = (principal?: Principal) =>
      gate.check({ action: "Decrypt", region: "eu-west-1" }, recordOf(principal));
    for (const principal of [undefined, ANN, BOB, CERTIFICATE]) {
      ask(principal);
      ask(principal);
      assert.throws(() => ask(principal), { code: "ERR_POLICY_DENIED" });
    }
  });

  test("has its own refusals on a connection that several share", () => {
    const { gate, asked, log } = setUp();
    const shared = {};
    for (let index = 0; index < 5; index++) recordOf(undefined, shared).finish(log, "refused", 401);
    recordOf(ANN, shared).finish(log, "refused", 400);
    const ask = (principal?: Principal) =>
      gate.check({ action: "Decrypt", region: "eu-west-1" }, recordOf(principal, shared));
    ask(ANN);
    ask(BOB);
    assert.throws(() => ask(), { code: "ERR_POLICY_DENIED" });
    assert.deepEqual(asked.map(({ context }) => context.recentCount), [2, 1, 6]);
  });

  test("takes turns by itself: a hundred connections are no more than one", () => {
    const turns = Array.from({ length: 100 }, () => recordOf(ANN).turnsBy);
    assert.deepEqual(new Set(turns), new Set(["Token:https://id.example|ann@example.org"]));
    assert.equal(new Set(Array.from({ length: 100 }, () => recordOf().turnsBy)).size, 100);
    assert.notEqual(recordOf(BOB).turnsBy, turns[0]);
  });

  test("stands in the log with its issuer, and with a hash in the place of its subject", () => {
    const { log, lines } = setUp();
    const principals = [undefined, ANN, CERTIFICATE, { type: "Parent" }] as const;
    for (const principal of principals) recordOf(principal).finish(log, "ok", 200);
    assert.deepEqual(lines.map(({ caller }) => caller), [
      undefined,
      {
        type: "Token",
        issuer: ANN.issuer,
        subjectSha256: createHash("sha256").update(ANN.subject).digest("hex"),
      },
      CERTIFICATE,
      { type: "Parent" },
    ]);
    assert.ok(!JSON.stringify(lines).includes("ann@"));
  });
});

describe("Admission", () => {
  test("lets a caller with many connections in once before another one", async () => {
    const admission = new Admission(1, 512);
    const { signal } = new AbortController();
    const first = await admission.enter({}, signal);
    const order: string[] = [];
    const waits = [ANN, ANN, ANN, BOB].map(async (principal) => {
      using _turn = await admission.enter(recordOf(principal).turnsBy, signal);
      order.push(principal.subject);
    });
    first[Symbol.dispose]();
    await Promise.all(waits);
    assert.deepEqual(order, [ANN, BOB, ANN, ANN].map(({ subject }) => subject));
  });
});

describe("parentOnly", () => {
  const sets = (action: string, principal?: Principal) => {
    const { gate } = setUp();
    try {
      gate.check({ action, region: "eu-west-1" }, recordOf(principal));
      return true;
    } catch {
      return false;
    }
  };

  test("knows the parent by its listener, and nobody else", () => {
    const subjects = ["3", "parent", "Parent"].map((subject) => ({ ...ANN, subject }));
    for (const principal of [...subjects, CERTIFICATE, { type: "Caller", cid: 16 } as const]) {
      assert.equal(sets("SetCredentials", principal), false, JSON.stringify(principal));
      assert.equal(sets("SetOwnCredentials", principal), false);
    }
    assert.equal(sets("SetCredentials"), false, "whoever comes through a bridge has the parent's CID");
    assert.equal(sets("SetCredentials", { type: "Parent" }), true);
    assert.equal(sets("SetOwnCredentials"), true, "which count for the connection alone");
  });
});

describe("the setting callers", () => {
  test("takes CIDs and certificates as they are looked up, and nothing else", () => {
    const attributes = { tenant: "red" };
    for (const key of ["0", "3", "4294967295", `certificate:${SHA256}`]) {
      assert.equal(isCallers({ [key]: attributes }), true, key);
    }
    const wrong = [
      "007",
      "4294967296",
      SHA256,
      `certificate:${SHA256.toUpperCase()}`,
      "certificate:",
      "Token:a|b",
    ];
    for (const key of wrong) assert.equal(isCallers({ [key]: attributes }), false, key);
  });
});
