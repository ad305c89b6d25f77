import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** Finds V8's garbage collector: a call collects all garbage. */
export function garbageCollector(): () => void {
  setFlagsFromString("--expose-gc");
  return runInNewContext("gc") as () => void;
}
