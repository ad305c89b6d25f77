import assert from "node:assert/strict";
import { describe, test } from "#test";
import {
  ageSecret,
  ConfigError,
  enclaveApp,
  type EnclaveOptions,
  kmsSecret,
  sealedSecret,
  type SecretDeclaration,
  sharesOf,
  startEnclave,
} from "../../../enclave/mod.ts";
import { checkDeclarations } from "../../../enclave/secrets/check_declarations.ts";
import { makePublisher } from "./secrets_lab.ts";

const { pem: publisher } = makePublisher();
const KEY_ARN = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const RECIPIENT = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
const PINS = { keyArn: KEY_ARN, encryptionContext: { secret: "x" } };
const FROM_KMS = kmsSecret(PINS);
const SIGNED = { publisher, minVersion: 1 };
const IDENTITY: SecretDeclaration = { name: "age-key", from: FROM_KMS, ...SIGNED };
const AGE = ageSecret({ identity: "age-key", recipient: RECIPIENT });
const SHA256 = "ab".repeat(32);

/** Expects a refusal that names the field and what to do. */
async function refuses(secrets: unknown, message: RegExp, name = "TypeError"): Promise<void> {
  await assert.rejects(checkDeclarations(secrets as SecretDeclaration[]), { name, message });
}

const one = (declaration: Partial<SecretDeclaration>): SecretDeclaration[] => [
  { name: "age-key", from: FROM_KMS, ...SIGNED, ...declaration },
];

describe("declarations of secrets", () => {
  test("with all pins are taken, with their defaults", async () => {
    const [identity, shares] = await checkDeclarations([IDENTITY, {
      name: "key-shares",
      from: AGE,
      ...SIGNED,
    }]);
    assert.equal(identity?.port, "ageKeyPort");
    assert.equal(shares?.port, "keySharesPort");
    assert.deepEqual([identity?.maxBytes, shares?.maxBytes], [8192, 65_536]);
    assert.deepEqual([identity?.identityOf, shares?.identityOf], [RECIPIENT, undefined]);
    assert.equal(identity?.publisher?.minVersion, 1);
    assert.deepEqual(await checkDeclarations([]), []);
    assert.deepEqual(await checkDeclarations(), []);
  });

  test("without a pin are refused: the field by name, and what to do", async () => {
    const what =
      /must be set: without it the parent can put in a secret of its own\. Write chosenByParent: true/;
    const missing = async (declaration: Partial<SecretDeclaration>, field: string) => {
      await refuses(one(declaration), new RegExp(`^secrets\\[0\\] \\(age-key\\)\\.${field} ${what.source}`));
    };
    await missing({ publisher: undefined, minVersion: undefined }, "publisher");
    await missing({ minVersion: undefined }, "minVersion");
    await missing({ from: kmsSecret({ ...PINS, keyArn: undefined }) }, "from\\.keyArn");
    await missing({ from: kmsSecret({ ...PINS, encryptionContext: undefined }) }, "from\\.encryptionContext");
    const shares = { name: "key-shares", from: ageSecret({ identity: "age-key" }), ...SIGNED };
    await refuses([IDENTITY, shares], /^secrets\[1\] \(key-shares\)\.from\.recipient must be set/);
    const from = sharesOf({ from: ageSecret({ identity: "age-key" }), threshold: 2, sha256: SHA256 });
    await refuses(
      [IDENTITY, { ...shares, from }],
      /^secrets\[1\] \(key-shares\)\.from\.from\.recipient must be set/,
    );
    await refuses([{ name: "x", from: sealedSecret() }], /^secrets\[0\] \(x\)\.publisher must be set/);
  });

  test("need no publisher where the content itself is pinned", async () => {
    const unsigned = { publisher: undefined, minVersion: undefined };
    await checkDeclarations(one({ ...unsigned, sha256: SHA256 }));
    await checkDeclarations([{ name: "age-key", from: FROM_KMS }, {
      name: "key-shares",
      from: AGE,
      ...SIGNED,
    }]);
    const from = sharesOf({ from: AGE, threshold: 2, sha256: SHA256 });
    await checkDeclarations([IDENTITY, { name: "key-shares", from }]);
  });

  test("that the parent chooses write it out, and pin nothing that would not bite", async () => {
    const free = { publisher: undefined, minVersion: undefined, chosenByParent: true } as const;
    const [secret] = await checkDeclarations(one({ ...free, from: kmsSecret({}) }));
    assert.equal(secret?.isChosenByParent, true);
    for (const pin of [{ publisher }, { minVersion: 1 }, { sha256: SHA256 }]) {
      await refuses(one({ ...free, ...pin }), /must be left out where chosenByParent is true/);
    }
    await refuses(
      one({ chosenByParent: false as unknown as true }),
      /chosenByParent must be true, or left out/,
    );
    await refuses(one({ publisher: undefined, sha256: SHA256 }), /minVersion needs a publisher/);
  });

  test("of a wrong form are refused", async () => {
    await refuses({}, /secrets must be a list/);
    await refuses([null], /secrets\[0\]/);
    await refuses(one({ nmae: "x" } as never), /has no field `nmae`/);
    for (const name of ["", "a b", "../x", "x".repeat(65), 1]) {
      await refuses(one({ name: name as string }), /\.name must have/);
    }
    await refuses(one({ name: "other" }), /\.port must be set: only age-key and key-shares/);
    await refuses(one({ name: "constructor" }), /\.port must be set/);
    await refuses(one({ port: 0 }), /port must be an integer/, "RangeError");
    await refuses(one({ maxBytes: 2 ** 21 }), /maxBytes must be an integer/, "RangeError");
    await refuses(one({ optional: "yes" as never }), /optional must be a boolean/);
    await refuses(one({ sha256: "ab" }), /sha256 must be 64 hex digits/);
    await refuses(one({ publisher: "nonsense" }), /\(age-key\)\.publisher must be the PEM/);
    await refuses(one({ minVersion: 1.5 }), /minVersion must be an integer/, "RangeError");
    await refuses(one({ from: {} as never }), /from must be made by kmsSecret/);
    for (const keyArn of ["alias/x", KEY_ARN.replace(":key/", ":alias/"), `${KEY_ARN}/x`]) {
      await refuses(one({ from: kmsSecret({ ...PINS, keyArn }) }), /keyArn must be a full ARN/);
    }
    await refuses(one({ from: kmsSecret({ ...PINS, encryptionContext: {} }) }), /at least one pair/);
    await refuses([IDENTITY, { ...IDENTITY, port: 9 }], /must not have the name age-key twice/);
    await refuses([{ ...IDENTITY, port: 9 }, { ...IDENTITY, name: "b", port: 9 }], /the port 9 twice/);
    await refuses([{ name: "x", from: sealedSecret(), port: 9, ...SIGNED }], /port must be left out/);
    await refuses(
      Array.from({ length: 33 }, (_, i) => ({ ...IDENTITY, name: `s${i}` })),
      /secrets\.length/,
      "RangeError",
    );
  });

  test("whose identities are not there, come later, or differ are refused", async () => {
    const shares: SecretDeclaration = { name: "key-shares", from: AGE, ...SIGNED };
    await refuses([shares], /identity must be the name of a secret that is declared earlier/);
    await refuses([shares, IDENTITY], /declared earlier/);
    await refuses(
      [{ ...shares, from: ageSecret({ identity: "key-shares", recipient: RECIPIENT }) }],
      /declared earlier/,
    );
    const other = ageSecret({ identity: "age-key", recipient: `age1${"q".repeat(58)}` });
    await refuses(
      [IDENTITY, shares, { ...shares, name: "b", port: 9, from: other }],
      /recipient must be that of/,
    );
    for (const recipient of ["", "age1short", "ssh-ed25519 AAAA", RECIPIENT.toUpperCase()]) {
      const from = ageSecret({ identity: "age-key", recipient });
      await refuses([IDENTITY, { ...shares, from }], /recipient must be age1/);
    }
    const nested = sharesOf({ from: sealedSecret() as never, threshold: 2, sha256: SHA256 });
    await refuses(
      [IDENTITY, { ...shares, from: nested }],
      /from must be made by kmsSecret\(\) or ageSecret\(\)/,
    );
    const one = sharesOf({ from: AGE, threshold: 1, sha256: SHA256 });
    await refuses([IDENTITY, { ...shares, from: one }], /threshold must be an integer/, "RangeError");
  });
});

