import { once } from "node:events";
import type { ChildProcess } from "node:child_process";

/** Requests of a page, and what its policy refused. */
export interface PageVisit {
  /** URLs of all requests, that of the page first. */
  readonly requested: readonly string[];
  /** Messages of the browser about the page, such as breaches of its policy. */
  readonly messages: readonly string[];
  /** Value of the expression in the page, after it was loaded. */
  readonly value: unknown;
}

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly result?: Readonly<Record<string, never>>;
  readonly params?: Readonly<Record<string, never>>;
}

/**
 * Visits a page over the DevTools protocol, by which a page without a script can be looked into.
 *
 * @param browser Chromium with `--remote-debugging-port=0`, whose standard error is a pipe
 * @param url The page
 * @param expression JavaScript that is evaluated when the page is loaded
 * @param typed Keys and texts that a user types before: `Tab`, `Enter`, or a text. Default: nothing
 */
export async function visitPage(
  browser: ChildProcess,
  url: string,
  expression: string,
  typed: readonly string[] = [],
): Promise<PageVisit> {
  const socket = new WebSocket(await addressOf(browser));
  await once(socket as never, "open");
  try {
    const session = new Session(socket);
    const { targetId } = await session.call("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await session.call("Target.attachToTarget", { targetId, flatten: true });
    const page = (method: string, params = {}) => session.call(method, params, sessionId);
    for (const domain of ["Page", "Network", "Log", "Runtime"]) await page(`${domain}.enable`);
    const loaded = session.until("Page.loadEventFired");
    await page("Page.navigate", { url });
    await loaded;
    await page("Emulation.setFocusEmulationEnabled", { enabled: true });
    for (const one of typed) await type(page, one);
    const { result } = await page("Runtime.evaluate", {
      expression,
      returnByValue: true,
      awaitPromise: true,
    });
    return {
      requested: session.requested,
      messages: session.messages,
      value: (result as unknown as { value: unknown }).value,
    };
  } finally {
    socket.close();
  }
}

/** Virtual codes of keys that a user types. */
const KEYS: Readonly<Record<string, number>> = { Tab: 9, Enter: 13 };

async function type(
  page: (method: string, params: object) => Promise<unknown>,
  typed: string,
): Promise<void> {
  const code = KEYS[typed];
  if (code === undefined) return void await page("Input.insertText", { text: typed });
  const key = { key: typed, code: typed, windowsVirtualKeyCode: code };
  const text = typed === "Enter" ? { text: "\r" } : {};
  await page("Input.dispatchKeyEvent", { type: "keyDown", ...key, ...text });
  await page("Input.dispatchKeyEvent", { type: "keyUp", ...key });
}

class Session {
  readonly requested: string[] = [];
  readonly messages: string[] = [];
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, (result: Readonly<Record<string, never>>) => void>();
  readonly #events = new Map<string, () => void>();
  #lastId = 0;

  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener("message", ({ data }) => this.#take(JSON.parse(String(data)) as Message));
  }

  call(method: string, params: object, sessionId?: string): Promise<Readonly<Record<string, never>>> {
    const id = ++this.#lastId;
    this.#socket.send(JSON.stringify({ id, method, params, sessionId }));
    return new Promise((resolve) => this.#waiting.set(id, resolve));
  }

  until(event: string): Promise<void> {
    return new Promise((resolve) => this.#events.set(event, resolve));
  }

  #take({ id, method, params, result }: Message): void {
    if (id !== undefined) return this.#waiting.get(id)?.(result ?? {});
    const said = params as unknown as { request?: { url: string }; entry?: { text: string } } | undefined;
    if (method === "Network.requestWillBeSent") this.requested.push(said?.request?.url ?? "");
    if (method === "Log.entryAdded") this.messages.push(said?.entry?.text ?? "");
    this.#events.get(method ?? "")?.();
  }
}

async function addressOf(browser: ChildProcess): Promise<string> {
  let said = "";
  for await (const chunk of browser.stderr ?? []) {
    said += String(chunk);
    const address = /DevTools listening on (ws:\S+)/.exec(said)?.[1];
    if (address !== undefined) return address;
  }
  throw new Error(`The browser named no address for DevTools:\n${said}`);
}
