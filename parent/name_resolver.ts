import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { Deadline } from "../lib/core/deadline.ts";
import { ConnectionError } from "../lib/core/errors.ts";
import { usableAddresses } from "./name_addresses.ts";

/** IP version to connect over; `any` leaves it to the order in which the system gives addresses. */
export type IpFamily = "any" | "ipv4" | "ipv6";

/** All of {@link IpFamily}. */
export const IP_FAMILIES: readonly IpFamily[] = ["any", "ipv4", "ipv6"];

/** Function that finds the addresses of a name; tests have their own. */
export type Lookup = (name: string, family: IpFamily) => Promise<readonly string[]>;

/** Questions of a {@link NameResolver}, and the answers that it takes. */
export interface ResolverOptions {
  /** IP version of the addresses. Default: `any`. */
  readonly family?: IpFamily | undefined;
  /** Finds addresses. Default: the system's resolver. */
  readonly lookup?: Lookup | undefined;
  /** Whether every name may lead to this machine, as on a laptop. Default: `localhost` only. */
  readonly allowsLoopback?: boolean | undefined;
  /** Times, in milliseconds; tests have shorter ones. */
  readonly times?: ResolverTimes | undefined;
}

/** Times of a {@link NameResolver}, in milliseconds. */
export interface ResolverTimes {
  /** Time for which an answer is not asked for again. */
  readonly freshMs: number;
  /** Longest wait for an answer; the last good one counts after that. */
  readonly timeoutMs: number;
}

const DEFAULT_TIMES: ResolverTimes = { freshMs: 30_000, timeoutMs: 3000 };

/** Names whose answers are kept. The one that was asked for longest ago makes room. */
const MAX_NAMES = 1000;

interface Answer {
  readonly addresses: readonly string[];
  readonly atMs: number;
}

/**
 * Resolver of DNS names that survives failures: when a look-up fails, or takes three seconds, the last good answer
 * counts, however old it is. An answer is not asked for again within 30 seconds, and a name is asked for once at a time.
 *
 * No name leads to the instance's metadata service, or to this machine: see {@link usableAddresses}.
 */
export class NameResolver {
  readonly #family: IpFamily;
  readonly #lookup: Lookup;
  readonly #allowsLoopback: boolean;
  readonly #times: ResolverTimes;
  readonly #answers = new Map<string, Answer>();
  readonly #running = new Map<string, Promise<readonly string[]>>();

  /**
   * Starts without answers.
   *
   * @param options Questions and answers
   */
  constructor(options: ResolverOptions = {}) {
    const { family = "any", lookup = systemLookup, allowsLoopback = false, times = DEFAULT_TIMES } = options;
    this.#family = family;
    this.#lookup = lookup;
    this.#allowsLoopback = allowsLoopback;
    this.#times = times;
  }

  /**
   * Finds the addresses of a name.
   *
   * @param name DNS name; an IP address is returned as it is
   * @param signal Ends the wait
   * @returns At least one IP address
   * @throws {ConnectionError} When the look-up fails and never succeeded before
   */
  async resolve(name: string, signal?: AbortSignal): Promise<readonly string[]> {
    if (isIP(name) !== 0) return [name];
    const known = this.#answers.get(name);
    if (known !== undefined && performance.now() - known.atMs < this.#times.freshMs) return known.addresses;
    using deadline = new Deadline(`look up ${name}`, this.#times.timeoutMs, signal, "connect");
    try {
      return await deadline.race(this.#ask(name));
    } catch (error) {
      signal?.throwIfAborted();
      if (known !== undefined) return known.addresses;
      const code = (error as { code?: unknown }).code;
      throw new ConnectionError(`Cannot look up ${name}${typeof code === "string" ? ` (${code})` : ""}`, {
        hint:
          "Does this machine reach its name server, and is the name right? It must not lead to this machine or its metadata service",
        cause: error,
      });
    }
  }

  #ask(name: string): Promise<readonly string[]> {
    const running = this.#running.get(name);
    if (running !== undefined) return running;
    const asking = this.#askAnew(name).finally(() => this.#running.delete(name));
    this.#running.set(name, asking);
    return asking;
  }

  async #askAnew(name: string): Promise<readonly string[]> {
    const addresses = await this.#lookUp(name);
    this.#answers.delete(name);
    this.#answers.set(name, { addresses, atMs: performance.now() });
    for (const [oldest] of this.#answers) {
      if (this.#answers.size <= MAX_NAMES) break;
      this.#answers.delete(oldest);
    }
    return addresses;
  }

  async #lookUp(name: string): Promise<readonly string[]> {
    const found = await this.#lookup(name, this.#family);
    const addresses = usableAddresses(name, found, this.#allowsLoopback).slice(0, MAX_ADDRESSES);
    if (addresses.length > 0) return addresses;
    throw new Error(
      found.length === 0 ? "The name has no address" : "The name leads to no address that may be used",
    );
  }
}

/** Addresses of one name that are kept and tried. */
const MAX_ADDRESSES = 16;

const FAMILIES = { any: 0, ipv4: 4, ipv6: 6 } as const;

async function systemLookup(name: string, family: IpFamily): Promise<readonly string[]> {
  return (await lookup(name, { all: true, family: FAMILIES[family] })).map(({ address }) => address);
}
