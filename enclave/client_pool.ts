import { AsyncLocalStorage } from "node:async_hooks";
import type { EngineName } from "../lib/kms/engine.ts";
import type { KmsClientOptions } from "../lib/kms/kms_options.ts";
import { KmsClient } from "../lib/kms/kms_client.ts";
import {
  type CredentialsLease,
  type CredentialStore,
  type LentCredentials,
  notSet,
} from "./credential_store.ts";

/** The options that the clients of all regions share. */
export type SharedClientOptions = Omit<KmsClientOptions, "region" | "credentials">;

/** Whose credentials sign the requests of one call. */
interface Signing extends CredentialsLease {
  readonly credentials: CredentialStore;
}

/** Regions at once: each has a client with a key pair, and callers of the kmstool protocol name regions. */
const MAX_REGIONS = 8;

/**
 * One long-lived client for each region, with a key pair and connections that all callers share. Whose
 * credentials sign a request is decided call by call.
 */
export class ClientPool implements AsyncDisposable {
  readonly #options: SharedClientOptions;
  readonly #clients = new Map<string, Promise<KmsClient>>();
  readonly #signing = new AsyncLocalStorage<Signing>();

  /** @param options What all clients share */
  constructor(options: SharedClientOptions) {
    this.#options = options;
  }

  /**
   * Opens the client of a region, unless it is open.
   *
   * @param region A region
   * @returns The engine it uses
   * @throws What `KmsClient.open` throws, and a RangeError for one region too many
   */
  async open(region: string): Promise<EngineName> {
    return (await this.#client(region)).engine;
  }

  /**
   * @param region Whose client
   * @param credentials Sign the request
   * @param use What to ask the client for
   * @returns What `use` returns
   * @throws {CredentialsError} When KMS refuses the credentials; the store then remembers it
   * @throws What `use` throws
   */
  async use<T>(
    region: string,
    credentials: CredentialStore,
    use: (client: KmsClient) => Promise<T>,
  ): Promise<T> {
    const client = await this.#client(region);
    const signing: Signing = { credentials };
    let result: T;
    try {
      result = await this.#signing.run(signing, () => use(client));
    } catch (error) {
      throw credentials.judge(signing, error);
    }
    credentials.judge(signing);
    return result;
  }

  /** Closes all clients. */
  async [Symbol.asyncDispose](): Promise<void> {
    const clients = [...this.#clients.values()];
    this.#clients.clear();
    await Promise.allSettled(clients.map(async (client) => await (await client).close()));
  }

  #client(region: string): Promise<KmsClient> {
    const known = this.#clients.get(region);
    if (known !== undefined) return known;
    if (this.#clients.size >= MAX_REGIONS) {
      throw new RangeError(`No more than ${MAX_REGIONS} regions at once`);
    }
    const opening = KmsClient.open({
      ...this.#options,
      region,
      credentials: () => this.#currentCredentials(),
    });
    this.#clients.set(region, opening);
    // One that failed is not kept: the library or the NSM may be there the next time.
    opening.catch(() => this.#clients.delete(region));
    return opening;
  }

  #currentCredentials(): LentCredentials {
    const signing = this.#signing.getStore();
    if (signing === undefined) throw notSet();
    return signing.credentials.get(signing);
  }
}
