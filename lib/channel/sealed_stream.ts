import { Deadline } from "../core/deadline.ts";
import { readContent, readResponseHead } from "../wire/binary_http_stream.ts";
import { ByteSource } from "../wire/byte_source.ts";
import type { SealedRequest } from "../wire/oblivious_http.ts";
import { readNext } from "./clear_http.ts";
import { BODILESS } from "./sealed_exchange.ts";

/** Limits on the time of an answer. */
export interface StreamLimits {
  /** Time budget of the head. */
  readonly deadline: Deadline;
  /** Signal of the caller, which also ends the body. */
  readonly signal: AbortSignal;
  /** Milliseconds for each wait after the head. */
  readonly timeoutMs: number;
}

/**
 * Opens an answer in chunks. Its head is there when this resolves, and its body comes as it is read.
 *
 * @param answer Answer in the clear, with the sealed one as its body
 * @param sealed Request that it answers
 * @param limits Limits on the time
 * @returns The answer, as fetch has it. Its body ends with a {@link ProtocolError} when it was cut off or changed
 * @throws {ProtocolError} When the head is not the enclave's, or malformed
 * @throws {ConnectionError} When the connection fails
 */
export async function openStreamed(
  answer: Response,
  sealed: SealedRequest,
  limits: StreamLimits,
): Promise<Response> {
  const { signal } = limits;
  const reader = answer.body?.getReader();
  const patience = new Patience(limits);
  const next = async () => reader === undefined ? undefined : await readNext(reader, patience.deadline);
  const source = new ByteSource(sealed.openChunks(next));
  const stop = () => {
    signal.removeEventListener("abort", stop);
    reader?.cancel().catch(() => {});
  };
  signal.addEventListener("abort", stop);
  try {
    const { status, headers } = await readResponseHead(source);
    const init = { status, headers: headers.map(([name, value]): [string, string] => [name, value]) };
    const content = readContent(source);
    if (!BODILESS.includes(status)) return new Response(bodyOf(content, patience, stop), init);
    // Such an answer is whole, too, only with its last chunk.
    await content.next();
    stop();
    return new Response(null, init);
  } catch (error) {
    stop();
    throw error;
  }
}

function bodyOf(
  content: AsyncGenerator<Uint8Array, void>,
  patience: Patience,
  stop: () => void,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream({
    async pull(controller) {
      try {
        using _waiting = patience.begin();
        const part = await content.next();
        if (part.done !== true) return controller.enqueue(new Uint8Array(part.value));
        stop();
        controller.close();
      } catch (error) {
        stop();
        throw error;
      }
    },
    cancel: stop,
  }, { highWaterMark: 0 });
}

/** Time budget of what is waited for: that of the request for the head, and after it one for each wait. */
class Patience {
  deadline: Deadline;
  readonly #limits: StreamLimits;

  constructor(limits: StreamLimits) {
    this.#limits = limits;
    this.deadline = limits.deadline;
  }

  begin(): Deadline {
    const { timeoutMs, signal } = this.#limits;
    return this.deadline = new Deadline("read the answer", timeoutMs, signal, "enclave");
  }
}
