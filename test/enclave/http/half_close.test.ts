import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, test } from "#test";
import type { Endpoint } from "../../../lib/core/endpoint.ts";
import { Fixture } from "../../server/fixture.ts";
import { dial, Serving } from "../../server/serving.ts";

describe("a sender that half-closes", () => {
  const folder = mkdtempSync(join(tmpdir(), "enclave-kms-half-"));
  const places: Endpoint[] = [];
  let fixture: Fixture;
  let serving: Serving;
  beforeAll(async () => {
    fixture = await Fixture.start();
    await fixture.setCredentials();
    serving = new Serving(fixture);
    places.push(await serving.listen("http"));
    places.push(await serving.listen("http", { transport: "unix", path: join(folder, "http") }));
  });
  afterAll(async () => {
    await serving[Symbol.asyncDispose]();
    await fixture[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  });

  const decrypt = (extra = "") => {
    const body = JSON.stringify(fixture.decryptBody);
    return `POST /v1/decrypt HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n${extra}` +
      `content-length: ${body.length}\r\n\r\n${body}`;
  };

  /** Sends all of it, ends its own direction, and reads to the end of the other. */
  async function statuses(place: Endpoint, text: string): Promise<string[]> {
    const socket = dial(place);
    let answer = "";
    socket.on("data", (chunk) => answer += String(chunk));
    socket.end(text);
    await once(socket, "close");
    const all = [...answer.matchAll(/HTTP\/1\.1 (\d+) /g)].map(([, status = ""]) => status);
    return all.filter((status) => status !== "102");
  }

  test("after its request is answered, and then the connection ends", async () => {
    for (const place of places) {
      assert.deepEqual(await statuses(place, decrypt()), ["200"], place.transport);
      assert.deepEqual(await statuses(place, decrypt("connection: close\r\n")), ["200"]);
      assert.deepEqual(await statuses(place, "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n"), ["200"]);
    }
  });

  test("after several requests is answered each", async () => {
    for (const place of places) {
      const text = decrypt() + "GET /nowhere HTTP/1.1\r\nhost: a\r\n\r\n" + decrypt();
      assert.deepEqual(await statuses(place, text), ["200", "404", "200"], place.transport);
    }
  });

  test("in the middle of a request ends it at once", async () => {
    for (const place of places) {
      for (const cut of [10, 60, decrypt().length - 1]) {
        const got = await statuses(place, decrypt().slice(0, cut));
        assert.ok(!got.includes("200"), `${place.transport}, cut at ${cut}: ${got}`);
      }
    }
    // Not because the time for a body was up, which is ten seconds.
    assert.equal(fixture.metrics.openConnections("http"), 0);
  });
});
