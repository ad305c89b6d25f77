import { Buffer } from "node:buffer";

/**
 * Sees every buffer that is filled with zeros, until it is disposed.
 *
 * @param seen Gets each, before it is filled
 */
export function spyOnFill(seen: (bytes: Uint8Array) => void): Disposable {
  const prototypes: { fill: (value: number) => Uint8Array }[] = [Uint8Array.prototype, Buffer.prototype];
  const fills = prototypes.map(({ fill }) => fill);
  for (const [index, prototype] of prototypes.entries()) {
    prototype.fill = function (this: Uint8Array, value) {
      if (value === 0) seen(this);
      return fills[index]!.call(this, value);
    };
  }
  const restore = () => prototypes.forEach((prototype, index) => prototype.fill = fills[index]!);
  return { [Symbol.dispose]: restore };
}
