import assert from "node:assert/strict";
import { describe, test } from "#test";
import { until } from "../../support/until.ts";
import { Load } from "../../vsock/load.ts";
import { type Answer, DOCUMENT, RunningService } from "./start_service.ts";

const CUSTOMER = {
  id: 7,
  name: "Ann",
  born: null,
  score: 0.5,
  address: { street: "Main Street", number: 1 },
  cards: [{ number: "4111", brand: "visa", more: [true] }, { number: "5500" }],
  notes: { one: "first", two: "second" },
  parent: { id: 8, name: "Bob", parent: { name: "Eve" } },
};

/** Intervals, in seconds, so short that a test sees many loads. */
const OFTEN = { dataKeySeconds: 0.05, schemaSeconds: 0.05 };

/** Finds what the answer says is wrong: its status, and its code or what it expected where. */
function wrongIn({ status, body }: Answer): readonly unknown[] {
  const errors = body["errors"] as { path: string; expected: string }[] | undefined;
  if (errors === undefined) return [status, body["code"]];
  return [status, ...errors.map(({ path, expected }) => `${path}: ${expected}`)];
}

describe("examples/field-encryption", () => {
  test("encrypts what the schema marks, wherever it is, and decrypts it with its type", async () => {
    await using service = await RunningService.start();
    await service.untilReady();
    const { status, body } = await service.post("encrypt", CUSTOMER, "Customer");
    assert.equal(status, 200);
    const hide = (value: unknown): unknown => {
      if (typeof value === "string" && value.startsWith("enc1:first:")) return "hidden";
      if (typeof value !== "object" || value === null) return value;
      if (Array.isArray(value)) return value.map(hide);
      return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, hide(part)]));
    };
    assert.deepEqual(hide(body), {
      id: 7,
      name: "hidden",
      born: null,
      score: "hidden",
      address: "hidden",
      cards: [{ number: "hidden", brand: "visa", more: [true] }, { number: "hidden" }],
      notes: { one: "hidden", two: "hidden" },
      parent: { id: 8, name: "hidden", parent: { name: "hidden" } },
    });
    assert.deepEqual(await service.post("decrypt", body, "Customer"), { status: 200, body: CUSTOMER });
    // Elements may move: an array is filtered and sorted without the service.
    const moved = { ...body, cards: (body["cards"] as unknown[]).toReversed() };
    const { body: back } = await service.post("decrypt", moved, "Customer");
    assert.deepEqual(back["cards"], CUSTOMER.cards.toReversed());
    const again = await service.post("encrypt", CUSTOMER, "Customer");
    assert.notEqual(again.body["name"], body["name"]);
  });

  test("lets nobody decrypt without a certificate, and nobody do anything where the parent reads along", async () => {
    await using service = await RunningService.start();
    await service.untilReady();
    const encrypted = await service.post("encrypt", { name: "Ann" }, "Customer", true);
    assert.equal(encrypted.status, 200);
    const refused = await service.post("decrypt", encrypted.body, "Customer", true);
    assert.deepEqual(wrongIn(refused), [403, "ERR_POLICY_DENIED"]);
    for (const path of ["encrypt", "decrypt"]) {
      assert.deepEqual(wrongIn(await service.postInClear(`/v1/${path}`)), [403, "ERR_CHANNEL"]);
    }
  });

  test("refuses what would pass in clear, or could not come back", async () => {
    await using service = await RunningService.start();
    await service.untilReady();
    const encrypt = async (body: unknown, schema: string | undefined = "Customer") =>
      wrongIn(await service.post("encrypt", body, schema));
    for (const name of ["Person", "Public", "__proto__", "constructor"]) {
      assert.deepEqual(await encrypt({ name: "Ann" }, name), [404, "ERR_SCHEMA_UNKNOWN"], name);
    }
    assert.deepEqual(wrongIn(await service.post("encrypt", {})), [404, "ERR_SCHEMA_UNKNOWN"]);
    const cases: readonly (readonly [unknown, string])[] = [
      [{ name: 1 }, "/name: a value of type string"],
      [{ score: "0.5" }, "/score: a value of type number"],
      [{ address: ["Main Street"] }, "/address: a value of type object"],
      [{ born: false }, "/born: a value of type string or null"],
      [[{ name: "Ann" }], ": an object"],
      ['"Ann"', ": an object"],
      [{ cards: { number: "4111" } }, "/cards: an array"],
      [{ cards: ["4111"] }, "/cards/*: an object"],
      [{ parent: { notes: "one" } }, "/parent/notes: an object"],
      [{ nmae: "Ann" }, ": no properties but those of the schema"],
      ['{"id":9007199254740993}', "/id: a number of at most 2^53 - 1, or a string"],
      ['{"address":{"number":1e300}}', "/address/*: a number of at most 2^53 - 1, or a string"],
      ['{"name":"Ann"', ": JSON in UTF-8"],
      ["", ": JSON in UTF-8"],
      [`{"cards":[{"brand":${"[".repeat(100)}${"]".repeat(100)}}]}`, "at most 64 levels"],
      [`{"address":${'{"a":'.repeat(100)}1${"}".repeat(100)}}`, "at most 64 levels"],
      [
        { notes: Object.fromEntries(Array.from({ length: 1000 }, (_, index) => [index, "a".repeat(20)])) },
        "65536",
      ],
    ];
    for (const [body, expected] of cases) {
      const [status, ...errors] = await encrypt(body) as [number, ...string[]];
      assert.equal(status, 400, JSON.stringify(body));
      assert.ok(errors.some((error) => error.includes(expected)), `${expected}: ${errors.join()}`);
    }
    assert.equal((await service.post("encrypt", "[".repeat(30_000), "Customer")).status, 400);
  });

  test("takes names that mean something to JavaScript for names, and the last of two equal ones", async () => {
    await using service = await RunningService.start();
    await service.untilReady();
    const body =
      '{"notes":{"__proto__":"p","constructor":"c","toString":"t"},"name":"in clear","name":"Ann"}';
    const encrypted = await service.post("encrypt", body, "Customer");
    assert.equal(encrypted.status, 200);
    const text = JSON.stringify(encrypted.body);
    assert.ok(!text.includes("in clear"));
    const notes = encrypted.body["notes"] as Record<string, string>;
    assert.deepEqual(Object.keys(notes), ["__proto__", "constructor", "toString"]);
    assert.ok(Object.values(notes).every((value) => value.startsWith("enc1:")), text);
    const decrypted = await service.post("decrypt", text, "Customer");
    assert.equal(
      JSON.stringify(decrypted.body),
      '{"notes":{"__proto__":"p","constructor":"c","toString":"t"},"name":"Ann"}',
    );
    assert.equal(({} as { p?: unknown }).p, undefined);
  });

  test("decrypts a value in its own field only, and nothing that was changed", async () => {
    await using service = await RunningService.start();
    await service.untilReady();
    const { body } = await service.post("encrypt", CUSTOMER, "Customer");
    const name = String(body["name"]);
    const decrypt = async (changed: unknown, schema = "Customer") =>
      wrongIn(await service.post("decrypt", changed, schema));
    const because = "a value encrypted here for this field, by a key that is there";
    const flipped = name.slice(0, -6) + (name.at(-6) === "A" ? "B" : "A") + name.slice(-5);
    const cases: readonly (readonly [string, unknown])[] = [
      ["/name", { name: flipped }],
      ["/name", { name: name.replace(":first:", ":second:") }],
      ["/name", { name: name.slice(0, 30) }],
      ["/name", { name: "enc1:first:AAAA" }],
      ["/name", { name: "Ann" }],
      ["/name", { name: 1 }],
      ["/name", { name: { name } }],
      ["/born", { born: name }],
      ["/notes/*", { notes: { two: (body["notes"] as Record<string, string>)["one"] } }],
      ["/parent/name", { parent: { name } }],
      ["/name", { name: `${name}=` }],
    ];
    for (const [path, changed] of cases) {
      assert.deepEqual(await decrypt(changed), [400, `${path}: ${because}`], JSON.stringify(changed));
    }
    const number = (body["cards"] as { number: string }[])[0]?.number;
    assert.deepEqual(await decrypt({ number }, "Card"), [400, `/number: ${because}`]);
    assert.deepEqual(await decrypt({ name }), [200, undefined]);
  });

  test("rotates data keys and credentials under load without losing a request", async () => {
    await using service = await RunningService.start(OFTEN);
    await service.untilReady();
    const old = await service.post("encrypt", CUSTOMER, "Customer");
    const used = new Set<string>();
    {
      await using load = Load.start(4, async () => {
        const encrypted = await service.post("encrypt", CUSTOMER, "Customer");
        used.add(String(encrypted.body["name"]).split(":")[1] ?? "");
        const { status, body } = await service.post("decrypt", encrypted.body, "Customer");
        assert.deepEqual(body, CUSTOMER);
        return `${encrypted.status} ${status}`;
      });
      for (const id of ["second", "third"]) {
        await load.untilAllMade(2);
        await service.world.rotate(id);
        service.pushCredentials();
        await until(() => used.has(id), () => JSON.stringify([...used, load.outcomes]));
      }
      await load.untilAllMade(2);
      assert.deepEqual(Object.keys(load.outcomes), ["200 200"]);
    }
    assert.deepEqual([...used], ["first", "second", "third"]);
    assert.deepEqual(await service.post("decrypt", old.body, "Customer"), { status: 200, body: CUSTOMER });
  });

  test("is not ready until both are loaded, and says which is missing", async () => {
    await using service = await RunningService.start({}, (world) => {
      world.documents.set("customers.json", JSON.stringify(DOCUMENT));
      world.secret = undefined;
    });
    await until(async () => (await service.readiness()).body["schemas"] === true);
    const { status, body } = await service.readiness();
    assert.deepEqual([status, body["dataKeys"], body["schemas"]], [503, false, true]);
    assert.deepEqual(wrongIn(await service.post("encrypt", {}, "Customer")), [503, "ERR_NOT_READY"]);
    await service.world.rotate("second");
    await service.untilReady();
    assert.equal((await service.post("encrypt", CUSTOMER, "Customer")).status, 200);
  });

  test("keeps the last good keys while Secrets Manager is down or has a secret that would lose them", async () => {
    await using service = await RunningService.start(OFTEN);
    await service.untilReady();
    const { world } = service;
    const good = world.secret ?? "";
    await world.rotate("second");
    const both = world.secret ?? "";
    const { body } = await service.post("encrypt", CUSTOMER, "Customer");
    await until(async () =>
      String((await service.post("encrypt", { name: "" }, "Customer")).body["name"]).includes(":second:")
    );
    const changed = both.replace("first", "other").replace("second", "first").replace("other", "second");
    const bad = [
      [undefined, "InternalFailure|Unknown|ServiceException|SecretsManager"],
      [good, "the secret lacks data key second, which encrypts now"],
      [changed, "data key (first|second) is another one than before"],
      ["{", "the secret is no JSON"],
      ["[]", "the secret must have `keys`"],
      [JSON.stringify({ keys: [] }), "the secret must have `keys`"],
      [JSON.stringify({ keys: [{ id: "a b", ciphertext: "" }] }), "the secret must have `keys`"],
      [both.replace("]", ',{"id":"first","ciphertext":""}]'), "two data keys of the secret have one id"],
      [
        both.replace("]", ',{"id":"new","ciphertext":"no base64"}]'),
        "the ciphertext of data key new is no base64",
      ],
      [both.replace("]", ',{"id":"new","ciphertext":"AAAA"}]'), "InvalidCiphertextException"],
    ] as const;
    for (const [secret, failure] of bad) {
      const from = service.lines.length;
      world.secret = secret;
      const said = () => service.lines.slice(from).find((line) => line.includes('"data keys: not loaded"'));
      await until(() => said() !== undefined);
      assert.match(String(JSON.parse(said() ?? "").failure), new RegExp(failure));
      const { status, body: readiness } = await service.readiness();
      assert.equal(status, 200);
      assert.match(
        String(readiness["warnings"]),
        /^the data keys could not be loaded since .*: the last good ones count$/,
      );
      assert.equal((await service.post("decrypt", body, "Customer")).status, 200);
      world.secret = both;
      await until(async () => (await service.readiness()).body["warnings"] === undefined);
    }
    const text = service.lines.join("");
    assert.ok(
      !text.includes("4111") && !text.includes(body["name"] as string),
      "nothing of a request is logged",
    );
  });

  test("takes no data key under another KMS key, or made for something else", async () => {
    await using service = await RunningService.start(OFTEN);
    await service.untilReady();
    const { world, simulator } = service;
    const good = world.secret;
    const { keyId } = await simulator.createKey();
    const mine = { purpose: "field-encryption", key: "mine" };
    const cases = [
      [keyId, mine, "IncorrectKeyException"],
      [world.settings.kmsKeyArn, { ...mine, key: "first" }, "InvalidCiphertextException"],
      [world.settings.kmsKeyArn, { key: "mine" }, "InvalidCiphertextException"],
    ] as const;
    for (const [key, context, failure] of cases) {
      const from = service.lines.length;
      world.secret = good;
      await world.addKey("mine", context, key);
      await until(() => service.lines.slice(from).some((line) => line.includes(failure)));
      const { body } = await service.post("encrypt", { name: "Ann" }, "Customer");
      assert.match(String(body["name"]), /^enc1:first:/);
    }
  });

  test("loads the schemas again, and keeps the last good ones when one of them is bad or S3 is down", async () => {
    await using service = await RunningService.start(OFTEN);
    await service.untilReady();
    const { world } = service;
    const order = JSON.stringify({
      components: { schemas: { Order: { properties: { item: { "x-encrypt": true } } } } },
    });
    const statusOf = async (schema: string) => (await service.post("encrypt", {}, schema)).status;
    assert.equal(await statusOf("Order"), 404);
    world.documents.set("orders.json", order).set("readme.txt", "not read");
    await until(async () => await statusOf("Order") === 200);
    const isWarned = (since: string) => async () =>
      String((await service.readiness()).body["warnings"]).includes("the schemas could not be loaded") &&
      service.lines.some((line) => line.includes(since));
    world.documents.set("orders.json", order.replace('"x-encrypt":true', '"x-encrypted":true'));
    await until(
      isWarned("schemas/orders.json: Order.properties.item.x-encrypted: the mark is called x-encrypt"),
    );
    assert.deepEqual([await statusOf("Order"), await statusOf("Customer")], [200, 200]);
    world.documents.set("orders.json", "{");
    await until(isWarned("schemas/orders.json: no JSON"));
    world.documents.set("orders.json", JSON.stringify(DOCUMENT));
    await until(isWarned("is in another document, too"));
    world.documents.clear();
    await until(isWarned("no schema marks anything"));
    world.isS3Down = true;
    await until(() => service.lines.at(-1)?.includes("schemas: not loaded") === true);
    assert.deepEqual([await statusOf("Order"), await statusOf("Customer")], [200, 200]);
    world.isS3Down = false;
    world.documents.set("orders.json", order);
    await until(async () => await statusOf("Customer") === 404);
    assert.equal(await statusOf("Order"), 200);
    assert.deepEqual((await service.readiness()).body["warnings"], undefined);
  });

  test("asks for the schemas of an account, and is refused when the bucket is another's", async () => {
    await using service = await RunningService.start({ ...OFTEN, schemaBucketOwner: "444455556666" });
    await until(() => service.lines.filter((line) => line.includes("schemas: not loaded")).length > 1);
    await until(async () => (await service.readiness()).body["dataKeys"] === true);
    const { status, body } = await service.readiness();
    assert.deepEqual([status, body["schemas"]], [503, false]);
  });
});
