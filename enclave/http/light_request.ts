import { standFor } from "./light_object.ts";

/** Parts of a request. */
export interface RequestParts {
  /** Method in capital letters, one that fetch() knows. */
  readonly method: string;
  /** Whole URL. */
  readonly url: string;
  /** Header lines: names in lowercase and values in turns, each character a byte. */
  readonly lines: readonly string[];
  /** Body: whole, or as it comes. */
  readonly body: Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array<ArrayBuffer>>;
  /** Finds the signal that aborts when there is no one left to answer. */
  readonly signal: () => AbortSignal;
}

const NativeHeaders = Headers;
const NativeRequest = Request;
const NONE = new Uint8Array(0);
const utf8 = new TextDecoder();

/** Name that is looked up as it is: a token in lowercase. */
const PLAIN_NAME = /^[a-z][a-z0-9-]*$/;

/** Headers of a request that are looked up in its lines. */
class LightHeaders {
  readonly #lines: readonly string[];
  #native: Headers | undefined;

  constructor(lines: readonly string[]) {
    this.#lines = lines;
  }

  get(name: string): string | null {
    const lowerName = typeof name === "string" ? name.toLowerCase() : "";
    if (this.#native !== undefined || !PLAIN_NAME.test(lowerName)) return this.native.get(name);
    const lines = this.#lines;
    let found: string | null = null;
    for (let index = 0; index < lines.length; index += 2) {
      if (lines[index] !== lowerName) continue;
      const value = lines[index + 1] as string;
      found = found === null ? value : `${found}${lowerName === "cookie" ? ";" : ","} ${value}`;
    }
    return found;
  }

  has(name: string): boolean {
    return this.get(name) !== null;
  }

  get native(): Headers {
    if (this.#native !== undefined) return this.#native;
    const headers = new NativeHeaders();
    const lines = this.#lines;
    for (let index = 0; index < lines.length; index += 2) {
      const [name, value] = [lines[index] as string, lines[index + 1] as string];
      // Deno would join cookies by a comma.
      if (name === "cookie" && headers.has(name)) headers.set(name, `${headers.get(name)}; ${value}`);
      else headers.append(name, value);
    }
    return this.#native = headers;
  }

  /** Takes the headers of the runtime's own request for its own: what is set in one is in both. */
  set native(headers: Headers) {
    this.#native = headers;
  }
}

standFor(LightHeaders.prototype, NativeHeaders.prototype, (headers) => headers.native);

/** Request that makes the runtime's own one when it is asked for something rare. */
class LightRequest {
  readonly #parts: RequestParts;
  #headers: LightHeaders | undefined;
  #body: RequestParts["body"];
  #isUsed = false;
  #native: Request | undefined;

  constructor(parts: RequestParts) {
    this.#parts = parts;
    this.#body = parts.body;
  }

  get method(): string {
    return this.#parts.method;
  }

  get url(): string {
    return this.#parts.url;
  }

  get headers(): Headers {
    this.#headers ??= new LightHeaders(this.#parts.lines);
    return this.#headers as unknown as Headers;
  }

  get signal(): AbortSignal {
    return this.#parts.signal();
  }

  get bodyUsed(): boolean {
    return this.#native?.bodyUsed ?? this.#isUsed;
  }

  async text(): Promise<string> {
    return this.#isPlain ? utf8.decode(this.#take()) : await this.native.text();
  }

  async json(): Promise<unknown> {
    return JSON.parse(await this.text());
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    return this.#isPlain ? this.#take().slice().buffer : await this.native.arrayBuffer();
  }

  async bytes(): Promise<Uint8Array<ArrayBuffer>> {
    return new Uint8Array(await this.arrayBuffer());
  }

  get native(): Request {
    return this.#native ??= this.#makeNative();
  }

  /** Whether the body is at hand, and nothing has asked for the runtime's own request. */
  get #isPlain(): boolean {
    return this.#native === undefined && this.#body instanceof Uint8Array && this.#hasBody;
  }

  get #hasBody(): boolean {
    return this.method !== "GET" && this.method !== "HEAD";
  }

  #take(): Uint8Array<ArrayBuffer> {
    if (this.#isUsed) throw new TypeError("Body is unusable: it was read before");
    this.#isUsed = true;
    return this.#body as Uint8Array<ArrayBuffer>;
  }

  #makeNative(): Request {
    const { method, url, signal } = this.#parts;
    const headers = this.headers as unknown as LightHeaders;
    const init = { method, headers: headers.native, signal: signal() };
    const made = this.#hasBody ? this.#makeWithBody(url, init) : new NativeRequest(url, init);
    headers.native = made.headers;
    return made;
  }

  #makeWithBody(url: string, init: RequestInit): Request {
    const body = this.#body instanceof Uint8Array ? streamOf(this.#isUsed ? NONE : this.#body) : this.#body;
    const made = new NativeRequest(url, { ...init, body, duplex: "half" } as RequestInit);
    // What was read is not there once more.
    if (this.#isUsed) void made.text();
    return made;
  }
}

standFor(LightRequest.prototype, NativeRequest.prototype, (request) => request.native);

/** Gives the bytes themselves: a copy would be one that nobody wipes. */
function streamOf(bytes: Uint8Array<ArrayBuffer>): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream({
    start(controller) {
      if (bytes.length > 0) controller.enqueue(bytes);
      controller.close();
    },
  });
}

/**
 * Makes a request for `fetch` handlers. It looks up headers and decodes the body when it is asked for them; the
 * runtime's own `Request`, `Headers` and `AbortSignal` cost more than the rest of a request.
 *
 * The runtime's own functions do not take it in the place of a `Request`, except for `new Request(request)` while
 * {@link useLightClasses} is in force.
 *
 * @param parts Parts of the request; a body that is whole is not copied
 */
export function lightRequest(parts: RequestParts): Request {
  return new LightRequest(parts) as unknown as Request;
}

/**
 * Finds the runtime's own request that a light one stands for.
 *
 * @param value Anything
 * @returns The runtime's request; the value itself when it is no light one
 */
export function nativeRequest(value: unknown): unknown {
  return value instanceof LightRequest ? value.native : value;
}
