import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { afterAll, describe } from "#test";
import { OwnedCredentials } from "../../lib/aws/credentials.ts";
import { toHex } from "../../lib/core/bytes.ts";
import {
  ConnectionError,
  EnclaveKmsError,
  ProtocolError,
  SecretError,
  SecretRefusedError,
  TimeoutError,
} from "../../lib/core/errors.ts";
import { type Connection, listen } from "../../lib/transport/mod.ts";
import { vsockToListen } from "../../lib/transport/vsock_place.ts";
import { SECRET_FRAME_MAGIC, SecretFrameReader } from "../../lib/wire/secret_frame.ts";
import { encodeSecretReceipt, MAX_SECRET_RECEIPT_BYTES } from "../../lib/wire/secret_receipt.ts";
import { encodeSignedSecret, SIGNED_SECRET_MAGIC } from "../../lib/wire/signed_secret.ts";
import { sendCredentials, sendSecret, type SendSecretOptions } from "../../parent/send_secret.ts";
import { spyOnFill } from "../support/spy_on_fill.ts";
import { leaveSocket } from "../support/unix_socket.ts";
import { divideTests } from "../support/share.ts";

const test = divideTests();

const folder = mkdtempSync(join(tmpdir(), "enclave-kms-send-"));
afterAll(() => rmSync(folder, { recursive: true }));

const CONTENT = new TextEncoder().encode("age-encryption.org/v1 sealed");
const PATIENCE_MS = 30_000;

async function sha256(bytes: Uint8Array): Promise<string> {
  return toHex(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>)));
}

let nextPort = 20_000;

/** Opens a port of an enclave that does to each connection what it is told. */
async function openPort(onConnection: (connection: Connection) => void, port = nextPort++) {
  const endpoint = await vsockToListen(16, port, folder);
  const listener = await listen(endpoint, {}, onConnection);
  return {
    options: { enclaveCid: 16, port, simulationFolder: folder, timeoutMs: PATIENCE_MS },
    [Symbol.asyncDispose]: () => listener[Symbol.asyncDispose](),
  };
}

/** Answers with what `answer` makes of the bytes that were sent, once all are there. */
function answering(answer: (content: Uint8Array) => Promise<Uint8Array | string> | Uint8Array | string) {
  return ({ stream }: Connection) => {
    const reader = new SecretFrameReader({ maxBytes: 2 ** 24 });
    let isDone = false;
    const finish = async () => {
      if (isDone) return;
      isDone = true;
      stream.end(await answer(reader.end()));
    };
    stream.on("data", (chunk: Uint8Array) => {
      reader.push(chunk);
      if (reader.isComplete) void finish();
    });
    stream.on("end", () => void finish());
  };
}

const accepting = answering(async (content) =>
  encodeSecretReceipt({ ok: true, name: "orders", sha256: await sha256(content) })
);

/** Sends to a port that answers with the same bytes whatever comes. */
async function sendTo(answer: Uint8Array | string, options: Partial<SendSecretOptions> = {}) {
  await using port = await openPort(answering(() => answer));
  return await sendSecret({ ...port.options, content: CONTENT, ...options });
}

async function receiptFor(content: Uint8Array, name = "orders"): Promise<Uint8Array> {
  return encodeSecretReceipt({ ok: true, name, sha256: await sha256(content) });
}

