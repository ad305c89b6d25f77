import type { Pointer } from "../../ffi/symbols.ts";
import { SdkGenericError } from "../core/errors.ts";
import { Handle } from "./handle.ts";
import { checkSdk, type Sdk } from "./sdk_library.ts";

/** Stand-in for an empty array, which C would see as NULL. It reads no byte of it. */
const NOTHING = new Uint8Array(new ArrayBuffer(1));

/**
 * Immutable string of the C SDK.
 *
 * Corresponds to `aws_string_new_from_array`, `aws_string_destroy` and, for a secret,
 * `aws_string_destroy_secure`.
 */
export class SdkString extends Handle<"aws_string"> {
  /**
   * Copies bytes into a string.
   *
   * @param sdk The library
   * @param allocator Its allocator
   * @param bytes UTF-8 without a NUL; may be empty
   * @param options `secret`: overwrite it with zeros on dispose. `name`: its name, for messages
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
