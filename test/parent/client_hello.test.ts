import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import process from "node:process";
import { Duplex } from "node:stream";
import { connect as connectTls } from "node:tls";
import { describe, test } from "#test";
import { ProtocolError } from "../../lib/core/errors.ts";
import type { ConnectionStream } from "../../lib/transport/connection.ts";
import { ClientHelloReader, MAX_CLIENT_HELLO_BYTES } from "../../parent/client_hello.ts";
import { readClientName } from "../../parent/read_client_name.ts";

const NAME = "bucket.s3.eu-central-1.amazonaws.com";

/** Programs that begin TLS with a server on a port of 127.0.0.1 that they take for another one. */
const CLIENTS: Readonly<Record<string, (port: number) => readonly string[]>> = {
  "openssl s_client": (port) => ["openssl", "s_client", "-connect", `127.0.0.1:${port}`, "-servername", NAME],
  "openssl s_client with TLS 1.2": (
    port,
  ) => ["openssl", "s_client", "-tls1_2", "-connect", `127.0.0.1:${port}`, "-servername", NAME],
  "openssl s_client with a small record size": (
    port,
  ) => ["openssl", "s_client", "-max_send_frag", "512", "-connect", `127.0.0.1:${port}`, "-servername", NAME],
  curl: (port) => ["curl", "--silent", "--connect-to", `${NAME}:443:127.0.0.1:${port}`, `https://${NAME}/`],
  Deno: (
    port,
  ) => [
    "deno",
    "eval",
    `await Deno.startTls(await Deno.connect({ port: ${port} }), { hostname: "${NAME}" });`,
  ],
};

/** Captures what a client sends first. */
async function capture(run: (port: number) => void | Promise<void>): Promise<Uint8Array> {
  const server = createServer();
  try {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const accepted = once(server, "connection") as Promise<[Socket]>;
    const { port } = server.address() as { port: number };
    await run(port);
    const [socket] = await accepted;
    socket.on("error", () => {});
    const [bytes] = await once(socket, "data") as [Uint8Array];
    socket.destroy();
    return new Uint8Array(bytes);
  } finally {
    server.close();
  }
}

function read(bytes: Uint8Array, pieceLength = bytes.length): string | undefined {
  const reader = new ClientHelloReader();
  for (let offset = 0; offset < bytes.length; offset += pieceLength) {
    const name = reader.push(bytes.subarray(offset, offset + pieceLength));
    if (name !== undefined) return name;
  }
  return undefined;
}

const u16 = (value: number) => [value >> 8, value & 0xff];
const u24 = (value: number) => [value >> 16, (value >> 8) & 0xff, value & 0xff];
const vector = (bytes: readonly number[]) => [...u16(bytes.length), ...bytes];
const ascii = (text: string) => [...new TextEncoder().encode(text)];
const extension = (type: number, body: readonly number[]) => [...u16(type), ...vector(body)];
const serverName = (name: readonly number[], type = 0) => extension(0, vector([type, ...vector(name)]));

/** Parts of a ClientHello that a test changes. */
interface HelloParts {
  readonly version?: readonly number[];
  readonly sessionId?: readonly number[];
  readonly suites?: readonly number[];
  readonly compression?: readonly number[];
  /** Everything after the compression methods. */
  readonly tail?: readonly number[];
  readonly extensions?: readonly number[];
}

function body(parts: HelloParts = {}): number[] {
  const { version = [3, 3], sessionId = [], suites = [0x13, 0x01], compression = [0] } = parts;
  const extensions = parts.extensions ?? [...extension(43, [2, 3, 4]), ...serverName(ascii(NAME))];
  return [
    ...version,
    ...new Array<number>(32).fill(7),
    ...[sessionId.length, ...sessionId],
    ...vector(suites),
    ...[compression.length, ...compression],
    ...(parts.tail ?? vector(extensions)),
  ];
}

