import assert from "node:assert/strict";
import { once } from "node:events";
import { PassThrough } from "node:stream";
import { describe, test } from "#test";
import { IdleConnections } from "../../../lib/transport/idle_connections.ts";

/** So many connections, and what names them. */
function connections(count: number) {
  const idle = new IdleConnections();
  const streams = Array.from({ length: count }, () => new PassThrough({ autoDestroy: false }));
  for (const stream of streams) idle.add(stream);
  const ends = () => {
    const order: number[] = [];
    for (let next = idle.giveWay(); next !== undefined; next = idle.giveWay()) {
      order.push(streams.indexOf(next as PassThrough));
    }
    return order;
  };
  const stream = (index: number) => streams[index] ?? new PassThrough();
  const answer = (index: number) => idle.begin(stream(index))[Symbol.dispose]();
  return { idle, stream, answer, ends };
}

describe("IdleConnections", () => {
  test("those without a complete request give way first, the oldest first, then those idle longest", () => {
    const { answer, ends } = connections(6);
    for (const index of [4, 1, 3]) answer(index);
    assert.deepEqual(ends(), [0, 2, 5, 4, 1, 3]);
  });

  test("a request in flight never gives way, nor do pipelined ones until the last is answered", () => {
    const { idle, stream, ends } = connections(3);
    const inFlight = [idle.begin(stream(0)), idle.begin(stream(0)), idle.begin(stream(1))];
    assert.deepEqual(ends(), [2]);
    inFlight[0]?.[Symbol.dispose]();
    assert.deepEqual(ends(), []);
    inFlight[2]?.[Symbol.dispose]();
    inFlight[1]?.[Symbol.dispose]();
    assert.deepEqual(ends(), [1, 0]);
  });

  test("a peer that may be gone gives way last, though its request is in flight: the first in doubt first", async () => {
    const { idle, stream, answer, ends } = connections(6);
    const [untaken, , ended] = [idle.begin(stream(0)), idle.begin(stream(1)), idle.begin(stream(2))];
    const pipelined = [idle.begin(stream(3)), idle.begin(stream(3))];
    answer(4);
    stream(2).resume().end();
    await once(stream(2), "end");
    untaken.answer();
    untaken.answer();
    pipelined[0]?.answer();
    assert.deepEqual(ends(), [5, 4, 2, 0], "neither 1, nor 3 while one of its requests has no answer");
    pipelined[1]?.answer();
    assert.deepEqual(ends(), [3]);
    ended[Symbol.dispose]();
    assert.deepEqual(ends(), []);
  });

  test("answered for good, a connection is in no doubt any more", () => {
    const { idle, stream, ends } = connections(1);
    const inFlight = idle.begin(stream(0));
    inFlight.answer();
    inFlight[Symbol.dispose]();
    idle.begin(stream(0));
    assert.deepEqual(ends(), []);
  });

  test("peers that may be gone give way before the last new connections", () => {
    const { idle, stream } = connections(32);
    for (let index = 0; index < 31; index++) idle.begin(stream(index)).answer();
    assert.deepEqual([idle.giveWay(), idle.giveWay()], [stream(0), stream(1)]);
  });

  test("what turned out to be no request leaves a connection among those that sent none", () => {
    const { idle, stream, answer, ends } = connections(3);
    answer(1);
    {
      using inFlight = idle.begin(stream(0));
      inFlight.isRequest = false;
    }
    assert.deepEqual(ends(), [2, 0, 1]);
  });

  test("an answer makes a connection the youngest again", () => {
    const { answer, ends } = connections(3);
    for (const index of [0, 1, 2, 0]) answer(index);
    assert.deepEqual(ends(), [1, 2, 0]);
  });

  test("a sixteenth of the places stay with new connections while answered ones can give way", () => {
    const { idle, answer, stream } = connections(32);
    for (let index = 0; index < 30; index++) answer(index);
    const chosen = [idle.giveWay(), idle.giveWay()];
    // Of 31 connections a sixteenth is one: now the older of the two new ones is too many.
    assert.deepEqual(chosen, [stream(0), stream(30)]);
    assert.equal(idle.giveWay(), stream(1));
  });

  test("what has closed, or was chosen, is not chosen again, even when it is answered afterwards", async () => {
    const { idle, stream, ends } = connections(2);
    const inFlight = idle.begin(stream(0));
    const closed = new Promise((resolve) => stream(0).once("close", resolve));
    stream(0).destroy();
    await closed;
    inFlight[Symbol.dispose]();
    assert.deepEqual(ends(), [1]);
    idle.begin(stream(1))[Symbol.dispose]();
    assert.deepEqual(ends(), []);
  });
});
