import assert from "node:assert/strict";
import { describe, test } from "#test";
import { joinActions, joinOperations, SERVER_ACTIONS } from "../../enclave/actions.ts";
import { Gate } from "../../enclave/gate.ts";
import { createLogger } from "../../enclave/telemetry/log.ts";
import { Metrics } from "../../enclave/telemetry/metrics.ts";
import { RefusalLog } from "../../enclave/telemetry/refusal_log.ts";
import { RequestRecord } from "../../enclave/telemetry/request_record.ts";
import { PolicyDeniedError } from "../../lib/core/errors.ts";
import type { Policy } from "../../lib/policy/policy.ts";
import { RateCounter } from "../../lib/policy/rate.ts";
import { ACTIONS, cedarPolicy } from "../support/policies.ts";

const yes: Policy = { name: "yes", decide: () => ({ allowed: true, reason: "yes", determining: [] }) };

function gateOf(policy: Policy, actions?: readonly string[]): Gate {
  const logger = createLogger("silent", () => {});
  return new Gate({
    policy,
    credentialPolicy: policy,
    rate: new RateCounter(),
    refusals: new RefusalLog({ logger }),
    attributes: {},
    pcrs: () => ({}),
    actions,
  });
}

describe("actions", () => {
  test("of the server are KMS's operations and the built-in ones", () => {
    assert.deepEqual(SERVER_ACTIONS, ACTIONS);
  });

  test("of an application come after them, and may not be one of them", () => {
    assert.deepEqual(joinActions(["SignOrder", "Burn"]), [...ACTIONS, "SignOrder", "Burn"]);
    assert.throws(() => joinActions(["GetAttestation"]), { message: /no name twice: GetAttestation$/ });
    assert.throws(() => joinActions(["Si gn"]), { name: "TypeError" });
  });

  test("of an application pass the gate where the policy permits them", () => {
    const actions = joinActions(["SignOrder"]);
    const policy = cedarPolicy('permit(principal, action == Action::"SignOrder", resource);', { actions });
    const gate = gateOf(policy, actions);
    const record = new RequestRecord("http", 7);
    const facts = { keyId: "alias/a", encryptionContext: { tenant: "a" } };
    gate.check({ action: "SignOrder", region: "eu-west-1", facts }, record);
    assert.equal(record.decision?.allowed, true);
    assert.throws(() => gate.check({ action: "Decrypt", region: "eu-west-1" }, record), PolicyDeniedError);
  });

  test("that the gate was not made with are refused, whatever the policy says", () => {
    for (
      const [gate, action] of [[gateOf(yes), "SignOrder"], [gateOf(yes, ["SignOrder"]), "Decrypt"]] as const
    ) {
      const record = new RequestRecord("http", 7);
      assert.throws(() => gate.check({ action, region: "eu-west-1" }, record), PolicyDeniedError);
      assert.equal(
        record.decision?.reason,
        "There are no facts to judge: the action is declared nowhere; an application names its own in `actions`",
      );
    }
    gateOf(yes).check({ action: "Decrypt", region: "eu-west-1" }, new RequestRecord("http", 7));
    gateOf(yes, ["SignOrder"]).check(
      { action: "SignOrder", region: "eu-west-1" },
      new RequestRecord("http", 7),
    );
  });

  test("are counted under their names, and nothing else is", () => {
    const metrics = new Metrics(joinOperations(joinActions(["SignOrder"])));
    for (const operation of ["SignOrder", "Decrypt", "Health", 'x"} 1\n']) {
      metrics.countRequest("http", operation, "ok", 0);
    }
    const counted = [...metrics.render().matchAll(/^enclave_kms_requests_total.*operation="([^"]*)"/gm)]
      .map(([, name]) => name);
    assert.deepEqual(counted, ["SignOrder", "Decrypt", "Health", "Other"]);
    const own = new Metrics();
    own.countRequest("http", "SignOrder", "ok", 0);
    assert.match(own.render(), /operation="Other"/);
  });
});
