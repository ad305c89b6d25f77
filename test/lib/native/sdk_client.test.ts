import assert from "node:assert/strict";
import { once } from "node:events";
import process from "node:process";
import { Worker } from "node:worker_threads";
import { afterAll, beforeAll, beforeEach, describe, test } from "#test";
import {
  DisposedError,
  type NativeError,
  SdkGenericError,
  SdkKmsClientError,
  SdkKmsConfigError,
  SdkKmsDecryptError,
  SdkKmsRequestError,
} from "../../../lib/core/errors.ts";
import { SdkByteBuffer } from "../../../lib/native/sdk_byte_buffer.ts";
import {
  SdkClient,
  SdkClientConfiguration,
  type SdkDecryptRequest,
  SdkSocketEndpoint,
} from "../../../lib/native/sdk_client.ts";
import { type Sdk, SdkLibrary } from "../../../lib/native/sdk_library.ts";
import { SdkString } from "../../../lib/native/sdk_string.ts";
import { TrustStore } from "../../../lib/native/trust_store.ts";
import { SUPERVISED_VARIABLE } from "../../../sim/instruments.ts";
import { doublePath, SdkDouble, WITHOUT_DOUBLE } from "../../support/sdk_double.ts";
import type { SimulatedPeer } from "./simulator_thread.ts";

const unsupervised = process.env[SUPERVISED_VARIABLE] === undefined;
const REASON = unsupervised && doublePath !== undefined
  ? " (skipped: no /dev/nsm: run through npm test, with a C compiler)"
  : WITHOUT_DOUBLE;

const CONTEXT = { tenant: "a" };
const NO_REASON = "The C client does not say why: use engine direct or sdk to see KMS's own error";
const TOO_OLD = "Use aws-nitro-enclaves-sdk-c 0.4.2 or later, or engine direct or sdk";

const encode = (text: string) => new Uint8Array(new TextEncoder().encode(text));
const SECRET = encode("a plaintext of some length");

/** Error that a failing call must become. */
interface Failure {
  readonly kind: new (...args: never[]) => NativeError;
  readonly message: string;
  readonly cFunction: string;
  readonly hint: string;
}