describe("startEnclave()", () => {
  const start = (secrets: readonly SecretDeclaration[], environment: Record<string, string> = {}) => {
    const base = { ENV_SETUP: "SIM", ENCLAVE_PORT: "0", CONTROL_PORT: "0", ENCLAVE_KMS_LOG_LEVEL: "silent" };
    const options: EnclaveOptions = {
      name: "test",
      secrets,
      signals: false,
      environment: { ...base, ENCLAVE_KMS_REGION: "eu-central-1", ...environment },
    };
    return startEnclave(enclaveApp(), options);
  };
  const folder = { ENCLAVE_KMS_SIMULATION_FOLDER: "/tmp" };

  test("refuses secrets without pins, before anything listens", async () => {
    await assert.rejects(start([{ name: "age-key", from: FROM_KMS }]), {
      name: "TypeError",
      message: /\(age-key\)\.publisher must be set/,
    });
  });

  test("refuses ports that clash, keys of other regions, and a simulation without a folder", async () => {
    const problems = async (secrets: readonly SecretDeclaration[], environment: Record<string, string>) => {
      const error = await start(secrets, environment).then(() => undefined, (error: unknown) => error);
      assert.ok(error instanceof ConfigError);
      return error.problems.join("\n");
    };
    assert.match(
      await problems([IDENTITY], {}),
      /^simulationFolder: must be set in a simulation with secrets/,
    );
    assert.match(
      await problems([IDENTITY], { ...folder, ENCLAVE_KMS_REGION: "us-east-1" }),
      /^region: must be eu-central-1, where the key of secret age-key is$/,
    );
    for (
      const [environment, port] of [
        [{ AWS_CREDS_VSOCK_PORT: "7101" }, "credentialsPort"],
        [{ CONTROL_PORT: "7101" }, "controlPort"],
        [{ AGE_KEY_VSOCK_PORT: "8080" }, "vsockPort"],
      ] as const
    ) {
      assert.match(
        await problems([IDENTITY], { ...folder, ...environment }),
        new RegExp(`^secret age-key: must not have port \\d+, which is that of ${port}$`),
      );
    }
    const shares: SecretDeclaration = { name: "key-shares", from: AGE, ...SIGNED };
    assert.match(
      await problems([IDENTITY, shares], { ...folder, KEY_SHARES_VSOCK_PORT: "7101" }),
      /^secret key-shares: must not have port 7101, which is that of secret age-key$/,
    );
  });
});
