import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, test } from "#test";
import {
  AttestationError,
  type DecryptRequest,
  EnclaveKmsError,
  KmsClient,
  type KmsClientOptions,
  kmsDecrypt,
  NativeError,
  ProtocolError,
  SdkGenericError,
  SdkInitError,
  SdkKmsClientError,
  SdkKmsConfigError,
  SdkKmsDecryptError,
} from "../../../../mod.ts";
import { type Enclave, ENGINE_CASES, type EngineCase, startEnclave } from "../../../support/engines.ts";
import { doublePath, SdkDouble, shareKeyOfDouble } from "../../../support/sdk_double.ts";
import {
  type Journal,
  type PlannedFailure,
  sdkClientJournal,
  sdkJournal,
} from "../../../support/sdk_journal.ts";

const CONTEXT = { tenant: "a" };

/** Error class of each failing call. */
const ERRORS: Readonly<Record<string, { new (...args: never[]): EnclaveKmsError }>> = {
  aws_nitro_enclaves_get_allocator: SdkInitError,
  aws_attestation_rsa_keypair_new: SdkGenericError,
  aws_attestation_request: AttestationError,
  aws_attestation_rsa_decrypt: ProtocolError,
  aws_cms_cipher_decrypt: ProtocolError,
  aws_byte_buf_init: SdkGenericError,
  aws_byte_buf_write: SdkGenericError,
  aws_string_new_from_array: SdkGenericError,
  aws_mem_calloc: SdkGenericError,
  aws_nitro_enclaves_kms_client_config_default: SdkKmsConfigError,
  aws_nitro_enclaves_kms_client_new: SdkKmsClientError,
  aws_kms_decrypt_blocking: SdkKmsDecryptError,
  aws_kms_decrypt_blocking_with_context: SdkKmsDecryptError,
};

/** One engine with one kind of request. */
interface Scenario {
  readonly engine: "sdk" | "sdk-client";
  readonly plain: boolean;
  readonly journal: (failure?: PlannedFailure) => Journal;
  /** Which calls fail; all of them unless another scenario has had the rest. */
  readonly failing?: readonly string[];
}

const WITH_EVERYTHING = { hostName: true, keyId: true, encryptionContext: true };
const PLAIN = { hostName: false, keyId: false, encryptionContext: false };

const SCENARIOS: readonly Scenario[] = [
  { engine: "sdk", plain: false, journal: sdkJournal },
  {
    engine: "sdk-client",
    plain: false,
    journal: (failure) => sdkClientJournal(WITH_EVERYTHING, failure),
  },
  {
    engine: "sdk-client",
    plain: true,
    journal: (failure) => sdkClientJournal(PLAIN, failure),
    failing: ["aws_kms_decrypt_blocking"],
  },
];

shareKeyOfDouble();

for (const engineCase of ENGINE_CASES.filter(({ label }) => label.includes("double"))) {
  for (const scenario of SCENARIOS.filter(({ engine }) => engine === engineCase.engine)) {
    const request = scenario.plain ? "a ciphertext alone" : "every option";
    const name = `engine ${engineCase.label}, ${request}: each call fails in turn`;
    describe.skipIf(engineCase.skip)(name, () => suite(engineCase, scenario));
  }
}

function suite(engineCase: EngineCase, { plain, journal, failing }: Scenario): void {
  const { openCalls, decryptCalls, heldByClient } = journal();
  const isWanted = ({ cFunction }: PlannedFailure) => failing?.includes(cFunction) ?? true;
  let enclave: Enclave;
  let double: SdkDouble;
  let options: KmsClientOptions;
  let request: DecryptRequest;
  let client: KmsClient | undefined;

  beforeAll(async () => {
    double = new SdkDouble(doublePath ?? "");
    enclave = await startEnclave();
    const { simulator } = enclave;
    const { keyId } = await simulator.createKey();
    const encryptionContext = plain ? {} : CONTEXT;
    const ciphertext = await simulator.encrypt({ keyId, plaintext: "hello", encryptionContext });
    request = plain ? { ciphertext } : { ciphertext, keyId, encryptionContext };
    const hostName = plain ? undefined : simulator.hostName;
    options = { ...enclave.optionsFor(engineCase), hostName, attestationMaxAgeMs: 0 };
  });
  beforeEach(() => {
    double.reset();
    double.setCanary(new TextEncoder().encode(enclave.simulator.credentials.secretAccessKey));
  });
  afterAll(async () => {
    double.setCanary(new Uint8Array(randomBytes(16)));
    await enclave[Symbol.asyncDispose]();
  });

  for (const failure of [...openCalls, ...decryptCalls.filter(isFirst)].filter(isWanted)) {
    const { cFunction, nth } = failure;
    test(`kmsDecrypt(), ${cFunction} #${nth}: all is released in reverse, to the library`, async () => {
      double.fail(cFunction, nth);
      await assert.rejects(kmsDecrypt({ ...options, ...request }), (error) => isExpected(error, cFunction));
      assertJournal(journal(failure).lines, 0);
    });
  }

  test("kmsDecrypt() works after all that", async () => {
    using plaintext = await kmsDecrypt({ ...options, ...request });
    assert.equal(plaintext.length, 5);
    assertJournal(journal().lines, 0);
  });

  for (const failure of decryptCalls.filter(isWanted)) {
    const { cFunction } = failure;
    // The calls of open() were made by a client that lives on.
    const nth = failure.nth - openCalls.filter((call) => call.cFunction === cFunction).length;
    test(`decrypt(), ${cFunction} #${nth}: all is released in reverse, the client works on`, async () => {
      client ??= await KmsClient.open(options);
      double.reset();
      double.fail(cFunction, nth);
      await assert.rejects(client.decrypt(request), (error) => isExpected(error, cFunction));
      assertJournal(journal(failure).decryptLines, heldByClient);
      using plaintext = await client.decrypt(request);
      assert.equal(plaintext.length, 5);
    });
  }

  test("close() releases the rest", async () => {
    client ??= await KmsClient.open(options);
    double.reset();
    await client.close();
    assertJournal(journal().lines.slice(-heldByClient), 0);
  });

  function assertJournal(lines: readonly string[], live: number): void {
    assert.deepEqual(double.log(), lines);
    assert.equal(double.live(), live);
    assert.deepEqual(double.violations(), []);
  }
}

function isFirst({ nth }: PlannedFailure): boolean {
  return nth === 1;
}

function isExpected(error: unknown, cFunction: string): boolean {
  assert.ok(error instanceof EnclaveKmsError, String(error));
  assert.equal(error.name, ERRORS[cFunction]?.name);
  assert.ok(error instanceof (ERRORS[cFunction] ?? Array));
  assert.notEqual(error.hint, "");
  if (error instanceof NativeError) {
    assert.equal(error.cFunction, cFunction);
    assert.equal(error.nativeCode, 0);
    assert.match(error.message, new RegExp(`^Cannot .*: ${cFunction} returned (NULL|false|-1)$`));
  }
  return true;
}
