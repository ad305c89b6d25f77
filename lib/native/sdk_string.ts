import type { Pointer } from "../../ffi/symbols.ts";
import { SdkGenericError } from "../core/errors.ts";
import { Handle } from "./handle.ts";
import { checkSdk, type Sdk } from "./sdk_library.ts";

/** C must not be handed an empty array: it would see NULL. One byte, of which it reads none, stands in. */
const NOTHING = new Uint8Array(new ArrayBuffer(1));

/**
 * An immutable string of the C SDK.
 *
 * Corresponds to `aws_string_new_from_array`, `aws_string_destroy` and, for a secret,
 * `aws_string_destroy_secure`.
 */
export class SdkString extends Handle<"aws_string"> {
  /**
   * @param sdk The library
   * @param allocator Its allocator
   * @param bytes UTF-8 without a NUL; copied. May be empty
   * @param options `secret`: overwrite it with zeros on dispose. `name`: what it is, for messages
   * @throws {SdkGenericError} When C has no memory
   */
  static create(
    sdk: Sdk,
    allocator: Pointer<"aws_allocator">,
    bytes: Uint8Array<ArrayBuffer>,
    options: { secret?: boolean; name: string },
  ): SdkString {
    const source = bytes.length === 0 ? NOTHING : bytes;
    const pointer = sdk.call.aws_string_new_from_array(allocator, source, bytes.length);
    const created = checkSdk(sdk, pointer, SdkGenericError, {
      action: `copy the ${options.name} into C memory`,
      cFunction: "aws_string_new_from_array",
      hint: "Is the enclave out of memory?",
    });
    const release = options.secret ? sdk.call.aws_string_destroy_secure : sdk.call.aws_string_destroy;
    return new SdkString("SdkString", created, release);
  }
}
