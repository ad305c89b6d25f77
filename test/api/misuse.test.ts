/**
 * Wrong arguments to every public function: each is refused by an error of ours that names what is wrong, and
 * none by a raw error of the runtime.
 *
 * @module
 */
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "#test";
import * as api from "../../mod.ts";
import * as attestation from "../../lib/attestation/mod.ts";
import * as envelope from "../../lib/envelope/mod.ts";
import * as nsmEntry from "../../lib/nsm/mod.ts";
import * as policy from "../../lib/policy/mod.ts";
import * as sim from "../../sim/mod.ts";

/** Values that people pass by mistake. */
const WRONG: readonly unknown[] = [
  undefined,
  null,
  7,
  "text",
  true,
  [],
  {},
  new Map(),
  () => {},
  Symbol("s"),
];

/** Text of a raw error, which was not written for the caller. */
const RAW = new RegExp(
  "^Cannot (?:read properties|set properties|convert|destructure|use 'in'|mix)|is not (?:a function|iterable|a constructor|an object)|" +
    'undefined \\(reading|null \\(reading|The "[\\w.]+" argument|Invalid (?:array|typed array) length|' +
    "Cannot access|private (?:member|field)|Object prototype|from an object whose class",
);

/** A public function with one argument that is wrong; the others are right. */
type Call = (wrong: unknown) => unknown;

interface World {
  readonly client: api.KmsClient;
  readonly simulator: sim.Simulator;
  readonly nsm: sim.SoftwareNsm;
  readonly module: nsmEntry.NsmClient;
  readonly session: attestation.SessionKey;
  readonly facts: policy.PolicyFacts;
}

let world: World;

const KEY = "alias/a";
const at = <T>(value: unknown): T => value as T;

