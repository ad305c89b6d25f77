import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DynamoDB } from "@aws-sdk/client-dynamodb";
import { S3 } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, test } from "#test";
import { dynamoKeyStore, fileKeyStore, s3KeyStore, type SharedKeyStore } from "../../../enclave/mod.ts";
import { AwsServices, s3Error } from "./aws_services.ts";
import { KeyLab } from "./key_lab.ts";

const MAX_BYTES = 64;
const call = () => ({ signal: new AbortController().signal, maxBytes: MAX_BYTES });
const bytesOf = (text: string) => new TextEncoder().encode(text);

let services: AwsServices;
let lab: KeyLab;
let s3: S3;
let dynamo: DynamoDB;
const folder = mkdtempSync(join(tmpdir(), "stores-"));
beforeAll(async () => {
  services = await AwsServices.start();
  lab = await KeyLab.open();
  s3 = new S3({ ...services.client, forcePathStyle: true });
  dynamo = new DynamoDB(services.client);
});
afterAll(async () => {
  s3.destroy();
  dynamo.destroy();
  await services[Symbol.asyncDispose]();
  await lab[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

const STORES: readonly (readonly [name: string, make: () => SharedKeyStore])[] = [
  ["s3KeyStore(), by AWS's client", () => s3KeyStore(s3, { bucket: "keys", prefix: "shared/" })],
  ["dynamoKeyStore(), by AWS's client", () => dynamoKeyStore(dynamo, { table: "keys" })],
  ["fileKeyStore()", () => fileKeyStore(folder)],
];

for (const [name, make] of STORES) {
  describe(name, () => {
    test("keeps the first of two writes, and says which it was", async () => {
      const store = make();
      assert.equal(await store.read("a.1", call()), undefined);
      assert.equal(await store.create("a.1", bytesOf("first"), call()), true);
      assert.equal(await store.create("a.1", bytesOf("second"), call()), false);
      assert.equal(new TextDecoder().decode(await store.read("a.1", call())), "first");
      assert.equal(await store.read("a.2", call()), undefined);
    });

    test("keeps one of several writes at the same time", async () => {
      const store = make();
      const writes = Array.from({ length: 8 }, (_, i) => store.create("race.1", bytesOf(`${i}`), call()));
      const won = (await Promise.all(writes)).flatMap((isFirst, i) => isFirst ? [`${i}`] : []);
      assert.equal(won.length, 1);
      assert.equal(new TextDecoder().decode(await store.read("race.1", call())), won[0]);
    });

    test("is one for the key of several enclaves", async () => {
      using first = await lab.load(make());
      using second = await lab.load(make());
      assert.equal(second.current.checkValue, first.current.checkValue);
      assert.equal(await first.rotate(), 2);
      await second.refresh();
      assert.deepEqual(second.open.map(({ version }) => version), [2, 1]);
    });
  });
}

describe("stores that fail", () => {
  test("S3 and DynamoDB: what is no answer is never `there is none`, nor `written`", async () => {
    const stores = [s3KeyStore(s3, { bucket: "keys" }), dynamoKeyStore(dynamo, { table: "keys" })];
    const refusals = [s3Error(403, "AccessDenied"), s3Error(404, "NoSuchBucket"), s3Error(409, "Conflict")];
    for (const refusal of [...refusals, { status: 500, body: "" }]) {
      services.refusal = refusal;
      for (const store of stores) {
        await assert.rejects(store.read("fail.1", call()), Error, String(refusal.body));
        await assert.rejects(store.create("fail.1", bytesOf("x"), call()), Error, String(refusal.body));
      }
    }
    services.refusal = undefined;
    assert.equal(services.stored.has("fail.1"), false);
  });

  test("S3 and files: of a record that is too long no more is read than shows it", async () => {
    services.refusal = { status: 200, body: "x".repeat(100_000) };
    const read = await s3KeyStore(s3, { bucket: "keys" }).read("long.1", call());
    services.refusal = undefined;
    assert.equal(read?.length, MAX_BYTES + 1);
    writeFileSync(join(folder, "long.1"), "x".repeat(100_000));
    assert.equal((await fileKeyStore(folder).read("long.1", call()))?.length, MAX_BYTES + 1);
  });

  test("files: a folder that is not there fails, and no draft is left behind", async () => {
    await assert.rejects(fileKeyStore(join(folder, "missing")).create("a.1", bytesOf("x"), call()), {
      code: "ENOENT",
    });
    assert.deepEqual(readdirSync(folder).filter((file) => file.startsWith(".")), []);
  });

  test("refuse wrong options", () => {
    assert.throws(() => fileKeyStore(""), TypeError);
    assert.throws(() => s3KeyStore(s3, { bucket: "" }), RangeError);
    assert.throws(() => s3KeyStore({} as S3, { bucket: "keys" }), TypeError);
    assert.throws(() => dynamoKeyStore(dynamo, { table: "keys", partitionKey: "record" }), TypeError);
    assert.throws(() => dynamoKeyStore({} as DynamoDB, { table: "keys" }), TypeError);
  });
});
