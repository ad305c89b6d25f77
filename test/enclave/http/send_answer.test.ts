import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { Duplex } from "node:stream";
import { setTimeout } from "node:timers/promises";
import { describe, test } from "#test";
import { AnswerWriter } from "../../../enclave/http/answer_writer.ts";
import { useLightClasses } from "../../../enclave/http/light_response.ts";
import { type AnswerTarget, sendAnswer } from "../../../enclave/http/send_answer.ts";

const SECRET = "attack at dawn";

describe("sendAnswer()", () => {
  test("wipes a chunk that comes when the caller is gone", async () => {
    const { chunk, answer, goOn } = lateAnswer();
    const { stream, writer } = target();
    const sending = sendAnswer(answer, { writer, isLast: false });
    await setTimeout(5);
    stream.destroy();
    goOn();
    await sending;
    assert.deepEqual(chunk, new Uint8Array(SECRET.length));
  });

  test("wipes what came before a body that fails", async () => {
    const chunk = new TextEncoder().encode(SECRET);
    let reads = 0;
    const body = new ReadableStream({
      pull(controller) {
        if (reads++ > 0) throw new Error("the source failed");
        controller.enqueue(chunk);
      },
    }, { highWaterMark: 0 });
    const sending = sendAnswer(new Response(body), { writer: target().writer, isLast: false });
    await assert.rejects(sending, /the source failed/);
    assert.deepEqual(chunk, new Uint8Array(SECRET.length));
  });

  test("wipes the chunk that was asked for ahead when the answer breaks off before it", async () => {
    for (const isGone of [true, false]) {
      const secret = new TextEncoder().encode(SECRET);
      const body = new ReadableStream({
        start(controller) {
          controller.enqueue(new Uint8Array(70_000));
          controller.enqueue(secret);
          controller.close();
        },
      });
      const { stream, writer } = target();
      if (isGone) stream.destroy();
      const sending = sendAnswer(new Response(body, { headers: { "content-length": "5" } }), {
        writer,
        isLast: false,
      });
      if (isGone) await sending;
      else await assert.rejects(sending, /longer/);
      await setTimeout(1);
      assert.deepEqual(secret, new Uint8Array(SECRET.length), String(isGone));
    }
  });

  test("sends no answer that is not final, and no chunks but bytes", async () => {
    const { stream, writer } = target();
    await assert.rejects(sendAnswer(Response.error(), { writer, isLast: false }), RangeError);
    for (const chunk of ["text", new Uint16Array([0x4141, 0x4242]), new ArrayBuffer(3)]) {
      const cancelled = Promise.withResolvers<void>();
      const body = new ReadableStream({
        start: (controller) => controller.enqueue(chunk),
        cancel: () => cancelled.resolve(),
      });
      await assert.rejects(sendAnswer(new Response(body), { writer, isLast: false }), TypeError);
      await cancelled.promise;
    }
    assert.deepEqual(stream.written, []);
  });

  for (const isLight of [true, false]) {
    const kind = isLight ? "a light answer" : "one of the runtime's";

    test(`sends ${kind} with its length in bytes, and headers that it lacks`, async () => {
      using _light = isLight ? useLightClasses() : undefined;
      const answer = new Response("größer", {
        status: 201,
        headers: { "x-one": "1", "cache-control": "private" },
      });
      const addedLines = ["x-request-id", "7", "cache-control", "no-store"];
      const { isLast, lines, head, body } = await sent(answer, { addedLines });
      assert.equal(head.split("\r\n")[0], "HTTP/1.1 201 Created");
      assert.equal(lines.filter((line) => line.startsWith("date: ")).length, 1);
      assert.deepEqual(lines.filter((line) => !line.startsWith("date: ")).toSorted(), [
        "cache-control: private",
        "content-length: 8",
        `content-type: ${new Response("").headers.get("content-type")}`,
        "x-one: 1",
        "x-request-id: 7",
      ]);
      assert.deepEqual([isLast, body], [false, "gr\u00c3\u00b6\u00c3\u009fer"]);
    });

    test(`sends no body of ${kind} where there may be none, and no framing of the application's`, async () => {
      using _light = isLight ? useLightClasses() : undefined;
      for (const status of [204, 304]) {
        const { lines, body } = await sent(
          new Response(null, { status, headers: { "content-length": "9" } }),
        );
        assert.deepEqual([lines.filter((line) => line.startsWith("content-length")), body], [[], ""]);
      }
      const headers = { "content-length": "9", "transfer-encoding": "chunked", "connection": "close" };
      const ended = await sent(new Response("text", { headers }));
      assert.deepEqual([ended.isLast, ended.body], [true, "text"]);
      assert.ok(ended.lines.includes("content-length: 4") && ended.lines.includes("connection: close"));
      assert.doesNotMatch(ended.head, /transfer-encoding|content-length: 9/);
      const head = await sent(new Response(null, { headers: { "content-length": "9" } }), { isHead: true });
      assert.ok(head.lines.includes("content-length: 9"));
      const text = await sent(new Response("text"), { isHead: true });
      assert.deepEqual([text.lines.includes("content-length: 4"), text.body], [true, ""]);
    });
  }

  test("sends what comes over time in chunks, by the length it says, or to the end for HTTP/1.0", async () => {
    const late = (headers: Record<string, string> = {}) =>
      new Response(
        new ReadableStream({
          async pull(controller) {
            await setTimeout(1);
            controller.enqueue(new TextEncoder().encode("later"));
            controller.close();
          },
        }),
        { headers },
      );
    const chunked = await sent(late());
    assert.ok(chunked.lines.includes("transfer-encoding: chunked"));
    assert.equal(chunked.body, "5\r\nlater\r\n0");
    const known = await sent(late({ "content-length": "5" }));
    assert.deepEqual([known.lines.includes("content-length: 5"), known.body], [true, "later"]);
    const old = await sent(late(), { isOld: true, isLast: true });
    assert.doesNotMatch(old.head, /transfer-encoding|content-length/);
    assert.deepEqual([old.isLast, old.body], [true, "later"]);
    for (const length of ["4", "6"]) {
      await assert.rejects(
        sent(late({ "content-length": length })),
        /^Error: The body is (?:longer|shorter)$/,
      );
    }
  });
});

/** Keeps copies of what is written. */
class Peer extends Duplex {
  readonly written: Buffer[] = [];

  override _read(): void {}

  override _write(chunk: Uint8Array, _encoding: string, done: () => void): void {
    this.written.push(Buffer.from(chunk));
    done();
  }
}

function target() {
  const stream = new Peer();
  const writer = new AnswerWriter(stream);
  stream.once("close", () => writer.close());
  return { stream, writer };
}

/** Sends an answer, and reads what came of it. */
async function sent(answer: Response, options: Partial<AnswerTarget> = {}) {
  const { stream, writer } = target();
  const isLast = await sendAnswer(answer, { writer, isLast: false, ...options });
  const text = Buffer.concat(stream.written).toString("latin1");
  const [head = "", body = ""] = text.split("\r\n\r\n", 2);
  return { isLast, head, body, lines: head.split("\r\n").slice(1) };
}

/** An answer whose one chunk comes when it is told to, and is not asked to be cancelled before. */
function lateAnswer() {
  const chunk = new TextEncoder().encode(SECRET);
  const { promise, resolve: goOn } = Promise.withResolvers<void>();
  const read = async () => {
    await promise;
    return { done: false, value: chunk };
  };
  const reader = { read, cancel: () => Promise.resolve() };
  const answer = { status: 200, headers: new Headers(), body: { getReader: () => reader } };
  return { chunk, goOn, answer: answer as unknown as Response };
}
