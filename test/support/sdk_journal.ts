/**
 * Expected journal of the double for one decrypt, as a script that mirrors the promise and not the code:
 * acquire in order, release in strict reverse, whatever fails.
 *
 * @module
 */

/** The n-th call of a C function, counted from 1. */
export interface PlannedFailure {
  readonly cFunction: string;
  readonly nth: number;
}

/** Journal of one run, and every call on the way that can fail. */
export interface Journal {
  /** From KmsClient.open() to close(). */
  readonly lines: readonly string[];
  /** Lines of decrypt() alone. */
  readonly decryptLines: readonly string[];
  /** Number of acquisitions that an open client holds. */
  readonly heldByClient: number;
  /** Calls of KmsClient.open(). */
  readonly openCalls: readonly PlannedFailure[];
  /** Calls of decrypt(). */
  readonly decryptCalls: readonly PlannedFailure[];
}

/** Parameters of the C client besides those that it always gets. */
export interface ClientExtras {
  readonly hostName: boolean;
  readonly keyId: boolean;
  readonly encryptionContext: boolean;
}

/** Writes the journal of the engine `sdk`: one client that decrypts once. */
export function sdkJournal(failure?: PlannedFailure): Journal {
  return write(failure, (c) => {
    c.acquire("aws_nitro_enclaves_library_init", "aws_nitro_enclaves_library_clean_up", { fails: false });
    c.silent("aws_nitro_enclaves_get_allocator");
    c.acquire("aws_attestation_rsa_keypair_new", "aws_attestation_rsa_keypair_destroy");
    c.opened();
    c.scope(() => {
      c.call("aws_attestation_request");
      c.filled("aws_attestation_request");
    });
    c.scope(() => {
      for (const _zeros of ["content", "content key", "IV"]) copyBuffer(c);
      try {
        c.scope(() => {
          for (const _part of ["wrapped key", "IV", "content"]) copyBuffer(c);
          c.call("aws_attestation_rsa_decrypt");
          c.filled("aws_attestation_rsa_decrypt");
          c.call("aws_cms_cipher_decrypt");
          c.filled("aws_cms_cipher_decrypt");
        });
      } finally {
        c.callInVain("aws_cms_cipher_decrypt");
      }
    });
  });
}

/** Writes the journal of the engine `sdk-client`: one client that decrypts once, in kmstool's order. */
export function sdkClientJournal(extras: ClientExtras, failure?: PlannedFailure): Journal {
  const decrypt = extras.encryptionContext
    ? "aws_kms_decrypt_blocking_with_context"
    : "aws_kms_decrypt_blocking";
  return write(failure, (c) => {
    c.acquire("aws_nitro_enclaves_library_init", "aws_nitro_enclaves_library_clean_up", { fails: false });
    c.silent("aws_nitro_enclaves_get_allocator");
    c.opened();
    c.scope(() => {
      c.silent("aws_nitro_enclaves_get_allocator");
      for (const _name of ["region", "access key id"]) string(c);
      for (const _name of ["secret access key", "session token"]) string(c, "aws_string_destroy_secure");
      if (extras.hostName) string(c);
      c.acquire("aws_mem_calloc", "aws_mem_release");
      c.acquire(
        "aws_nitro_enclaves_kms_client_config_default",
        "aws_nitro_enclaves_kms_client_config_destroy",
      );
      c.acquire("aws_nitro_enclaves_kms_client_new", "aws_nitro_enclaves_kms_client_destroy", {
        called: true,
      });
      if (extras.keyId) { for (const _name of ["key id", "encryption algorithm"]) string(c); }
      if (extras.encryptionContext) string(c);
      copyBuffer(c);
      c.call(decrypt);
      c.filled(decrypt);
    });
  });
}

class Planned extends Error {}

/** Writes a journal, and fails where it is told to. */
class Writer {
  readonly lines: string[] = [];
  readonly calls: PlannedFailure[] = [];
  linesOfOpen = 0;
  callsOfOpen = 0;
  heldByClient = 0;
  readonly #failure: PlannedFailure | undefined;
  #held: string[] = [];
  #lastId = 0;

  constructor(failure: PlannedFailure | undefined) {
    this.#failure = failure;
  }

  /** Marks the end of KmsClient.open() and the beginning of decrypt(). */
  opened(): void {
    this.linesOfOpen = this.lines.length;
    this.callsOfOpen = this.calls.length;
    this.heldByClient = this.#held.length;
  }

  /** Releases at its end, in reverse, what was acquired in it. */
  scope(body: () => void): void {
    const before = this.#held;
    this.#held = [];
    try {
      body();
    } finally {
      this.lines.push(...this.#held.reverse());
      this.#held = before;
    }
  }

  acquire(cFunction: string, release: string, options: { fails?: boolean; called?: boolean } = {}): void {
    if (options.called) this.lines.push(`call ${cFunction}`);
    if (options.fails ?? true) this.silent(cFunction);
    this.#hold(`acquire ${cFunction} #${++this.#lastId}`, release);
  }

  call(cFunction: string): void {
    this.lines.push(`call ${cFunction}`);
    this.silent(cFunction);
  }

  /** Notes a buffer of ours that C filled. */
  filled(by: string): void {
    this.#hold(`acquire aws_byte_buf #${++this.#lastId} by ${by}`, "aws_byte_buf_clean_up_secure");
  }

  /** Notes a call whose failure has no effect. */
  callInVain(cFunction: string): void {
    this.lines.push(`call ${cFunction}`, `fail ${cFunction}`);
  }

  /** Notes a call that is in the journal only when it fails. */
  silent(cFunction: string): void {
    const nth = this.calls.filter((call) => call.cFunction === cFunction).length + 1;
    this.calls.push({ cFunction, nth });
    if (this.#failure?.cFunction !== cFunction || this.#failure.nth !== nth) return;
    this.lines.push(`fail ${cFunction}`);
    throw new Planned();
  }

  #hold(line: string, release: string): void {
    this.lines.push(line);
    this.#held.push(`release ${release} #${this.#lastId}`);
  }
}

function write(failure: PlannedFailure | undefined, script: (writer: Writer) => void): Journal {
  const writer = new Writer(failure);
  try {
    writer.scope(() => script(writer));
  } catch (error) {
    if (!(error instanceof Planned)) throw error;
  }
  const { lines, calls, linesOfOpen, callsOfOpen, heldByClient } = writer;
  return {
    lines,
    decryptLines: lines.slice(linesOfOpen, lines.length - heldByClient),
    heldByClient,
    openCalls: calls.slice(0, callsOfOpen),
    decryptCalls: calls.slice(callsOfOpen),
  };
}

function copyBuffer(c: Writer): void {
  c.acquire("aws_byte_buf_init", "aws_byte_buf_clean_up_secure");
  c.call("aws_byte_buf_write");
}

function string(c: Writer, release = "aws_string_destroy"): void {
  c.acquire("aws_string_new_from_array", release);
}
