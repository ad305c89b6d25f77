import { createHash } from "node:crypto";

/** Most tokens that are remembered, each by its SHA-256. */
const MAX_TOKENS = 4096;

/**
 * Memory of the tokens whose signature was verified: callers send one token with many requests, and a signature costs
 * more than the rest of a request. Time and claims are judged anew each time.
 */
export class VerifiedTokens {
  readonly #digests = new Set<string>();

  /**
   * Verifies a signature, unless it was verified before.
   *
   * @param text Token to the last character
   * @param verify Verifies its signature; throws when it is wrong, which is not remembered
   */
  async verifyOnce(text: string, verify: () => Promise<unknown>): Promise<void> {
    const digest = createHash("sha256").update(text).digest("base64");
    if (!this.#digests.delete(digest)) await verify();
    // Whoever was asked for longest ago is forgotten first.
    this.#digests.add(digest);
    for (const oldest of this.#digests) {
      if (this.#digests.size <= MAX_TOKENS) break;
      this.#digests.delete(oldest);
    }
  }
}
