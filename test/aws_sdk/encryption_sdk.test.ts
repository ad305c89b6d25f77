/**
 * AWS's own Encryption SDK, whose KMS keyring asks KMS through this room's client, and ours.
 *
 * @module
 */
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { KMS } from "@aws-sdk/client-kms";
import { afterAll, beforeAll, describe, test } from "#test";
import { recipientPlugin, vsockRequestHandler } from "../../aws_sdk/mod.ts";
import { decryptMessage, encryptMessage } from "../../lib/envelope/mod.ts";
import { KmsClient } from "../../mod.ts";
import { attestedKeyPolicy, type Simulator, startSimulator } from "../../sim/mod.ts";
import { PATIENCE_MS, PATIENT } from "./fake_services.ts";

// CommonJS on both runtimes.
const require = createRequire(import.meta.url);
const { buildEncrypt } = require("@aws-crypto/encrypt-node") as typeof import("@aws-crypto/encrypt-node");
const { buildDecrypt } = require("@aws-crypto/decrypt-node") as typeof import("@aws-crypto/decrypt-node");
const { KmsKeyringClass } = require("@aws-crypto/kms-keyring") as typeof import("@aws-crypto/kms-keyring");
const { AlgorithmSuiteIdentifier, CommitmentPolicy, KeyringNode } = require(
  "@aws-crypto/material-management-node",
) as typeof import("@aws-crypto/material-management-node");

type Client = import("@aws-crypto/kms-keyring").AwsEsdkKMSInterface;
type NodeSuite = import("@aws-crypto/material-management-node").NodeAlgorithmSuite;

/** The base class is not to be used itself. */
class Keyring extends KmsKeyringClass<NodeSuite, Client>(KeyringNode as never) {}

const PLAINTEXT = new TextEncoder().encode("attack at dawn");
const CONTEXT = { tenant: "a" };
const POLICY = CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT;

describe("the AWS Encryption SDK over the client with a recipient", () => {
  let enclave: Simulator;
  let keyArn: string;
  beforeAll(async () => {
    enclave = await startSimulator();
    const policy = attestedKeyPolicy({ 0: enclave.nsm.pcr(0) });
    keyArn = (await enclave.createKey({ policy })).arn;
  });
  afterAll(() => enclave.close());

  function open(withRecipient: boolean) {
    const { region, credentials, endpoint, trustedCertificates, nsm } = enclave.clientOptions;
    const requestHandler = vsockRequestHandler({ endpoint, trustedCertificates, ...PATIENT });
    const client = new KMS({ region, credentials, requestHandler, maxAttempts: 1 });
    const plugin = recipientPlugin({ nsm, engine: "direct", timeoutMs: PATIENCE_MS });
    if (withRecipient) client.middlewareStack.use(plugin);
    const keyring = new Keyring({ clientProvider: () => client as never, generatorKeyId: keyArn });
    return {
      keyring,
      [Symbol.dispose]() {
        plugin[Symbol.dispose]();
        client.destroy();
      },
    };
  }

  test("makes what our reader opens, and opens what our writer makes", async () => {
    using sdk = open(true);
    await using client = await KmsClient.open({ ...enclave.clientOptions, timeoutMs: PATIENCE_MS });
    const { result } = await buildEncrypt(POLICY).encrypt(sdk.keyring, PLAINTEXT, {
      encryptionContext: CONTEXT,
      suiteId: AlgorithmSuiteIdentifier.ALG_AES256_GCM_IV12_TAG16_HKDF_SHA512_COMMIT_KEY,
    });
    const limits = { keyId: keyArn, encryptionContext: CONTEXT };
    using theirs = await decryptMessage(client, new Uint8Array(result), limits);
    assert.deepEqual(theirs.bytes, PLAINTEXT);
    const ours = await encryptMessage(client, PLAINTEXT, limits);
    const opened = await buildDecrypt(POLICY).decrypt(sdk.keyring, ours);
    assert.deepEqual(new Uint8Array(opened.plaintext), PLAINTEXT);
    assert.equal(opened.messageHeader.encryptionContext["tenant"], "a");
  });

  test("and its own, in the suite that it writes by default", async () => {
    using sdk = open(true);
    const { result } = await buildEncrypt(POLICY).encrypt(sdk.keyring, PLAINTEXT);
    const { plaintext } = await buildDecrypt(POLICY).decrypt(sdk.keyring, result);
    assert.deepEqual(new Uint8Array(plaintext), PLAINTEXT);
  });

  test("KMS refuses the same without the plug-in", async () => {
    using sdk = open(false);
    await assert.rejects(buildEncrypt(POLICY).encrypt(sdk.keyring, PLAINTEXT), /AccessDenied|not authorized/);
  });
});
