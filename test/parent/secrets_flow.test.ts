/**
 * The way of secrets: an operator makes them, a parent sends them, and an enclave opens them.
 *
 * @module
 */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "#test";
import { ageSecret, kmsSecret, type SecretDeclaration, sharesOf } from "../../enclave/mod.ts";
import { OwnedCredentials } from "../../lib/aws/credentials.ts";
import { concatBytes, toHex } from "../../lib/core/bytes.ts";
import { SecretRefusedError } from "../../lib/core/errors.ts";
import { NsmClient } from "../../lib/nsm/mod.ts";
import { KmsClient } from "../../mod.ts";
import {
  AgeKeyPair,
  computePcr16,
  importSigningKey,
  sealWithAge,
  sealWithKms,
  signSecret,
  splitSecret,
} from "../../operator/mod.ts";
import { sendCredentials, sendSecret } from "../../parent/send_secret.ts";
import { runHere } from "../cli/terminal_double.ts";
import { CONTEXT, SECRET, SecretsLab } from "../enclave/secrets/secrets_lab.ts";

const WITHOUT_SOCAT = spawnSync("socat", ["-V"]).status === 0 ? "" : " (skipped: there is no socat)";

/** An operator, with the publisher's key and a client outside of the enclave. */
class Operator {
  readonly #lab: SecretsLab;

  constructor(lab: SecretsLab) {
    this.#lab = lab;
  }

  /** Signs as the publisher that the recipe pins. */
  async sign(name: string, version: number, sealed: Uint8Array): Promise<Uint8Array> {
    const { key: privateKey, pem: publisher } = this.#lab.publisher;
    const pkcs8 = privateKey.export({ type: "pkcs8", format: "pem" });
    const key = await importSigningKey(new TextEncoder().encode(String(pkcs8)));
    return await signSecret({ name, version, sealed, key, publisher });
  }

