/**
 * `KMSClient` of @aws-sdk/client-kms with the plug-in, against the simulated KMS.
 *
 * @module
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createECDH, createPublicKey } from "node:crypto";
import {
  DecryptCommand,
  DeriveSharedSecretCommand,
  EncryptCommand,
  GenerateDataKeyCommand,
  GenerateDataKeyPairCommand,
  GenerateRandomCommand,
  KMSClient,
  type KMSClientConfig,
} from "@aws-sdk/client-kms";
import { describe, test } from "#test";
import { recipientPlugin, type RecipientPluginOptions, vsockRequestHandler } from "../../aws_sdk/mod.ts";
import type { NsmTransport } from "../../lib/nsm/nsm_transport.ts";
import { attestedKeyPolicy, type Simulator, startSimulator } from "../../sim/mod.ts";
import { until } from "../support/until.ts";
import { PATIENCE_MS, PATIENT } from "./fake_services.ts";

const TEXT = "attack at dawn";

interface World {
  readonly enclave: Simulator;
  readonly KeyId: string;
  readonly CiphertextBlob: Uint8Array;
}

/** Starts KMS with a key that only this enclave may use. */
async function startWorld(): Promise<World & AsyncDisposable> {
  const enclave = await startSimulator();
  const { keyId } = await enclave.createKey();
  const CiphertextBlob = await enclave.encrypt({ keyId, plaintext: TEXT });
  return { enclave, KeyId: keyId, CiphertextBlob, [Symbol.asyncDispose]: () => enclave.close() };
}

function clientOf({ enclave }: World, config: KMSClientConfig = {}) {
  const { region, credentials, endpoint, trustedCertificates } = enclave.clientOptions;
  const requestHandler = vsockRequestHandler({ endpoint, trustedCertificates, ...PATIENT });
  const client = new KMSClient({ region, credentials, requestHandler, maxAttempts: 1, ...config });
  return Object.assign(client, { [Symbol.dispose]: () => client.destroy() });
}

function attestedClientOf(
  world: World,
  options: RecipientPluginOptions = {},
  config: KMSClientConfig = {},
) {
  const client = clientOf(world, config);
  const plugin = recipientPlugin({
    nsm: world.enclave.nsm,
    engine: "direct",
    timeoutMs: PATIENCE_MS,
    ...options,
  });
  client.middlewareStack.use(plugin);
  return Object.assign(client, {
    plugin,
    [Symbol.dispose]() {
      plugin[Symbol.dispose]();
      client.destroy();
    },
  });
}

/** The NSM, with a count of its questions. */
function countingNsm(nsm: NsmTransport): NsmTransport & { count: number } {
  return {
    count: 0,
    exchange(request) {
      this.count++;
      return nsm.exchange(request);
    },
    [Symbol.dispose]() {},
  };
}

const textOf = (bytes: Uint8Array | undefined) => new TextDecoder().decode(bytes);

