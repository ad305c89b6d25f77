import assert from "node:assert/strict";
import { describe, test } from "#test";
import { ConnectionError, TimeoutError } from "../../lib/core/errors.ts";
import { NameResolver } from "../../parent/name_resolver.ts";

describe("NameResolver", () => {
  const at = (addresses: string[] | Error) =>
    addresses instanceof Error ? Promise.reject(addresses) : Promise.resolve(addresses);

  test("keeps the last good answer while look-ups fail or hang", async () => {
    const answers: (() => Promise<readonly string[]>)[] = [
      () => at(["192.0.2.1"]),
      () => at(new Error("down")),
      () => at([]),
      () => new Promise(() => {}),
      () => at(["192.0.2.2"]),
    ];
    const lookup = () => (answers.shift() as () => Promise<readonly string[]>)();
    const resolver = new NameResolver({ lookup, times: { freshMs: 0, timeoutMs: 50 } });
    for (let round = 0; round < 4; round++) {
      assert.deepEqual(await resolver.resolve("a.example"), ["192.0.2.1"]);
    }
    // The one that hangs is still asked: nobody asks beside it.
    assert.equal(answers.length, 1);
    assert.deepEqual(await resolver.resolve("a.example"), ["192.0.2.1"]);
    assert.equal(answers.length, 1);
  });

  test("asks once for many who want the same name, and passes addresses on as they are", async () => {
    let lookups = 0;
    const resolver = new NameResolver({
      family: "ipv4",
      lookup: (name, family) => (lookups++, at([`192.0.2.${name.length}`, family])),
    });
    const all = await Promise.all(Array.from({ length: 10 }, () => resolver.resolve("a.example")));
    assert.ok(all.every((addresses) => addresses.join() === "192.0.2.9"));
    for (const address of ["127.0.0.1", "::1"]) assert.deepEqual(await resolver.resolve(address), [address]);
    assert.equal(lookups, 1);
  });

  test("gives up in time when there is no earlier answer, and with the caller", async () => {
    const resolver = new NameResolver({
      lookup: () => new Promise(() => {}),
      times: { freshMs: 0, timeoutMs: 50 },
    });
    await assert.rejects(resolver.resolve("a.example"), (error) => {
      assert.ok(error instanceof ConnectionError && error.cause instanceof TimeoutError);
      return true;
    });
    const reason = new Error("the caller left");
    await assert.rejects(resolver.resolve("a.example", AbortSignal.abort(reason)), reason);
  });

  for (
    const address of [
      ...[
        "169.254.169.254",
        "169.254.170.2",
        "::ffff:169.254.169.254",
        "::ffff:a9fe:a9fe",
        "::169.254.169.254",
      ],
      ...[
        "64:ff9b::169.254.169.254",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "0.0.0.0",
        "::",
        "255.255.255.255",
      ],
      ...["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1", "::ffff:7f00:1", "224.0.0.1", "ff02::1"],
    ]
  ) {
    test(`does not lead a name to ${address}, alone or among others, and not after a good answer`, async () => {
      const answers = [[address], [address, "10.0.0.1"], [address]];
      const lookup = () => at(answers.shift() ?? []);
      const resolver = new NameResolver({ lookup, times: { freshMs: 0, timeoutMs: 5000 } });
      await assert.rejects(resolver.resolve("rebound.example"), ConnectionError);
      assert.deepEqual(await resolver.resolve("rebound.example"), ["10.0.0.1"]);
      assert.deepEqual(await resolver.resolve("rebound.example"), ["10.0.0.1"]);
    });
  }

  test("leads names to private networks, localhost to this machine, and on a laptop every name", async () => {
    const addresses = [
      "10.1.2.3",
      "172.16.0.1",
      "192.168.1.1",
      "100.64.0.1",
      "fd12::1",
      "52.94.0.1",
      "2600:1f::1",
    ];
    const resolver = new NameResolver({ lookup: () => at(addresses) });
    assert.deepEqual(await resolver.resolve("vpce.example"), addresses);
    const own = new NameResolver({ lookup: () => at(["127.0.0.1", "169.254.169.254"]) });
    for (const name of ["localhost", "kms.localhost"]) {
      assert.deepEqual(await own.resolve(name), ["127.0.0.1"]);
    }
    await assert.rejects(own.resolve("notlocalhost"), ConnectionError);
    const laptop = new NameResolver({
      lookup: () => at(["127.0.0.1", "169.254.169.254"]),
      allowsLoopback: true,
    });
    assert.deepEqual(await laptop.resolve("a.example"), ["127.0.0.1"]);
  });

  test("keeps sixteen addresses of a name at most", async () => {
    const many = Array.from({ length: 1000 }, (_, index) => `10.0.${index >> 8}.${index & 255}`);
    const resolver = new NameResolver({ lookup: () => at(many) });
    assert.deepEqual(await resolver.resolve("a.example"), many.slice(0, 16));
  });

  test("forgets the oldest of a thousand names", async () => {
    const lookups: string[] = [];
    const resolver = new NameResolver({ lookup: (name) => (lookups.push(name), at(["192.0.2.1"])) });
    for (let number = 0; number <= 1000; number++) await resolver.resolve(`n${number}.example`);
    await resolver.resolve("n1000.example");
    await resolver.resolve("n0.example");
    assert.deepEqual(lookups.slice(1000), ["n1000.example", "n0.example"]);
  });
});
