import assert from "node:assert/strict";
import { afterAll, beforeAll, beforeEach, describe } from "#test";
import { pem } from "../../sim/tls/certificates.ts";
import { type EngineCase, WIRE_CASES } from "../support/engines.ts";
import {
  corruptRecord,
  dropRecord,
  type RecordChange,
  type Relay,
  type RelayPlan,
  repeatRecord,
  replaceRecord,
  replayToServer,
  shortenRecord,
  splitRecords,
  swapRecords,
} from "../support/relay.ts";
import { shareKeyOfDouble } from "../support/sdk_double.ts";
import { Besieged, makeAuthority, PartedKms, PLAINTEXT, serverCertificate } from "./fixture.ts";
import { divideTests } from "../support/share.ts";

const test = divideTests();

const HOST = "kms.us-east-1.amazonaws.com";
const authority = await makeAuthority("A public authority");
const certificate = await serverCertificate({ dnsNames: [HOST] }, authority);

/** No record of a handshake is as long; one of a request, with its attestation document, is. */
const REQUEST_BYTES = 2500;

const HTTP_ANSWER = new TextEncoder().encode("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
/** An alert that says the connection ends, as one could come before there are keys. */
const CLOSE_NOTIFY = Uint8Array.of(21, 3, 3, 0, 2, 1, 0);

/** Field that is given a value that is no record. */
interface Field {
  readonly relay: Relay;
  readonly kms: PartedKms;
}

interface Attack {
  readonly name: string;
  readonly plan: (field: Field) => RelayPlan;
  /** Nobody notices before the deadline passes: nothing for the C client, which would hang. */
  readonly isSilent?: boolean;
  /** Whether the request may have reached KMS; if not, it must not. */
  readonly reachesKms?: boolean;
}

/** The server waits for the rest. */
const CUT_HELLO = "cuts the client's hello short";

const HANDSHAKE: readonly Attack[] = [
  ["changes a bit of the client's hello", { toServer: corruptRecord(0, 20) }],
  ["changes a bit of the client's offers", { toServer: corruptRecord(0) }],
  [CUT_HELLO, { toServer: shortenRecord(0) }],
  ["says the client's hello twice", { toServer: repeatRecord(0) }],
  ["changes a bit of the server's hello", { toClient: corruptRecord(0, 20) }],
  ["cuts the server's hello short", { toClient: shortenRecord(0) }],
  ["says the server's hello twice", { toClient: repeatRecord(0) }],
  ["answers without TLS", { toClient: replaceRecord(0, HTTP_ANSWER) }],
  ["says goodbye in the server's name", { toClient: replaceRecord(0, CLOSE_NOTIFY) }],
].map(([name, records]) => ({ name, plan: () => ({ records }), isSilent: name === CUT_HELLO } as Attack));

const ANSWER_CHANGES: readonly Attack[] = [
  { name: "changes a bit of the answer", plan: (field) => onAnswer(field, corruptRecord(0)) },
  { name: "changes a bit of the answer's end", plan: (field) => onAnswer(field, corruptRecord(1, 9)) },
  { name: "cuts the answer's record short", plan: (field) => onAnswer(field, shortenRecord(0)) },
  { name: "swaps the answer's records", plan: (field) => onAnswer(field, swapRecords(0)) },
  { name: "says the answer's first record twice", plan: (field) => onAnswer(field, repeatRecord(0)) },
  { name: "leaves the answer's first record out", plan: (field) => onAnswer(field, dropRecord(0)) },
  { name: "ends the answer before its last record", plan: (field) => onAnswer(field, endBefore(field, 1)) },
  {
    name: "says goodbye before the answer's last record",
    plan: (field) => onAnswer(field, replaceRecord(1, CLOSE_NOTIFY)),
  },
  { name: "keeps the answer's last record", plan: (field) => onAnswer(field, keepFrom(1)), isSilent: true },
];
const ANSWER = ANSWER_CHANGES.map((attack) => ({ ...attack, reachesKms: true }));

const REQUEST: readonly Attack[] = [
  { name: "changes a bit of the request", plan: () => onRequest(corruptRecord(0)) },
  { name: "cuts the request's record short", plan: () => onRequest(shortenRecord(0)) },
  { name: "leaves the request out", plan: () => onRequest(dropRecord(0)), isSilent: true },
];

shareKeyOfDouble();

for (const engineCase of WIRE_CASES) {
  describe.skipIf(engineCase.skip)(`a proxy that changes TLS records, engine ${engineCase.label}`, () => {
    suite(engineCase);
  });
}

function suite(engineCase: EngineCase): void {
  const { speaksHttps } = engineCase;
  let besieged: Besieged;
  let kms: PartedKms;

  beforeAll(async () => {
    besieged = await Besieged.start(engineCase, pem("CERTIFICATE", authority.certificate));
    kms = await PartedKms.start(besieged.enclave.simulator, certificate);
  });
  beforeEach(async () => {
    besieged.relay.clear();
    besieged.relay.redirect(kms.endpoint);
    await besieged.relay.breakOpen();
  });
  afterAll(async () => {
    await besieged[Symbol.asyncDispose]();
    await kms[Symbol.asyncDispose]();
  });

  test.onBoth("lets whole answers through, in the records that the attacks below are about", async () => {
    assert.equal(await besieged.decrypt(), PLAINTEXT);
    const { toClient, toServer } = besieged.relay.recordings.at(-1)!;
    assert.ok(splitRecords(toServer).some(({ bytes }) => bytes.length > REQUEST_BYTES));
    assert.ok(splitRecords(toClient).every(({ bytes }) => bytes.length < REQUEST_BYTES));
    assert.ok(splitRecords(toClient).length >= 3);
  });

  for (const { name, plan, isSilent, reachesKms } of [...HANDSHAKE, ...ANSWER, ...REQUEST]) {
    if (isSilent === true && !speaksHttps) continue;
    test(`${name}: refused, and the next request is served`, async () => {
      const before = kms.requestCount;
      besieged.relay.planForNew(plan({ relay: besieged.relay, kms }));
      const call = besieged.decrypt(besieged.client, isSilent === true ? 1000 : 20_000);
      if (!speaksHttps) await besieged.expectRefused(call, "ERR_SDK_KMS_CLIENT", "ERR_SDK_KMS_DECRYPT");
      else await besieged.expectRefused(call, isSilent === true ? "ERR_TIMEOUT" : "ERR_CONNECTION");
      assert.equal(kms.requestCount - before, reachesKms === true ? 1 : 0);
      await besieged.relay.breakOpen();
      await besieged.expectServed();
    });
  }

  test("says the request twice: KMS hears it once", async () => {
    const before = kms.requestCount;
    besieged.relay.planForNew(onRequest(repeatRecord(0)));
    // The answer may be there before KMS breaks the connection off.
    const answer = await besieged.decrypt().catch((error: unknown) => error);
    if (answer !== PLAINTEXT) {
      await besieged.expectRefused(Promise.reject(answer), "ERR_CONNECTION", "ERR_SDK_KMS_DECRYPT");
    }
    assert.ok(kms.requestCount - before <= 1);
    await besieged.relay.breakOpen();
    await besieged.expectServed();
  });

  test("puts a record of an earlier answer in the place of this one's", async () => {
    assert.equal(await besieged.decrypt(), PLAINTEXT);
    const earlier = splitRecords(besieged.relay.recordings.at(-1)!.toClient).slice(-2);
    await besieged.relay.breakOpen();
    besieged.relay.planForNew(
      onAnswer({ relay: besieged.relay, kms }, replaceRecord(0, ...earlier.map(({ bytes }) => bytes))),
    );
    await besieged.expectRefused(besieged.decrypt(), speaksHttps ? "ERR_CONNECTION" : "ERR_SDK_KMS_DECRYPT");
    await besieged.relay.breakOpen();
    await besieged.expectServed();
  });

  test("replays a whole connection of KMS to the client", async () => {
    assert.equal(await besieged.decrypt(), PLAINTEXT);
    const recording = besieged.relay.recordings.at(-1)!;
    const before = kms.requestCount;
    await besieged.relay.breakOpen();
    besieged.relay.planForNew({ replay: recording });
    await besieged.expectRefused(besieged.decrypt(), speaksHttps ? "ERR_CONNECTION" : "ERR_SDK_KMS_CLIENT");
    assert.equal(kms.requestCount, before);
    await besieged.relay.breakOpen();
    await besieged.expectServed();
  });

  test("replays a whole connection of the client to KMS", async () => {
    assert.equal(await besieged.decrypt(), PLAINTEXT);
    const before = kms.requestCount;
    await replayToServer(besieged.relay.recordings.at(-1)!, kms.endpoint);
    assert.equal(kms.requestCount, before);
    await besieged.relay.breakOpen();
    await besieged.expectServed();
  });

  if (!speaksHttps) return;

  test("puts a record of an earlier answer on the same connection in the place of this one's", async () => {
    assert.equal(await besieged.decrypt(), PLAINTEXT);
    const earlier = splitRecords(besieged.relay.recordings.at(-1)!.toClient).slice(-2);
    besieged.relay.planForOpen({
      records: { toClient: replaceRecord(0, ...earlier.map(({ bytes }) => bytes)) },
    });
    besieged.relay.planForNew({ cut: { direction: "toServer", atByte: 0, how: "reset" } });
    const before = kms.requestCount;
    await besieged.expectRefused(besieged.decrypt(), "ERR_CONNECTION");
    assert.equal(kms.requestCount - before, 1);
    await besieged.relay.breakOpen();
    await besieged.expectServed();
  });

  test("changes a kept connection: what may be sent once is, and the next goes over another", async () => {
    assert.equal(await besieged.decrypt(), PLAINTEXT);
    const before = [kms.requestCount, besieged.relay.connectionCount] as const;
    besieged.relay.planForOpen({ records: { toClient: corruptRecord(0) } });
    if (speaksHttps) await besieged.expectRefused(besieged.decrypt(), "ERR_CONNECTION");
    assert.equal(await besieged.decrypt(), PLAINTEXT);
    assert.deepEqual([kms.requestCount - before[0], besieged.relay.connectionCount - before[1]], [2, 1]);
  });
}

/** Counts the records to the client from the first one of the answer. */
function onAnswer({ kms }: Field, change: RecordChange): RelayPlan {
  const before = kms.answerCount;
  let index = 0;
  return {
    records: {
      toClient: (record) => kms.answerCount > before ? change(record, index++) : [record.bytes],
    },
  };
}

/** Counts the records to the server from the one that holds the request's body. */
function onRequest(change: RecordChange): RelayPlan {
  let index = -1;
  return {
    records: {
      toServer: (record) => {
        if (index >= 0 || record.bytes.length > REQUEST_BYTES) index++;
        return index >= 0 ? change(record, index) : [record.bytes];
      },
    },
  };
}

/** Keeps all from a record on: a ticket of the server's may come with the answer, and be counted with it. */
function keepFrom(first: number): RecordChange {
  return ({ bytes }, index) => index < first ? [bytes] : [];
}

/** Ends the connection in good order in the place of a record. */
function endBefore({ relay }: Field, at: number): RecordChange {
  return ({ bytes }, index) => {
    if (index === at) relay.planForOpen({ cut: { direction: "toClient", atByte: 0, how: "end" } });
    return [bytes];
  };
}