/** Calls by name, with the wrong values that each may accept all the same. */
const CALLS: Readonly<Record<string, readonly [call: Call, fine?: (wrong: unknown) => boolean]>> = {
  "kmsDecrypt()": [(wrong) => api.kmsDecrypt(at(wrong))],
  "KmsClient.open()": [(wrong) => api.KmsClient.open(at(wrong))],
  "client.decrypt()": [(wrong) => world.client.decrypt(at(wrong))],
  "client.decrypt() ciphertext": [(wrong) => world.client.decrypt({ ciphertext: at(wrong) })],
  "client.encrypt()": [(wrong) => world.client.encrypt(at(wrong))],
  "client.encrypt() plaintext": [(wrong) => world.client.encrypt({ keyId: KEY, plaintext: at(wrong) })],
  "client.generateDataKey()": [(wrong) => world.client.generateDataKey(at(wrong))],
  "client.generateDataKeyPair()": [(wrong) => world.client.generateDataKeyPair(at(wrong))],
  "client.generateRandom()": [(wrong) => world.client.generateRandom(at(wrong))],
  "client.deriveSharedSecret()": [(wrong) => world.client.deriveSharedSecret(at(wrong))],
  "client.generateMac()": [(wrong) => world.client.generateMac(at(wrong))],
  "client.generateMac() message": [
    (wrong) => world.client.generateMac({ keyId: KEY, message: at(wrong), macAlgorithm: "HMAC_SHA_256" }),
  ],
  "client.verifyMac()": [(wrong) => world.client.verifyMac(at(wrong))],
  "client.sign()": [(wrong) => world.client.sign(at(wrong))],
  "client.sign() message": [
    (wrong) => world.client.sign({ keyId: KEY, message: at(wrong), signingAlgorithm: "ECDSA_SHA_256" }),
  ],
  "client.verify()": [(wrong) => world.client.verify(at(wrong))],
  "client.getPublicKey()": [(wrong) => world.client.getPublicKey(at(wrong))],
  "client.dryRun() operation": [(wrong) => world.client.dryRun(at<"decrypt">(wrong), at({}))],
  "client.dryRun() request": [(wrong) => world.client.dryRun("decrypt", at(wrong))],
  "kmsHostName()": [(wrong) => api.kmsHostName(at(wrong))],
  "kmsHostName() options": [(wrong) => api.kmsHostName("eu-west-1", at(wrong)), isUnsetOrEmpty],
  "encryptStream() client": [(wrong) => envelope.encryptStream(at(wrong), { keyId: KEY })],
  "encryptStream() options": [(wrong) => envelope.encryptStream(world.client, at(wrong))],
  "decryptStream() client": [(wrong) => envelope.decryptStream(at(wrong), { keyId: KEY })],
  "decryptStream() options": [(wrong) => envelope.decryptStream(world.client, at(wrong))],
  "encryptFile() client": [(wrong) => envelope.encryptFile(at(wrong), { from: "/a", to: "/b", keyId: KEY })],
  "encryptFile() options": [(wrong) => envelope.encryptFile(world.client, at(wrong))],
  "decryptFile() client": [(wrong) => envelope.decryptFile(at(wrong), { from: "/a", to: "/b", keyId: KEY })],
  "decryptFile() options": [(wrong) => envelope.decryptFile(world.client, at(wrong))],
  "encryptMessage() client": [
    (wrong) => envelope.encryptMessage(at(wrong), new Uint8Array(1), { keyId: KEY }),
  ],
  "encryptMessage() plaintext": [(wrong) => envelope.encryptMessage(world.client, at(wrong), { keyId: KEY })],
  "encryptMessage() options": [
    (wrong) => envelope.encryptMessage(world.client, new Uint8Array(1), at(wrong)),
  ],
  "new DataKeyCache() client": [(wrong) => new envelope.DataKeyCache(at(wrong), { maxAgeMs: 1000 })],
  "new DataKeyCache() options": [(wrong) => new envelope.DataKeyCache(world.client, at(wrong))],
  "decryptMessage() client": [
    (wrong) => envelope.decryptMessage(at(wrong), new Uint8Array(1), { keyId: KEY }),
  ],
  "decryptMessage() message": [(wrong) => envelope.decryptMessage(world.client, at(wrong), { keyId: KEY })],
  "decryptMessage() options": [
    (wrong) => envelope.decryptMessage(world.client, new Uint8Array(1), at(wrong)),
  ],
  "decodeBase64()": [(wrong) => api.decodeBase64(at(wrong)), (wrong) => wrong === "text"],
  "decodeBase64() options": [(wrong) => api.decodeBase64("AA==", at(wrong)), isUnsetOrEmpty],
  "encodeBase64()": [(wrong) => api.encodeBase64(at(wrong))],
  "decodeHex()": [(wrong) => api.decodeHex(at(wrong))],
  "encodeHex()": [(wrong) => api.encodeHex(at(wrong))],
  "new SecretBytes()": [(wrong) => new api.SecretBytes(at(wrong))],
  "SecretBytes.copyOf()": [(wrong) => api.SecretBytes.copyOf(at(wrong))],
  "NsmClient.open()": [(wrong) => nsmEntry.NsmClient.open(at(wrong)), (wrong) => wrong === undefined],
  "new NsmClient()": [(wrong) => new nsmEntry.NsmClient(at(wrong))],
  "nsm.attest()": [(wrong) => world.module.attest(at(wrong)), isUnsetOrEmpty],
  "nsm.attest() nonce": [
    (wrong) => world.module.attest({ nonce: at(wrong) }),
    (wrong) => wrong === undefined,
  ],
  "nsm.describePcr()": [(wrong) => world.module.describePcr(at(wrong)), (wrong) => wrong === 7],
  "nsm.extendPcr() index": [(wrong) => world.module.extendPcr(at(wrong), new Uint8Array(1))],
  "nsm.extendPcr() data": [(wrong) => world.module.extendPcr(16, at(wrong))],
  "nsm.lockPcr()": [(wrong) => world.module.lockPcr(at(wrong))],
  "nsm.lockPcrs()": [(wrong) => world.module.lockPcrs(at(wrong)), (wrong) => wrong === 7],
  "seedKernelEntropy()": [(wrong) => nsmEntry.seedKernelEntropy(at(wrong)), (wrong) => wrong === undefined],
  "seedKernelEntropy() options": [
    (wrong) => nsmEntry.seedKernelEntropy(undefined, at(wrong)),
    isUnsetOrEmpty,
  ],
  "decodeAttestationDocument()": [(wrong) => attestation.decodeAttestationDocument(at(wrong))],
  "verifyAttestation()": [(wrong) => attestation.verifyAttestation(at(wrong))],
  "verifyAttestation() options": [(wrong) => attestation.verifyAttestation(new Uint8Array(1), at(wrong))],
  "verifyAttestation() root": [
    (wrong) => attestation.verifyAttestation(new Uint8Array(1), { root: at(wrong) }),
  ],
  "sealTo() document": [(wrong) => attestation.sealTo(at(wrong), new Uint8Array(1), { pcrs: { 0: "00" } })],
  "sealTo() secret": [(wrong) => attestation.sealTo(new Uint8Array(1), at(wrong), { pcrs: { 0: "00" } })],
  "sealTo() options": [(wrong) => attestation.sealTo(new Uint8Array(1), new Uint8Array(1), at(wrong))],
  "SessionKey.create()": [(wrong) => attestation.SessionKey.create(at(wrong))],
  "SessionKey.create() options": [
    (wrong) => attestation.SessionKey.create(world.nsm, at(wrong)),
    isUnsetOrEmpty,
  ],
  "session.open()": [(wrong) => world.session.open(at(wrong))],
  "session.open() context": [(wrong) => world.session.open(new Uint8Array(200), at(wrong))],
  "cedarPolicy()": [(wrong) => policy.cedarPolicy(at(wrong), { actions: ["Decrypt"] })],
  "cedarPolicy() options": [
    (wrong) => policy.cedarPolicy("permit(principal, action, resource);", at(wrong)),
  ],
  "cedarPolicy() actions": [
    (wrong) => policy.cedarPolicy("permit(principal, action, resource);", { actions: at(wrong) }),
  ],
  "cedarSchema()": [(wrong) => policy.cedarSchema(at(wrong))],
  "cedarSchema() actions": [(wrong) => policy.cedarSchema({ actions: at(wrong) })],
  "wasmPolicy()": [(wrong) => policy.wasmPolicy(at(wrong), { actions: ["Decrypt"] })],
  "wasmPolicy() options": [(wrong) => policy.wasmPolicy(new Uint8Array(8), at(wrong))],
  "loadPolicyFile()": [(wrong) => policy.loadPolicyFile(at(wrong), { actions: ["Decrypt"] })],
  "loadPolicyFile() options": [(wrong) => policy.loadPolicyFile("/none.cedar", at(wrong))],
  "new PolicyHolder()": [(wrong) => new policy.PolicyHolder(at(wrong)), (wrong) => wrong === undefined],
  "makeFacts()": [(wrong) => policy.makeFacts(at(wrong))],
  "serialisedFacts()": [(wrong) => policy.serialisedFacts(at(wrong))],
  "allOf()": [(wrong) => policy.allOf(at(wrong))],
  "anyOf()": [(wrong) => policy.anyOf(at(wrong))],
  "new RateCounter()": [(wrong) => new policy.RateCounter(at(wrong)), isUnsetOrEmpty],
  "startSimulator()": [(wrong) => sim.startSimulator(at(wrong)), isUnsetOrEmpty],
  "simulator.createKey()": [(wrong) => world.simulator.createKey(at(wrong)), isUnsetOrEmpty],
  "simulator.encrypt()": [(wrong) => world.simulator.encrypt(at(wrong))],
  "attestedKeyPolicy()": [(wrong) => sim.attestedKeyPolicy(at(wrong))],
  "SoftwareNsm.create()": [(wrong) => sim.SoftwareNsm.create(at(wrong)), isUnsetOrEmpty],
  "softwareNsm.pcr()": [(wrong) => world.nsm.pcr(at(wrong)), (wrong) => wrong === 7],
  "kms.injectFault()": [(wrong) => world.simulator.kms.injectFault(at(wrong))],
};

