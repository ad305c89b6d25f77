import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { type ChildProcessWithoutNullStreams, execFile, spawn } from "node:child_process";
import { constants, createCipheriv, createPublicKey, publicEncrypt, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { AwsV4Signer } from "aws4fetch";
import { afterAll, beforeAll, describe } from "#test";
import { sealEnvelope } from "../../sim/kms/cms_envelope.ts";
import { compileInstrument, supervise, SUPERVISED_VARIABLE } from "../../sim/instruments.ts";
import { TlsAuthority } from "../../sim/tls/tls_certificates.ts";
import { divideTests } from "../support/share.ts";

const test = divideTests();

const MASK = 0xa5;
const HOST_NAME = "kms.us-east-1.amazonaws.com";
const ACCESS_KEY_ID = "AKIDEXAMPLE";

const supervisor = await compileInstrument("nsm-supervisor");
const double = await compileInstrument("sdk-double");
const realLibrary = process.env["ENCLAVE_KMS_SDK_LIBRARY"];
const outerDirectory = process.env[SUPERVISED_VARIABLE];
const withoutCompiler = supervisor === undefined || double === undefined;
const skip = withoutCompiler ? " (skipped: no C compiler)" : "";
const nested = withoutCompiler || outerDirectory !== undefined;
const skipNested = nested ? " (skipped: no C compiler, or this process is supervised itself)" : "";
const libraries: [name: string, path: string | undefined, reason: string][] = [
  ["double", double, skip],
  ["real", realLibrary, realLibrary ? skip : " (skipped: set ENCLAVE_KMS_SDK_LIBRARY=<the library>)"],
];

const folder = mkdtempSync(join(tmpdir(), "enclave-kms-instruments-test-"));
const socketDirectory = outerDirectory ?? folder;
const driver = join(folder, "driver");

beforeAll(async () => {
  if (withoutCompiler) return;
  const source = fileURLToPath(new URL("./instruments_driver.c", import.meta.url));
  const flags = ["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread", source, "-o", driver, "-ldl"];
  await promisify(execFile)(process.env["CC"] ?? "cc", flags);
});

afterAll(() => rmSync(folder, { recursive: true }));

/** Reaction of the NSM to a request: answers, closes the connection, or stays silent. */
type Answer = (request: Buffer) => Uint8Array | "close" | "silent";

/** A program under the supervisor, with a software NSM of its own unless `answer` is undefined. */
class Run implements AsyncDisposable {
  readonly requests: Buffer[] = [];
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #exit: Promise<unknown[]>;
  readonly #ready: Promise<void>;
  #output = "";
  #errors = "";

  constructor(command: string[], answer: Answer | undefined, environment: Record<string, string> = {}) {
    const [program = "", ...parameters] = supervise(command, socketDirectory);
    this.#child = spawn(program, parameters, { env: { ...process.env, ...environment } });
    this.#exit = once(this.#child, "close");
    this.#child.stdout.on("data", (chunk) => this.#output += chunk);
    this.#child.stderr.on("data", (chunk) => this.#errors += chunk);
    this.#child.stdin.on("error", () => {}); // a program that ends early does not read its input
    this.#server = createServer((socket) => this.#serve(socket, answer));
    this.#ready = this.#listen(answer !== undefined).then(() => this.#send("go"));
  }

  /** The child is the program's ancestor or the program itself, so its number names the socket. */
  async #listen(isPresent: boolean): Promise<void> {
    if (!isPresent) return;
    this.#server.listen(join(socketDirectory, `nsm-${this.#child.pid}.sock`));
    await once(this.#server, "listening");
  }

  #send(...lines: string[]): void {
    this.#child.stdin.write(lines.map((line) => `${line}\n`).join(""));
  }

  /** Sends lines once the program has been told to go. */
  async send(...lines: string[]): Promise<void> {
    await this.#ready;
    this.#send(...lines);
  }

  /** Reads the rest of the output line that starts with a word. */
  async read(word: string): Promise<string> {
    for (;;) {
      const line = this.#output.split("\n").slice(0, -1).find((line) => line.startsWith(`${word} `));
      if (line !== undefined) return line.slice(word.length + 1);
      await Promise.race([once(this.#child.stdout, "data"), this.#exit.then(() => this.#fail(word))]);
    }
  }

  /**
   * Sends a signal by the process id: through the child object, Deno reports the signal in place of the exit
   * code.
   */
  signal(name: NodeJS.Signals): void {
    process.kill(this.#child.pid ?? 0, name);
  }

  async end(): Promise<{ code: unknown; output: string; errors: string }> {
    const [code] = await this.#exit;
    return { code, output: this.#output, errors: this.#errors };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#exit;
    for (const socket of this.#sockets) socket.destroy();
    if (this.#server.listening) await new Promise((resolve) => this.#server.close(resolve));
  }

  #fail(word: string): never {
    throw new Error(`No line "${word} …" but: ${this.#output}${this.#errors}`);
  }

  #serve(socket: Socket, answer: Answer | undefined): void {
    this.#sockets.add(socket);
    let pending = Buffer.alloc(0);
    socket.on("error", () => {});
    socket.on("data", (chunk: Buffer) => {
      pending = Buffer.concat([pending, chunk]);
      if (pending.length < 4 || pending.length < 4 + pending.readUInt32BE()) return;
      this.requests.push(pending.subarray(4));
      const response = answer?.(pending.subarray(4)) ?? "close";
      if (response === "close") socket.end();
      else if (response !== "silent") socket.end(Buffer.concat([uint32(response.length), response]));
    });
  }
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** Answers as the module of these tests: the document is the public key itself. */
function echoPublicKey(request: Buffer): Uint8Array {
  const expected = "a16b4174746573746174696f6ea369757365725f64617461f6656e6f6e6365f66a7075626c69635f6b657959";
  assert.equal(request.subarray(0, expected.length / 2).toString("hex"), expected);
  return Buffer.concat([
    Buffer.from("a16b4174746573746174696f6ea168646f63756d656e74", "hex"),
    request.subarray(expected.length / 2 - 1),
  ]);
}

function masked(bytes: Uint8Array): string {
  return Buffer.from(bytes.map((byte) => byte ^ MASK)).toString("hex");
}

describe("compileInstrument()", () => {
  test("parallel calls give one file", async () => {
    const paths = await Promise.all([1, 2, 3].map(() => compileInstrument("sdk-double")));
    assert.deepEqual(new Set(paths), new Set([double]));
  });

  test("no compiler gives undefined" + skip, async () => {
    const before = process.env["CC"];
    process.env["CC"] = "/nowhere/cc";
    try {
      assert.equal(await compileInstrument("sdk-double"), undefined);
    } finally {
      if (before === undefined) delete process.env["CC"];
      else process.env["CC"] = before;
    }
  });
});

describe.skipIf(withoutCompiler)(`nsm-supervisor${skip}`, () => {
  test.skipIf(nested)(`no NSM: open fails with ENOENT${skipNested}`, async () => {
    await using run = new Run([driver, "nsm", "00", "16"], undefined);
    assert.equal((await run.end()).output, "open No such file or directory\n");
  });

  test("the request reaches the NSM, and the answer and its length come back", async () => {
    await using run = new Run(
      [driver, "nsm", "6b44657363726962654e534d", "12288"],
      () => Buffer.from("a1f6", "hex"),
    );
    assert.equal((await run.end()).output, "ok 2 a1f6\n");
    assert.deepEqual(run.requests.map((request) => request.toString()), ["kDescribeNSM"]);
  });

  test("an answer that is longer than the caller's buffer is cut", async () => {
    await using run = new Run([driver, "nsm", "f6", "3"], () => Buffer.from("0102030405", "hex"));
    assert.equal((await run.end()).output, "ok 3 010203\n");
  });

  test("the largest request and the largest answer pass", async () => {
    await using run = new Run([driver, "nsm", "ab".repeat(0x1000), "12288"], () => Buffer.alloc(0x3000, 7));
    assert.equal((await run.end()).output, `ok 12288 ${"07".repeat(0x3000)}\n`);
    assert.equal(run.requests[0]?.toString("hex"), "ab".repeat(0x1000));
  });

  test("a request over 4096 bytes is EMSGSIZE and never sent", async () => {
    await using run = new Run([driver, "nsm", "ab".repeat(0x1001), "16"], () => Buffer.alloc(1));
    assert.equal((await run.end()).output, "ioctl Message too long\n");
    assert.equal(run.requests.length, 0);
  });

  test("an NSM that closes without an answer is EIO", async () => {
    await using run = new Run([driver, "nsm", "f6", "16"], () => "close");
    assert.equal((await run.end()).output, "ioctl Input/output error\n");
  });

  test("a silent NSM holds up nobody else, and the exit code is passed on", async () => {
    await using run = new Run([driver, "silent"], () => "silent");
    const { code, output } = await run.end();
    assert.deepEqual([code, output], [7, "opened\n"]);
    assert.equal(run.requests.length, 1);
  });

  test("the NSM of an ancestor serves the processes below it", async () => {
    const script = `read go; (echo go | "$0" nsm f6 16); echo go | "$0" nsm f6 16; exit 3`;
    await using run = new Run(["sh", "-c", script, driver], () => Buffer.from([1]));
    const { code, output } = await run.end();
    assert.deepEqual([code, output], [3, "ok 1 01\nok 1 01\n"]);
  });

  test.skipIf(nested)(
    `SIGTERM reaches the program, its signal becomes the exit code${skipNested}`,
    async () => {
      await using run = new Run(["sh", "-c", "echo up $$; exec sleep 600"], undefined);
      await run.read("up");
      run.signal("SIGTERM");
      assert.equal((await run.end()).code, 128 + 15);
    },
  );
});

for (const [name, library = "", reason] of libraries) {
  describe.skipIf(reason !== "")(`aws-nitro-enclaves-sdk-c, ${name}${reason}`, () => {
    test("layouts, strings, buffers, configuration, tracer and errors", async () => {
      await using run = new Run([driver, "abi", library], undefined);
      assert.deepEqual(await run.end(), { code: 0, output: "ok\n", errors: "" });
    });

    test("attests and opens what was encrypted to the key pair", async () => {
      await using run = new Run([driver, "open", library], echoPublicKey);
      const publicKey = Buffer.from(await run.read("document"), "hex");
      const plaintext = randomBytes(4096), key = randomBytes(32), iv = randomBytes(16);
      const wrapped = publicEncrypt({
        key: createPublicKey({ key: publicKey, format: "der", type: "spki" }),
        padding: constants.RSA_PKCS1_OAEP_PADDING,
        oaepHash: "sha256",
      }, key);
      const cipher = createCipheriv("aes-256-cbc", key, iv);
      const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final()]);
      run.send(
        ...[wrapped, iv, ciphertext].map((bytes) => bytes.toString("hex")),
        masked(key),
        masked(plaintext),
      );
      const { code, errors } = await run.end();
      assert.deepEqual([code, errors], [0, ""]);
      assert.equal(await run.read("plaintext"), plaintext.toString("hex"));
      if (library === double) assert.equal(await run.read("residue"), "0 0");
    });
  });
}

describe.skipIf(withoutCompiler)(`sdk-double${skip}`, () => {
  const drive = async (scenario: string) => {
    const { stdout } = await promisify(execFile)(driver, [scenario, double ?? ""]);
    return stdout.trimEnd().split("\n");
  };

  test("the journal pairs what is acquired with what is released", async () => {
    assert.deepEqual(await drive("journal"), [
      "live 2",
      "acquire aws_nitro_enclaves_library_init #1",
      "acquire aws_string_new_from_array #2",
      "acquire aws_string_new_from_array #3",
      "release aws_string_destroy_secure #2",
      "live 0",
      "release aws_string_destroy #2",
      "release aws_nitro_enclaves_library_clean_up #1",
    ]);
  });

  test("misuse is noticed and survived", async () => {
    assert.deepEqual(await drive("misuse"), [
      "live 0",
      "aws_string_destroy: releases a secret that was not wiped",
      "aws_string_destroy: releases what is unknown or was released before",
      "aws_mem_release: releases what is unknown or was released before",
      "aws_byte_buf_clean_up_secure: memory is not zero after a secure clean-up",
      "aws_attestation_rsa_keypair_destroy: releases what a running call uses",
      "aws_nitro_enclaves_library_clean_up: on another thread than library_init: the next init aborts",
    ]);
  });

  test("planned failures come at the call they were planned for", async () => {
    assert.deepEqual(await drive("plans"), ["string 0", "NULL 34", "string 34", "live 0"]);
  });
});

describe.skipIf(withoutCompiler)(`sdk-double's KMS client${skip}`, () => {
  const plaintext = new TextEncoder().encode("plaintext-canary-" + "x".repeat(4000));
  const secretAccessKey = "secret-canary-0123456789";
  const sessionToken = "token-canary-" + "y".repeat(900);

  /** Runs the blocking client against a KMS that `respond`s. */
  const decrypt = async (
    context: string,
    respond: (request: KmsRequest, response: ServerResponse) => void,
    trusted = authority.trustedCertificates,
  ) => {
    await using kms = await FakeKms.start(respond);
    const trustFile = join(folder, "trust.pem");
    writeFileSync(trustFile, trusted);
    const command = [driver, "kms", double ?? "", String(kms.port), context];
    await using run = new Run(command, echoPublicKey, { SSL_CERT_FILE: trustFile });
    const encode = (text: string) => new TextEncoder().encode(text);
    await run.send(masked(encode(secretAccessKey)), masked(encode(sessionToken)), masked(plaintext));
    return { ...(await run.end()), requests: kms.requests };
  };

  const opened = [
    "client open",
    "rc 0 last error 0",
    `plaintext ${Buffer.from(plaintext).toString("hex")}`,
    "residue 0 0 0",
    "",
  ].join("\n");
  const refused = ["client open", "rc -1 last error 0", "plaintext ", "residue 0 0 0", ""].join("\n");

  let authority: TlsAuthority;
  beforeAll(async () => {
    authority = await TlsAuthority.create(HOST_NAME);
  });

  for (const shape of ["constructed", "definite"] as const) {
    test(`decrypts, signed as aws4fetch signs, envelope ${shape}`, async () => {
      const run = await decrypt('{"purpose":"test"}', (request, response) => {
        answerJson(response, 200, answerFor(plaintext, request, shape));
      });
      assert.deepEqual([run.code, run.output, run.errors], [0, opened, "Connected.\nDisconnected.\n"]);
      const [request] = run.requests;
      assert.deepEqual(Object.keys(request?.body ?? {}), [
        "CiphertextBlob",
        "EncryptionContext",
        "Recipient",
      ]);
      assert.deepEqual(request?.body["EncryptionContext"], { purpose: "test" });
      assert.equal(request?.body["CiphertextBlob"], Buffer.from("blob").toString("base64"));
      assert.equal(request?.headers["authorization"], await expectedAuthorization(request as KmsRequest));
    });
  }

  test("sends the key id with its algorithm, reads a chunked answer", async () => {
    const run = await decrypt("", (request, response) => {
      response.write(" \n");
      response.end(JSON.stringify(answerFor(plaintext, request, "constructed"), null, 2));
    });
    assert.equal(run.output, opened);
    assert.equal(run.requests[0]?.body["KeyId"], 'alias/"k"');
    assert.equal(run.requests[0]?.body["EncryptionAlgorithm"], "SYMMETRIC_DEFAULT");
  });

  test("a refusal of KMS is -1 with no last error and a line on stderr", async () => {
    const run = await decrypt(
      "",
      (_, response) => answerJson(response, 400, { __type: "AccessDeniedException" }),
    );
    assert.equal(run.output, refused);
    assert.match(run.errors, /Got non-200 answer from KMS: 400\nCould not read response from KMS\n/);
  });

  test("an envelope that is no CMS, a null Plaintext and a lost connection are -1", async () => {
    const failures: ((request: KmsRequest, response: ServerResponse) => void)[] = [
      (_, response) => answerJson(response, 200, { KeyId: "k", CiphertextForRecipient: "bm9pc2U=" }),
      (request, response) =>
        answerJson(response, 200, { ...answerFor(plaintext, request, "definite"), Plaintext: null }),
      (_, response) => response.destroy(),
    ];
    for (const respond of failures) assert.equal((await decrypt("", respond)).output, refused);
  });

  test("a server that is not trusted gives no client", async () => {
    const stranger = await TlsAuthority.create(HOST_NAME);
    const run = await decrypt("", () => assert.fail(), stranger.trustedCertificates);
    assert.match(run.output, /^client NULL\n/);
  });

  async function expectedAuthorization(request: KmsRequest): Promise<string | null> {
    const signedNames = ["content-length", "content-type", "x-amz-content-sha256", "x-amz-target"];
    const signer = new AwsV4Signer({
      method: "POST",
      url: `https://${HOST_NAME}/`,
      headers: Object.fromEntries(signedNames.map((name) => [name, String(request.headers[name])])),
      body: request.text,
      accessKeyId: ACCESS_KEY_ID,
      secretAccessKey,
      sessionToken,
      service: "kms",
      region: "us-east-1",
      datetime: String(request.headers["x-amz-date"]),
      allHeaders: true,
    });
    return (await signer.sign()).headers.get("authorization");
  }

  /** A KMS that answers one way. */
  class FakeKms implements AsyncDisposable {
    readonly requests: KmsRequest[] = [];
    readonly #server;

    private constructor(certificate: { cert: string; key: string }, respond: Respond) {
      this.#server = createHttpsServer(certificate, (message, response) => {
        readRequest(message).then((request) => {
          this.requests.push(request);
          respond(request, response);
        });
      });
      this.#server.on("tlsClientError", () => {});
    }

    static async start(respond: Respond): Promise<FakeKms> {
      const kms = new FakeKms(await authority.certificate("valid"), respond);
      kms.#server.listen(0, "127.0.0.1");
      await once(kms.#server, "listening");
      return kms;
    }

    get port(): number {
      return (this.#server.address() as AddressInfo).port;
    }

    async [Symbol.asyncDispose](): Promise<void> {
      this.#server.closeAllConnections();
      await new Promise((resolve) => this.#server.close(resolve));
    }
  }
});

type Respond = (request: KmsRequest, response: ServerResponse) => void;

interface KmsRequest {
  headers: IncomingMessage["headers"];
  text: string;
  body: Record<string, unknown>;
}

async function readRequest(message: IncomingMessage): Promise<KmsRequest> {
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString();
  return { headers: message.headers, text, body: JSON.parse(text) };
}

function answerFor(plaintext: Uint8Array, request: KmsRequest, shape: "constructed" | "definite"): object {
  const recipient = request.body["Recipient"] as Record<string, string>;
  const publicKey = Buffer.from(recipient["AttestationDocument"] ?? "", "base64");
  return {
    KeyId: "arn:aws:kms:us-east-1:1:key/x",
    Plaintext: "",
    EncryptionAlgorithm: "SYMMETRIC_DEFAULT",
    More: [{ a: "}" }, null, -1.5],
    CiphertextForRecipient: Buffer.from(sealEnvelope(plaintext, publicKey, shape)).toString("base64"),
  };
}

function answerJson(response: ServerResponse, status: number, body: object): void {
  const text = JSON.stringify(body);
  response.writeHead(status, {
    "content-type": "application/x-amz-json-1.1",
    "content-length": Buffer.byteLength(text),
  });
  response.end(text);
}
