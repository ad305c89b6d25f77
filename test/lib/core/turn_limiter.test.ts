import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { setImmediate, setTimeout } from "node:timers";
import { TurnLimiter } from "../../../lib/core/turn_limiter.ts";
import { describe, test } from "#test";

const COUNT = 16;

/** Says which turn of the event loop it is. */
function countTurns(): { now(): number } & Disposable {
  let turn = 0;
  let isOver = false;
  const tick = () => {
    turn++;
    if (!isOver) setImmediate(tick);
  };
  setImmediate(tick);
  return {
    now: () => turn,
    [Symbol.dispose]: () => isOver = true,
  };
}

/** Counts how often a byte goes to an echo server and back. */
async function countEchoes(): Promise<{ now(): number } & Disposable> {
  const server = createServer((socket) => socket.on("error", () => {}).pipe(socket));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const socket = connect(typeof address === "object" ? address?.port ?? 0 : 0, "127.0.0.1");
  let count = 0;
  socket.on("error", () => {});
  socket.on("data", () => {
    count++;
    socket.write("x");
  });
  socket.write("x");
  await once(socket, "data");
  return {
    now: () => count,
    [Symbol.dispose]() {
      socket.destroy();
      server.close();
    },
  };
}

describe("TurnLimiter", () => {
  test("who comes first does not wait for a turn", async () => {
    using turns = countTurns();
    await new TurnLimiter().take();
    assert.equal(turns.now(), 0);
  });

  test("of many at once, each gets a turn of its own, in order", async () => {
    using turns = countTurns();
    const limiter = new TurnLimiter();
    const taken: { readonly index: number; readonly turn: number }[] = [];
    await Promise.all(Array.from({ length: COUNT }, async (_, index) => {
      await limiter.take();
      taken.push({ index, turn: turns.now() });
    }));
    assert.deepEqual(taken.map(({ index }) => index), Array.from({ length: COUNT }, (_, index) => index));
    assert.equal(new Set(taken.map(({ turn }) => turn)).size, COUNT);
  });

  test("as many begin in a turn as it is told, in order", async () => {
    using turns = countTurns();
    const limiter = new TurnLimiter(4);
    const taken: { readonly index: number; readonly turn: number }[] = [];
    await Promise.all(Array.from({ length: COUNT }, async (_, index) => {
      await limiter.take();
      taken.push({ index, turn: turns.now() });
    }));
    assert.deepEqual(taken.map(({ index }) => index), Array.from({ length: COUNT }, (_, index) => index));
    assert.equal(new Set(taken.map(({ turn }) => turn)).size, COUNT / 4);
  });

  test("what is over when its turn comes takes none", async () => {
    using turns = countTurns();
    const limiter = new TurnLimiter();
    await limiter.take();
    let isOver = false;
    const over = Array.from({ length: COUNT }, () => limiter.take(() => isOver));
    const last = limiter.take(() => false);
    isOver = true;
    const before = turns.now();
    await Promise.all([...over, last]);
    assert.ok(turns.now() - before < COUNT / 2, `${turns.now() - before} turns`);
  });

  test("two loops take turns, however much one has to do", async () => {
    const limiter = new TurnLimiter();
    const order: string[] = [];
    const loop = async (name: string, pieces: number) => {
      for (let piece = 0; piece < pieces; piece++) {
        await limiter.take();
        order.push(name);
      }
    };
    await Promise.all([loop("a", 200), loop("b", 5)]);
    assert.equal(order.slice(0, 10).join(""), "ababababab");
  });

  test("timers fire in between", async () => {
    const limiter = new TurnLimiter();
    let fired = 0;
    let done = false;
    const again = () => {
      fired++;
      if (!done) setTimeout(again, 0);
    };
    setTimeout(again, 0);
    await Promise.all(Array.from({ length: COUNT }, async () => {
      await limiter.take();
      const end = performance.now() + 3;
      while (performance.now() < end);
    }));
    done = true;
    assert.ok(fired >= COUNT / 2, `${fired} timers in ${COUNT} turns`);
  });

  test("other connections get their turn in between", async () => {
    using echoes = await countEchoes();
    const limiter = new TurnLimiter();
    const before = echoes.now();
    for (let turn = 0; turn < 400; turn++) await limiter.take();
    const count = echoes.now() - before;
    // There and back takes two turns on Node.js, and on Deno two of those that wait for a timer. In a loop of
    // immediates alone it is 3 on Deno.
    assert.ok(count >= 40, `${count} echoes in 400 turns`);
  });

  test("when all have had theirs, the next does not wait", async () => {
    const limiter = new TurnLimiter();
    await Promise.all([limiter.take(), limiter.take()]);
    await new Promise((resolve) => setImmediate(() => setImmediate(() => setImmediate(resolve))));
    using turns = countTurns();
    await limiter.take();
    assert.equal(turns.now(), 0);
  });
});
