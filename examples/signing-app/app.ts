import { createHmac } from "node:crypto";
import { type Context, Hono } from "hono";
import { decodeBase64, type SecretBytes } from "enclave-kms";
import { decideSafely, makeFacts, type Policy, RateCounter } from "enclave-kms/policy";

/** Actions that this application asks its policy about: load the policy for them. */
export const ACTIONS = ["SignOrder"];

/** Given to `app.fetch` beside the request, by the listener and never by the caller. */
interface Env {
  Bindings: { remoteCid: number | undefined };
}

/** Parts of the application. */
export interface AppParts {
  /** Key to sign with, from KMS; disposed by whoever made it. */
  readonly key: SecretBytes;
  /** Judges each request. */
  readonly policy: Policy;
  /** Region, for the policy. */
  readonly region: string;
}

/**
 * Makes an application that signs what its callers send, if the policy permits it.
 *
 * @param parts The key and the policy
 * @returns The application, for a listener on vsock
 */
export function createApp({ key, policy, region }: AppParts): Hono<Env> {
  const rate = new RateCounter({ windowSeconds: 60 });

  /** Tells whether the policy permits a request; anything that goes wrong refuses. */
  const permits = (cid: number, account: string): boolean => {
    const reserved = rate.reserve(`Caller:${cid}`);
    const facts = makeFacts({
      action: "SignOrder",
      caller: { cid, attributes: {} },
      region,
      encryptionContext: { account },
      time: Math.floor(Date.now() / 1000),
      recentCount: reserved.count,
    });
    const { allowed } = decideSafely(policy, facts);
    if (!allowed) reserved.giveBack();
    return allowed;
  };

  const app = new Hono<Env>();
  app.post("/sign", async (c: Context<Env>) => {
    const { account, message } = readRequest(await c.req.json().catch(() => undefined)) ?? {};
    if (account === undefined || message === undefined) return c.json({ code: "ERR_BAD_REQUEST" }, 400);
    const cid = c.env.remoteCid;
    if (cid === undefined || !permits(cid, account)) return c.json({ code: "ERR_POLICY_DENIED" }, 403);
    const signature = createHmac("sha256", key.bytes).update(message).digest("base64");
    return c.json({ signature });
  });
  return app;
}

/** Reads a request strictly: an account of a few words, and a message in base64 of at most 1024 bytes. */
function readRequest(body: unknown): { account: string; message: Uint8Array } | undefined {
  const { account, message } = (body ?? {}) as Record<string, unknown>;
  if (typeof account !== "string" || !/^[\w-]{1,64}$/.test(account)) return undefined;
  if (typeof message !== "string" || message.length > 1368) return undefined;
  try {
    return { account, message: decodeBase64(message) };
  } catch {
    return undefined;
  }
}
