import { Buffer } from "node:buffer";
import { BootKeys } from "../../../../enclave/boot_keys.ts";
import { TlsChannel } from "../../../../enclave/channels/tls_channel.ts";
import { HttpListener } from "../../../../enclave/http/http_listener.ts";
import { createLogger } from "../../../../enclave/telemetry/log.ts";
import { Metrics } from "../../../../enclave/telemetry/metrics.ts";
import { RefusalLog } from "../../../../enclave/telemetry/refusal_log.ts";
import type { Endpoint } from "../../../../lib/core/endpoint.ts";
import { listen, type Listener } from "../../../../lib/transport/listen.ts";
import type { SoftwareNsm } from "../../../../sim/mod.ts";

/** Answer of `GET /v1/attestation`, to be changed by tests. */
export interface Answer {
  document: string;
  bootId: string;
  keys: Record<string, string>;
  certificate?: string;
}

/** Differences between a test's enclave and the usual one. */
export interface EnclaveOptions {
  readonly nsm: SoftwareNsm;
  readonly clientAuthorities?: string;
  readonly endpoint?: Endpoint;
  /** Changes the answer to the question for an attestation, or replaces it. */
  readonly change?: (answer: Answer) => unknown;
}

/** A request that reached an enclave. */
export interface Seen {
  readonly method: string;
  readonly path: string;
  readonly authorization: string | null;
  readonly body: string;
  readonly hasCertificate: boolean;
}

const ANY: Endpoint = { transport: "tcp", host: "127.0.0.1", port: 0 };

/** An enclave's TLS and its attestation, with nothing behind but an echo. */
export class TestEnclave implements AsyncDisposable {
  readonly bootKeys: BootKeys;
  readonly channel: TlsChannel;
  /** Requests but the questions for an attestation. */
  readonly seen: Seen[] = [];
  /** Number of questions for an attestation, and whether any showed a certificate. */
  questions = 0;
  questionsWithCertificate = 0;
  readonly #options: EnclaveOptions;
  readonly #http: HttpListener;
  #listener: Listener | undefined;

  private constructor(bootKeys: BootKeys, options: EnclaveOptions) {
    this.#options = options;
    this.bootKeys = bootKeys;
    this.channel = TlsChannel.create({ keys: bootKeys, clientAuthorities: options.clientAuthorities });
    const logger = createLogger("silent");
    const log = { logger, metrics: new Metrics(), refusals: new RefusalLog({ logger }) };
    this.#http = new HttpListener({
      ...log,
      timeouts: { headersMs: 10_000, bodyMs: 10_000, answerMs: 30_000, idleMs: 60_000 },
      fetch: async (request, { certificate }) => await this.#answer(request, certificate !== undefined),
    });
    this.handler = this.channel.handler(this.#http, log);
  }

  readonly handler: ReturnType<TlsChannel["handler"]>;

  static async start(options: EnclaveOptions): Promise<TestEnclave> {
    const enclave = new TestEnclave(await BootKeys.create(), options);
    enclave.#listener = await listen(
      options.endpoint ?? ANY,
      {},
      ({ stream }) => enclave.handler.accept(stream, 3),
    );
    return enclave;
  }

  get endpoint(): Endpoint {
    return this.#listener?.endpoint ?? ANY;
  }

  /** TCP port, or 0. */
  get port(): number {
    const { endpoint } = this;
    return endpoint.transport === "tcp" ? endpoint.port : 0;
  }

  /** Answers as an honest enclave does. */
  async attest(nonce: Uint8Array): Promise<Answer> {
    const document = await this.#options.nsm.attest({ nonce, userData: await this.bootKeys.digest() });
    const keys = Object.entries(this.bootKeys.publicKeys).map(([name, key]) => [name, base64(key)]);
    return {
      document: base64(document),
      bootId: this.bootKeys.bootId,
      keys: Object.fromEntries(keys),
      certificate: this.channel.certificatePem,
    };
  }

  async #answer(request: Request, hasCertificate: boolean): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname === "/v1/attestation") {
      this.questions++;
      if (hasCertificate) this.questionsWithCertificate++;
      const nonce = Uint8Array.from(Buffer.from(searchParams.get("nonce") ?? "", "base64"));
      const answer = await this.attest(nonce);
      const changed = this.#options.change === undefined ? answer : this.#options.change(answer);
      return changed instanceof Response ? changed : Response.json(changed);
    }
    const { method, headers } = request;
    const body = await request.text();
    this.seen.push({
      method,
      path: pathname,
      authorization: headers.get("authorization"),
      body,
      hasCertificate,
    });
    return Response.json({ boot: this.bootKeys.bootId, body });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.handler.close(100);
    await this.#listener?.[Symbol.asyncDispose]();
    this.channel[Symbol.dispose]();
    this.bootKeys[Symbol.dispose]();
  }
}

const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64");