describe("a wrong argument is refused in our own words:", () => {
  beforeAll(async () => {
    const simulator = await sim.startSimulator();
    const nsm = await sim.SoftwareNsm.create();
    world = {
      simulator,
      nsm,
      client: await api.KmsClient.open(simulator.clientOptions),
      module: new nsmEntry.NsmClient(nsm),
      session: await attestation.SessionKey.create(nsm),
      facts: policy.makeFacts({
        action: "Decrypt",
        caller: { cid: 7, attributes: {} },
        region: "eu-west-1",
        time: 0,
        recentCount: 1,
      }),
    };
  });
  afterAll(async () => {
    await world.client.close();
    world.session[Symbol.dispose]();
    world.nsm[Symbol.dispose]();
    await world.simulator.close();
  });

  for (const [name, [call, isFine = () => false]] of Object.entries(CALLS)) {
    test(name, async () => {
      const raw: string[] = [];
      for (const wrong of WRONG) {
        const error = await failureOf(call, wrong);
        const given = nameOf(wrong);
        if (error === undefined) {
          if (!isFine(wrong)) raw.push(`${given}: taken`);
          continue;
        }
        const isOwn = error instanceof TypeError || error instanceof RangeError ||
          error instanceof api.EnclaveKmsError;
        if (!isOwn || RAW.test(error.message)) raw.push(`${given}: ${error.name}: ${error.message}`);
      }
      assert.deepEqual(raw, []);
    });
  }
});

async function failureOf(call: Call, wrong: unknown): Promise<Error | undefined> {
  try {
    const result = await call(wrong);
    if (typeof result === "object" && result !== null) {
      if (Symbol.asyncDispose in result) await (result as AsyncDisposable)[Symbol.asyncDispose]();
      else if (Symbol.dispose in result) (result as Disposable)[Symbol.dispose]();
    }
    return undefined;
  } catch (error) {
    return error instanceof Error ? error : new Error(`thrown: ${String(error)}`);
  }
}

function nameOf(wrong: unknown): string {
  if (typeof wrong !== "object" || wrong === null) return String(wrong);
  return Array.isArray(wrong) ? "[]" : wrong instanceof Map ? "a Map" : "{}";
}

function isEmptyRecord(wrong: unknown): boolean {
  return nameOf(wrong) === "{}";
}

function isUnsetOrEmpty(wrong: unknown): boolean {
  return wrong === undefined || isEmptyRecord(wrong);
}
