import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, test } from "#test";
import type { NsmTransport } from "../../../lib/nsm/nsm_transport.ts";
import { KmsClient } from "../../../lib/kms/kms_client.ts";
import { kmsDecrypt } from "../../../lib/kms/kms_decrypt.ts";
import type { KmsClientOptions } from "../../../lib/kms/kms_options.ts";
import { OneCallClient } from "../../../lib/kms/one_call_client.ts";
import { type Simulator, startSimulator } from "../../../sim/mod.ts";
import { allClosed, serveTcp } from "./https/servers.ts";

const TIMEOUT_MS = 60_000;

/** Passes requests on, once something has happened. */
class LateNsm implements NsmTransport {
  readonly #nsm: NsmTransport;
  readonly #before: () => Promise<void>;

  constructor(nsm: NsmTransport, before: () => Promise<void>) {
    this.#nsm = nsm;
    this.#before = before;
  }

  async exchange(request: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
    await this.#before();
    return await this.#nsm.exchange(request);
  }

  [Symbol.dispose](): void {}
}

async function until(condition: () => boolean): Promise<void> {
  for (let waitedMs = 0; !condition(); waitedMs += 5) {
    if (waitedMs > TIMEOUT_MS) throw new Error("It did not happen");
    await sleep(5);
  }
}

interface World {
  readonly enclave: Simulator;
  readonly ciphertext: Uint8Array;
  /** Connections that KMS had when the NSM was asked. */
  readonly connections: number[];
}

async function withEnclave(use: (world: World) => Promise<void>): Promise<void> {
  await using enclave = await startSimulator();
  const { keyId } = await enclave.createKey();
  const ciphertext = await enclave.encrypt({ keyId, plaintext: "hello" });
  await use({ enclave, ciphertext, connections: [] });
}

/** Options whose NSM notes the connections, after the first when it waits for one. */
function optionsOf({ enclave, connections }: World, waits: boolean): KmsClientOptions {
  const nsm = new LateNsm(enclave.nsm, async () => {
    if (waits) await until(() => enclave.kms.connectionCount > 0);
    connections.push(enclave.kms.connectionCount);
  });
  return { ...enclave.clientOptions, engine: "direct", nsm, timeoutMs: TIMEOUT_MS };
}

function assertHello(bytes: Uint8Array): void {
  assert.equal(new TextDecoder().decode(bytes), "hello");
}

describe("a client for one call", () => {
  test("connects before it has a document: kmsDecrypt()", () =>
    withEnclave(async (world) => {
      using plaintext = await kmsDecrypt({ ...optionsOf(world, true), ciphertext: world.ciphertext });
      assertHello(plaintext.bytes);
      assert.deepEqual([world.connections, world.enclave.kms.connectionCount], [[1], 1]);
    }));

  test("connects before it has a document: that of the command line", () =>
    withEnclave(async (world) => {
      await using client = await OneCallClient.open(optionsOf(world, true));
      using plaintext = await client.decrypt({ ciphertext: world.ciphertext });
      assertHello(plaintext.bytes);
      assert.deepEqual([world.connections, world.enclave.kms.connectionCount], [[1], 1]);
    }));

  test("does not where a request is sent once only: the connection may be closed by then", () =>
    withEnclave(async (world) => {
      const options = { ...optionsOf(world, false), maxAttempts: 1 };
      using plaintext = await kmsDecrypt({ ...options, ciphertext: world.ciphertext });
      assertHello(plaintext.bytes);
      assert.deepEqual(world.connections, [0]);
    }));

  test("a client for many calls does not speak to KMS before the first", () =>
    withEnclave(async (world) => {
      await using client = await KmsClient.open(optionsOf(world, false));
      using plaintext = await client.decrypt({ ciphertext: world.ciphertext });
      assertHello(plaintext.bytes);
      assert.deepEqual(world.connections, [0]);
    }));

  test("ends the connection when it comes to no call", () =>
    withEnclave(async ({ enclave, ciphertext }) => {
      await using silent = await serveTcp(() => {});
      const nsm = new LateNsm(enclave.nsm, async () => {
        await until(() => silent.sockets.length > 0);
        throw new Error("no document");
      });
      const options = { ...enclave.clientOptions, endpoint: silent.endpoint, engine: "direct" as const, nsm };
      const calling = kmsDecrypt({ ...options, timeoutMs: TIMEOUT_MS, ciphertext });
      await assert.rejects(calling, /no document/);
      await allClosed(silent);
      assert.equal(silent.sockets.length, 1);
    }));
});
