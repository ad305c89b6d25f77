import type { Duplex } from "node:stream";
import type { Endpoint } from "../../../lib/core/endpoint.ts";
import { listen } from "../../../lib/transport/listen.ts";

/** One export as a collector got it. */
export interface Export {
  readonly path: string;
  readonly head: string;
  /** Body, parsed. */
  readonly body: Readonly<Record<string, unknown>>;
}

/** Answers an export, whole or not. */
export type Answer = (stream: Duplex, got: Export) => void;

/** Answer that the export was taken. */
const take: Answer = (stream) => {
  stream.end("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}");
};

/** A collector on 127.0.0.1 that notes what comes. */
export interface Collector extends AsyncDisposable {
  readonly endpoint: Endpoint;
  readonly exports: Export[];
  /** Connections that were opened. */
  readonly connections: Duplex[];
  /** Reads the items of all exports to a path. */
  items(path: "/v1/traces" | "/v1/logs" | "/v1/metrics"): readonly Item[];
}

/** Span, log record or metric. */
export type Item = Readonly<Record<string, unknown>>;

/**
 * Opens a collector.
 *
 * @param answer Answers each export. Default: takes it
 * @param greet Called with each connection before a byte is read. Default: nothing
 */
export async function openCollector(
  answer: Answer = take,
  greet: (stream: Duplex) => void = () => {},
): Promise<Collector> {
  const exports: Export[] = [];
  const connections: Duplex[] = [];
  const endpoint = { transport: "tcp", host: "127.0.0.1", port: 0 } as const;
  const listener = await listen(endpoint, {}, ({ stream }) => {
    connections.push(stream);
    stream.on("error", () => {});
    stream.on("end", () => stream.destroy());
    greet(stream);
    let text = "";
    stream.on("data", (chunk: Uint8Array) => {
      text += new TextDecoder("latin1").decode(chunk);
      const got = parse(text);
      if (got === undefined) return;
      text = "";
      exports.push(got);
      answer(stream, got);
    });
  });
  return {
    endpoint: listener.endpoint,
    exports,
    connections,
    items: (path) => exports.filter((one) => one.path === path).flatMap(({ body }) => itemsOf(body)),
    async [Symbol.asyncDispose]() {
      listener.destroyConnections();
      await listener[Symbol.asyncDispose]();
    },
  };
}

/** Finds the items of an export: the innermost lists of OTLP's three. */
export function itemsOf(body: Readonly<Record<string, unknown>>): Item[] {
  const lists = body as Readonly<
    Record<string, readonly Record<string, readonly Record<string, Item[]>[]>[]>
  >;
  const resources = Object.values(lists).flat();
  const scopes = resources.flatMap(({ scopeSpans, scopeLogs, scopeMetrics }) =>
    scopeSpans ?? scopeLogs ?? scopeMetrics ?? []
  );
  return scopes.flatMap(({ spans, logRecords, metrics }) => spans ?? logRecords ?? metrics ?? []);
}

/** Reads the attributes of an item. */
export function attributesOf(item: Item | undefined): Readonly<Record<string, unknown>> {
  const attributes = (item?.["attributes"] ?? []) as readonly {
    key: string;
    value: Record<string, unknown>;
  }[];
  return Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]));
}

function parse(text: string): Export | undefined {
  const end = text.indexOf("\r\n\r\n");
  if (end < 0) return undefined;
  const head = text.slice(0, end);
  const length = Number(/^content-length: (\d+)$/m.exec(head)?.[1]);
  const body = text.slice(end + 4);
  if (body.length < length) return undefined;
  return { path: /^POST (\S+) /.exec(head)?.[1] ?? "", head, body: JSON.parse(body) };
}
