import assert from "node:assert/strict";
import { test } from "#test";
import { OwnedCredentials } from "../../../lib/aws/credentials.ts";
import { describeCredentials } from "../../../lib/aws/logged_credentials.ts";

const NOON_MS = Date.UTC(2026, 10, 30, 12);

test("the log gets the ends of a key id, and nothing of one that is too short to be one", () => {
  const logged = (accessKeyId: string, expiration?: number) => {
    using owned = OwnedCredentials.copyOf({ accessKeyId, secretAccessKey: "s", expiration });
    return describeCredentials(owned, 2);
  };
  assert.deepEqual(logged("ASIAQWERTYUIOPASDFGH", NOON_MS), {
    accessKeyId: "ASIA...DFGH",
    expiration: "2026-11-30T12:00:00.000Z",
    generation: 2,
  });
  assert.equal(logged("ASIA567890123456").accessKeyId, "ASIA...3456");
  assert.deepEqual(logged("ASIA56789012345"), {
    accessKeyId: "...",
    expiration: undefined,
    generation: 2,
  });
});
