import { SecretError } from "../../lib/core/secret_error.ts";

/** Most bytes of a header: 20 stanzas on X25519 have about 2000. */
export const MAX_AGE_HEADER_BYTES = 8192;

/** Most recipients of a file. Each costs an agreement on X25519, about a millisecond. */
export const MAX_AGE_STANZAS = 20;

const VERSION = new TextEncoder().encode("age-encryption.org/v1\n");
const [LINE_FEED, DASH, GREATER, SPACE] = [0x0a, 0x2d, 0x3e, 0x20];

/**
 * Checks the size of an age file's header before the library parses it, which takes 0.8 s for one of 1000 stanzas. The
 * format itself is the library's to check.
 *
 * @param file The file, not armored
 * @returns Length of the header, in bytes
 * @throws {SecretError} With the fault `OPEN`, when it does not begin as one, its header does not end within
 *   {@link MAX_AGE_HEADER_BYTES}, or it has no stanza or more than {@link MAX_AGE_STANZAS}
 */
export function checkAgeHeader(file: Uint8Array): number {
  if (VERSION.some((byte, i) => file[i] !== byte)) throw refused("it is no age file");
  const limit = Math.min(file.length, MAX_AGE_HEADER_BYTES);
  let stanzas = 0;
  for (let start = VERSION.length; start < limit;) {
    const feed = file.indexOf(LINE_FEED, start);
    const end = feed === -1 || feed >= limit ? limit : feed;
    if (file[start] === DASH && file[start + 1] === DASH) {
      if (end === limit) break;
      if (stanzas === 0) throw refused("its header names no recipient");
      return end + 1;
    }
    const isStanza = file[start] === DASH && file[start + 1] === GREATER && file[start + 2] === SPACE;
    if (isStanza && ++stanzas > MAX_AGE_STANZAS) {
      throw refused(`its header names more than ${MAX_AGE_STANZAS} recipients`);
    }
    start = end + 1;
  }
  throw refused(`its header does not end within ${MAX_AGE_HEADER_BYTES} bytes`);
}

function refused(why: string): SecretError {
  return new SecretError("OPEN", `Cannot decrypt age file: ${why}`, {
    hint: "Was it encrypted with age, to the enclave's recipient alone, and not cut off?",
  });
}
