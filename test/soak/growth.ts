import type { Footprint } from "./soak_task.ts";

/**
 * Computes the growth over a run: the median of the slopes between any two measurements (Theil and Sen),
 * times the calls between the first and the last. A cache that is filled once does not change the slope, and
 * no single measurement decides a median.
 *
 * @param footprints In order, at least two
 * @param of Quantity
 */
export function growth(footprints: readonly Footprint[], of: (footprint: Footprint) => number): number {
  const slopes = footprints.flatMap((from, index) =>
    footprints.slice(index + 1).map((to) => (of(to) - of(from)) / (to.calls - from.calls))
  );
  return median(slopes) * (footprints.at(-1)!.calls - footprints[0]!.calls);
}

/**
 * Adds up the memory that the process holds, in bytes: V8's heap after garbage collection, and malloc's,
 * which has ArrayBuffers, key pairs and TLS. Resident memory would not do: its holes come and go.
 */
export function liveBytes({ heapBytes, nativeBytes }: Footprint): number {
  return heapBytes + nativeBytes;
}

/** Computes the greatest rise above the first measurement. */
export function rise(footprints: readonly Footprint[], of: (footprint: Footprint) => number): number {
  return Math.max(...footprints.map(of)) - of(footprints[0]!);
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
