import assert from "node:assert/strict";
import { describe, test } from "#test";
import { disposeAll } from "../../../lib/core/dispose_all.ts";

describe("disposeAll()", () => {
  const order: string[] = [];
  const resource = (name: string, fails = false): Disposable => ({
    [Symbol.dispose]() {
      order.push(name);
      if (fails) throw new Error(name);
    },
  });

  test("releases in the order given, and passes over what was not made", () => {
    order.length = 0;
    disposeAll([]);
    disposeAll([undefined]);
    disposeAll([resource("a"), undefined, resource("b"), resource("c"), undefined]);
    assert.deepEqual(order, ["a", "b", "c"]);
  });

  test("releases the rest when one fails, wherever it stands", () => {
    for (const failing of ["a", "b", "c"]) {
      order.length = 0;
      const all = ["a", "b", "c"].map((name) => resource(name, name === failing));
      assert.throws(() => disposeAll(all), { message: failing });
      assert.deepEqual(order, ["a", "b", "c"], failing);
    }
  });

  test("throws all failures as one, and loses none", () => {
    order.length = 0;
    const thrown: string[] = [];
    try {
      disposeAll([resource("a", true), resource("b"), resource("c", true)]);
    } catch (error) {
      const { error: last, suppressed } = error as SuppressedError;
      thrown.push((last as Error).message, (suppressed as Error).message);
    }
    assert.deepEqual([order, thrown.toSorted()], [["a", "b", "c"], ["a", "c"]]);
  });
});
