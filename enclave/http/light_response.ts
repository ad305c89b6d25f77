import { hasLine } from "./answer_head.ts";
import { standFor } from "./light_object.ts";
import { nativeRequest } from "./light_request.ts";

/** Answer that is sent without the runtime's own `Response`. */
export interface PlainAnswer {
  readonly status: number;
  /** Header lines: names and values in turns. */
  readonly lines: readonly string[];
  /** Body; null where there is none. */
  readonly text: string | null;
}

const NativeHeaders = Headers;
const NativeRequest = Request;
const NativeResponse = Response;

/** Content type of a text that says nothing else, as fetch has it. */
const TEXT_TYPE = "text/plain;charset=UTF-8";

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** Value without spaces around it, which fetch would remove, and without what it refuses. */
const VALUE = /^(?:[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?)?$/;

/** Statuses of answers that have no body. */
const BODILESS: readonly number[] = [204, 205, 304];

/** Answer with a text, or without a body, that makes the runtime's own `Response` when it is asked for something rare. */
class LightResponse {
  readonly #status: number;
  readonly #text: string | null;
  readonly #lines: string[];
  #headers: Headers | undefined;
  #native: Response | undefined;

  constructor({ status, lines, text }: PlainAnswer & { readonly lines: string[] }) {
    this.#status = status;
    this.#text = text;
    this.#lines = lines;
  }

  /** Tells how to send a light answer; undefined for one that is the runtime's by now. */
  static plainOf(answer: LightResponse): PlainAnswer | undefined {
    if (answer.#native !== undefined) return undefined;
    const headers = answer.#headers;
    return {
      status: answer.#status,
      text: answer.#text,
      lines: headers === undefined ? answer.#lines : linesOf(headers),
    };
  }

  /** No property of its own, which could be set: it goes into the head as it is. */
  get status(): number {
    return this.#status;
  }

  get ok(): boolean {
    return this.status >= 200 && this.status < 300;
  }

  get headers(): Headers {
    return this.#headers ??= headersOf(this.#lines);
  }

  get native(): Response {
    if (this.#native !== undefined) return this.#native;
    return this.#native = new NativeResponse(this.#text, { status: this.status, headers: this.headers });
  }

  clone(): Response {
    // The runtime's own one has the headers as they were when it was made.
    return new NativeResponse(this.native.clone().body, { status: this.status, headers: this.headers });
  }
}

standFor(LightResponse.prototype, NativeResponse.prototype, (answer) => answer.native);

/**
 * Finds how to send an answer without the runtime's own `Response`.
 *
 * @param answer Answer of an application
 * @returns Undefined for one that is the runtime's
 */
export function plainAnswer(answer: Response): PlainAnswer | undefined {
  return (answer as object) instanceof LightResponse
    ? LightResponse.plainOf(answer as unknown as LightResponse)
    : undefined;
}

/**
 * Lists headers as lines, each cookie on one of its own.
 *
 * @param headers Headers
 * @returns Names and values in turns
 */
export function linesOf(headers: Headers): string[] {
  const lines: string[] = [];
  headers.forEach((value, name) => lines.push(name, value));
  return lines;
}

let [users, restore] = [0, () => {}];

/**
 * Replaces the global `Request` and `Response` until the last user disposes what this returns, as @hono/node-server
 * does. `new Response()` with a text, or without a body, makes an answer that the listener sends at a third of the cost;
 * everything else makes the runtime's own. `instanceof`, subclasses and static methods are the runtime's.
 *
 * Not guaranteed: that functions of the runtime take a light answer, such as the handler of `Deno.serve()`.
 *
 * @param end Resolves when the user has ended. Default: they dispose what this returns
 */
export function useLightClasses(end?: Promise<void>): Disposable {
  if (users++ === 0) restore = replaceGlobals();
  let isOver = false;
  const user = {
    [Symbol.dispose]() {
      if (isOver) return;
      isOver = true;
      if (--users === 0) restore();
    },
  };
  void end?.then(() => user[Symbol.dispose]());
  return user;
}

function replaceGlobals(): () => void {
  const replaced = [
    replace(
      "Response",
      NativeResponse,
      (args, target, newTarget) => makeLight(args[0], args[1]) ?? Reflect.construct(target, args, newTarget),
    ),
    replace(
      "Request",
      NativeRequest,
      ([input, ...rest], target, newTarget) =>
        Reflect.construct(target, [nativeRequest(input), ...rest], newTarget),
    ),
  ];
  return () => {
    for (const back of replaced) back();
  };
}

type Construct = (args: readonly unknown[], target: Class, newTarget: Class) => object;
type Class = abstract new (...args: never[]) => object;

function replace(name: "Request" | "Response", native: Class, construct: Construct): () => void {
  const before = Object.getOwnPropertyDescriptor(globalThis, name) as PropertyDescriptor;
  const value: unknown = new Proxy(native, {
    construct: (target, args, newTarget) =>
      newTarget === value
        ? construct(args, target, target)
        : Reflect.construct(target as never, args, newTarget),
  });
  Object.defineProperty(globalThis, name, { configurable: true, writable: true, enumerable: false, value });
  return () => {
    // Somebody else may have replaced it meanwhile.
    if (Reflect.get(globalThis, name) === value) Object.defineProperty(globalThis, name, before);
  };
}

/** Makes a light answer of what can be one: all that is unusual is left to the runtime, and so is what it refuses. */
function makeLight(body: unknown, init: unknown): object | undefined {
  if (body !== null && body !== undefined && typeof body !== "string") return undefined;
  const { status = 200, statusText, headers } = (init ?? {}) as ResponseInit;
  if (!Number.isInteger(status) || status < 200 || status > 599) return undefined;
  if (statusText !== undefined && statusText !== "") return undefined;
  const text = body ?? null;
  if (text !== null && BODILESS.includes(status)) return undefined;
  const lines = readLines(headers);
  if (lines === undefined) return undefined;
  if (text !== null && !hasLine(lines, "content-type")) lines.push("content-type", TEXT_TYPE);
  return new LightResponse({ status, lines, text });
}

function readLines(headers: ResponseInit["headers"]): string[] | undefined {
  if (headers === undefined) return [];
  if (headers instanceof NativeHeaders) return linesOf(headers);
  if (headers === null || typeof headers !== "object" || Symbol.iterator in headers) return undefined;
  const lines: string[] = [];
  for (const [name, value] of Object.entries(headers)) {
    if (!TOKEN.test(name) || typeof value !== "string" || !VALUE.test(value)) return undefined;
    lines.push(name.toLowerCase(), value);
  }
  return new Set(lines.filter((_, index) => index % 2 === 0)).size * 2 === lines.length ? lines : undefined;
}

function headersOf(lines: readonly string[]): Headers {
  const headers = new NativeHeaders();
  for (let index = 0; index < lines.length; index += 2) {
    headers.append(lines[index] as string, lines[index + 1] as string);
  }
  return headers;
}
