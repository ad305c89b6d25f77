import { isClockRefusal, isCredentialsRefusal, kmsError } from "../../../lib/kms/https/kms_errors.ts";
import { KmsReply } from "../../../lib/kms/operations/kms_reply.ts";
import { DECRYPT } from "../../../lib/kms/operations/decrypt.ts";
import { DERIVE_SHARED_SECRET } from "../../../lib/kms/operations/derive_shared_secret.ts";
import { ENCRYPT } from "../../../lib/kms/operations/encrypt.ts";
import { GENERATE_DATA_KEY } from "../../../lib/kms/operations/generate_data_key.ts";
import { GENERATE_DATA_KEY_PAIR } from "../../../lib/kms/operations/generate_data_key_pair.ts";
import { GENERATE_MAC } from "../../../lib/kms/operations/generate_mac.ts";
import { GENERATE_RANDOM } from "../../../lib/kms/operations/generate_random.ts";
import { GET_PUBLIC_KEY } from "../../../lib/kms/operations/get_public_key.ts";
import { SIGN } from "../../../lib/kms/operations/sign.ts";
import { VERIFY } from "../../../lib/kms/operations/verify.ts";
import { VERIFY_MAC } from "../../../lib/kms/operations/verify_mac.ts";
import { KmsError, ProtocolError } from "../../../lib/core/errors.ts";
import { SecretBytes } from "../../../lib/core/secret_bytes.ts";
import { dictionary, expect, expectSame, type FuzzTarget, utf8 } from "../target.ts";

const ARN = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const ENVELOPE = btoa("an envelope");

const JSON_WORDS = [
  "null",
  "true",
  "1e999",
  "-0",
  '""',
  "[]",
  "{}",
  "[[[[",
  '{"a":',
  "\\u0000",
  "\\ud800",
  '"__proto__":',
  '"constructor":',
  "\n",
  "=",
  "AAAA",
];

/**
 * KMS's answers of status 200, to each operation: taken only if they have what was asked for, and no secret
 * in clear.
 */
export const reply: FuzzTarget = {
  name: "reply",
  maxLength: 65_536,
  covers: [
    "lib/kms/operations/kms_reply.ts",
    "lib/kms/operations/decrypt.ts",
    "lib/kms/operations/derive_shared_secret.ts",
    "lib/kms/operations/encrypt.ts",
    "lib/kms/operations/generate_data_key.ts",
    "lib/kms/operations/generate_data_key_pair.ts",
    "lib/kms/operations/generate_random.ts",
    "lib/kms/operations/generate_mac.ts",
    "lib/kms/operations/get_public_key.ts",
    "lib/kms/operations/sign.ts",
    "lib/kms/operations/verify.ts",
    "lib/kms/operations/verify_mac.ts",
  ],
  dictionary: dictionary(
    ...JSON_WORDS,
    ARN,
    '"KeyId":',
    '"Plaintext":"",',
    '"Plaintext":null,',
    '"Plaintext":"YQ==",',
    '"PrivateKeyPlaintext":',
    '"SharedSecret":',
    '"CiphertextForRecipient":',
    '"CiphertextBlob":',
    '"KeyPairSpec":"RSA_2048"',
    '"PublicKey":',
    '"KeyAgreementAlgorithm":"ECDH"',
    '"Mac":"AQID"',
    '"MacAlgorithm":"HMAC_SHA_256"',
    '"MacValid":true',
    '"Signature":"AQID"',
    '"SigningAlgorithm":"ECDSA_SHA_256"',
    '"SignatureValid":true',
    '"KeySpec":"RSA_2048"',
    '"KeyUsage":"SIGN_VERIFY"',
    '"SigningAlgorithms":["A"]',
    "arn:aws:kms:",
    "key/",
    "alias/",
  ),
  seeds() {
    const answers = [
      { KeyId: ARN, CiphertextForRecipient: ENVELOPE, Plaintext: null },
      { KeyId: ARN, CiphertextBlob: "AQID" },
      { KeyId: ARN, CiphertextForRecipient: ENVELOPE, CiphertextBlob: "AQID", Plaintext: "" },
      {
        KeyId: ARN,
        KeyPairSpec: "RSA_2048",
        PrivateKeyCiphertextBlob: "AQID",
        PublicKey: "AQID",
        CiphertextForRecipient: ENVELOPE,
      },
      { CiphertextForRecipient: ENVELOPE },
      { KeyId: ARN, KeyAgreementAlgorithm: "ECDH", CiphertextForRecipient: ENVELOPE },
      { KeyId: ARN, Mac: "A".repeat(43) + "=", MacAlgorithm: "HMAC_SHA_256" },
      { KeyId: ARN, MacValid: true, MacAlgorithm: "HMAC_SHA_256" },
      { KeyId: ARN, Signature: "AQID", SigningAlgorithm: "ECDSA_SHA_256" },
      { KeyId: ARN, SignatureValid: true, SigningAlgorithm: "ECDSA_SHA_256" },
      {
        KeyId: ARN,
        PublicKey: "AQID",
        KeySpec: "RSA_2048",
        KeyUsage: "SIGN_VERIFY",
        SigningAlgorithms: ["A"],
      },
    ];
    return Promise.resolve(
      answers.map((answer, index) => Uint8Array.of(index, ...utf8(JSON.stringify(answer)))),
    );
  },
  async run(input) {
    const index = (input[0] ?? 0) % 11;
    const body = input.subarray(1);
    let opened = 0;
    const open = (envelope: Uint8Array) => {
      opened++;
      return SecretBytes.copyOf(envelope.subarray(0, 32));
    };
    try {
      using _result = await readReply(index, new KmsReply("Operation", body, open));
      checkTaken(body, index);
      expect(opened === (isAttested(index) ? 1 : 0), "the envelope was not opened once");
      return `ok ${index}`;
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      expect(error.cause === undefined && error.message.length < 200, "the error tells too much");
      return error.message.slice("Cannot use KMS's answer to ".length);
    }
  },
};