  /** Encrypts an identity with KMS. */
  async sealIdentity({ identity }: AgeKeyPair): Promise<Uint8Array> {
    const { nsm: _, ...options } = this.#lab.simulator.clientOptions;
    await using client = await KmsClient.open({ ...options, recipient: "none" });
    return await sealWithKms(client, identity, { keyArn: this.#lab.keyArn, encryptionContext: CONTEXT });
  }
}

/** The parent's side of the lab. */
function parentOf(lab: SecretsLab) {
  const route = { enclaveCid: 16, simulationFolder: lab.folder, timeoutMs: 30_000 };
  return {
    async credentials(framed = true) {
      const { accessKeyId, secretAccessKey, sessionToken } = lab.simulator.credentials;
      using credentials = OwnedCredentials.copyOf({ accessKeyId, secretAccessKey, sessionToken });
      return await sendCredentials({ ...route, framed, credentials });
    },
    secret: (port: number, content: Uint8Array, name?: string, framed = true) =>
      sendSecret({ ...route, port, content, name, framed }),
  };
}

async function assertRefused(sending: Promise<unknown>, code: string): Promise<void> {
  await assert.rejects(sending, (error) => {
    assert.ok(error instanceof SecretRefusedError, String(error));
    assert.equal(error.enclaveCode, code);
    return true;
  });
}

/** Reads PCR16 as the enclave's documents have it. */
async function pcr16Of(lab: SecretsLab): Promise<string> {
  const { nsm } = lab.simulator;
  const { value, locked } = await new NsmClient({
    exchange: (request) => nsm.exchange(request),
    [Symbol.dispose]() {},
  }).describePcr(16);
  assert.equal(locked, true);
  return toHex(value);
}

/** Declares the usual recipe for an identity that the operator made. */
function recipeFor(lab: SecretsLab, recipient: string): readonly [SecretDeclaration, SecretDeclaration] {
  const [identity, shares] = lab.recipe;
  return [identity, { ...shares, from: ageSecret({ identity: "age-key", recipient }) }];
}

describe("secrets from an operator, over the parent, to the enclave", () => {
  for (const framed of [true, false]) {
    test(`the usual recipe, signed, ${framed ? "in frames" : "raw"}, and PCR16 as computed`, async () => {
      await using lab = await SecretsLab.create();
      const [operator, parent] = [new Operator(lab), parentOf(lab)];
      using keys = await AgeKeyPair.generate();
      const ageKey = await operator.sign("age-key", 2, await operator.sealIdentity(keys));
      const shares = await operator.sign("key-shares", 3, await sealWithAge(SECRET, [keys.recipient]));

      const starting = lab.start(recipeFor(lab, keys.recipient));
      assert.equal((await parent.credentials(framed)).ok, true);
      assert.equal((await parent.secret(7101, ageKey, "age-key", framed)).name, "age-key");
      assert.equal((await parent.secret(7102, shares, "key-shares", framed)).name, "key-shares");
      const enclave = await starting;
      assert.deepEqual([...enclave.secrets.get("key-shares")!.bytes], [...SECRET]);
      assert.equal(enclave.secrets.get("age-key"), undefined, "an identity is not handed over");
      const sent = [{ name: "age-key", content: ageKey }, { name: "key-shares", content: shares }];
      assert.equal(await pcr16Of(lab), toHex(await computePcr16(sent)));
    });
  }

  test("a parent that is there first waits for the enclave", async () => {
    await using lab = await SecretsLab.create();
    const [operator, parent] = [new Operator(lab), parentOf(lab)];
    using keys = await AgeKeyPair.generate();
    const ageKey = await operator.sign("age-key", 2, await operator.sealIdentity(keys));
    const shares = await operator.sign("key-shares", 2, await sealWithAge(SECRET, [keys.recipient]));
    const sending = (async () => {
      await parent.credentials();
      await parent.secret(7101, ageKey);
      await parent.secret(7102, shares);
    })();
    const enclave = await lab.start(recipeFor(lab, keys.recipient));
    await sending;
    assert.deepEqual([...enclave.secrets.get("key-shares")!.bytes], [...SECRET]);
  });

  test("shares, each sent on its own, and PCR16 as computed from those that were", async () => {
    await using lab = await SecretsLab.create();
    const [operator, parent] = [new Operator(lab), parentOf(lab)];
    using keys = await AgeKeyPair.generate();
    const secret = new Uint8Array(randomBytes(32));
    const recipients = Array<string>(5).fill(keys.recipient);
    const { shares, sha256 } = await splitSecret({ secret, threshold: 3, recipients });
    const [identity] = recipeFor(lab, keys.recipient);
    const from = sharesOf({
      from: ageSecret({ identity: "age-key", recipient: keys.recipient }),
      threshold: 3,
      sha256: toHex(sha256),
    });
    const starting = lab.start([identity, { name: "key-shares", from }]);
    const ageKey = await operator.sign("age-key", 2, await operator.sealIdentity(keys));
    await parent.credentials();
    await parent.secret(7101, ageKey);
    const used = [shares[4]!, shares[0]!, shares[2]!];
    for (const share of used) await parent.secret(7102, share, "key-shares");
    const enclave = await starting;
    assert.deepEqual([...enclave.secrets.get("key-shares")!.bytes], [...secret]);
    await assertRefused(parent.secret(7102, shares[1]!), "ERR_SECRET_TAKEN");
    const sent = [
      { name: "age-key", content: ageKey },
      ...used.map((content) => ({ name: "key-shares", content })),
    ];
    assert.equal(await pcr16Of(lab), toHex(await computePcr16(sent)));
  });

  test("an unsigned file whose hash the image pins, and no other", async () => {
    await using lab = await SecretsLab.create();
    const [operator, parent] = [new Operator(lab), parentOf(lab)];
    using keys = await AgeKeyPair.generate();
    const sealed = await operator.sealIdentity(keys);
    const [, shares] = recipeFor(lab, keys.recipient);
    const from = kmsSecret({ keyArn: lab.keyArn, encryptionContext: CONTEXT });
    const sha256 = toHex(new Uint8Array(await crypto.subtle.digest("SHA-256", sealed.slice())));
    const starting = lab.start([{ name: "age-key", from, sha256 }, shares]);
    await parent.credentials();
    await assertRefused(parent.secret(7101, await operator.sealIdentity(keys)), "ERR_SECRET_HASH");
    await parent.secret(7101, sealed, "age-key");
    await parent.secret(
      7102,
      await operator.sign("key-shares", 9, await sealWithAge(SECRET, [keys.recipient])),
    );
    assert.equal((await starting).secrets.get("key-shares")?.length, SECRET.length);
  });

  test("refusals reach the parent by their codes, and the right secret is taken after each", async () => {
    await using lab = await SecretsLab.create();
    const [operator, parent] = [new Operator(lab), parentOf(lab)];
    using keys = await AgeKeyPair.generate();
    using others = await AgeKeyPair.generate();
    const sealed = await operator.sealIdentity(keys);
    const starting = lab.start(recipeFor(lab, keys.recipient));
    const ageKey = await operator.sign("age-key", 2, sealed);
    await assertRefused(parent.secret(7101, ageKey), "ERR_SECRET_ORDER");
    await parent.credentials();
    await assertRefused(parent.secret(7101, sealed), "ERR_SECRET_SIGNATURE");
    await assertRefused(parent.secret(7101, await operator.sign("age-key", 1, sealed)), "ERR_SECRET_VERSION");
    await assertRefused(parent.secret(7101, await operator.sign("orders", 2, sealed)), "ERR_SECRET_NAME");
    const foreign = await operator.sign("age-key", 2, await operator.sealIdentity(others));
    await assertRefused(parent.secret(7101, foreign), "ERR_SECRET_RECIPIENT");
    await assertRefused(parent.secret(7101, new Uint8Array(100_000).fill(1)), "ERR_SECRET_TOO_LARGE");
    await parent.secret(7101, ageKey);
    await assertRefused(parent.secret(7101, ageKey), "ERR_SECRET_TAKEN");
    const shares = await operator.sign("key-shares", 2, await sealWithAge(SECRET, [others.recipient]));
    await assertRefused(parent.secret(7102, shares), "ERR_SECRET_OPEN");
    await parent.secret(
      7102,
      await operator.sign("key-shares", 2, await sealWithAge(SECRET, [keys.recipient])),
    );
    assert.deepEqual([...(await starting).secrets.get("key-shares")!.bytes], [...SECRET]);
  });

  test(`what the command line makes, sent by socat${WITHOUT_SOCAT}`, async () => {
    if (WITHOUT_SOCAT !== "") return;
    await using lab = await SecretsLab.create();
    const { simulator, folder } = lab;
    const path = (name: string) => join(folder, name);
    const { accessKeyId, secretAccessKey, sessionToken } = simulator.credentials;
    const run = async (words: readonly string[], input: Uint8Array | string = "") => {
      const env = {
        AWS_ACCESS_KEY_ID: accessKeyId,
        AWS_SECRET_ACCESS_KEY: secretAccessKey,
        AWS_SESSION_TOKEN: sessionToken,
      };
      const { code, stdout, stderr } = await runHere(["secret", ...words, "--json"], env, input);
      assert.equal(code, 0, stderr);
      return JSON.parse(stdout) as { recipient: string; pcr16: string };
    };
    const { host, port } = simulator.endpoint as { host: string; port: number };
    writeFileSync(path("ca.pem"), simulator.trustedCertificates);
    writeFileSync(path("publisher.pem"), lab.publisher.key.export({ type: "pkcs8", format: "pem" }));
    const kms = ["--endpoint", `tcp:${host}:${port}`, "--trusted-certificates", path("ca.pem")];
    const context = ["--encryption-context", JSON.stringify(CONTEXT), "--timeout-ms", "30000"];
    const { recipient } = await run(
      ["seal", "--new-age-identity", "--key-arn", lab.keyArn, ...context, ...kms, "--out", path("age-key")],
    );
    await run(["seal", "--recipient", recipient, "--out", path("key-shares")], SECRET.slice());
    for (const name of ["age-key", "key-shares"]) {
      const key = ["--version", "2", "--key", path("publisher.pem")];
      await run(["sign", "--in", path(name), "--name", name, ...key, "--out", path(`${name}.signed`)]);
    }

    const starting = lab.start(recipeFor(lab, recipient));
    const json = JSON.stringify({
      AccessKeyId: accessKeyId,
      SecretAccessKey: secretAccessKey,
      Token: sessionToken,
    });
    for (
      const [to, content] of [
        [7100, new TextEncoder().encode(json)],
        [7101, readFileSync(path("age-key.signed"))],
        [7102, readFileSync(path("key-shares.signed"))],
      ] as const
    ) assert.match(await socat(await lab.socketOf(to), content), /^\{"ok":true,/);
    assert.deepEqual([...(await starting).secrets.get("key-shares")!.bytes], [...SECRET]);
    const secrets = ["age-key", "key-shares"].flatMap((
      name,
    ) => ["--secret", `${name}=${path(`${name}.signed`)}`]);
    assert.equal(await pcr16Of(lab), (await run(["pcr16", ...secrets])).pcr16);
  });
});

/** Sends bytes with socat, as a script on a parent does, and returns the answer. */
async function socat(path: string, content: Uint8Array): Promise<string> {
  const child = spawn("socat", ["-t", "15", "-", `UNIX-CONNECT:${path}`], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  child.stdin.end(content);
  const chunks: Uint8Array[] = [];
  for await (const chunk of child.stdout as AsyncIterable<Uint8Array>) chunks.push(chunk);
  return new TextDecoder().decode(concatBytes(chunks));
}
