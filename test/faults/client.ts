/**
 * The client that meets the faults, and what happens on its side of them: its credentials, the options that
 * it is opened with, its process. What it is told and what it says passes between processes, with secrets in
 * disguise.
 *
 * @module
 */
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { type Credentials, type EngineName, KmsClient, type KmsClientOptions } from "../../mod.ts";
import type { TcpEndpoint } from "../../lib/core/endpoint.ts";
import { garbageCollector } from "../support/garbage.ts";
import { disguiseBytes, revealBytes } from "../support/disguise.ts";
import type { OptionsFault, ProcessFault } from "./matrix.ts";
import { describeError, type Seen } from "./outcome.ts";

/** Options of a client. */
export interface ClientSetup {
  readonly engine: EngineName;
  readonly library: string | undefined;
  readonly region: string;
  readonly endpoint: TcpEndpoint;
  readonly trustedCertificates: string;
}

/** Behaviour of the provider of credentials from now on. */
export type CredentialsFeed =
  | {
    readonly gives: "values";
    readonly accessKeyId: string;
    /** In disguise. */
    readonly secretAccessKey: readonly number[];
    /** In disguise. */
    readonly sessionToken?: readonly number[];
    /** Milliseconds since 1970. */
    readonly expiration?: number;
    /** Behaviour from the second time on. Default: the same. */
    readonly then?: CredentialsFeed;
  }
  | { readonly gives: "malformed" | "nothing" | "thrown" | "never given" };

/** Ciphertext to decrypt, and the fault of the process meanwhile. */
export interface Ask {
  /** Base64. */
  readonly ciphertext: string;
  readonly keyId: string;
  readonly timeoutMs: number;
  /** With a client that is opened for this call. */
  readonly own?: boolean;
  /** The same, with another option. */
  readonly has?: OptionName;
  readonly meanwhile?: ProcessFault;
}

/** Name of an option that a client can be opened with besides. */
export type OptionName = OptionsFault | "no NSM" | "three attempts" | "refusal of expired credentials";

/** A call that runs. */
export interface Running {
  /** The provider was asked for the credentials that the request is signed with. */
  readonly asked: Promise<void>;
  /** Never rejects for what the library did. */
  readonly seen: Promise<Seen>;
}

/** The client, in this process or in another one. */
export interface FaultySubject extends AsyncDisposable {
  /** Sets the behaviour of the provider. */
  useCredentials(feed: CredentialsFeed): Promise<void>;
  /** Decrypts. */
  decrypt(ask: Ask): Running;
}

/** Nothing listens there: it is below the ports that a program gets without being root. */
const CLOSED_PORT: TcpEndpoint = { transport: "tcp", host: "127.0.0.1", port: 1 };

const OPTIONS: Readonly<Record<OptionName, Partial<KmsClientOptions>>> = {
  "closed port": { endpoint: CLOSED_PORT },
  "missing socket": { endpoint: { transport: "unix", path: "/nonexistent/kms.sock" } },
  "no bundle": { trustedCertificates: undefined },
  "no NSM": { nsm: undefined },
  "three attempts": { maxAttempts: 3 },
  "refusal of expired credentials": { expiredCredentials: "refuse" },
};

/** Number of calls that run while garbage is collected. */
const CALLS_UNDER_PRESSURE = 4;

/** Time that a call is under way when the fault of the process strikes, in milliseconds. */
const UNDER_WAY_MS = 30;

/** The same of the C client, whose thread must start first. */
const C_UNDER_WAY_MS = 1500;

/** The client in this process. */
export class FaultyClient implements FaultySubject {
  readonly #setup: ClientSetup;
  readonly #nsm: KmsClientOptions["nsm"];
  readonly #worker: URL | undefined;
  readonly #given: Uint8Array[] = [];
  #provide: () => Credentials | Promise<Credentials> = () => Promise.reject(new Error("no credentials yet"));
  #noteAsked: () => void = () => {};
  #client: Promise<KmsClient> | undefined;

  /**
   * @param setup Options of the client
   * @param parts `nsm`: an NSM in this process, in place of the device. `worker`: the script of the thread
   *   that the fault "ends a worker" starts and ends
   */
  constructor(setup: ClientSetup, { nsm, worker }: { nsm?: KmsClientOptions["nsm"]; worker?: URL } = {}) {
    this.#setup = setup;
    this.#nsm = nsm;
    this.#worker = worker;
  }

  useCredentials(feed: CredentialsFeed): Promise<void> {
    this.#provide = this.#provider(feed);
    return Promise.resolve();
  }

