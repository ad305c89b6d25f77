/** The signing service: its routes, and how it comes to its key. */
import { setTimeout } from "node:timers/promises";
import { decodeBase64, encodeBase64, type SecretBytes } from "enclave-kms";
import {
  CredentialsError,
  type Enclave,
  enclaveApp,
  type EnclaveOptions,
  gate,
  requireChannel,
  startEnclave,
} from "enclave-kms/enclave";
import { Wallet } from "./wallet.ts";

/** Wallet's key, encrypted. */
export interface EncryptedKey {
  /** Private key of 32 bytes, encrypted under the key of KMS. */
  readonly ciphertext: Uint8Array;
  /** ARN of that key. Pinned: the parent may have written another ciphertext, under a key of its own. */
  readonly keyId: string;
}

/** Context that the ciphertext was made with; KMS refuses another one. */
export const ENCRYPTION_CONTEXT = { purpose: "wallet" };

const MAX_TRANSACTION_BYTES = 4096;
const RETRY_MS = 200;

/** Makes the routes. Answers that the parent must not read are sealed, or under the attested TLS. */
// No return type: the client gets its types from what is inferred here.
function createApp(wallet: Wallet) {
  return enclaveApp()
    .get("/v1/key", (c) => {
      if (!wallet.isOpen) return c.json({ code: "ERR_NOT_READY" as const }, 503);
      return c.json({ publicKey: encodeBase64(wallet.publicKey) }, 200);
    })
    .post("/v1/transactions/sign", requireChannel("sealed", "tls"), gate("SignTransaction"), async (c) => {
      const transaction = readTransaction(await c.req.json());
      if (transaction === undefined) return c.json({ code: "ERR_BAD_REQUEST" as const }, 400);
      if (!wallet.isOpen) return c.json({ code: "ERR_NOT_READY" as const }, 503);
      return c.json({ signature: encodeBase64(wallet.sign(transaction)) }, 200);
    });
}

/** Routes with their types: `hc<App>("http://enclave")`. */
export type App = ReturnType<typeof createApp>;

/** A running signing service. */
export interface Signer extends AsyncDisposable {
  /** The enclave. */
  readonly enclave: Enclave;
  /** Resolves when the key is there; rejects when KMS does not release it. */
  readonly opened: Promise<void>;
}

/**
 * Starts the service. It listens at once, and signs once the parent has sent credentials and KMS has released the key.
 *
 * @param key Wallet's key, encrypted
 * @param options Parts in the place of the enclave's own, for a laptop
 */
export async function startSigner(key: EncryptedKey, options: Partial<EnclaveOptions> = {}): Promise<Signer> {
  const wallet = new Wallet();
  const enclave = await startEnclave(createApp(wallet), {
    name: "signer",
    actions: ["SignTransaction"],
    claims: { roles: "Set<String>" },
    ...options,
  });
  const opened = decryptWhenPossible(enclave, key).then((secret) => wallet.open(secret));
  opened.catch(() => enclave.close()); // whoever waits for it is told why
  return {
    enclave,
    opened,
    async [Symbol.asyncDispose]() {
      await enclave.close();
      wallet[Symbol.dispose]();
    },
  };
}

/** Asks KMS again while the parent has sent no credentials that it takes. */
async function decryptWhenPossible(enclave: Enclave, key: EncryptedKey): Promise<SecretBytes> {
  let isClosed = false;
  void enclave.closed.then(() => isClosed = true);
  for (;;) {
    try {
      return await enclave.kms.decrypt({ ...key, encryptionContext: ENCRYPTION_CONTEXT });
    } catch (error) {
      if (!(error instanceof CredentialsError) || isClosed) throw error;
    }
    await setTimeout(RETRY_MS);
  }
}

function readTransaction(body: unknown): Uint8Array | undefined {
  const { transaction } = (body ?? {}) as { transaction?: unknown };
  if (typeof transaction !== "string" || transaction.length > MAX_TRANSACTION_BYTES * 2) return undefined;
  try {
    const bytes = decodeBase64(transaction);
    return bytes.length > 0 && bytes.length <= MAX_TRANSACTION_BYTES ? bytes : undefined;
  } catch {
    return undefined;
  }
}
