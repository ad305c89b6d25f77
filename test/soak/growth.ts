import type { Footprint } from "./soak_task.ts";

/**
 * By how much something grew over a run: the median of the slopes between any two measurements (Theil and Sen),
 * times the calls between the first and the last. A slope, so that a cache that is filled once does not count;
 * a median, so that no single measurement decides.
 *
 * @param footprints In order, at least two
 * @param of What
 */
export function growth(footprints: readonly Footprint[], of: (footprint: Footprint) => number): number {
  const slopes = footprints.flatMap((from, index) =>
    footprints.slice(index + 1).map((to) => (of(to) - of(from)) / (to.calls - from.calls))
  );
  return median(slopes) * (footprints.at(-1)!.calls - footprints[0]!.calls);
}

/**
 * What the process holds on to, in bytes: V8's heap after garbage collection, and whatever malloc has handed out,
 * where ArrayBuffers, key pairs and TLS are. Not resident memory: that has holes in it, which come and go.
 */
export function liveBytes({ heapBytes, nativeBytes }: Footprint): number {
  return heapBytes + nativeBytes;
}

/** How far something rose above its first measurement. */
export function rise(footprints: readonly Footprint[], of: (footprint: Footprint) => number): number {
  return Math.max(...footprints.map(of)) - of(footprints[0]!);
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
