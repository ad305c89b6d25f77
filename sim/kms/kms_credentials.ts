import { randomBytes } from "node:crypto";
import { encodeBase64 } from "../../lib/core/encoding.ts";

/** Temporary credentials, as STS hands them out. */
export interface SimulatedCredentials {
  /** `ASIA…`. */
  readonly accessKeyId: string;
  /** 40 characters. */
  readonly secretAccessKey: string;
  /** The session token. */
  readonly sessionToken: string;
}

/** The credentials that the simulated KMS accepts. */
export class CredentialStore {
  readonly #issued = new Map<string, { readonly credentials: SimulatedCredentials; expiresAt: number }>();
  readonly #now: () => number;

  /** @param now The clock, milliseconds since 1970 */
  constructor(now: () => number) {
    this.#now = now;
  }

  /**
   * Issues fresh credentials.
   *
   * @param lifetimeMs Lifetime in milliseconds. Default: an hour
   */
  issue(lifetimeMs = 3_600_000): SimulatedCredentials {
    const credentials = makeCredentials();
    this.accept(credentials, lifetimeMs);
    return credentials;
  }

  /**
   * Accepts credentials that another service issued.
   *
   * @param credentials The credentials
   * @param lifetimeMs Lifetime in milliseconds
   */
  accept(credentials: SimulatedCredentials, lifetimeMs: number): void {
    this.#issued.set(credentials.accessKeyId, { credentials, expiresAt: this.#now() + lifetimeMs });
  }

  /** Lets credentials expire at once. */
  expire({ accessKeyId }: Pick<SimulatedCredentials, "accessKeyId">): void {
    const entry = this.#issued.get(accessKeyId);
    if (entry !== undefined) entry.expiresAt = this.#now();
  }

  /** Forgets credentials. */
  revoke({ accessKeyId }: Pick<SimulatedCredentials, "accessKeyId">): void {
    this.#issued.delete(accessKeyId);
  }

  /** Finds the credentials with this access key id, and whether they have expired. */
  find(accessKeyId: string): { credentials: SimulatedCredentials; expired: boolean } | undefined {
    const entry = this.#issued.get(accessKeyId);
    return entry && { credentials: entry.credentials, expired: entry.expiresAt <= this.#now() };
  }
}

/** Makes credentials that no service knows yet. */
export function makeCredentials(): SimulatedCredentials {
  return {
    accessKeyId: `ASIA${randomLetters(16)}`,
    secretAccessKey: encodeBase64(randomBytes(30)),
    sessionToken: `IQoJb3JpZ2luX2VjE${encodeBase64(randomBytes(180))}`,
  };
}

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

function randomLetters(length: number): string {
  return Array.from(randomBytes(length), (byte) => LETTERS[byte % LETTERS.length]).join("");
}
