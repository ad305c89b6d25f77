/**
 * Disposes each of several resources, in the order given. One failing release never stops the rest.
 *
 * @param resources Resources; undefined stands for one that was not made
 * @throws {unknown} When a release threw, after all of them: its error, or a `SuppressedError`, as `using` makes it,
 *   when several did
 */
export function disposeAll([first, ...rest]: readonly (Disposable | undefined)[]): void {
  if (rest.length === 0) return first?.[Symbol.dispose]();
  using _rest = { [Symbol.dispose]: () => disposeAll(rest) };
  using _first = first;
}