/**
 * KMS's answers of another status: always an error of KMS, of bounded length, without what KMS should not
 * repeat.
 */
export const refusal: FuzzTarget = {
  name: "refusal",
  maxLength: 65_536,
  covers: ["lib/kms/https/kms_errors.ts"],
  dictionary: dictionary(
    ...JSON_WORDS,
    '"__type":"',
    '{"__type":"constructor"}',
    '"message":"',
    '"Message":"',
    "AccessDeniedException",
    "com.amazon.coral.service#",
    "ThrottlingException",
    "InvalidSignatureException",
    "ExpiredTokenException",
    "ValidationException",
    "KMSInternalException",
    "Signature expired: ",
    "Signature not yet current: ",
    "hasOwnProperty",
    "\\u202e",
    "x".repeat(300),
    ":http://",
  ),
  seeds: () =>
    Promise.resolve([
      { __type: "AccessDeniedException", message: "User: arn is not authorized." },
      { __type: "com.amazonaws.kms#ThrottlingException:http://x", Message: "Rate exceeded" },
      { __type: "InvalidSignatureException", message: "Signature expired: 1 is now earlier than 2" },
      { __type: "ExpiredTokenException" },
      { __type: "UnrecognizedClientException", message: "The security token is invalid." },
      { __type: "toString" },
    ].map((answer, index) => Uint8Array.of(index, ...utf8(JSON.stringify(answer))))),
  run(input) {
    const status = [400, 403, 429, 500, 503][(input[0] ?? 0) % 5] ?? 400;
    const body = input.slice(1);
    const requestId = String.fromCharCode(...body.subarray(0, 70));
    const answer = { status, requestId, dateMs: undefined, body };
    const error = kmsError("GenerateDataKey", answer);
    expect(error instanceof KmsError && error.cause === undefined, "not an error of KMS, or with a cause");
    expect(/^[A-Za-z]\w{0,99}$/.test(error.kmsCode), "a code that is none");
    expect(
      error.message.length < 700 && !/[\p{Cc}\p{Cf}]|\S{257}/u.test(error.message),
      "a text that is not clean",
    );
    expect(
      error.requestId === undefined || /^[\w-]{1,64}$/.test(error.requestId),
      "a request id that is none",
    );
    expect(typeof error.hint === "string" && error.hint !== "", "no hint");
    expect(status < 500 || error.retryable, "what fails on KMS's side can be tried again");
    expectSame(error.credentialsRefused, isCredentialsRefusal(answer), "whether credentials are refused");
    expect(
      !error.credentialsRefused || (REFUSALS.test(error.kmsCode) && !isClockRefusal(answer)),
      "credentials refused by another name, or for the clock",
    );
    return `${KNOWN.test(error.kmsCode) ? error.kmsCode : "another"}${
      isClockRefusal(answer) ? ", clock" : ""
    }`;
  },
};

