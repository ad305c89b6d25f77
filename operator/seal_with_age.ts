import { Encrypter } from "age-encryption";
import { checkInteger } from "../lib/core/checks.ts";
import { SecretBytes } from "../lib/core/secret_bytes.ts";
import { bytesOfSecret, type SecretInput } from "./secret_input.ts";

/** Greatest length of a secret that is sealed with age: 8 MiB, half of what an enclave ever reads. */
export const MAX_AGE_SECRET_BYTES = 2 ** 23;

/** Most recipients of one file: an enclave reads a short header only. */
const MAX_RECIPIENTS = 16;

/** Recipient of an X25519 key: Bech32 without `1`, `b`, `i` and `o`. */
const RECIPIENT = /^age1[02-9ac-hj-np-z]{58}$/;

/**
 * Encrypts a secret with age. Any of the recipients can open it.
 *
 * Not guaranteed: that no copy is left in this process. age's library keeps the last 64 KiB of what it encrypted until
 * the collector frees them; seal in a process that ends soon after, as the command line does. And age does not say who
 * encrypted: see {@link signSecret}.
 *
 * @param secret 1 byte to 8 MiB; the caller must wipe it
 * @param recipients `age1…` of X25519 keys, 1 to 16
 * @returns The age file, in its binary form
 * @throws {TypeError} When an argument is of a wrong type, or a recipient is none
 * @throws {RangeError} When the secret or the list is empty or too long
 * @example
 * ```ts
 * import { AgeKeyPair, sealWithAge } from "enclave-kms/operator";
 *
 * using keys = await AgeKeyPair.generate();
 * const sealed = await sealWithAge(new TextEncoder().encode("attack at dawn"), [keys.recipient]);
 * new TextDecoder().decode(sealed.subarray(0, 21)); // "age-encryption.org/v1"
 * ```
 */
export async function sealWithAge(
  secret: SecretInput,
  recipients: readonly string[],
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = bytesOfSecret("secret", secret);
  checkInteger("secret.length", bytes.length, { min: 1, max: MAX_AGE_SECRET_BYTES });
  const encrypter = new Encrypter();
  for (const recipient of checkRecipients(recipients)) encrypter.addRecipient(recipient);
  // The caller may wipe theirs at once, and age's stream refers to what it is given.
  using copy = SecretBytes.copyOf(bytes);
  return await encrypter.encrypt(copy.bytes) as Uint8Array<ArrayBuffer>;
}

/**
 * Checks recipients.
 *
 * @param recipients `age1…` of X25519 keys
 * @param max Most of them. Default: 16
 * @returns The same
 * @throws {TypeError} When they are no array, or one of them is no recipient; the message repeats nothing of it
 * @throws {RangeError} When there is none, or more than the most
 */
export function checkRecipients(
  recipients: readonly string[],
  max: number = MAX_RECIPIENTS,
): readonly string[] {
  if (!Array.isArray(recipients)) throw new TypeError("recipients must be an array");
  checkInteger("recipients.length", recipients.length, { min: 1, max });
  for (const [index, recipient] of recipients.entries()) {
    // An identity in the place of a recipient is the likeliest mistake, and must not be repeated.
    if (typeof recipient !== "string" || !RECIPIENT.test(recipient) || !isRecipient(recipient)) {
      throw new TypeError(`recipients[${index}] must be the age1… of an X25519 key`);
    }
  }
  return recipients;
}

/** Lets age's library check the checksum. */
function isRecipient(recipient: string): boolean {
  try {
    new Encrypter().addRecipient(recipient);
    return true;
  } catch {
    return false;
  }
}
