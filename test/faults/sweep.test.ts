import assert from "node:assert/strict";
import process from "node:process";
import { afterAll, beforeAll, describe, test } from "#test";
import { KmsClient } from "../../mod.ts";
import { type Enclave, ENGINE_CASES, type EngineCase, startEnclave } from "../support/engines.ts";
import {
  type Direction,
  Relay,
  type RelayRecording,
  splitRecords,
  type TlsRecord,
} from "../support/relay.ts";
import { shareOf } from "../support/share.ts";
import { shareKeyOfDouble } from "../support/sdk_double.ts";

/**
 * Every run resets the connection at every byte of a request and its answer, with one engine, and at every
 * 16th of the handshake before. SLOW=1 does so at every byte, with every engine and with an attestation
 * document.
 */
const isSlow = process.env["SLOW"] === "1";
const HANDSHAKE_STEP = isSlow ? 1 : 16;
const cases = ENGINE_CASES.filter(({ skip }) => !skip).slice(0, isSlow ? undefined : 1);

/** A signature in the handshake may be a few bytes shorter or longer. */
const SLACK_BYTES = 8;

/** Everything that belongs to a request or an answer is in records of this length, and little else is. */
const MIN_REQUEST_BYTES = 150;
const MIN_ANSWER_BYTES = 400;

const SWEEP_TIMEOUT_MS = isSlow ? 3_600_000 : 600_000;

shareKeyOfDouble();

for (const engineCase of cases) {
  describe(`resets at every byte, engine ${engineCase.label}`, () => suite(engineCase));
}

function suite(engineCase: EngineCase): void {
  let enclave: Enclave;
  let relay: Relay;
  let client: KmsClient;
  let keyId: string;
  let ciphertext: Uint8Array;

  beforeAll(async () => {
    enclave = await startEnclave();
    relay = await Relay.start(enclave.simulator.endpoint);
    keyId = (await enclave.simulator.createKey()).arn;
    ciphertext = await enclave.simulator.encrypt({ keyId, plaintext: "hello" });
    client = await KmsClient.open({
      ...enclave.optionsFor(engineCase),
      endpoint: relay.endpoint,
      maxAttempts: 1,
      timeoutMs: 60_000,
    });
  });
  afterAll(async () => {
    await client.close();
    await relay[Symbol.asyncDispose]();
    await enclave[Symbol.asyncDispose]();
  });

  /** Asks for a decrypt. Slow runs cut the document too, which makes the request ten times longer. */
  async function ask(): Promise<void> {
    if (isSlow) (await client.decrypt({ ciphertext }))[Symbol.dispose]();
    else await client.encrypt({ keyId, plaintext: new Uint8Array(5) });
  }

  /** Records a whole exchange over a new connection. */
  async function record(): Promise<RelayRecording> {
    relay.clear();
    await relay.breakOpen();
    await ask();
    return relay.recordings.at(-1)!;
  }

  for (const direction of ["toServer", "toClient"] as const) {
    test(`${direction === "toServer" ? "of the request" : "of the answer"}`, async () => {
      const { [direction]: bytes } = await record();
      const message = boundsOfMessage(bytes, direction);
      const { start } = message;
      assert.ok(
        start > 100 && message.end - start > 400,
        `${start} to ${message.end} of ${bytes.length} bytes`,
      );
      const end = message.end - SLACK_BYTES;
      const boundaries = shareOf([
        ...range(0, start, HANDSHAKE_STEP),
        ...range(start, end, 1),
      ]);
      const outcomes = await sweep(direction, boundaries, engineCase.speaksHttps ? 16 : 1);
      const expected = engineCase.speaksHttps ? /^ERR_CONNECTION$/ : /^ERR_SDK_KMS_(CLIENT|DECRYPT)$/;
      for (const outcome of outcomes) assert.match(outcome, expected);

      // Where the last byte may have gone through, the answer may have come.
      const last = await sweep(direction, range(end, bytes.length + SLACK_BYTES, 1), 1);
      for (const outcome of last.filter((each) => each !== "answered")) assert.match(outcome, expected);
      if (direction === "toClient") assert.equal(last.at(-1), "answered");
      await record();
    }, SWEEP_TIMEOUT_MS);
  }

  /** Cuts each call at its number of bytes, on a connection of its own, and collects the outcomes. */
  async function sweep(
    direction: Direction,
    boundaries: readonly number[],
    atOnce: number,
  ): Promise<readonly string[]> {
    await relay.breakOpen();
    let connected = 0;
    const outcomes: string[] = [];
    relay.planForEach(() => ({ cut: { direction, atByte: boundaries[connected++] ?? 0, how: "reset" } }));
    let asked = 0;
    const outcomeOf = () => ask().then(() => "answered", (error) => (error as { code: string }).code);
    const worker = async () => {
      while (asked++ < boundaries.length) {
        // An answer that came leaves a connection behind.
        if (atOnce === 1) await relay.breakOpen();
        const before = connected;
        let outcome = await outcomeOf();
        // On a busy machine a call may meet it all the same, before the client has noticed that it is broken.
        while (atOnce === 1 && connected === before) outcome = await outcomeOf();
        outcomes.push(outcome);
      }
    };
    await Promise.all(Array.from({ length: atOnce }, worker));
    while (connected < boundaries.length) outcomes.push(await outcomeOf());
    relay.clear();
    assert.equal(connected, boundaries.length);
    assert.ok(outcomes.length >= boundaries.length);
    return outcomes;
  }
}

/**
 * Finds the ends of the TLS records of the request or the answer. The C client sends close_notify after its
 * request.
 */
function boundsOfMessage(bytes: Uint8Array, direction: Direction): { start: number; end: number } {
  const records = splitRecords(bytes);
  const isOfRequest = ({ type, bytes }: TlsRecord) => type === 23 && bytes.length >= MIN_REQUEST_BYTES;
  const isOfAnswer = ({ bytes }: TlsRecord) => bytes.length >= MIN_ANSWER_BYTES;
  const first = direction === "toServer" ? records.findIndex(isOfRequest) : records.findLastIndex(isOfAnswer);
  const last = direction === "toServer" ? records.findLastIndex(isOfRequest) : records.length - 1;
  const lengthOf = (count: number) =>
    records.slice(0, count).reduce((offset, { bytes }) => offset + bytes.length, 0);
  return { start: lengthOf(first), end: lengthOf(last + 1) };
}

function range(from: number, to: number, step: number): number[] {
  return Array.from(
    { length: Math.max(0, Math.ceil((to - from) / step)) },
    (_, index) => from + index * step,
  );
}
