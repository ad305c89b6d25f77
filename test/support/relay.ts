/**
 * A TCP relay on loopback that does to a connection what a hostile or failing proxy can do: it sees bytes and
 * TLS records, and cuts, stalls, resets, changes, reorders, replays and redirects them. It holds no key.
 *
 * @module
 */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { TcpEndpoint, UnixEndpoint } from "../../lib/core/endpoint.ts";
import { dialUnix, type UnixStream } from "./unix_socket.ts";
import { until } from "./until.ts";

/**
 * Time for a peer with an idle connection to notice that it is broken: turns of the event loop, each of
 * so many milliseconds. One long wait may be over at the same moment as the news comes, on a busy machine, so a turn
 * that comes late does not count.
 */
const NOTICE_TURNS = 4;
const NOTICE_MS = 5;
const LATE_MS = 5;
const MAX_NOTICE_TURNS = 100;

/** Which way bytes go. */
export type Direction = "toServer" | "toClient";

/** One TLS record, its header of 5 bytes included. */
export interface TlsRecord {
  /** 20 change cipher spec, 21 alert, 22 handshake, 23 application data. */
  readonly type: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Replaces a record: by nothing, the same, or others. Called in order, with the index from 0. */
export type RecordChange = (record: TlsRecord, index: number) => readonly Uint8Array[];

/** Faults of a connection. Bytes and records count from the start of the plan. */
export interface RelayPlan {
  /**
   * Lets so many bytes through one way. The next thing that happens is an end in good order, a reset, or
   * nothing any more. At byte 0 it happens when the first byte would go through.
   */
  readonly cut?: {
    readonly direction: Direction;
    readonly atByte: number;
    readonly how: "end" | "reset" | "stall";
  };
  /** Changes TLS records; the plan must begin where one does. */
  readonly records?: Readonly<Partial<Record<Direction, RecordChange>>>;
  /** Answers every connection with what a server once said, and dials none. */
  readonly replay?: RelayRecording;
}

/** Bytes of one connection, as they arrived at the relay. */
export interface RelayRecording {
  readonly toServer: Uint8Array<ArrayBuffer>;
  readonly toClient: Uint8Array<ArrayBuffer>;
}

/** See the module. */
export class Relay implements AsyncDisposable {
  readonly #server: Server;
  readonly #connections: Connection[] = [];
  #target: TcpEndpoint | UnixEndpoint;
  #nextPlan: () => RelayPlan = () => ({});

  private constructor(target: TcpEndpoint | UnixEndpoint) {
    this.#target = target;
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => this.#accept(client));
  }

