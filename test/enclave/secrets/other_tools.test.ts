/**
 * Programs of others at the ports: Debian's `age` encrypts, and `socat` sends.
 *
 * @module
 */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "#test";
import { ageSecret, kmsSecret, type SecretDeclaration } from "../../../enclave/mod.ts";
import { importAgeIdentity, openAgeFile } from "../../../enclave/secrets/age_file.ts";
import { parseSecretReceipt, type SecretReceipt } from "../../../lib/wire/secret_receipt.ts";
import { codeOf, CONTEXT, SECRET, SecretsLab, signSecret } from "./secrets_lab.ts";

const has = (program: string) => spawnSync("sh", ["-c", `command -v ${program}`]).status === 0;
const HAS_AGE = has("age") && has("age-keygen");
const HAS_SOCAT = has("socat");

/** Encrypts with age. The content is in a file: Deno writes all of a pipe before it reads, and age does both. */
function encrypt(args: readonly string[], content: Uint8Array): Uint8Array {
  const folder = mkdtempSync(join(tmpdir(), "age-"));
  try {
    const path = join(folder, "content");
    writeFileSync(path, content);
    return run("age", [...args, path]);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function run(program: string, args: readonly string[]): Uint8Array {
  const { status, stdout, stderr } = spawnSync(program, args);
  assert.equal(status, 0, stderr.toString());
  return new Uint8Array(stdout);
}

/** Makes an identity as `age-keygen` writes it, with its recipient. */
function keygen(): { readonly file: Uint8Array; readonly recipient: string } {
  const file = run("age-keygen", []);
  const recipient = /public key: (age1\w+)/.exec(new TextDecoder().decode(file))?.[1] ?? "";
  return { file, recipient };
}

/** Sends bytes with socat, as a script on a parent does. */
async function socat(lab: SecretsLab, port: number, content: Uint8Array): Promise<SecretReceipt> {
  const address = `UNIX-CONNECT:${await lab.socketOf(port)}`;
  const child = spawn("socat", ["-t", "15", "-", address], { stdio: ["pipe", "pipe", "inherit"] });
  child.stdin.end(content);
  const chunks: Uint8Array[] = [];
  for await (const chunk of child.stdout as AsyncIterable<Uint8Array>) chunks.push(chunk);
  return parseSecretReceipt(Uint8Array.from(chunks.flatMap((chunk) => [...chunk])));
}

describe("Debian's age", () => {
  test.skipIf(!HAS_AGE)("writes identities and files that the enclave reads, of each size", async () => {
    const { file, recipient } = keygen();
    const identity = await importAgeIdentity(file, recipient);
    for (const length of [0, 1, 65_535, 65_536, 65_537, 200_000]) {
      const content = Uint8Array.from({ length }, (_, i) => i % 251);
      using opened = await openAgeFile(encrypt(["-r", recipient], content), identity);
      assert.deepEqual(opened.bytes, content);
    }
  });

  test.skipIf(!HAS_AGE)("writes files to several recipients, one of which is the enclave's", async () => {
    const { file, recipient } = keygen();
    const identity = await importAgeIdentity(file, recipient);
    const others = Array.from({ length: 19 }, () => ["-r", keygen().recipient]).flat();
    using opened = await openAgeFile(encrypt([...others, "-r", recipient], SECRET), identity);
    assert.deepEqual([...opened.bytes], [...SECRET]);
    const one = ["-r", keygen().recipient];
    const tooMany = encrypt([...others, ...one, "-r", recipient], SECRET);
    await assert.rejects(openAgeFile(tooMany, identity), {
      code: "ERR_SECRET_OPEN",
      message: /more than 20 recipients/,
    });
  });

  test.skipIf(!HAS_AGE)(
    "writes files that are not for the enclave, or armored: both are refused",
    async () => {
      const { file, recipient } = keygen();
      const identity = await importAgeIdentity(file, recipient);
      const foreign = encrypt(["-r", keygen().recipient], SECRET);
      await assert.rejects(openAgeFile(foreign, identity), { code: "ERR_SECRET_OPEN" });
      const armored = encrypt(["-a", "-r", recipient], SECRET);
      await assert.rejects(openAgeFile(armored, identity), {
        code: "ERR_SECRET_OPEN",
        message: /no age file/,
      });
    },
  );
});

describe("socat", () => {
  test.skipIf(!HAS_SOCAT || !HAS_AGE)("brings credentials and the secrets that age made", async () => {
    await using lab = await SecretsLab.create();
    const { file, recipient } = keygen();
    const { keyArn, publisher } = lab;
    const pins = { publisher: publisher.pem, minVersion: 1 };
    const secrets: readonly SecretDeclaration[] = [
      { name: "age-key", from: kmsSecret({ keyArn, encryptionContext: CONTEXT }), ...pins },
      { name: "key-shares", from: ageSecret({ identity: "age-key", recipient }), ...pins },
    ];
    const starting = lab.start(secrets);
    const { accessKeyId, secretAccessKey, sessionToken } = lab.simulator.credentials;
    const json = { AccessKeyId: accessKeyId, SecretAccessKey: secretAccessKey, Token: sessionToken };
    const credentials = new TextEncoder().encode(JSON.stringify(json));
    assert.equal(codeOf(await socat(lab, 7100, credentials)), "taken");
    const sealed = await lab.simulator.encrypt({
      keyId: keyArn,
      plaintext: file,
      encryptionContext: CONTEXT,
    });
    assert.equal(codeOf(await socat(lab, 7101, signSecret("age-key", 0, sealed, publisher))), "VERSION");
    assert.equal(codeOf(await socat(lab, 7101, signSecret("age-key", 1, sealed, publisher))), "taken");
    const shares = signSecret("key-shares", 1, encrypt(["-r", recipient], SECRET), publisher);
    assert.equal(codeOf(await socat(lab, 7102, shares)), "taken");
    assert.deepEqual([...(await starting).secrets.get("key-shares")!.bytes], [...SECRET]);
  });
});