const message = (hello: readonly number[], type = 1) => [type, ...u24(hello.length), ...hello];
const record = (fragment: readonly number[], header = [22, 3, 1]) => [...header, ...vector(fragment)];
const hello = (parts?: HelloParts) => Uint8Array.from(record(message(body(parts))));

describe("ClientHelloReader", () => {
  for (const [client, command] of Object.entries(CLIENTS)) {
    test(`reads the name that ${client} sends, whole and byte by byte`, async () => {
      const children: { kill(): void }[] = [];
      try {
        const bytes = await capture((port) => {
          const [program = "", ...args] = command(port);
          children.push(execFile(program, args, () => {}));
        });
        assert.equal(read(bytes), NAME);
        for (const pieceLength of [1, 7, 100]) assert.equal(read(bytes, pieceLength), NAME);
        // Nothing shorter is enough, and nothing of it is wrong.
        assert.equal(read(bytes.subarray(0, -1)), undefined);
      } finally {
        for (const child of children) child.kill();
      }
    });
  }

  test(`reads the name that node:tls sends, on ${"Deno" in globalThis ? "Deno" : "Node"} ${process.version}`, async () => {
    const bytes = await capture((port) => {
      const socket = connectTls({
        host: "127.0.0.1",
        port,
        servername: NAME,
        ALPNProtocols: ["h2", "http/1.1"],
      });
      socket.on("error", () => {});
    });
    assert.equal(read(bytes, 1), NAME);
  });

  test("reads a message in many records, and in the largest that may be", () => {
    const whole = message(body());
    for (const length of [1, 2, 3, 4, 5, 50]) {
      const records: number[] = [];
      for (let at = 0; at < whole.length; at += length) records.push(...record(whole.slice(at, at + length)));
      assert.equal(read(Uint8Array.from(records)), NAME);
      assert.equal(read(Uint8Array.from(records), 3), NAME);
    }
    const padding = (
      length: number,
    ) => [...serverName(ascii(NAME)), ...extension(21, new Array(length).fill(0))];
    const room = MAX_CLIENT_HELLO_BYTES - hello({ extensions: padding(0) }).length;
    const largest = hello({ extensions: padding(room) });
    assert.equal(largest.length, MAX_CLIENT_HELLO_BYTES);
    assert.equal(read(largest), NAME);
    const longer = message(body({ extensions: padding(room + 1) }));
    assert.throws(() => read(Uint8Array.from(record(longer))), /not complete within 16384 bytes/);
    // Its length is known early, and nobody waits for the rest.
    assert.throws(() => read(Uint8Array.from(record(longer.slice(0, 4)))), /longer than 16384 bytes/);
  });

  test("leaves alone what follows, and gives the name in lower case", () => {
    const early = [
      ...hello({ extensions: serverName(ascii("A.Example")) }),
      ...record([1, 2, 3], [23, 3, 3]),
    ];
    assert.equal(read(Uint8Array.from(early)), "a.example");
  });

  const refused: Readonly<Record<string, readonly [bytes: readonly number[] | Uint8Array, message: RegExp]>> =
    {
      "plain HTTP": [ascii("GET / HTTP/1.1\r\n"), /does not begin as TLS does/],
      "a single byte that TLS does not begin with": [[0x80], /does not begin as TLS does/],
      "the ClientHello of SSL 2": [[0x80, 0x2e, 1, 3, 1], /does not begin as TLS does/],
      "an alert": [record([2, 40], [21, 3, 1]), /does not begin as TLS does/],
      "a version beyond TLS": [record([1], [22, 3, 4]), /does not begin as TLS does/],
      "DTLS": [record([1], [22, 254, 253]), /does not begin as TLS does/],
      "an empty record": [record([]), /empty or too long/],
      "a record that is too long": [[22, 3, 1, 0x40, 1], /empty or too long/],
      "another message first": [record(message([], 2)), /first message is another one/],
      "an alert between two records": [
        [...record(message(body()).slice(0, 9)), ...record([1, 0], [21, 3, 1])],
        /does not begin as TLS does/,
      ],
      "a second message in its record": [record([...message(body()), 1]), /its record goes on after it/],
      "a version below TLS": [hello({ version: [2, 0] }), /version is none of TLS/],
      "a version above TLS 1.2, which TLS 1.3 does not use": [
        hello({ version: [3, 4] }),
        /version is none of TLS/,
      ],
      "a session id of 33 bytes": [hello({ sessionId: new Array(33).fill(1) }), /session id is too long/],
      "no cipher suites": [hello({ suites: [] }), /cipher suites are no list/],
      "half a cipher suite": [hello({ suites: [1, 2, 3] }), /cipher suites are no list/],
      "compression": [hello({ compression: [1] }), /wants compression/],
      "no extensions at all": [hello({ tail: [] }), /has no server name/],
      "no name among the extensions": [hello({ extensions: extension(43, [2, 3, 4]) }), /has no server name/],
      "bytes after the extensions": [
        hello({ tail: [...vector(serverName(ascii(NAME))), 0] }),
        /goes on after its end/,
      ],
      "an extension that is cut off": [hello({ extensions: [0, 0, 0] }), /ends within a field/],
      "an extension that is longer than they all": [
        hello({ extensions: [0, 0, 0, 9, 1] }),
        /ends within a field/,
      ],
      "two names": [
        hello({
          extensions: extension(
            0,
            vector([0, ...vector(ascii("a.example")), 0, ...vector(ascii("b.example"))]),
          ),
        }),
        /goes on after its end/,
      ],
      "the name's extension twice": [
        hello({ extensions: [...serverName(ascii("a.example")), ...serverName(ascii("a.example"))] }),
        /has extension 0 twice/,
      ],
      "any other extension twice": [
        hello({ extensions: [...serverName(ascii("a.example")), ...extension(5, []), ...extension(5, [])] }),
        /has extension 5 twice/,
      ],
      "a name of another kind": [hello({ extensions: serverName(ascii(NAME), 1) }), /name is no host name/],
      "an empty list of names": [hello({ extensions: extension(0, vector([])) }), /ends within a field/],
      "an empty name": [hello({ extensions: serverName([]) }), /name is no DNS name/],
      "an IP address": [hello({ extensions: serverName(ascii("169.254.169.254")) }), /name is no DNS name/],
      "a name with a final dot": [
        hello({ extensions: serverName(ascii(`${NAME}.`)) }),
        /name is no DNS name/,
      ],
      "a name with a NUL": [
        hello({ extensions: serverName(ascii(`${NAME}\0.evil`)) }),
        /name is no DNS name/,
      ],
      "a name with a port": [hello({ extensions: serverName(ascii("a.example:22")) }), /name is no DNS name/],
      "a name beyond ASCII": [
        hello({ extensions: serverName([0xe4, ...ascii(".example")]) }),
        /name is no DNS name/,
      ],
      "a name of 254 bytes": [
        hello({ extensions: serverName(ascii(`${"a.".repeat(126)}aa`)) }),
        /name is no DNS name/,
      ],
    };
  for (const [what, [bytes, expected]] of Object.entries(refused)) {
    test(`refuses ${what}`, () => {
      for (const pieceLength of [bytes.length, 1]) {
        assert.throws(() => read(Uint8Array.from(bytes), pieceLength), (error) => {
          assert.ok(error instanceof ProtocolError, `${error}`);
          assert.match(error.message, /^Cannot read the ClientHello: /);
          assert.match(error.message, expected);
          return true;
        });
      }
    });
  }
});

describe("readClientName()", () => {
  test("puts back what it read from a peer that ended in the same moment", async () => {
    for (const parts of [[hello()], [hello().subarray(0, 9), hello().subarray(9)]]) {
      const stream = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
      const name = readClientName(stream as unknown as ConnectionStream);
      for (const part of [...parts, null]) stream.push(part);
      assert.equal(await name, NAME);
      const left: Uint8Array[] = [];
      for await (const chunk of stream) left.push(chunk as Uint8Array);
      assert.deepEqual(new Uint8Array(Buffer.concat(left)), hello());
    }
  });
});
