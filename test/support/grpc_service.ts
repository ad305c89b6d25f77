import { Buffer } from "node:buffer";
import * as grpc from "@grpc/grpc-js";
import { ENCLAVE_TLS_NAME } from "../../lib/wire/enclave_tls_name.ts";

const asBytes = {
  requestStream: false,
  requestSerialize: (bytes: Buffer) => bytes,
  requestDeserialize: (bytes: Buffer) => bytes,
  responseSerialize: (bytes: Buffer) => bytes,
  responseDeserialize: (bytes: Buffer) => bytes,
} as const;

/** A service of bytes, without a schema: `Say` echoes, `Count` streams numbers, and `Hang` never answers. */
export const ECHO_SERVICE = {
  Say: { ...asBytes, path: "/enclave.Echo/Say", responseStream: false },
  Count: { ...asBytes, path: "/enclave.Echo/Count", responseStream: true },
  Hang: { ...asBytes, path: "/enclave.Echo/Hang", responseStream: false },
} as const satisfies grpc.ServiceDefinition;

/** Server of gRPC in the clear on 127.0.0.1, as an application in the enclave has one. */
export class EchoServer implements AsyncDisposable {
  /** Port of 127.0.0.1. */
  port = 0;
  /** Messages that `Say` got. */
  readonly said: Buffer[] = [];
  /** Calls of `Hang` whose callers have gone. */
  cancelledCount = 0;
  /** Calls of `Hang`. */
  hangingCount = 0;
  readonly #server = new grpc.Server();

  /**
   * Starts one.
   *
   * @param port Port of 127.0.0.1. Default: a free one
   */
  static async start(port = 0): Promise<EchoServer> {
    const echo = new EchoServer();
    echo.#server.addService(ECHO_SERVICE, {
      Say: (call: grpc.ServerUnaryCall<Buffer, Buffer>, done: grpc.sendUnaryData<Buffer>) => {
        echo.said.push(call.request);
        done(null, call.request);
      },
      Count: (call: grpc.ServerWritableStream<Buffer, Buffer>) => {
        for (let index = 0; index < call.request.readUInt32BE(0); index++) {
          const number = Buffer.alloc(4);
          number.writeUInt32BE(index);
          call.write(number);
        }
        call.end();
      },
      Hang: (call: grpc.ServerUnaryCall<Buffer, Buffer>) => {
        echo.hangingCount++;
        call.once("cancelled", () => echo.cancelledCount++);
      },
    });
    echo.port = await new Promise((resolve, reject) => {
      echo.#server.bindAsync(
        `127.0.0.1:${port}`,
        grpc.ServerCredentials.createInsecure(),
        (error, bound) => error === null ? resolve(bound) : reject(error),
      );
    });
    return echo;
  }

  /** Ends it, with every call. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#server.forceShutdown();
    return Promise.resolve();
  }
}

/** Identity of a caller, PEM. */
export interface CallerIdentity {
  readonly cert: string;
  readonly key: string;
}

/** Caller of {@link EchoServer}. */
export class EchoClient implements Disposable {
  readonly #client: grpc.Client;

  /**
   * Makes a caller, who connects with the first call.
   *
   * @param port Port of 127.0.0.1
   * @param pem The one certificate to trust. Default: none, and no TLS
   * @param identity Identity of the caller. Default: none
   */
  constructor(port: number, pem?: string, identity?: CallerIdentity) {
    const { cert, key } = identity ?? {};
    const credentials = pem === undefined ? grpc.credentials.createInsecure() : grpc.credentials.createSsl(
      Buffer.from(pem),
      key === undefined ? null : Buffer.from(key),
      cert === undefined ? null : Buffer.from(cert),
    );
    this.#client = new grpc.Client(`127.0.0.1:${port}`, credentials, {
      "grpc.ssl_target_name_override": ENCLAVE_TLS_NAME,
      // Each caller has connections of its own.
      "grpc.use_local_subchannel_pool": 1,
      "grpc.max_receive_message_length": 8 << 20,
    });
  }

  /** Has a message echoed. */
  say(message: Buffer, timeoutMs = 60_000): Promise<Buffer> {
    return this.#ask(ECHO_SERVICE.Say, message, timeoutMs);
  }

  /** Waits for an answer that never comes. */
  hang(timeoutMs: number, onCall: (call: grpc.ClientUnaryCall) => void = () => {}): Promise<Buffer> {
    return this.#ask(ECHO_SERVICE.Hang, Buffer.alloc(0), timeoutMs, onCall);
  }

  /** Has numbers streamed. */
  async count(to: number): Promise<number[]> {
    const request = Buffer.alloc(4);
    request.writeUInt32BE(to);
    const { path, requestSerialize, responseDeserialize } = ECHO_SERVICE.Count;
    const deadline = Date.now() + 60_000;
    const options = { deadline };
    const call = this.#client.makeServerStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      options,
    );
    const numbers: number[] = [];
    for await (const bytes of call) numbers.push((bytes as Buffer).readUInt32BE(0));
    return numbers;
  }

  /** Closes its connections. */
  [Symbol.dispose](): void {
    this.#client.close();
  }

  #ask(
    { path, requestSerialize, responseDeserialize }: typeof ECHO_SERVICE.Say | typeof ECHO_SERVICE.Hang,
    message: Buffer,
    timeoutMs: number,
    onCall: (call: grpc.ClientUnaryCall) => void = () => {},
  ): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const call = this.#client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        message,
        new grpc.Metadata(),
        { deadline: Date.now() + timeoutMs },
        (error, answer) => error === null && answer !== undefined ? resolve(answer) : reject(error),
      );
      onCall(call);
    });
  }
}