describe("sendSecret()", () => {
  for (const framed of [true, false]) {
    test(`sends ${framed ? "a frame" : "raw bytes and the end"}, and returns the receipt`, async () => {
      const seen: Uint8Array[] = [];
      await using port = await openPort(({ stream }) => {
        stream.on("data", (chunk: Uint8Array) => seen.push(chunk));
        const answer = async () => stream.end(await receiptFor(CONTENT));
        if (framed) stream.once("data", () => void answer());
        else stream.once("end", () => void answer());
      });
      const receipt = await sendSecret({ ...port.options, content: CONTENT, framed, name: "orders" });
      assert.deepEqual(receipt, { ok: true, name: "orders", sha256: await sha256(CONTENT) });
      const head = [...SECRET_FRAME_MAGIC, 0, 0, 0, CONTENT.length];
      assert.deepEqual(seen.flatMap((chunk) => [...chunk]), [...framed ? head : [], ...CONTENT]);
    });

    test(`carries 16 MiB ${framed ? "in a frame" : "raw"}`, async () => {
      const content = new Uint8Array(2 ** 24).map((_, index) => index % 251);
      await using port = await openPort(accepting);
      const receipt = await sendSecret({ ...port.options, content, framed });
      assert.equal(receipt.sha256, await sha256(content));
    });
  }

  test("gives up on an enclave that does not listen in the time for that", async () => {
    const nobody = { enclaveCid: 16, port: nextPort++, simulationFolder: folder, content: CONTENT };
    await assert.rejects(sendSecret({ ...nobody, timeoutMs: PATIENCE_MS, connectTimeoutMs: 50 }), {
      name: "TimeoutError",
      stage: "connect",
      message: /does not listen on that port within 50 ms$/,
    });
    for (const connectTimeoutMs of [0, 1.5, 2 ** 31]) {
      await assert.rejects(sendSecret({ ...nobody, connectTimeoutMs }), RangeError);
    }
  });

  test("waits for the receipt of an enclave that listens, however soon it had to", async () => {
    await using port = await openPort(answering(async (content) => {
      await new Promise((resolve) => setTimeout(resolve, 6000));
      return receiptFor(content);
    }));
    const late = { ...port.options, content: CONTENT };
    const [taken, given] = await Promise.allSettled([
      sendSecret({ ...late, connectTimeoutMs: 5000 }),
      sendSecret({ ...late, timeoutMs: 5000 }),
    ]);
    assert.equal(taken.status, "fulfilled");
    assert.equal((given as PromiseRejectedResult).reason.stage, "enclave");
  });

  test("waits for an enclave that does not listen yet, and sends once", async () => {
    const port = nextPort++;
    let messages = 0;
    const sending = sendSecret({
      enclaveCid: 16,
      port,
      simulationFolder: folder,
      timeoutMs: PATIENCE_MS,
      content: CONTENT,
    });
    await new Promise((resolve) => setTimeout(resolve, 200));
    // A try that took too long on a busy machine leaves a connection behind, and nothing in it.
    await using _port = await openPort((connection) => {
      connection.stream.once("data", () => messages++);
      accepting(connection);
    }, port);
    assert.equal((await sending).name, "orders");
    assert.equal(messages, 1);
  });

  /** Waits in vain: on a busy machine, the shortest time may be up before the socket has answered at all. */
  async function causeOfWaiting(port: number): Promise<Error> {
    let cause = new Error("never tried");
    for (const timeoutMs of [300, 5000, 60_000]) {
      const options = { enclaveCid: 16, port, simulationFolder: folder, timeoutMs, content: CONTENT };
      const error = await sendSecret(options).catch((error: unknown) => error);
      assert.ok(error instanceof TimeoutError);
      assert.equal(error.stage, "connect");
      const message = `Cannot send secret: the enclave does not listen on that port within ${timeoutMs} ms`;
      assert.equal(error.message, message);
      cause = error.cause as Error;
      if (cause instanceof ConnectionError) break;
    }
    return cause;
  }

  test("waits behind a socket whose enclave has ended", async () => {
    const port = nextPort++;
    await leaveSocket(join(folder, `16-${port}.sock`));
    assert.match((await causeOfWaiting(port)).message, /ECONNREFUSED/);
  });

  test("gives up when the time is up, and says that nobody listened", async () => {
    assert.ok(await causeOfWaiting(nextPort++) instanceof ConnectionError);
  });

  test("does not wait where waiting cannot help", async () => {
    const simulationFolder = join(folder, "file");
    writeFileSync(simulationFolder, "");
    await assert.rejects(
      sendSecret({ enclaveCid: 16, port: 7101, simulationFolder, timeoutMs: PATIENCE_MS, content: CONTENT }),
      (error) => error instanceof ConnectionError && /ENOTDIR/.test(error.message),
    );
  });

  test("ends with the signal's reason, while it waits to connect and while it waits for the receipt", async () => {
    const reason = new Error("enough");
    const nobody = { enclaveCid: 16, port: nextPort++, simulationFolder: folder, content: CONTENT };
    const early = new AbortController();
    setTimeout(() => early.abort(reason), 50);
    await assert.rejects(sendSecret({ ...nobody, signal: early.signal }), (error) => error === reason);

    const late = new AbortController();
    await using port = await openPort(({ stream }) => {
      stream.on("data", () => late.abort(reason));
    });
    await assert.rejects(
      sendSecret({ ...port.options, content: CONTENT, signal: late.signal }),
      (error) => error === reason,
    );
    await assert.rejects(
      sendSecret({ ...port.options, content: CONTENT, signal: AbortSignal.abort(reason) }),
      (error) => error === reason,
    );
  });

  test("throws the enclave's refusal, with its code", async () => {
    const refusal = {
      ok: false,
      code: "ERR_SECRET_VERSION",
      message: "Cannot take secret: too old",
      hint: "Newer?",
    };
    await assert.rejects(sendTo(encodeSecretReceipt(refusal as never)), (error) => {
      assert.ok(error instanceof SecretRefusedError && error instanceof SecretError);
      assert.equal(error.code, "ERR_SECRET_REFUSED");
      assert.equal(error.enclaveCode, "ERR_SECRET_VERSION");
      assert.match(
        error.message,
        /^Cannot send secret: the enclave refused it with ERR_SECRET_VERSION: Cannot take/,
      );
      assert.equal(error.hint, "Newer?");
      return true;
    });
  });

  test("hears a refusal that comes before all is sent", async () => {
    const refusal = encodeSecretReceipt({ ok: false, code: "ERR_SECRET_TOO_LARGE", message: "Too large" });
    await using port = await openPort(({ stream }) => {
      stream.once("data", () => {
        stream.pause();
        stream.write(refusal);
      });
    });
    const content = new Uint8Array(2 ** 24).fill(1);
    for (const framed of [true, false]) {
      await assert.rejects(
        sendSecret({ ...port.options, content, framed }),
        (error) => error instanceof SecretRefusedError && error.enclaveCode === "ERR_SECRET_TOO_LARGE",
      );
    }
  });

  test("hashes what a receipt names: of a signed secret the sealed bytes", async () => {
    const statement = { name: "orders", version: 3, sha256: new Uint8Array(32) };
    const content = encodeSignedSecret({ statement, signature: new Uint8Array(64), sealed: CONTENT });
    assert.equal((await sendTo(await receiptFor(CONTENT), { content })).sha256, await sha256(CONTENT));
    await assert.rejects(sendTo(await receiptFor(content), { content }), ProtocolError);
    const broken = new Uint8Array([...SIGNED_SECRET_MAGIC, 1, 2]);
    await assert.rejects(sendTo("", { content: broken }), (error) => {
      return error instanceof SecretError && error.code === "ERR_SECRET_FRAME";
    });
  });

  test("checks its options before anything is sent", async () => {
    let connections = 0;
    await using port = await openPort(() => connections++);
    const good = { ...port.options, content: CONTENT };
    const wrong: readonly [object, new () => Error][] = [
      [{ content: "text" }, TypeError],
      [{ content: new Uint8Array(0) }, RangeError],
      [{ content: new Uint8Array(2 ** 24 + 1) }, RangeError],
      [{ port: 0 }, RangeError],
      [{ port: 2 ** 32 - 1 }, RangeError],
      [{ port: "7101" }, TypeError],
      [{ enclaveCid: -1 }, RangeError],
      [{ enclaveCid: undefined }, TypeError],
      [{ framed: 1 }, TypeError],
      [{ name: "" }, TypeError],
      [{ name: "a\nb" }, TypeError],
      [{ timeoutMs: 0 }, RangeError],
      [{ signal: {} }, TypeError],
      [{ simulationFolder: "" }, RangeError],
      [{ secret: "x" }, TypeError],
    ];
    for (const [index, [change, Class]] of wrong.entries()) {
      await assert.rejects(
        sendSecret({ ...good, ...change } as SendSecretOptions),
        Class,
        `${index}`,
      );
    }
    assert.equal(connections, 0);
  });
});

