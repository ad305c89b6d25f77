import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { checkFields } from "../lib/core/checks.ts";
import type { Endpoint } from "../lib/core/endpoint.ts";
import type { HttpServer } from "../lib/transport/serve.ts";
import { renderParentMetrics } from "./runner/parent_metrics.ts";
import { failureOf, type OnParentEvent, type ParentEvent, type ParentState } from "./runner/parent_state.ts";
import { type PartsOptions, realParts } from "./runner/real_parts.ts";
import { relayMetrics } from "./runner/relay_metrics.ts";
import { serveControl, serveStatus } from "./runner/status_server.ts";
import { Supervisor, type SupervisorTimes } from "./runner/supervisor.ts";
import { timesOf } from "./runner/times.ts";
import type { EnclaveEnd } from "./running_enclave.ts";
import type { ParentSettings } from "./settings/setting_table.ts";

/** Settings of the parent, and what a program may replace. `settings` must be given. */
export interface RunParentOptions extends Omit<PartsOptions, "onEvent"> {
  /** Settings, as {@link readParentSettings} reads them. */
  readonly settings: ParentSettings;
  /** Is told of what happens, for a log; must not throw. Default: nobody is told. */
  readonly onEvent?: OnParentEvent | undefined;
  /** Times in place of the usual ones, in milliseconds. */
  readonly times?: Partial<SupervisorTimes> | undefined;
}

/** Parent that runs: it looks after its services and its enclave until it is closed. */
export class Parent implements AsyncDisposable {
  readonly #supervisor: Supervisor;
  readonly #onEvent: OnParentEvent;
  readonly #stateFolder: string | undefined;
  readonly #servers: HttpServer[] = [];
  readonly #serves = Promise.withResolvers<void>();
  #closing: Promise<void> | undefined;
  #rendering: Promise<string> | undefined;
  #keeping: Promise<void> | undefined;

  /** @internal */
  constructor(options: RunParentOptions) {
    const { settings, onEvent = () => {}, times, ...others } = options;
    this.#stateFolder = settings.stateFolder;
    this.#onEvent = onEvent;
    const tell = (event: ParentEvent) => this.#tell(event);
    const parts = realParts({ settings, ...others, onEvent: tell });
    // Whoever finds the state folder taken launches nothing: the enclave of that name is another parent's.
    this.#supervisor = new Supervisor(parts, { ...timesOf(settings), ...times }, tell, this.#serves.promise);
  }

  /** State, as far as it was seen. */
  get state(): ParentState {
    return this.#supervisor.state;
  }

  /** Resolves when the enclave is ready for the first time; rejects with a {@link LaunchError} when it is closed before. */
  get ready(): Promise<void> {
    return this.#supervisor.ready;
  }

  /** Resolves when all has ended. */
  get closed(): Promise<void> {
    return this.#supervisor.ended.then(() => this.#closing);
  }

  /** Address of the metrics; undefined when there is none. */
  get metricsEndpoint(): Endpoint | undefined {
    return this.#servers.map(({ endpoint }) => endpoint).find(({ transport }) => transport === "tcp");
  }

  /** Renders the metrics, with the enclave's own ones, in Prometheus's text format. Calls at one time share one answer. */
  renderMetrics(): Promise<string> {
    return this.#rendering ??= this.#renderMetrics().finally(() => this.#rendering = undefined);
  }

  async #renderMetrics(): Promise<string> {
    const { state, services, conversation } = this.#supervisor;
    const own = await conversation?.readMetrics(new AbortController().signal);
    const relayed = own === undefined ? undefined : relayMetrics(own, state.enclave?.name ?? "");
    // The enclave may have ended meanwhile.
    return renderParentMetrics(this.state, services, relayed);
  }

  /** Ends the enclave in good order, and then the services. Closing twice is harmless. */
  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  /** The same as {@link close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** @internal */
  async serve({ metricsPort, stateFolder }: ParentSettings): Promise<void> {
    const parts = {
      state: () => this.state,
      renderMetrics: () => this.renderMetrics(),
      stop: () => void this.close(),
    };
    if (stateFolder !== undefined) this.#servers.push(await serveControl(stateFolder, parts));
    if (metricsPort !== undefined) this.#servers.push(await serveStatus(metricsPort, parts));
    this.#serves.resolve();
  }

  async #close(): Promise<void> {
    const stopped = this.#supervisor.stop();
    this.#serves.resolve();
    await stopped;
    await this.#keeping;
    await Promise.allSettled(this.#servers.map((server) => server.close({ graceMs: 1000 })));
  }

  #tell(event: ParentEvent): void {
    this.#onEvent(event);
    if (event.event === "enclave-ended") this.#keeping = this.#keep(event.end);
  }

  /** Keeps the last end of an enclave in a file, for whoever looks after the parent has ended, too. */
  async #keep(end: EnclaveEnd): Promise<void> {
    if (this.#stateFolder === undefined) return;
    const path = join(this.#stateFolder, "last-end.json");
    try {
      await mkdir(this.#stateFolder, { recursive: true, mode: 0o700 });
      await writeFile(`${path}.new`, `${JSON.stringify(end)}\n`, { mode: 0o600 });
      await rename(`${path}.new`, path);
    } catch (error) {
      const { message } = failureOf("watch", error);
      this.#onEvent({
        event: "notice",
        message: `the enclave's end cannot be written to the state folder: ${message}`,
      });
    }
  }
}

/**
 * Runs the parent's half of an enclave: in order the credentials, the artefacts, the proxy and the bridges, the launch,
 * the wait until the enclave answers, the injection of credentials and secrets, and the watch. Whatever fails is tried
 * again, with pauses that grow, and is told of; the state is what was seen, never what was hoped for.
 *
 * It returns as soon as it has begun: wait for `ready`.
 *
 * Not guaranteed: anything that the enclave says. Seen from here it is a process that anybody on this machine can speak to.
 *
 * @param options Settings
 * @returns The parent. Close it, or dispose it with `await using`: this ends the enclave
 * @throws {TypeError} When an option is unknown or of a wrong type
 * @throws {ConnectionError} When the port for metrics is taken, or another parent has the state folder
 */
export async function runParent(options: RunParentOptions): Promise<Parent> {
  const known = ["settings", "onEvent", "times", "credentials", "lookup", "launch", "connect", "environment"];
  const parent = new Parent(checkFields("parent options", options, known));
  try {
    await parent.serve(options.settings);
    return parent;
  } catch (error) {
    await parent.close();
    throw error;
  }
}
