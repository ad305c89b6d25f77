import { Deadline } from "../lib/core/deadline.ts";
import { ConnectionError } from "../lib/core/errors.ts";
import type { ConnectionStream } from "../lib/transport/connection.ts";
import { openTransport } from "../lib/transport/open_transport.ts";
import { isOutOfDescriptors } from "../lib/transport/out_of_descriptors.ts";
import type { NameResolver } from "./name_resolver.ts";

/** Connector to hosts by name, that tries one address after the other. */
export class Dialer {
  readonly #resolver: NameResolver;
  readonly #tryTimeoutMs: number;
  /** Addresses that failed last, and are tried last. */
  readonly #failed = new Set<string>();

  /**
   * Makes a connector.
   *
   * @param resolver Finds addresses
   * @param tryTimeoutMs Milliseconds for each address
   */
  constructor(resolver: NameResolver, tryTimeoutMs: number) {
    this.#resolver = resolver;
    this.#tryTimeoutMs = tryTimeoutMs;
  }

  /**
   * Connects to the first address of a host that answers in time.
   *
   * @param host DNS name or IP address
   * @param port TCP port
   * @param signal Ends the attempt
   * @returns The connected stream; the caller destroys it
   * @throws {ConnectionError} When the name has no address, or none of them answers; the cause is the last failure
   */
  async dial(host: string, port: number, signal: AbortSignal): Promise<ConnectionStream> {
    const addresses = await this.#resolver.resolve(host, signal);
    const ordered = addresses.toSorted((one, other) =>
      Number(this.#failed.has(one)) - Number(this.#failed.has(other))
    );
    let last: unknown;
    for (const address of ordered) {
      using deadline = new Deadline(`connect to ${host}`, this.#tryTimeoutMs, signal, "connect");
      try {
        const words = {
          name: host,
          hint: "Does this machine reach that address: is there a route, a firewall?",
        };
        const stream = await openTransport({ transport: "tcp", host: address, port }, deadline, words);
        this.#failed.delete(address);
        return stream;
      } catch (error) {
        signal.throwIfAborted();
        if (isOutOfDescriptors(error)) throw error;
        this.#note(address);
        last = error;
      }
    }
    throw new ConnectionError(
      `Cannot connect to ${host}: none of its ${addresses.length} address(es) answers`,
      {
        hint: "Does this machine reach the internet, or has it a VPC endpoint for that service?",
        cause: last,
      },
    );
  }

  #note(address: string): void {
    // Bounded, as a name may have other addresses every minute.
    if (this.#failed.size >= MAX_FAILED) this.#failed.clear();
    this.#failed.add(address);
  }
}

const MAX_FAILED = 1000;