describe("sendSecret() to what lies in its receipt", () => {
  const HUGE = "A".repeat(MAX_SECRET_RECEIPT_BYTES);
  const LIES: Readonly<Record<string, Uint8Array | string>> = {
    "nothing at all": "",
    "an empty line": "\n",
    "text": "thank you\n",
    "a success with words": '{"ok":true,"name":"orders","sha256":"yes"}\n',
    "a success without a name": `{"ok":true,"sha256":"${"0".repeat(64)}"}\n`,
    "a name that commands the terminal": `{"ok":true,"name":"\\u001b[2J","sha256":"${"0".repeat(64)}"}\n`,
    "a refusal that commands the terminal":
      '{"ok":false,"code":"ERR_X","message":"\\u001b]0;pwned\\u0007"}\n',
    "a refusal with a second line": '{"ok":false,"code":"ERR_X","message":"a\\nwarning: all is well"}\n',
    "a refusal that turns text around": '{"ok":false,"code":"ERR_X","message":"\\u202egnihtyna"}\n',
    "a code in lower case": '{"ok":false,"code":"err_x","message":"m"}\n',
    "a long message": `{"ok":false,"code":"ERR_X","message":"${"m".repeat(513)}"}\n`,
    "a member more": '{"ok":false,"code":"ERR_X","message":"m","retry":true}\n',
    "two lines": '{"ok":false,"code":"ERR_X","message":"m"}\n{"ok":true}\n',
    "half a line": '{"ok":true,"name":"orders","sha',
    "no UTF-8": Uint8Array.of(0x7b, 0xff, 0xfe, 0x7d, 0x0a),
    "a line that never ends": HUGE + HUGE,
    "a long line": `${HUGE}\n`,
    "a list": "[]\n",
    "null": "null\n",
  };

  for (const [what, answer] of Object.entries(LIES)) {
    test(`refuses ${what}, and repeats nothing of it`, async () => {
      await assert.rejects(sendTo(answer), (error) => {
        assert.ok(error instanceof ProtocolError, String(error));
        // deno-lint-ignore no-control-regex -- these are what must not be there
        assert.doesNotMatch(`${error.message}${error.hint}`, /[\x00-\x1f\x7f]|pwned|thank you|AAAA/);
        return true;
      });
    });
  }

  test("refuses a success for another name, or another secret", async () => {
    await assert.rejects(sendTo(await receiptFor(CONTENT, "keys"), { name: "orders" }), ProtocolError);
    await assert.rejects(sendTo(await receiptFor(new Uint8Array(3))), ProtocolError);
    assert.equal(
      (await sendTo(await receiptFor(CONTENT, "keys"))).name,
      "keys",
      "any name, when none is expected",
    );
  });

  test("is not held by one that says nothing, or a byte at a time", async () => {
    const drip = ({ stream }: Connection) => {
      const timer = setInterval(() => stream.write("{"), 20);
      stream.on("close", () => clearInterval(timer));
      stream.resume();
    };
    for (const behaviour of [() => {}, drip]) {
      await using port = await openPort(behaviour);
      await assert.rejects(
        sendSecret({ ...port.options, content: CONTENT, timeoutMs: 1500 }),
        (error) => error instanceof TimeoutError && error.stage === "enclave",
      );
    }
  });

  test("holds no more than a receipt of one that never stops", async () => {
    await using port = await openPort(({ stream }) => {
      const flood = () => {
        while (stream.write(new Uint8Array(65_536).fill(0x61)));
      };
      stream.on("drain", flood);
      flood();
    });
    const before = process.memoryUsage().arrayBuffers;
    await assert.rejects(sendSecret({ ...port.options, content: CONTENT }), ProtocolError);
    assert.ok(process.memoryUsage().arrayBuffers - before < 2 ** 25);
  });

  test("says that a secret may have been taken when the connection breaks", async () => {
    await using port = await openPort(({ stream }) => {
      stream.once("data", () => stream.destroy());
    });
    await assert.rejects(sendSecret({ ...port.options, content: CONTENT }), (error) => {
      assert.ok(error instanceof ConnectionError || error instanceof ProtocolError, String(error));
      return true;
    });
  });
});

