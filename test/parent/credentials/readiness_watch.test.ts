import assert from "node:assert/strict";
import { describe, test } from "#test";
import { ProtocolError } from "../../../lib/core/errors.ts";
import { watchReadiness } from "../../../parent/mod.ts";

const BOOT_ID = "0123456789abcdef".repeat(2);
const signal = new AbortController().signal;

/** Enclave that answers so. */
function answering(ready: Response, info: Response = Response.json({ bootId: BOOT_ID })) {
  return watchReadiness((input) => {
    const { pathname } = new URL(String(input));
    return Promise.resolve(pathname === "/readyz" ? ready : info);
  });
}

const READY = { library: true, nsm: true, credentials: true, policy: true, warnings: ["all are permitted"] };

describe("watchReadiness()", () => {
  test("tells the boot, the credentials and what is missing", async () => {
    assert.deepEqual(await answering(Response.json(READY))({ signal }), {
      bootId: BOOT_ID,
      hasCredentials: true,
      missing: [],
    });
    const unready = Response.json({ ...READY, credentials: false, policy: false }, { status: 503 });
    assert.deepEqual(await answering(unready)({ signal }), {
      bootId: BOOT_ID,
      hasCredentials: false,
      missing: ["credentials", "policy"],
    });
    // An application that needs no KMS has no such part.
    const sight = await answering(Response.json({ nsm: true }))({ signal });
    assert.equal(sight.hasCredentials, undefined);
  });

  test("goes without the boot's id where it is forbidden or malformed", async () => {
    for (
      const info of [
        new Response(null, { status: 403 }),
        new Response("nonsense"),
        Response.json({ bootId: "A".repeat(32) }),
        Response.json({ bootId: 5 }),
        Response.json(null),
      ]
    ) {
      const sight = await answering(Response.json(READY), info)({ signal });
      assert.deepEqual([sight.bootId, sight.hasCredentials], [undefined, true]);
    }
  });

  test("refuses what no enclave answers", async () => {
    for (
      const ready of [
        Response.json(READY, { status: 404 }),
        new Response("nonsense"),
        Response.json([]),
        Response.json(null),
        Response.json({}),
        Response.json({ nsm: "true" }),
        new Response("x".repeat(100_000)),
      ]
    ) await assert.rejects(answering(ready)({ signal }), ProtocolError);
    await assert.rejects(
      answering(Response.json(READY), new Response("x".repeat(100_000)))({ signal }),
      ProtocolError,
    );
  });

  test("passes over names that could break a log", async () => {
    const sight = await answering(Response.json({ nsm: true, "a\nb": false, ["x".repeat(65)]: false }))({
      signal,
    });
    assert.deepEqual(sight.missing, []);
  });
});
