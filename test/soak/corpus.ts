import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import type { Simulator } from "../../sim/mod.ts";
import type { SoakRequest } from "./soak_task.ts";

const SYMMETRIC_KEYS = 12;
const RSA_KEYS = 2;

/** From a few bytes, so that no two are alike, to as many as KMS takes. */
const SIZES = [8, 16, 32, 33, 100, 255, 256, 257, 1000, 1024, 2049, 4095, 4096];

/** RSA-2048 with OAEP and SHA-256 takes 190. */
const RSA_SIZES = [8, 16, 32, 100, 190];

/**
 * Makes requests of many keys, contexts and sizes, each with a plaintext of its own, and some that KMS
 * refuses.
 *
 * @param simulator Simulator that makes the keys
 * @returns 184 requests, 18 of them for refusal, well mixed
 */
export async function makeRequests(simulator: Simulator): Promise<SoakRequest[]> {
  const good = [...await symmetricRequests(simulator), ...await rsaRequests(simulator)];
  const refused = await refusedRequests(simulator, good);
  return shuffle([...good, ...refused]);
}

async function symmetricRequests(simulator: Simulator): Promise<SoakRequest[]> {
  const requests: SoakRequest[] = [];
  for (let key = 0; key < SYMMETRIC_KEYS; key++) {
    const { keyId, arn } = await simulator.createKey();
    for (const [index, size] of SIZES.entries()) {
      const encryptionContext = contextOf(index);
      // Named by id, by ARN, or not at all: KMS finds a symmetric key by the ciphertext.
      const named = [{ keyId }, { keyId: arn }, {}][(key + index) % 3];
      requests.push(await encrypt(simulator, keyId, size, { ...named, ...encryptionContext }));
    }
  }
  return requests;
}

async function rsaRequests(simulator: Simulator): Promise<SoakRequest[]> {
  const requests: SoakRequest[] = [];
  for (let key = 0; key < RSA_KEYS; key++) {
    const { keyId } = await simulator.createKey({ spec: "RSA_2048" });
    for (const size of RSA_SIZES) {
      const encryptionAlgorithm = "RSAES_OAEP_SHA_256";
      requests.push(await encrypt(simulator, keyId, size, { keyId, encryptionAlgorithm }));
    }
  }
  return requests;
}

/** Makes requests with refusals that depend on nothing else. */
async function refusedRequests(
  simulator: Simulator,
  good: readonly SoakRequest[],
): Promise<SoakRequest[]> {
  const other = await simulator.createKey();
  const disabled = await simulator.createKey();
  const ofDisabled = await encrypt(simulator, disabled.keyId, 32, { keyId: disabled.keyId });
  disabled.state = "Disabled";
  const symmetric = good.filter(({ encryptionAlgorithm }) => encryptionAlgorithm === undefined).slice(0, 5);
  const { ciphertext, keyId } = ofDisabled;
  return [
    ...symmetric.flatMap(({ ciphertext, encryptionContext }) => [
      { ciphertext, encryptionContext: { tenant: "nobody" }, kmsCode: "InvalidCiphertextException" },
      { ciphertext, encryptionContext, keyId: other.keyId, kmsCode: "IncorrectKeyException" },
      { ciphertext, encryptionContext, keyId: NO_SUCH_KEY, kmsCode: "NotFoundException" },
    ]),
    ...[1, 2, 3].map(() => ({ ciphertext, keyId, kmsCode: "DisabledException" })),
  ];
}

const NO_SUCH_KEY = "00000000-0000-4000-8000-000000000000";

async function encrypt(
  simulator: Simulator,
  keyId: string,
  size: number,
  request: Omit<SoakRequest, "ciphertext">,
): Promise<SoakRequest> {
  const plaintext = randomBytes(size);
  const { encryptionContext, encryptionAlgorithm } = request;
  const ciphertext = await simulator.encrypt({ keyId, plaintext, encryptionContext, encryptionAlgorithm });
  return {
    ...request,
    ciphertext: Buffer.from(ciphertext).toString("base64"),
    plaintext: plaintext.toString("base64"),
  };
}

/** Makes a context of no, one, or many entries, some of them not ASCII. */
function contextOf(index: number): Pick<SoakRequest, "encryptionContext"> {
  if (index % 4 === 0) return {};
  const entries = Array.from({ length: index }, (_, entry) => [`name ${entry}`, `Wert ${index} ü €`]);
  return { encryptionContext: Object.fromEntries(entries) };
}

/** Always the same way: a circle of steps that have no divisor in common with the length. */
function shuffle<T>(items: readonly T[]): T[] {
  const step = [89, 97, 101, 103].find((prime) => items.length % prime !== 0) ?? 1;
  return items.map((_, index) => items[index * step % items.length]!);
}