describe("sendCredentials()", () => {
  const parts = {
    accessKeyId: "ASIAEXAMPLE",
    secretAccessKey: 'secret/with"quotes\\',
    sessionToken: "token",
    expiration: "2026-01-31T12:00:00Z",
  };

  test("sends the instance's JSON, keeps the credentials, and wipes what it wrote", async () => {
    let sent = "";
    await using port = await openPort(answering(async (content) => {
      sent = new TextDecoder().decode(content);
      return await receiptFor(content, "credentials");
    }));
    using credentials = OwnedCredentials.copyOf(parts);
    const wiped: number[] = [];
    using _spy = spyOnFill((bytes) => wiped.push(bytes.length));
    const receipt = await sendCredentials({ ...port.options, credentials });
    assert.equal(receipt.name, "credentials");
    assert.deepEqual(JSON.parse(sent), {
      AccessKeyId: parts.accessKeyId,
      SecretAccessKey: parts.secretAccessKey,
      Token: parts.sessionToken,
      Expiration: "2026-01-31T12:00:00.000Z",
    });
    assert.ok(wiped.includes(sent.length), "the JSON");
    assert.ok(wiped.includes(sent.length + 8), "its frame");
    assert.equal(credentials.secretAccessKey.length, parts.secretAccessKey.length);
  });

  test("wipes what it wrote when the enclave refuses, and when there is none", async () => {
    using credentials = OwnedCredentials.copyOf(parts);
    const { length } =
      '{"AccessKeyId":"ASIAEXAMPLE","SecretAccessKey":"secret/with\\"quotes\\\\","Token":"token",' +
      '"Expiration":"2026-01-31T12:00:00.000Z"}';
    const refusal = encodeSecretReceipt({ ok: false, code: "ERR_SECRET_CREDENTIALS", message: "Cannot" });
    await using port = await openPort(answering(() => refusal));
    const nobody = { ...port.options, port: nextPort++, timeoutMs: 100 };
    for (const options of [port.options, nobody]) {
      const wiped: number[] = [];
      using _spy = spyOnFill((bytes) => wiped.push(bytes.length));
      await assert.rejects(sendCredentials({ ...options, credentials }), EnclaveKmsError);
      assert.ok(wiped.includes(length), `${wiped}`);
    }
  });

  test("goes to port 7100 unless told otherwise", async () => {
    await using _port = await openPort(accepting, 7100);
    using credentials = OwnedCredentials.copyOf(parts);
    const receipt = await sendCredentials({ enclaveCid: 16, simulationFolder: folder, credentials });
    assert.equal(receipt.ok, true);
  });
});
