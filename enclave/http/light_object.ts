/**
 * Completes a class that stands for one of the runtime's: each member that it does not have itself is asked of the
 * runtime's own object, which is made then. An instance passes for one of the runtime's by `instanceof`.
 *
 * @param light Prototype of the class
 * @param native Prototype of the runtime's class
 * @param nativeOf Makes the runtime's own object
 */
export function standFor<Light extends object>(
  light: Light,
  native: object,
  nativeOf: (self: Light) => object,
): void {
  for (const key of Reflect.ownKeys(native)) {
    if (Object.hasOwn(light, key)) continue;
    const { get, value } = Object.getOwnPropertyDescriptor(native, key) ?? {};
    if (get !== undefined) {
      Object.defineProperty(light, key, {
        configurable: true,
        get(this: Light) {
          return Reflect.get(nativeOf(this), key);
        },
      });
    } else if (typeof value === "function") {
      Object.defineProperty(light, key, {
        configurable: true,
        writable: true,
        value(this: Light, ...args: readonly unknown[]) {
          const own = nativeOf(this);
          return Reflect.apply(Reflect.get(own, key) as () => unknown, own, args);
        },
      });
    }
  }
  Object.setPrototypeOf(light, native);
}
