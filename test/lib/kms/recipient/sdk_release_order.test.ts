import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, test } from "#test";
import { type DecryptRequest, KmsClient, type KmsClientOptions, kmsDecrypt } from "../../../../mod.ts";
import { type Enclave, ENGINE_CASES, type EngineCase, startEnclave } from "../../../support/engines.ts";
import { doublePath, SdkDouble, shareKeyOfDouble } from "../../../support/sdk_double.ts";
import { type Journal, sdkClientJournal, sdkJournal } from "../../../support/sdk_journal.ts";

const PLAINTEXT = new Uint8Array(randomBytes(48));
const CONTEXT = { tenant: "a" };

/** Asks for one thing or another, and says what the journal must be like. */
interface Variant {
  readonly name: string;
  readonly request?: { keyId?: true; encryptionContext?: true };
  readonly hostName?: true;
  readonly journal: Journal;
}

const VARIANTS: Readonly<Record<string, readonly Variant[]>> = {
  "sdk": [{
    name: "a key id and an encryption context",
    request: { keyId: true, encryptionContext: true },
    journal: sdkJournal(),
  }],
  "sdk-client": [
    {
      name: "nothing but a ciphertext",
      journal: sdkClientJournal({ hostName: false, keyId: false, encryptionContext: false }),
    },
    {
      name: "a key id, an encryption context and a host name",
      request: { keyId: true, encryptionContext: true },
      hostName: true,
      journal: sdkClientJournal({ hostName: true, keyId: true, encryptionContext: true }),
    },
  ],
};

shareKeyOfDouble();

for (const engineCase of ENGINE_CASES.filter(({ label }) => label.includes("double"))) {
  describe.skipIf(engineCase.skip)(`journal of engine ${engineCase.label}`, () => suite(engineCase));
}

function suite(engineCase: EngineCase): void {
  let enclave: Enclave;
  let keyId: string;
  let double: SdkDouble;

  beforeAll(async () => {
    double = new SdkDouble(doublePath ?? "");
    enclave = await startEnclave();
    keyId = (await enclave.simulator.createKey()).keyId;
  });
  beforeEach(() => double.reset());
  afterAll(async () => {
    double.setCanary(new Uint8Array(randomBytes(16)));
    await enclave[Symbol.asyncDispose]();
  });

  async function prepare(
    { request, hostName }: Partial<Variant>,
  ): Promise<[KmsClientOptions, DecryptRequest]> {
    const { simulator } = enclave;
    const encryptionContext = request?.encryptionContext ? CONTEXT : undefined;
    const ciphertext = await simulator.encrypt({ keyId, plaintext: PLAINTEXT, encryptionContext });
    return [
      { ...enclave.optionsFor(engineCase), ...(hostName ? { hostName: simulator.hostName } : {}) },
      {
        ciphertext,
        ...(request?.keyId ? { keyId } : {}),
        ...(encryptionContext === undefined ? {} : { encryptionContext }),
      },
    ];
  }

  function assertJournal({ lines }: Journal): void {
    assert.deepEqual(double.log(), lines);
    assert.equal(double.live(), 0);
    assert.deepEqual(double.violations(), []);
  }

  for (const variant of VARIANTS[engineCase.engine] ?? []) {
    for (const canary of ["plaintext", "secret access key"]) {
      const secret = () =>
        canary === "plaintext"
          ? PLAINTEXT
          : new TextEncoder().encode(enclave.simulator.credentials.secretAccessKey);

      test(`KmsClient, with ${variant.name}; the ${canary} is wiped`, async () => {
        const [options, request] = await prepare(variant);
        double.setCanary(secret());
        const client = await KmsClient.open(options);
        using plaintext = await client.decrypt(request);
        await client.close();
        assert.deepEqual(plaintext.bytes, PLAINTEXT);
        assertJournal(variant.journal);
      });

      test(`kmsDecrypt(), with ${variant.name}; the ${canary} is wiped`, async () => {
        const [options, request] = await prepare(variant);
        double.setCanary(secret());
        using plaintext = await kmsDecrypt({ ...options, ...request });
        assert.deepEqual(plaintext.bytes, PLAINTEXT);
        assertJournal(variant.journal);
      });
    }
  }

  if (engineCase.engine === "sdk") return; // everything it gives to C is wiped

  test("the double notices what is not wiped", async () => {
    const [options, request] = await prepare({});
    double.setCanary(new TextEncoder().encode(options.region));
    using _plaintext = await kmsDecrypt({ ...options, ...request });
    assert.deepEqual(double.violations(), ["aws_string_destroy: releases a secret that was not wiped"]);
  });
}