  decrypt(ask: Ask): Running {
    const { promise: asked, resolve } = Promise.withResolvers<void>();
    this.#noteAsked = resolve;
    const seen = this.#decrypt(ask).then(
      (plaintext) => ({ plaintext }),
      (error) => describeError(error),
    ).finally(resolve);
    return { asked, seen };
  }

  /** Keeps the plaintext until it is disposed, as it does the credentials. */
  async keep({ ciphertext, keyId, timeoutMs }: Ask): Promise<void> {
    const client = await this.#shared();
    const { bytes } = await client.decrypt({ ciphertext, keyId, timeoutMs });
    this.#given.push(bytes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const client = await this.#client;
    this.#client = undefined;
    await client?.close();
    for (const secret of this.#given) secret.fill(0);
  }

  async #decrypt(ask: Ask): Promise<number[]> {
    switch (ask.meanwhile) {
      case "collects garbage":
        return await this.#underPressure(ask);
      case "closes the client":
        return await this.#closing(ask);
      case "ends a worker":
        await this.#endWorker(ask);
        return await this.#ask(await this.#shared(), ask);
    }
    if (ask.own !== true && ask.has === undefined) return await this.#ask(await this.#shared(), ask);
    await using client = await this.#open(ask.has === undefined ? {} : OPTIONS[ask.has]);
    return await this.#ask(client, ask);
  }

  async #ask(client: KmsClient, { ciphertext, keyId, timeoutMs }: Ask): Promise<number[]> {
    using plaintext = await client.decrypt({ ciphertext, keyId, timeoutMs });
    return disguiseBytes(plaintext.bytes);
  }

  async #underPressure(ask: Ask): Promise<number[]> {
    const client = await this.#shared();
    using _collecting = collectGarbage();
    const calls = Array.from({ length: CALLS_UNDER_PRESSURE }, () => this.#ask(client, ask));
    const [first = [], ...others] = await Promise.all(calls);
    if (others.every((other) => String(other) === String(first))) return first;
    throw new Error("plaintexts that differ");
  }

  async #closing(ask: Ask): Promise<number[]> {
    await using client = await this.#open({});
    const { promise: asked, resolve } = Promise.withResolvers<void>();
    this.#noteAsked = resolve;
    const decrypted = this.#ask(client, ask);
    decrypted.catch(() => {});
    await asked;
    await sleep(UNDER_WAY_MS);
    await client.close();
    return await decrypted;
  }

  async #endWorker(ask: Ask): Promise<void> {
    if (this.#worker === undefined) throw new Error("This client has no worker to end");
    const credentials = await this.#provide();
    const workerData: WorkerTask = { setup: this.#setup, ask, credentials: disguise(credentials) };
    const worker = new Worker(this.#worker, { workerData });
    await new Promise((resolve, reject) => {
      worker.once("message", resolve);
      worker.once("error", reject);
    });
    await sleep(this.#setup.engine === "sdk-client" ? C_UNDER_WAY_MS : UNDER_WAY_MS);
    const ended = worker.terminate();
    this.#noteAsked();
    // On Node.js not before C has returned.
    await ended;
    await sleep(UNDER_WAY_MS);
  }

  #shared(): Promise<KmsClient> {
    return this.#client ??= this.#open({});
  }

  #open(options: Partial<KmsClientOptions>): Promise<KmsClient> {
    const { engine, library, region, endpoint, trustedCertificates } = this.#setup;
    return KmsClient.open({
      engine,
      library,
      region,
      endpoint,
      trustedCertificates,
      nsm: this.#nsm,
      // Faults of the NSM strike at once, and a clock that moves finds no document of another time.
      attestationMaxAgeMs: 0,
      // What is tried again until it works shows nothing.
      maxAttempts: 1,
      credentials: () => {
        this.#noteAsked();
        return this.#provide();
      },
      ...options,
    });
  }

  #provider(feed: CredentialsFeed): () => Credentials | Promise<Credentials> {
    switch (feed.gives) {
      case "malformed":
        return () => ({ accessKeyId: "two words", secretAccessKey: "x" });
      case "nothing":
        return () => undefined as never;
      case "thrown":
        return () => Promise.reject(new Error("the parent is gone"));
      case "never given":
        return () => new Promise(() => {});
    }
    const { accessKeyId, expiration } = feed;
    const secretAccessKey = this.#reveal(feed.secretAccessKey);
    const sessionToken = feed.sessionToken && this.#reveal(feed.sessionToken);
    const next = feed.then && this.#provider(feed.then);
    let asked = 0;
    return () => {
      if (next !== undefined && asked++ > 0) return next();
      return { accessKeyId, secretAccessKey, sessionToken, expiration };
    };
  }

  #reveal(disguised: readonly number[]): Uint8Array {
    const bytes = revealBytes(disguised);
    this.#given.push(bytes);
    return bytes;
  }
}

/** Collects for half of the time, until it is disposed. */
function collectGarbage(): Disposable {
  const collect = garbageCollector();
  let timer: ReturnType<typeof setTimeout>;
  const next = () => {
    const started = performance.now();
    collect();
    timer = setTimeout(next, performance.now() - started);
  };
  next();
  return { [Symbol.dispose]: () => clearTimeout(timer) };
}

/** Task of the worker. */
export interface WorkerTask {
  readonly setup: ClientSetup;
  readonly ask: Ask;
  readonly credentials: CredentialsFeed;
}

function disguise({ accessKeyId, secretAccessKey, sessionToken }: Credentials): CredentialsFeed {
  const bytes = (part: string | Uint8Array) =>
    typeof part === "string" ? new TextEncoder().encode(part) : part;
  return {
    gives: "values",
    accessKeyId: new TextDecoder().decode(bytes(accessKeyId)),
    secretAccessKey: disguiseBytes(bytes(secretAccessKey)),
    ...(sessionToken === undefined ? {} : { sessionToken: disguiseBytes(bytes(sessionToken)) }),
  };
}
