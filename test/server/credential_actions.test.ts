import assert from "node:assert/strict";
import { describe, test } from "#test";
import type { Policy } from "../../lib/policy/mod.ts";
import { KmstoolSession } from "../../server/kmstool/kmstool_session.ts";
import { RequestRecord } from "../../enclave/telemetry/request_record.ts";
import { Fixture, PARENT, RecordingPolicy, TENANT } from "./fixture.ts";
import { cedarPolicy } from "../support/policies.ts";

const permit = (...actions: readonly string[]) =>
  cedarPolicy(
    actions.map((action) => `permit(principal, action == Action::"${action}", resource);`).join("\n"),
  );

/** Tries to set everybody's credentials over HTTP, and a connection's own over kmstool. */
async function tries(
  credentialPolicy: Policy | undefined,
  cid: number,
): Promise<readonly [boolean, boolean]> {
  const policy = new RecordingPolicy();
  await using fixture = await Fixture.start({ policy, ...(credentialPolicy && { credentialPolicy }) });
  const { credentials } = fixture.simulator;
  using session = new KmstoolSession(fixture.service, undefined);
  const message = {
    Operation: "SetClient",
    AwsAccessKeyId: credentials.accessKeyId,
    AwsSecretAccessKey: credentials.secretAccessKey,
    AwsSessionToken: credentials.sessionToken,
  };
  const record = new RequestRecord("kmstool", cid);
  const own = await session.handle(new TextEncoder().encode(JSON.stringify(message)), record).then(
    () => true,
    (error: Error) => {
      assert.equal(error.message, "Could not create new client");
      return false;
    },
  );
  assert.equal(record.operation, "SetOwnCredentials");
  assert.equal(fixture.service.scope.credentials.isSet, false, "a connection's are nobody else's");
  const { status } = await fixture.call("/v1/credentials", credentials, cid);
  const refusal = credentialPolicy === undefined ? 404 : 403;
  assert.equal(status, fixture.service.scope.credentials.isSet ? 204 : refusal);
  return [status === 204, own];
}

describe("credentials of everybody, and of a connection", () => {
  test("are permissions of their own", async () => {
    assert.deepEqual(await tries(permit("SetCredentials"), TENANT), [true, false]);
    assert.deepEqual(await tries(permit("SetOwnCredentials"), TENANT), [false, true]);
    assert.deepEqual(await tries(permit("SetCredentials", "SetOwnCredentials"), TENANT), [true, true]);
    assert.deepEqual(await tries(permit("Decrypt"), TENANT), [false, false]);
  });

  test("are both the parent's alone by default: everybody's by the control listener, not by the CID", async () => {
    assert.deepEqual(await tries(undefined, PARENT), [false, true]);
    assert.deepEqual(await tries(undefined, TENANT), [false, false]);
  });

  test("of everybody are set over the control listener, whatever the policy says", async () => {
    for (const credentialPolicy of [undefined, permit("Decrypt")]) {
      await using fixture = await Fixture.start({ ...(credentialPolicy && { credentialPolicy }) });
      for (const path of ["/v1/credentials", "/set-credentials"]) {
        assert.equal((await fixture.callControl(path, fixture.simulator.credentials)).status, 204, path);
        const ordinary = await fixture.call(path, fixture.simulator.credentials, PARENT);
        assert.equal(ordinary.status, credentialPolicy === undefined ? 404 : 403);
      }
      assert.equal(fixture.service.scope.credentials.isSet, true);
    }
  });

  test("of everybody are not to be had from an ordinary listener by saying that it is the control one", async () => {
    await using fixture = await Fixture.start();
    const init = {
      method: "POST",
      headers: { "content-type": "application/json", "x-control": "true", "isControl": "true" },
      body: JSON.stringify(fixture.simulator.credentials),
    };
    for (const path of ["/v1/credentials?isControl=true", "/set-credentials", "/v1/shutdown"]) {
      const answer = await fixture.app.request(path, init, { cid: PARENT, isControl: true });
      assert.equal(answer.status, 404, path);
    }
  });
});