  /**
   * Listens on a free port of 127.0.0.1.
   *
   * @param target Address that connections lead to
   */
  static async start(target: TcpEndpoint | UnixEndpoint): Promise<Relay> {
    const relay = new Relay(target);
    relay.#server.listen(0, "127.0.0.1");
    await once(relay.#server, "listening");
    return relay;
  }

  /** For the client, in place of the server's own. */
  get endpoint(): TcpEndpoint {
    return { transport: "tcp", host: "127.0.0.1", port: (this.#server.address() as AddressInfo).port };
  }

  /** Number of connections that clients have made. */
  get connectionCount(): number {
    return this.#connections.length;
  }

  /** Every connection so far. */
  get recordings(): readonly RelayRecording[] {
    return this.#connections.map(({ recording }) => recording);
  }

  /** Does this to every new connection, from its first byte. Those that are open stay as they are. */
  planForNew(plan: RelayPlan): void {
    this.#nextPlan = () => plan;
  }

  /** Does to every new connection what is next. */
  planForEach(next: () => RelayPlan): void {
    this.#nextPlan = next;
  }

  /** Does this to the connections that are open, from here on. New ones are not concerned. */
  planForOpen(plan: RelayPlan): void {
    for (const connection of this.#connections) connection.begin(plan);
  }

  /** Forwards everything again: open connections from here on, and new ones. */
  clear(): void {
    this.planForNew({});
    this.planForOpen({});
  }

  /** Leads new connections somewhere else. */
  redirect(target: TcpEndpoint | UnixEndpoint): void {
    this.#target = target;
  }

  /** Breaks the connections that are open, and gives those who keep one idle the time to notice. */
  async breakOpen(): Promise<void> {
    for (const connection of this.#connections) connection.reset();
    for (let turn = 0, onTime = 0; onTime < NOTICE_TURNS && turn < MAX_NOTICE_TURNS; turn++) {
      const startedAt = performance.now();
      await sleep(NOTICE_MS);
      if (performance.now() - startedAt < NOTICE_MS + LATE_MS) onTime++;
    }
  }

  /** Resolves once the clients have closed every connection: a peer with an idle one has noticed its end. */
  async closedByClients(): Promise<void> {
    await until(
      () => this.#connections.every(({ isClosed }) => isClosed),
      () => "a connection is still open",
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    await this.breakOpen();
    await closed;
  }

  #accept(client: Socket): void {
    const plan = this.#nextPlan();
    const server = plan.replay === undefined ? dial(this.#target) : undefined;
    this.#connections.push(new Connection(client, server, plan));
  }
}

/** A server of this process that said nothing in so many pauses is done. One long pause may be over before it is read. */
const QUIET_PAUSES = 20;

/**
 * Sends a server of this process the bytes that a client once sent.
 *
 * @param recording Recording of the client
 * @param target The server
 * @returns Bytes that the server sent
 */
export async function replayToServer(
  recording: RelayRecording,
  target: TcpEndpoint | UnixEndpoint,
): Promise<Uint8Array<ArrayBuffer>> {
  const socket = dial(target);
  const said: Uint8Array[] = [];
  let pauses = 0;
  socket.on("data", (chunk: Uint8Array) => {
    said.push(chunk);
    pauses = 0;
  });
  socket.write(recording.toServer);
  while (!socket.destroyed && pauses++ < QUIET_PAUSES) await sleep(NOTICE_MS);
  socket.destroy();
  return join(said);
}

/** Sends record `at` a second time. */
export function repeatRecord(at: number): RecordChange {
  return ({ bytes }, index) => index === at ? [bytes, bytes] : [bytes];
}

/** Leaves record `at` out. */
export function dropRecord(at: number): RecordChange {
  return ({ bytes }, index) => index === at ? [] : [bytes];
}

/** Sends record `at` after the one that follows it. */
export function swapRecords(at: number): RecordChange {
  const held: Uint8Array[] = [];
  return ({ bytes }, index) => {
    if (index !== at) return [bytes, ...held.splice(0)];
    held.push(bytes);
    return [];
  };
}

/** Flips one bit of record `at`: of the byte at this offset, from the end if it is negative. */
export function corruptRecord(at: number, offset = -1): RecordChange {
  return ({ bytes }, index) => {
    if (index !== at) return [bytes];
    const corrupted = bytes.slice();
    const place = offset < 0 ? bytes.length + offset : offset;
    corrupted[place] = (corrupted[place] ?? 0) ^ 1;
    return [corrupted];
  };
}

/** Puts other records in the place of record `at`. */
export function replaceRecord(at: number, ...others: readonly Uint8Array[]): RecordChange {
  return ({ bytes }, index) => index === at ? others : [bytes];
}

/** Takes bytes off the end of record `at`, with a header that says so. */
export function shortenRecord(at: number, byBytes = 1): RecordChange {
  return ({ bytes }, index) => {
    if (index !== at) return [bytes];
    const shorter = bytes.slice(0, bytes.length - byBytes);
    new DataView(shorter.buffer).setUint16(3, shorter.length - HEADER_BYTES);
    return [shorter];
  };
}

/**
 * Splits the bytes of one direction of a TLS connection into records. An incomplete last record is left out.
 *
 * @param bytes Bytes of one direction
 */
export function splitRecords(bytes: Uint8Array): readonly TlsRecord[] {
  return new RecordSplitter().take(bytes);
}

const HEADER_BYTES = 5;

/** A reset overtakes what is still on its way: the bytes before it have this long to arrive. */
const RESET_DELAY_MS = 20;

/** One side of a connection; TCP can be reset. */
type Side = UnixStream & Partial<Pick<Socket, "remotePort" | "resetAndDestroy">>;

/** One client's, and the way on. */
class Connection {
  readonly #client: Side;
  readonly #server: Side | undefined;
  readonly #lanes: Readonly<Record<Direction, Lane>>;

  constructor(client: Side, server: Side | undefined, plan: RelayPlan) {
    this.#client = client;
    this.#server = server;
    const reset = () => this.reset();
    this.#lanes = { toServer: new Lane(client, server, reset), toClient: new Lane(server, client, reset) };
    for (const socket of [client, server]) {
      socket?.on("error", () => {});
      socket?.on("close", () => socket.errored === null ? this.#closeOther(socket) : this.reset());
    }
    if (plan.replay !== undefined) client.write(plan.replay.toClient);
    this.begin(plan);
  }

  get recording(): RelayRecording {
    return { toServer: this.#lanes.toServer.recorded, toClient: this.#lanes.toClient.recorded };
  }

  /** Whether the client has closed its end, or lost it. */
  get isClosed(): boolean {
    return this.#client.closed;
  }

  begin(plan: RelayPlan): void {
    this.#lanes.toServer.begin("toServer", plan);
    this.#lanes.toClient.begin("toClient", plan);
  }

  reset(): void {
    for (const socket of [this.#client, this.#server]) {
      if (socket === undefined || socket.destroyed) continue;
      // One that is shutting down cannot be reset any more: Node would leave its descriptor open.
      if (socket.remotePort === undefined || socket.writableEnded) socket.destroy();
      else socket.resetAndDestroy?.();
    }
  }

  #closeOther(closed: Side): void {
    const other = closed === this.#client ? this.#server : this.#client;
    if (other !== undefined && !other.destroyed) other.end();
  }
}

/** One way through a connection. */
class Lane {
  readonly #to: Side | undefined;
  readonly #reset: () => void;
  readonly #recorded: Uint8Array[] = [];
  #cut: RelayPlan["cut"];
  #change: RecordChange | undefined;
  #splitter = new RecordSplitter();
  #recordIndex = 0;
  #passedBytes = 0;
  #isShut = false;

  constructor(from: Side | undefined, to: Side | undefined, reset: () => void) {
    this.#to = to;
    this.#reset = reset;
    from?.on("data", (chunk: Uint8Array) => this.#take(chunk));
    from?.on("end", () => this.#isShut || to?.end());
  }

  get recorded(): Uint8Array<ArrayBuffer> {
    return join(this.#recorded);
  }

  begin(direction: Direction, { cut, records }: RelayPlan): void {
    this.#cut = cut?.direction === direction ? cut : undefined;
    this.#change = records?.[direction];
    this.#splitter = new RecordSplitter();
    this.#recordIndex = 0;
    this.#passedBytes = 0;
  }

  #take(chunk: Uint8Array): void {
    this.#recorded.push(chunk.slice());
    const change = this.#change;
    if (change === undefined) return this.#pass(chunk);
    for (const record of this.#splitter.take(chunk)) {
      for (const bytes of change(record, this.#recordIndex++)) this.#pass(bytes);
    }
  }

  #pass(bytes: Uint8Array): void {
    if (this.#isShut || this.#to === undefined || this.#to.destroyed) return;
    const cut = this.#cut;
    const room = cut === undefined ? bytes.length : cut.atByte - this.#passedBytes;
    const passing = bytes.slice(0, room);
    this.#passedBytes += passing.length;
    if (passing.length > 0) this.#to.write(passing);
    if (cut === undefined || this.#passedBytes < cut.atByte) return;
    this.#isShut = true;
    this.#finish(cut.how);
  }

  #finish(how: "end" | "reset" | "stall"): void {
    if (how === "end") this.#to?.end();
    if (how === "reset") void sleep(this.#passedBytes > 0 ? RESET_DELAY_MS : 0).then(this.#reset);
  }
}

class RecordSplitter {
  #pending: Uint8Array<ArrayBuffer> = new Uint8Array();

  take(chunk: Uint8Array): readonly TlsRecord[] {
    this.#pending = join([this.#pending, chunk]);
    const records: TlsRecord[] = [];
    for (let end = this.#end(); end <= this.#pending.length; end = this.#end()) {
      const bytes = this.#pending.slice(0, end);
      records.push({ type: bytes[0] ?? 0, bytes });
      this.#pending = this.#pending.slice(end);
    }
    return records;
  }

  #end(): number {
    if (this.#pending.length < HEADER_BYTES) return Infinity;
    return HEADER_BYTES + new DataView(this.#pending.buffer).getUint16(3);
  }
}

function dial(target: TcpEndpoint | UnixEndpoint): Side {
  const socket = target.transport === "unix"
    ? dialUnix(target.path, { allowHalfOpen: true })
    : connect({ host: target.host, port: target.port, allowHalfOpen: true, noDelay: true });
  socket.on("error", () => {});
  return socket;
}

function join(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}
