/** Largest body of a request, in bytes, where the application names no other. */
export const MAX_BODY_BYTES = 65_536;

/** Bytes of a body over the limit that are read and thrown away before the connection is cut. */
const MAX_DISCARDED_BYTES = 1 << 20;

/** Memory of a body at first, in bytes: a length that is only announced costs nothing. */
const FIRST_BYTES = 1024;

const NONE = new Uint8Array(0);

/** Destination of a body's content as it comes. */
export interface RequestBody {
  /** Whether it takes more now; the connection is not read until then. */
  readonly wantsMore: boolean;
  /** Whether so much is over the limit that the rest is not read. */
  readonly isHopeless: boolean;
  /** Takes content, which is wiped afterwards. */
  take(content: Uint8Array): void;
  /** Notes the end of the body. */
  end(): void;
  /** Notes that the rest will not come, or that nobody will read it. */
  abandon(): void;
}

/**
 * Body that is read before its request begins. Past its limit it is read on for a while, and thrown away: closing a
 * connection on unread bytes would take the answer along.
 */
export class WholeBody implements RequestBody {
  readonly wantsMore = true;
  readonly #maxBytes: number;
  #memory: Uint8Array<ArrayBuffer> = NONE;
  #length = 0;

  /** @param maxBytes Largest body, in bytes */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Body, or what came of it; wiped by {@link WholeBody.abandon}. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#memory.subarray(0, this.#length);
  }

  /** Whether the body is larger than the limit. */
  get isTooLarge(): boolean {
    return this.#length > this.#maxBytes;
  }

  /** Whether so much is over the limit that the rest is not read. */
  get isHopeless(): boolean {
    return this.#length > this.#maxBytes + MAX_DISCARDED_BYTES;
  }

  /** Takes content. */
  take(content: Uint8Array): void {
    const length = this.#length + content.length;
    if (length > this.#maxBytes) this.#memory.fill(0);
    else {
      this.#reserve(length);
      this.#memory.set(content, this.#length);
    }
    this.#length = length;
  }

  /** Does nothing: the listener knows. */
  end(): void {}

  /** Wipes the body: credentials come in bodies. */
  abandon(): void {
    this.#memory.fill(0);
  }

  #reserve(length: number): void {
    if (length <= this.#memory.length) return;
    const size = Math.min(this.#maxBytes, Math.max(length, 2 * this.#memory.length, FIRST_BYTES));
    const memory = new Uint8Array(size);
    memory.set(this.#memory);
    this.#memory.fill(0);
    this.#memory = memory;
  }
}

/** Body that the application reads as it comes, no faster than it is read. */
export class StreamedBody implements RequestBody {
  readonly isHopeless = false;
  /** Content for the application. */
  readonly stream: ReadableStream<Uint8Array<ArrayBuffer>>;
  #controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>> | undefined;

  /** @param wantMore Called when the application has read what came */
  constructor(wantMore: () => void) {
    this.stream = new ReadableStream({
      start: (controller) => void (this.#controller = controller),
      pull: wantMore,
      cancel: () => {
        this.#controller = undefined;
        wantMore();
      },
    });
  }

  /** Whether the application waits for more, or reads no more at all: the rest is thrown away then. */
  get wantsMore(): boolean {
    return this.#controller === undefined || (this.#controller.desiredSize ?? 0) > 0;
  }

  /** Takes content. */
  take(content: Uint8Array): void {
    this.#controller?.enqueue(new Uint8Array(content)); // A copy: slice() of a Buffer is a view
  }

  /** Ends the stream. */
  end(): void {
    this.#controller?.close();
    this.#controller = undefined;
  }

  /** Breaks the stream off. */
  abandon(): void {
    this.#controller?.error(new TypeError("The request's body did not come whole"));
    this.#controller = undefined;
  }
}
