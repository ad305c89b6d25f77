import type { Hono } from "hono";
import { BootKeys } from "../../../enclave/boot_keys.ts";
import { SealedChannel, type SealedChannelOptions } from "../../../enclave/channels/sealed.ts";
import { createHttpApp } from "../../../enclave/http/http_app.ts";
import type { HttpEnv } from "../../../enclave/http/http_env.ts";
import { createLogger } from "../../../enclave/telemetry/log.ts";
import { Metrics } from "../../../enclave/telemetry/metrics.ts";
import { RefusalLog } from "../../../enclave/telemetry/refusal_log.ts";
import { decodeBase64, encodeBase64 } from "../../../lib/core/encoding.ts";
import { SEALED_PATH } from "../../../lib/wire/sealed_fields.ts";
import type { SoftwareNsm } from "../../../sim/mod.ts";

/** Way from a caller to an enclave: what a parent does with each request. */
export type Way = (request: Request) => Response | Promise<Response>;

/** Enclave with sealed HTTP and an attestation route, without a socket. */
export class SealedEnclave implements Disposable {
  readonly keys: BootKeys;
  readonly channel: SealedChannel;
  readonly app: Hono<HttpEnv>;
  /** Requests that were served, as `POST /path body`. */
  readonly served: string[] = [];
  /** Digests of the same, as handlers get them. */
  readonly digests: (string | undefined)[] = [];
  /** Answer of the route `/stream`. */
  stream: () => Response = () => new Response(null);
  /** Documents that were asked for. */
  documents = 0;
  readonly #nsm: SoftwareNsm;

  private constructor(nsm: SoftwareNsm, keys: BootKeys, channel: SealedChannel) {
    this.#nsm = nsm;
    this.keys = keys;
    this.channel = channel;
    const logger = createLogger("silent");
    this.app = createHttpApp({ logger, metrics: new Metrics(), refusals: new RefusalLog({ logger }) });
    this.#addRoutes();
  }

  /** Boots an enclave of the module's image. */
  static async start(
    nsm: SoftwareNsm,
    options: Omit<SealedChannelOptions, "keys"> = {},
  ): Promise<SealedEnclave> {
    const keys = await BootKeys.create();
    return new SealedEnclave(nsm, keys, await SealedChannel.create({ keys, ...options }));
  }

  /** Leads to this enclave. */
  readonly way: Way = (request) => this.app.fetch(request, { cid: 3 });

  /** Answer of the attestation route. */
  async attest(nonce: string): Promise<Record<string, unknown>> {
    this.documents++;
    const { keys, channel } = this;
    const [publicKeys, digest, sealing] = [keys.publicKeys, keys.digest(), channel.keyConfig];
    const document = await this.#nsm.attest({ nonce: decodeBase64(nonce), userData: await digest });
    return {
      document: encodeBase64(document),
      bootId: keys.bootId,
      keys: Object.fromEntries(Object.entries(publicKeys).map(([name, key]) => [name, encodeBase64(key)])),
      sealing: encodeBase64(sealing),
    };
  }

  [Symbol.dispose](): void {
    this.channel[Symbol.dispose]();
    this.keys[Symbol.dispose]();
  }

  #addRoutes(): void {
    const { app } = this;
    app.post(SEALED_PATH, this.channel.route((request, bindings) => app.fetch(request, bindings)));
    app.get("/v1/attestation", async (c) => c.json(await this.attest(c.req.query("nonce") ?? "")));
    app.all("/empty", (c) => c.body(null, 204));
    app.get("/silent", () => new Promise<Response>(() => {}));
    app.get("/stream", () => this.stream());
    app.get("/moved", (c) => c.redirect("/elsewhere"));
    app.all("*", async (c) => {
      const body = await c.req.text();
      const { pathname, search } = new URL(c.req.url);
      this.served.push(`${c.req.method} ${pathname}${search} ${body}`.trim());
      this.digests.push(c.env.requestDigest);
      return c.json({
        body,
        type: c.req.header("content-type") ?? null,
        token: c.req.header("authorization") ?? null,
      });
    });
  }
}
