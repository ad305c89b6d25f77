import type { KnownInput } from "./corpus.ts";
import { CodeCoverage } from "./coverage.ts";
import type { FuzzTarget } from "./target.ts";

/**
 * Keeps the shortest inputs that reach every piece of code and every verdict.
 *
 * @param target Target of the inputs
 * @param inputs None of them a finding
 */
export async function minimise(target: FuzzTarget, inputs: readonly Uint8Array[]): Promise<KnownInput[]> {
  const coverage = new CodeCoverage(target.covers);
  coverage.skip();
  const verdicts = new Set<string>();
  const kept: KnownInput[] = [];
  for (const input of [...inputs].sort((left, right) => left.length - right.length)) {
    const bytes = new Uint8Array(input);
    const verdict = await target.run(bytes.slice());
    const isNew = coverage.take().length > 0;
    if (!isNew && verdicts.has(verdict)) continue;
    verdicts.add(verdict);
    kept.push({ verdict, bytes });
  }
  return kept;
}

/**
 * Takes out of an input what is not needed for it to stay a finding.
 *
 * @param target That it breaks
 * @param input The finding
 * @returns A finding, too, and often much shorter
 */
export async function shrink(target: FuzzTarget, input: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
  let best = new Uint8Array(input);
  for (let size = best.length >> 1; size > 0; size >>= 1) {
    for (let at = 0; at < best.length;) {
      const shorter = new Uint8Array([...best.subarray(0, at), ...best.subarray(at + size)]);
      if (await isFinding(target, shorter)) best = shorter;
      else at += size;
    }
  }
  return best;
}

async function isFinding(target: FuzzTarget, input: Uint8Array<ArrayBuffer>): Promise<boolean> {
  try {
    const verdict = await target.run(input.slice());
    return await target.run(input.slice()) !== verdict;
  } catch {
    return true;
  }
}
