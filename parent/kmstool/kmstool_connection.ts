import type { Deadline } from "../../lib/core/deadline.ts";
import type { Endpoint } from "../../lib/core/endpoint.ts";
import { ConnectionError, EnclaveKmsError, KmstoolError, ProtocolError } from "../../lib/core/errors.ts";
import { SecretBytes } from "../../lib/core/secret_bytes.ts";
import { readBase64 } from "../../lib/core/secret_json.ts";
import type { ConnectionStream } from "../../lib/transport/connection.ts";
import { openTransport } from "../../lib/transport/open_transport.ts";
import {
  KMSTOOL_ERRORS,
  KmstoolRefusal,
  type KmstoolReply,
  MessageBuffer,
  readReply,
} from "../../lib/wire/kmstool_messages.ts";

/** Connection to an enclave, on which one message waits for its reply. */
export class KmstoolConnection implements AsyncDisposable {
  readonly #stream: ConnectionStream;
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #deadline: Deadline;
  readonly #buffer = new MessageBuffer();

  private constructor(stream: ConnectionStream, deadline: Deadline) {
    this.#stream = stream;
    this.#deadline = deadline;
    this.#chunks = stream.iterator({ destroyOnReturn: false }) as AsyncIterator<Uint8Array>;
  }

  /**
   * Connects.
   *
   * @param endpoint Address of the enclave
   * @param deadline End of everything on the connection
   * @throws {ConnectionError} When nothing answers there
   * @throws {TimeoutError} When the deadline passes
   */
  static async open(endpoint: Endpoint, deadline: Deadline): Promise<KmstoolConnection> {
    deadline.stage = "enclave-connect";
    const words = { name: "the enclave", hint: "Does it listen for kmstool_instance on that port?" };
    const stream = await openTransport(endpoint, deadline, words);
    deadline.stage = "enclave";
    return new KmstoolConnection(stream, deadline);
  }

  /**
   * Sets the enclave's client.
   *
   * @param message As `setClientMessage()` makes it; the caller wipes it
   * @throws {KmstoolError} When the enclave refuses
   */
  async setClient(message: Uint8Array): Promise<void> {
    await this.#ask("set the client", message, ({ message: unasked }) => {
      if (unasked !== undefined) throw malformed("its reply has a message that nobody asked for");
    });
  }

  /**
   * Decrypts.
   *
   * @param message As `decryptMessage()` makes it
   * @returns The plaintext, for the caller to dispose
   * @throws {KmstoolError} When the enclave refuses
   */
  async decrypt(message: Uint8Array): Promise<SecretBytes> {
    return await this.#ask("decrypt", message, ({ message: text }) => {
      const plaintext = text === undefined ? undefined : readBase64(text);
      if (plaintext === undefined) throw malformed("its reply has no plaintext in base64");
      return new SecretBytes(plaintext);
    });
  }

  /** Closes the connection, and wipes what was received. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stream.destroy();
    this.#buffer[Symbol.dispose]();
    // Ends by the destruction, with an error that is no news.
    await Promise.resolve(this.#chunks.return?.()).catch(() => {});
  }

  async #ask<T>(what: string, message: Uint8Array, use: (reply: KmstoolReply) => T): Promise<T> {
    try {
      await this.#deadline.race(write(this.#stream, message));
      for (;;) {
        const chunk = await this.#deadline.race(this.#chunks.next());
        if (chunk.done === true) throw ended();
        // What follows the reply in a chunk is passed over: kmstool_enclave sends a bare error after a plaintext.
        using rest = new SecretBytes(chunk.value as Uint8Array<ArrayBuffer>);
        for (const reply of this.#buffer.take(rest.bytes)) return use(check(what, reply));
      }
    } catch (error) {
      this.#deadline.throwIfPassed();
      throw translate(error);
    } finally {
      this.#buffer[Symbol.dispose]();
    }
  }
}

function check(what: string, bytes: Uint8Array): KmstoolReply {
  const reply = readReply(bytes);
  if (reply === undefined) throw malformed("its reply is none");
  if (reply.isOk) return reply;
  const reason = readReason(reply.message);
  const why = reason === "" ? "the enclave refuses, and does not say why" : reason.replace(/\.$/, "");
  throw new KmstoolError(`Cannot ${what} by kmstool: ${why}`, {
    reason,
    hint: HINTS[reason] ?? "What does the enclave's log say?",
  });
}

/** Reads words that are printed: no control sequence may reach a terminal. */
function readReason(message: Uint8Array = new Uint8Array()): string {
  return new TextDecoder().decode(message.subarray(0, 200)).replace(/[^ -~]/g, "?");
}

const HINTS: Readonly<Record<string, string>> = {
  [KMSTOOL_ERRORS.region]: "Has the enclave a region of its own? Then name none, or that one",
  [KMSTOOL_ERRORS.client]: "Does the enclave's policy permit SetOwnCredentials?",
  [KMSTOOL_ERRORS.decrypt]:
    "Do policy and key policy permit it, with this encryption context, and is the proxy to KMS running on the parent?",
};

function write(stream: ConnectionStream, message: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.once("close", () => reject(ended()));
    stream.write(message, (error) => error ? reject(error) : resolve());
  });
}

function translate(error: unknown): unknown {
  if (error instanceof KmstoolRefusal) return malformed("its reply has more than 8192 bytes");
  return error instanceof EnclaveKmsError ? error : ended(error);
}

function ended(cause?: unknown): ConnectionError {
  return new ConnectionError("Cannot decrypt by kmstool: the connection ended before the reply", {
    hint: "Does the enclave run still, and speak the kmstool protocol on that port?",
    cause,
  });
}

function malformed(what: string): ProtocolError {
  return new ProtocolError(`Cannot decrypt by kmstool: ${what}`, {
    hint: "Does the enclave speak the kmstool protocol on that port?",
  });
}
