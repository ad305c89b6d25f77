/** Greatest C `int`: OpenSSL takes lengths as one. */
const MAX_INT = 2 ** 31 - 1;

/**
 * Refuses what C would read wrongly or in part.
 *
 * @param name Name of the argument, for messages
 * @param bytes Argument that may be empty
 * @throws {TypeError} When it is no Uint8Array over an ArrayBuffer
 * @throws {RangeError} When it has more than 2^31 - 1 bytes
 */
export function checkInput(name: string, bytes: Uint8Array<ArrayBuffer>): void {
  if (!(bytes instanceof Uint8Array) || !(bytes.buffer instanceof ArrayBuffer)) {
    throw new TypeError(`${name} must be a Uint8Array over an ArrayBuffer`);
  }
  if (bytes.length > MAX_INT) throw new RangeError(`${name} must have at most ${MAX_INT} bytes`);
}

/**
 * Refuses bytes of another length than the one that C reads or writes.
 *
 * @param name Name of the argument, for messages
 * @param bytes The argument
 * @param length Length in bytes
 * @throws {TypeError} When it is no Uint8Array over an ArrayBuffer
 * @throws {RangeError} When its length is another
 */
export function checkLength(name: string, bytes: Uint8Array<ArrayBuffer>, length: number): void {
  checkInput(name, bytes);
  if (bytes.length !== length) throw new RangeError(`${name} must have ${length} bytes, not ${bytes.length}`);
}

/**
 * Refuses output that C cannot write to: of another length than its input, or over a part of it.
 *
 * @param name Name of the output, for messages
 * @param output Memory of the input's length or, if `orMore`, of more
 * @param input Checked bytes that C reads; they may lie exactly where the output does
 * @throws {TypeError} When one is no Uint8Array over an ArrayBuffer
 * @throws {RangeError} When the length is another, or the two overlap in part
 */
export function checkOutput(
  name: string,
  output: Uint8Array<ArrayBuffer>,
  input: Uint8Array<ArrayBuffer>,
  { orMore = false }: { readonly orMore?: boolean } = {},
): void {
  checkInput(name, output);
  if (output.length < input.length || !orMore && output.length > input.length) {
    throw new RangeError(
      `${name} must have ${orMore ? "at least " : ""}${input.length} bytes, not ${output.length}`,
    );
  }
  const distance = Math.abs(output.byteOffset - input.byteOffset);
  if (output.buffer === input.buffer && distance > 0 && distance < input.length) {
    throw new RangeError(`${name} must not overlap with a part of what it is made from`);
  }
}