const REFUSALS =
  /^(?:ExpiredToken(?:Exception)?|UnrecognizedClientException|InvalidClientTokenId|InvalidSignatureException|SignatureDoesNotMatch)$/;

const KNOWN =
  /^(?:AccessDenied|Throttling|InvalidSignature|ExpiredToken|Validation)Exception$|^UnknownError$/;

async function readReply(index: number, answer: KmsReply): Promise<Disposable> {
  const nothing: Disposable = { [Symbol.dispose]: () => {} };
  const common = { encryptionContext: undefined, grantTokens: undefined, dryRun: false };
  const algorithm = { encryptionAlgorithm: undefined };
  switch (index) {
    case 0:
      return await DECRYPT.result(answer, {
        ...common,
        ...algorithm,
        ciphertext: new Uint8Array(1),
        keyId: ARN,
      });
    case 1: {
      const plaintext = new SecretBytes(new Uint8Array(1));
      const encryptionAlgorithm = "SYMMETRIC_DEFAULT";
      const { ciphertext } = ENCRYPT.result(answer, {
        ...common,
        encryptionAlgorithm,
        plaintext,
        keyId: ARN,
      });
      expect(ciphertext.length > 0, "an empty ciphertext");
      return nothing;
    }
    case 2:
      return await GENERATE_DATA_KEY.result(answer, { ...common, keyId: ARN, length: 11 });
    case 3:
      return await GENERATE_DATA_KEY_PAIR.result(answer, { ...common, keyId: ARN, keyPairSpec: "RSA_2048" });
    case 4:
      return await GENERATE_RANDOM.result(answer, { numberOfBytes: 11 });
    case 5:
      return await DERIVE_SHARED_SECRET.result(answer, {
        ...common,
        keyId: ARN,
        keyAgreementAlgorithm: "ECDH",
        publicKey: new Uint8Array(1),
      });
    default:
      readUnattested(index, answer);
      return nothing;
  }
}

function readUnattested(index: number, answer: KmsReply): void {
  const [message, signature] = [new Uint8Array(1), new Uint8Array(1)];
  const common = { keyId: ARN, grantTokens: undefined, dryRun: false, message };
  const mac = { ...common, macAlgorithm: "HMAC_SHA_256", mac: signature } as const;
  const signed = { ...common, messageType: "RAW", signingAlgorithm: "ECDSA_SHA_256", signature } as const;
  switch (index) {
    case 6:
      return expect(GENERATE_MAC.result(answer, mac).mac.length === 32, "a code of another length");
    case 7:
      return expect(VERIFY_MAC.result(answer, mac).keyId === ARN, "another key");
    case 8:
      return expect(SIGN.result(answer, signed).signature.length > 0, "an empty signature");
    case 9:
      return expect(VERIFY.result(answer, signed).keyId === ARN, "another key");
    default: {
      const { publicKey, keySpec, keyUsage, algorithms } = GET_PUBLIC_KEY.result(answer, common);
      expect(publicKey.length > 0, "an empty key");
      expect([keySpec, keyUsage, ...algorithms].every((name) => /^\w{1,64}$/.test(name)), "no name");
    }
  }
}

const isAttested = (index: number) => index !== 1 && index < 6;

const SECRET_MEMBERS = ["Plaintext", "", "Plaintext", "PrivateKeyPlaintext", "Plaintext", "SharedSecret"];

/** Checks the rules once more, by hand. */
function checkTaken(body: Uint8Array, index: number): void {
  const members = JSON.parse(new TextDecoder().decode(body)) as Record<string, unknown>;
  if (index !== 4) expect(members["KeyId"] === ARN, "another key");
  const inClear = members[SECRET_MEMBERS[index] ?? ""];
  if (isAttested(index)) {
    expect(inClear === undefined || inClear === null || inClear === "", "a secret in clear");
  }
  if (index === 7) expect(members["MacValid"] === true, "a code that is not valid");
  if (index === 9) expect(members["SignatureValid"] === true, "a signature that is not valid");
  if (isAttested(index)) expect(typeof members["CiphertextForRecipient"] === "string", "no envelope");
}