/** The engine has the client on a thread; here it blocks this one, and KMS is on another. */
describe.skipIf(unsupervised || doublePath === undefined)(`SdkClient${REASON}`, () => {
  const double = new SdkDouble(doublePath ?? "");
  let thread: Worker;
  let peer: SimulatedPeer;
  let trust: TrustStore | undefined;

  beforeAll(async () => {
    thread = new Worker(new URL("./simulator_thread.ts", import.meta.url));
    [peer] = await once(thread, "message") as [SimulatedPeer];
  });
  // By the first test and not before all: mutation testing must see which tests use it.
  beforeEach(() => {
    trust ??= new TrustStore(peer.trustedCertificates);
    double.reset();
  });
  afterAll(async () => {
    trust?.[Symbol.dispose]();
    await thread.terminate();
  });

  /** Runs something with a client that is connected, and finds everything given back afterwards. */
  function withClient<T>(
    run: (client: SdkClient, tools: Tools) => T,
    options: { hostName?: string; port?: number; change?: (sdk: Sdk) => Sdk } = {},
  ): T {
    let result: T;
    {
      using library = SdkLibrary.acquire(doublePath);
      const { allocator } = library;
      const sdk = options.change?.(library.sdk) ?? library.sdk;
      const string = (text: string, secret = false) =>
        SdkString.create(sdk, allocator, encode(text), { name: "test", secret });
      const copy = (bytes: Uint8Array<ArrayBuffer>) => SdkByteBuffer.copyOf(sdk, allocator, bytes);
      using region = string(peer.region);
      using accessKeyId = string(peer.accessKeyId);
      using secretAccessKey = string(peer.secretAccessKey, true);
      using sessionToken = string(peer.sessionToken, true);
      using hostName = options.hostName === undefined ? undefined : string(options.hostName);
      using endpoint = SdkSocketEndpoint.create(sdk, allocator, "127.0.0.1", options.port ?? peer.port);
      using configuration = SdkClientConfiguration.create(sdk, {
        ...{ region, endpoint, accessKeyId, secretAccessKey, sessionToken, hostName },
        domain: "IPV4",
      });
      using client = SdkClient.create(sdk, configuration);
      result = run(client, { sdk, string, copy });
    }
    assertClean();
    return result;
  }

  interface Tools {
    readonly sdk: Sdk;
    readonly string: (text: string) => SdkString;
    readonly copy: (bytes: Uint8Array<ArrayBuffer>) => SdkByteBuffer;
  }

  function assertClean(): void {
    assert.equal(double.live(), 0);
    assert.deepEqual(double.violations(), []);
  }

  /** Request to a client, in words. */
  interface Words {
    readonly keyId?: string;
    readonly encryptionAlgorithm?: string;
    readonly encryptionContext?: Readonly<Record<string, string>> | undefined;
  }

  function decrypt(
    client: SdkClient,
    { sdk, string, copy }: Tools,
    blob: Uint8Array<ArrayBuffer>,
    words: Words,
  ) {
    const optional = (text: string | undefined) => text === undefined ? undefined : string(text);
    const context = words.encryptionContext && JSON.stringify(words.encryptionContext);
    using keyId = optional(words.keyId);
    using encryptionAlgorithm = optional(words.encryptionAlgorithm);
    using encryptionContext = optional(context);
    using ciphertext = copy(blob);
    using plaintext = SdkByteBuffer.empty(sdk);
    const request: SdkDecryptRequest = { ciphertext, keyId, encryptionAlgorithm, encryptionContext };
    client.decrypt(request, plaintext);
    return plaintext.copyOut();
  }

  function encrypt(client: SdkClient, { sdk, string, copy }: Tools, words: Words): Uint8Array<ArrayBuffer> {
    using keyId = string(words.keyId ?? peer.keyId);
    using encryptionContext = words.encryptionContext && string(JSON.stringify(words.encryptionContext));
    using plaintext = copy(SECRET);
    using ciphertext = SdkByteBuffer.empty(sdk);
    client.encrypt({ keyId, plaintext, encryptionContext }, ciphertext);
    return ciphertext.copyOut();
  }

  function fails(run: () => unknown, { kind, message, cFunction, hint }: Failure): void {
    assert.throws(run, (error) => {
      assert.ok(error instanceof kind, String(error));
      const failure = error as NativeError;
      assert.deepEqual(
        [failure.message, failure.cFunction, failure.hint],
        [message, cFunction, hint],
      );
      return true;
    });
    assertClean();
  }

  test("decrypts what it encrypted, with and without a context, a key id and its algorithm", () => {
    withClient((client, tools) => {
      const named = { keyId: peer.keyId, encryptionAlgorithm: "SYMMETRIC_DEFAULT" };
      for (const encryptionContext of [undefined, CONTEXT]) {
        const ciphertext = encrypt(client, tools, { encryptionContext });
        assert.deepEqual(decrypt(client, tools, ciphertext, { encryptionContext }), SECRET);
        assert.deepEqual(decrypt(client, tools, ciphertext, { encryptionContext, ...named }), SECRET);
      }
    });
  });

  test("generates data keys of both lengths, which decrypt again, and random bytes", () => {
    withClient((client, tools) => {
      using keyId = tools.string(peer.keyId);
      for (const [keySpec, length] of [["AES_256", 32], ["AES_128", 16]] as const) {
        using plaintext = SdkByteBuffer.empty(tools.sdk);
        using ciphertext = SdkByteBuffer.empty(tools.sdk);
        client.generateDataKey(keyId, keySpec, plaintext, ciphertext);
        assert.equal(plaintext.length, length);
        assert.deepEqual(decrypt(client, tools, ciphertext.copyOut(), {}), plaintext.copyOut());
      }
      for (const length of [1, 1024]) {
        using random = SdkByteBuffer.empty(tools.sdk);
        client.generateRandom(length, random);
        assert.equal(random.length, length);
      }
    });
  });

  test("connects to the name that it was given, or to the region's", () => {
    withClient(() => {}, { hostName: `kms.${peer.region}.amazonaws.com` });
    for (
      const [wrong, why] of [[{ hostName: "kms.example.com" }, "another name"], [
        { port: 1 },
        "nobody",
      ]] as const
    ) {
      fails(() => withClient(() => assert.fail(why), wrong), {
        kind: SdkKmsClientError,
        message: "Cannot create the KMS client: aws_nitro_enclaves_kms_client_new returned NULL",
        cFunction: "aws_nitro_enclaves_kms_client_new",
        hint: "Is the proxy running on the parent, and the certificate bundle in the image?",
      });
    }
  });

  test("a refusal of KMS names the C function, and no reason", () => {
    const [bound, unbound] = withClient((client, tools) =>
      [CONTEXT, undefined].map((encryptionContext) => encrypt(client, tools, { encryptionContext }))
    );
    const otherContext = { tenant: "b" };
    for (
      const [blob, words, cFunction] of [
        [bound, {}, "aws_kms_decrypt_blocking"],
        [bound, { encryptionContext: otherContext }, "aws_kms_decrypt_blocking_with_context"],
        [unbound, { encryptionContext: CONTEXT }, "aws_kms_decrypt_blocking_with_context"],
        [
          unbound,
          { keyId: "no-such-key", encryptionAlgorithm: "SYMMETRIC_DEFAULT" },
          "aws_kms_decrypt_blocking",
        ],
      ] as const
    ) {
      fails(() => withClient((client, tools) => decrypt(client, tools, blob!, words)), {
        kind: SdkKmsDecryptError,
        message: `Cannot decrypt: ${cFunction} returned -1`,
        cFunction,
        hint: NO_REASON,
      });
    }
    fails(() => withClient((client, tools) => encrypt(client, tools, { keyId: "no-such-key" })), {
      kind: SdkKmsRequestError,
      message: "Cannot encrypt: aws_kms_encrypt_blocking_with_context returned -1",
      cFunction: "aws_kms_encrypt_blocking_with_context",
      hint: NO_REASON,
    });
  });

  /** Actions with a name of their own in messages, by the C function behind each. */
  const ACTIONS = {
    aws_kms_encrypt_blocking_with_context: "encrypt",
    aws_kms_generate_data_key_blocking: "generate a data key",
    aws_kms_generate_random_blocking: "generate random bytes",
  } as const;

  for (const [cFunction, action] of Object.entries(ACTIONS)) {
    test(`${cFunction}: fails with its own name, and says when the library is too old for it`, () => {
      const run = (client: SdkClient, tools: Tools) => {
        if (action === "encrypt") return encrypt(client, tools, {});
        using keyId = tools.string(peer.keyId);
        using plaintext = SdkByteBuffer.empty(tools.sdk);
        using ciphertext = SdkByteBuffer.empty(tools.sdk);
        if (action === "generate random bytes") return client.generateRandom(32, plaintext);
        client.generateDataKey(keyId, "AES_256", plaintext, ciphertext);
      };
      const failing = (client: SdkClient, tools: Tools) => {
        double.fail(cFunction);
        run(client, tools);
      };
      fails(() => withClient(failing), {
        kind: SdkKmsRequestError,
        message: `Cannot ${action}: ${cFunction} returned -1`,
        cFunction,
        hint: NO_REASON,
      });
      fails(() => withClient(run, { change: without(cFunction) }), {
        kind: SdkKmsRequestError,
        message: `Cannot ${action}: the C SDK is too old`,
        cFunction,
        hint: TOO_OLD,
      });
    });
  }

  test("a library that is too old for a context decrypts without one", () => {
    const change = without("aws_kms_decrypt_blocking_with_context");
    const ciphertext = withClient((client, tools) => encrypt(client, tools, {}), { change });
    assert.deepEqual(
      withClient((client, tools) => decrypt(client, tools, ciphertext, {}), { change }),
      SECRET,
    );
    const withContext = { encryptionContext: CONTEXT };
    fails(() => withClient((client, tools) => decrypt(client, tools, ciphertext, withContext), { change }), {
      kind: SdkKmsDecryptError,
      message: "Cannot decrypt with an encryption context: the C SDK is too old",
      cFunction: "aws_kms_decrypt_blocking_with_context",
      hint: TOO_OLD,
    });
  });

  test("what cannot be made is named, and all before it is given back", () => {
    const failures: readonly Failure[] = [
      {
        kind: SdkGenericError,
        message: "Cannot allocate the endpoint: aws_mem_calloc returned NULL",
        cFunction: "aws_mem_calloc",
        hint: "Is the enclave out of memory?",
      },
      {
        kind: SdkKmsConfigError,
        message:
          "Cannot configure the KMS client: aws_nitro_enclaves_kms_client_config_default returned NULL",
        cFunction: "aws_nitro_enclaves_kms_client_config_default",
        hint: "Is the enclave out of memory?",
      },
    ];
    for (const failure of failures) {
      double.fail(failure.cFunction);
      fails(() => withClient(() => assert.fail("made")), failure);
    }
  });

  test("a client is disposed once, and is of no use afterwards", () => {
    withClient((client, tools) => {
      client[Symbol.dispose]();
      assert.throws(
        () => encrypt(client, tools, {}),
        (error) => error instanceof DisposedError && /SdkClient/.test(error.message),
      );
    });
    const released = double.log().filter((line) => /kms_client_destroy|config_destroy/.test(line));
    assert.deepEqual(released.map((line) => line.replace(/ #\d+$/, "")), [
      "release aws_nitro_enclaves_kms_client_destroy",
      "release aws_nitro_enclaves_kms_client_config_destroy",
    ]);
  });
});

/** The library as an older release has it. */
function without(cFunction: string): (sdk: Sdk) => Sdk {
  return (sdk) => ({ ...sdk, call: { ...sdk.call, [cFunction]: undefined } });
}
