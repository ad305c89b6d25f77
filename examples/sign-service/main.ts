/**
 * A service that signs orders inside an enclave: the whole program. On a laptop it runs in a simulated enclave, by
 * `npm run simulate -- node examples/sign-service/main.ts`, with no line changed.
 */
import { encodeBase64 } from "enclave-kms";
import { enclaveApp, type KmsService, startEnclave } from "enclave-kms/enclave";

interface Order {
  readonly item: string;
  readonly count: number;
}

/** Signs an order as text, so that whoever verifies it has the very bytes. */
async function signOrder(order: Order, kms: KmsService): Promise<{ order: string; signature: string }> {
  const text = JSON.stringify({ item: order.item, count: order.count });
  const signature = await kms.signData(new TextEncoder().encode(text), { purpose: "order" });
  return { order: text, signature: encodeBase64(signature) };
}

function isOrder(value: unknown): value is Order {
  const { item, count } = (value ?? {}) as Partial<Order>;
  return typeof item === "string" && item.length < 100 && Number.isSafeInteger(count);
}

const app = enclaveApp()
  .post("/v1/orders/sign", async (c) => {
    const order: unknown = await c.req.json();
    if (!isOrder(order)) return c.json({ code: "ERR_BAD_REQUEST" }, 400);
    return c.json(await signOrder(order, c.var.kms), 200);
  });

/** Routes with their types: `hc<App>("http://enclave")`. */
export type App = typeof app;

await using enclave = await startEnclave(app, { name: "sign-service" });
await enclave.closed; // SIGTERM, or POST /v1/shutdown on the control listener
