import { toHex } from "../../lib/core/bytes.ts";
import { disposeAll } from "../../lib/core/dispose_all.ts";
import { SecretBytes } from "../../lib/core/secret_bytes.ts";
import { joinShares } from "../../lib/wire/key_shares.ts";
import { parseSecretShares, type SecretShare } from "../../lib/wire/secret_shares.ts";
import { joinStatements } from "../../lib/wire/secret_measurement.ts";
import type { SecretStatement } from "../../lib/wire/signed_secret.ts";
import type { SharesSource } from "./declarations.ts";
import { refused } from "./open_secret.ts";

/** Splits whose shares are kept at once: one more pushes out the oldest. */
const MAX_SPLITS = 4;

/** Declaration, as far as shares need it. */
export interface SharesPins {
  readonly name: string;
  readonly source: Pick<SharesSource, "threshold"> & { readonly sha256: Uint8Array };
}

/** Secret that shares gave. */
export interface JoinedSecret {
  /** The secret, for the caller to dispose. */
  readonly secret: SecretBytes;
  /** Statement about the files that it was made of, see {@link joinStatements}. */
  readonly statement: SecretStatement;
}

/** Shares of one split, by coordinate, and the statements about their files, by hash. */
interface Split {
  readonly shares: Map<number, SecretBytes>;
  readonly statements: Map<string, SecretStatement>;
}

/**
 * Collector of the shares of one secret, which may come in several files. Shares are kept by the random id of their
 * split, which is sealed with them: whoever puts in shares of their own without knowing it spoils no others.
 */
export class ShareCollector implements Disposable {
  readonly #pins: SharesPins;
  readonly #splits = new Map<string, Split>();

  /** @param pins Name, threshold and the secret's hash */
  constructor(pins: SharesPins) {
    this.#pins = pins;
  }

  /**
   * Takes the shares of one file. As soon as there are enough of one split they are joined, and wiped.
   *
   * @param file Shares in clear; copied
   * @param statement Statement about the sealed file
   * @returns The secret; undefined while there are too few shares
   * @throws {SecretError} With the fault `FRAME` when they are malformed, `OPEN` when they are of another threshold or no
   *   shares at all, and `HASH` when they give another secret: all of that split are dropped then
   * @throws {LibraryLoadError} When the optional package shamir-secret-sharing is not installed
   */
  async take(file: Uint8Array, statement: SecretStatement): Promise<JoinedSecret | undefined> {
    const { threshold, sha256 } = this.#pins.source;
    const shares = parseSecretShares(file);
    if (shares.some((share) => share.threshold !== threshold)) {
      throw refused("OPEN", this.#pins, "its shares are of another threshold", {
        hint: "Were they split anew?",
      });
    }
    const ids = new Set(shares.map((share) => this.#keep(share, statement)));
    for (const id of ids) {
      const split = this.#splits.get(id);
      if (split === undefined || split.shares.size < threshold) continue;
      try {
        const kept = [...split.shares.values()].slice(0, threshold);
        const secret = await joinShares(kept.map(({ bytes }) => bytes), sha256);
        return { secret, statement: await joinStatements([...split.statements.values()]) };
      } finally {
        this.#drop(id);
      }
    }
    return undefined;
  }

  /** Wipes all shares. */
  [Symbol.dispose](): void {
    for (const id of [...this.#splits.keys()]) this.#drop(id);
  }

  /** Keeps a share by its coordinate, its last byte; one that comes again takes the place of the first. */
  #keep({ splitId, share }: SecretShare, statement: SecretStatement): string {
    const id = toHex(splitId);
    const split = this.#splits.get(id) ?? { shares: new Map(), statements: new Map() };
    this.#splits.delete(id);
    this.#splits.set(id, split);
    const [oldest] = this.#splits.keys();
    if (this.#splits.size > MAX_SPLITS && oldest !== undefined) this.#drop(oldest);
    const coordinate = share[share.length - 1]!;
    split.shares.get(coordinate)?.[Symbol.dispose]();
    split.shares.set(coordinate, SecretBytes.copyOf(share));
    split.statements.set(toHex(statement.sha256), statement);
    return id;
  }

  #drop(id: string): void {
    const split = this.#splits.get(id);
    this.#splits.delete(id);
    disposeAll([...split?.shares.values() ?? []]);
  }
}