describe("recipientPlugin()", () => {
  test("decrypts with a key that KMS gives to this enclave only, which nothing does without it", async () => {
    await using world = await startWorld();
    const { enclave } = world;
    const { keyId } = await enclave.createKey({ policy: attestedKeyPolicy({ 0: enclave.nsm.pcr(0) }) });
    const CiphertextBlob = await enclave.encrypt({ keyId, plaintext: TEXT });
    using plain = clientOf(world);
    await assert.rejects(plain.send(new DecryptCommand({ CiphertextBlob })), {
      name: "AccessDeniedException",
    });
    using client = attestedClientOf(world);
    const { Plaintext, CiphertextForRecipient, KeyId } = await client.send(
      new DecryptCommand({ CiphertextBlob }),
    );
    assert.equal(textOf(Plaintext), TEXT);
    assert.equal(CiphertextForRecipient, undefined);
    assert.match(String(KeyId), new RegExp(`${keyId}$`));
  });

  test("fills the secrets of all commands that have some", async () => {
    await using world = await startWorld();
    const { KeyId } = world;
    using client = attestedClientOf(world);
    const again = async (CiphertextBlob: Uint8Array | undefined) =>
      (await client.send(new DecryptCommand({ CiphertextBlob }))).Plaintext;
    const key = await client.send(new GenerateDataKeyCommand({ KeyId, KeySpec: "AES_256" }));
    assert.equal(key.Plaintext?.length, 32);
    assert.deepEqual(await again(key.CiphertextBlob), key.Plaintext);
    const pair = await client.send(new GenerateDataKeyPairCommand({ KeyId, KeyPairSpec: "ECC_NIST_P256" }));
    assert.deepEqual(await again(pair.PrivateKeyCiphertextBlob), pair.PrivateKeyPlaintext);
    const random = () => client.send(new GenerateRandomCommand({ NumberOfBytes: 24 }));
    const [one, other] = await Promise.all([random(), random()]);
    assert.equal(one.Plaintext?.length, 24);
    assert.notDeepEqual(one.Plaintext, other.Plaintext);
  });

  test("derives a shared secret", async () => {
    await using world = await startWorld();
    const key = await world.enclave.createKey({ spec: "ECC_NIST_P256", usage: "KEY_AGREEMENT" });
    const own = createECDH("prime256v1");
    const point = own.generateKeys();
    const half = (at: number) => point.subarray(at, at + 32).toString("base64url");
    const jwk = { kty: "EC", crv: "P-256", x: half(1), y: half(33) };
    const PublicKey = createPublicKey({ key: jwk, format: "jwk" }).export({ type: "spki", format: "der" });
    using client = attestedClientOf(world);
    const { SharedSecret } = await client.send(
      new DeriveSharedSecretCommand({
        KeyId: key.arn,
        PublicKey: new Uint8Array(PublicKey),
        KeyAgreementAlgorithm: "ECDH",
      }),
    );
    const theirs = createPublicKey({ key: Buffer.from(key.publicKey ?? []), type: "spki", format: "der" });
    const { x = "", y = "" } = theirs.export({ format: "jwk" });
    const peer = Buffer.concat([Buffer.of(4), Buffer.from(x, "base64url"), Buffer.from(y, "base64url")]);
    assert.deepEqual(SharedSecret, new Uint8Array(own.computeSecret(peer)));
  });

  test("takes many calls at once", async () => {
    await using world = await startWorld();
    const nsm = countingNsm(world.enclave.nsm);
    using client = attestedClientOf(world, { nsm });
    const all = Array.from(
      { length: 12 },
      async () => textOf((await client.send(new DecryptCommand(world))).Plaintext),
    );
    assert.deepEqual(new Set(await Promise.all(all)), new Set([TEXT]));
    assert.equal(nsm.count, 1);
  });

  test("leaves alone what has a recipient of its caller, and commands that take none", async () => {
    await using world = await startWorld();
    const nsm = countingNsm(world.enclave.nsm);
    using client = attestedClientOf(world, { nsm });
    const { CiphertextBlob } = await client.send(
      new EncryptCommand({ KeyId: world.KeyId, Plaintext: new Uint8Array(5) }),
    );
    assert.ok((CiphertextBlob?.length ?? 0) > 5);
    const Recipient = {
      KeyEncryptionAlgorithm: "RSAES_OAEP_SHA_256",
      AttestationDocument: new Uint8Array(10),
    } as const;
    const sent = client.send(new DecryptCommand({ CiphertextBlob: world.CiphertextBlob, Recipient }));
    // KMS saw the caller's document, which is none.
    await assert.rejects(sent, { name: "ValidationException" });
    assert.equal(nsm.count, 0);
  });

  test("attests a command whose recipient is null, which the SDK leaves out", async () => {
    await using world = await startWorld();
    const nsm = countingNsm(world.enclave.nsm);
    using client = attestedClientOf(world, { nsm });
    const Recipient = null as unknown as undefined;
    const { Plaintext } = await client.send(
      new DecryptCommand({ CiphertextBlob: world.CiphertextBlob, Recipient }),
    );
    assert.equal(textOf(Plaintext), TEXT);
    assert.equal(nsm.count, 1);
  });

  for (const kind of ["plaintextInstead", "plaintextBeside", "missingEnvelope"] as const) {
    test(`refuses an answer with ${kind}, once`, async () => {
      await using world = await startWorld();
      using client = attestedClientOf(world, {}, { maxAttempts: 3 });
      await world.enclave.kms.injectFault({ kind });
      await assert.rejects(client.send(new DecryptCommand(world)), {
        code: "ERR_PROTOCOL",
        message: kind === "missingEnvelope" ? /no CiphertextForRecipient/ : /Plaintext unencrypted/,
        $metadata: { attempts: 1, totalRetryDelay: 0 },
      });
    });
  }

  test("refuses an envelope for another key pair", async () => {
    await using world = await startWorld();
    using client = attestedClientOf(world);
    await world.enclave.kms.injectFault({ kind: "wrongEnvelope", variant: "anotherKey" });
    await assert.rejects(client.send(new DecryptCommand(world)), {
      code: "ERR_PROTOCOL",
      message: /Cannot open CiphertextForRecipient/,
    });
  });

  test("leaves retries to the SDK, and gives each try a document of its age", async () => {
    await using world = await startWorld();
    const nsm = countingNsm(world.enclave.nsm);
    using client = attestedClientOf(world, { nsm, attestationMaxAgeMs: 0 }, { maxAttempts: 3 });
    await world.enclave.kms.injectFault({ kind: "throttled" }, { times: 1 });
    await world.enclave.kms.injectFault({ kind: "resetAtByte", byte: 0 }, { times: 1 });
    const { Plaintext, $metadata } = await client.send(new DecryptCommand(world));
    assert.equal(textOf(Plaintext), TEXT);
    assert.equal($metadata.attempts, 3);
    assert.equal(nsm.count, 3);
  });

  test("passes KMS's refusals on as the SDK has them", async () => {
    await using world = await startWorld();
    using client = attestedClientOf(world);
    const EncryptionContext = { tenant: "b" };
    const { CiphertextBlob } = world;
    await assert.rejects(client.send(new DecryptCommand({ CiphertextBlob, EncryptionContext })), {
      name: "InvalidCiphertextException",
    });
  });

  test("fails while the NSM does, and works when it does again", async () => {
    await using world = await startWorld();
    let isBroken = true;
    const { nsm } = world.enclave;
    const failing: NsmTransport = {
      exchange: (request) => isBroken ? Promise.reject(new Error("no NSM")) : nsm.exchange(request),
      [Symbol.dispose]() {},
    };
    using client = attestedClientOf(world, { nsm: failing });
    await assert.rejects(client.send(new DecryptCommand(world)), /no NSM/);
    isBroken = false;
    assert.equal(textOf((await client.send(new DecryptCommand(world))).Plaintext), TEXT);
  });

  test("an abort ends the wait for a document, and that of no other", async () => {
    await using world = await startWorld();
    const { nsm } = world.enclave;
    const gate = Promise.withResolvers<void>();
    let asked = 0;
    const slow: NsmTransport = {
      async exchange(request) {
        asked++;
        await gate.promise;
        return await nsm.exchange(request);
      },
      [Symbol.dispose]() {},
    };
    using client = attestedClientOf(world, { nsm: slow, timeoutMs: PATIENCE_MS });
    const other = client.send(new DecryptCommand(world));
    const stop = new AbortController();
    const stopped = client.send(new DecryptCommand(world), { abortSignal: stop.signal });
    await until(() => asked === 1);
    stop.abort(new Error("no more"));
    await assert.rejects(stopped);
    gate.resolve();
    assert.equal(textOf((await other).Plaintext), TEXT);
  });

  test("attests by what the request asks for, whatever the command is named", async () => {
    await using world = await startWorld();
    const nsm = countingNsm(world.enclave.nsm);
    using client = attestedClientOf(world, { nsm });
    client.middlewareStack.add((next, context) => {
      context["commandName"] = "t";
      return next;
    }, { step: "initialize" });
    assert.equal(textOf((await client.send(new DecryptCommand(world))).Plaintext), TEXT);
    assert.equal(nsm.count, 1);
  });

  test("an abort of a signal with onabort only ends the wait for a document", async () => {
    await using world = await startWorld();
    let asked = 0;
    const silent: NsmTransport = {
      exchange() {
        asked++;
        return new Promise(() => {});
      },
      [Symbol.dispose]() {},
    };
    using client = attestedClientOf(world, { nsm: silent });
    const signal = { aborted: false, onabort: null as (() => void) | null };
    const stopped = client.send(new DecryptCommand(world), { abortSignal: signal as never });
    await until(() => asked === 1);
    signal.aborted = true;
    signal.onabort?.();
    await assert.rejects(stopped, { name: "AbortError" });
  });

  for (const moment of ["the document", "the answer"] as const) {
    test(`its dispose while a command waits for ${moment} is named in the error`, async () => {
      await using world = await startWorld();
      const { nsm } = world.enclave;
      const dispose = (at: typeof moment) => at === moment && client.plugin[Symbol.dispose]();
      using client = attestedClientOf(world, {
        nsm: {
          exchange(request) {
            dispose("the document");
            return nsm.exchange(request);
          },
          [Symbol.dispose]() {},
        },
      });
      client.middlewareStack.add((next) => async (args) => {
        const answer = await next(args);
        dispose("the answer");
        return answer;
      }, { step: "deserialize" });
      await assert.rejects(client.send(new DecryptCommand(world)), {
        code: "ERR_DISPOSED",
        message: /RecipientPlugin/,
      });
    });
  }

  test("refuses commands after its dispose, and leaves the others alone", async () => {
    await using world = await startWorld();
    using client = attestedClientOf(world);
    await client.send(new DecryptCommand(world));
    client.plugin[Symbol.dispose]();
    await assert.rejects(client.send(new DecryptCommand(world)), { code: "ERR_DISPOSED" });
    await client.send(new EncryptCommand({ KeyId: world.KeyId, Plaintext: new Uint8Array(5) }));
  });

  test("shows no plaintext to the SDK's logger", async () => {
    await using world = await startWorld();
    const lines: string[] = [];
    const log = (...parts: unknown[]) => void lines.push(JSON.stringify(parts));
    const logger = { trace: log, debug: log, info: log, warn: log, error: log };
    using client = attestedClientOf(world, {}, { logger });
    const { Plaintext } = await client.send(new DecryptCommand(world));
    assert.equal(textOf(Plaintext), TEXT);
    assert.ok(lines.some((line) => line.includes("DecryptCommand")), "the logger was asked");
    for (const form of [TEXT, Buffer.from(TEXT).toString("base64"), JSON.stringify(Plaintext)]) {
      assert.ok(!lines.some((line) => line.includes(form)), form);
    }
  });

  test("refuses options that would be passed over", () => {
    for (
      const [options, message] of [
        [{ region: "eu-central-1" }, /no field `region`/],
        [{ engine: "sdk-client" }, /engine must be one of auto, direct, sdk/],
        [{ attestationMaxAgeMs: 300_000 }, /attestationMaxAgeMs/],
      ] as const
    ) assert.throws(() => recipientPlugin(options as RecipientPluginOptions), { message });
  });
});
