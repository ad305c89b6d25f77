import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash, generateKeyPairSync } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Decrypter, generateX25519Identity, identityToRecipient } from "age-encryption";
import { afterAll, beforeAll, describe, test } from "#test";
import { writeWhole } from "../../../cli/write_whole.ts";
import {
  importPublisherKey,
  parseSignedSecret,
  verifySignedSecret,
} from "../../../lib/wire/signed_secret.ts";
import { KmsClient } from "../../../mod.ts";
import { computePcr16, joinShares } from "../../../operator/mod.ts";
import { Laptop, runChild } from "../child.ts";
import { runHere } from "../terminal_double.ts";

const SECRET = "0123456789abcdef0123456789abcdef";
const CONTEXT = { secret: "age-key" };

const folder = mkdtempSync(join(tmpdir(), "enclave-kms-secret-"));
afterAll(() => rmSync(folder, { recursive: true }));

let count = 0;
/** Names a file that is not there yet, in a folder of its own. */
function fresh(name = "out"): string {
  const own = join(folder, String(count++));
  mkdirSync(own);
  return join(own, name);
}

function file(content: string | Uint8Array): string {
  const path = fresh("in");
  writeFileSync(path, content);
  return path;
}

const read = (path: string) => new Uint8Array(readFileSync(path));
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
/** Files beside one, which a command must not leave behind. */
const beside = (path: string) => readdirSync(join(path, ".."));

async function open(identity: string, sealed: Uint8Array): Promise<Uint8Array> {
  const decrypter = new Decrypter();
  decrypter.addIdentity(identity);
  return await decrypter.decrypt(sealed);
}

const identity = await generateX25519Identity();
const recipient = await identityToRecipient(identity);

describe("secret seal", () => {
  test("encrypts standard input or a file with age, for its owner to read only", async () => {
    for (
      const [words, input] of [[[], SECRET], [["--in", file(SECRET)], ""], [["--in", "-"], SECRET]] as const
    ) {
      const out = fresh();
      const { code, stdout, stderr } = await runHere(
        ["secret", "seal", ...words, "--recipient", recipient, "--out", out],
        {},
        input,
      );
      assert.deepEqual([code, stderr], [0, ""]);
      assert.equal(stdout, `out: ${out}\nsha256: ${sha256(read(out))}\n`);
      assert.equal(new TextDecoder().decode(await open(identity, read(out))), SECRET);
      assert.equal(statSync(out).mode & 0o777, 0o600);
      assert.deepEqual(beside(out), ["out"]);
    }
  });

  test("prints JSON on demand", async () => {
    const out = fresh();
    const words = ["secret", "seal", "--recipient", recipient, "--out", out, "--json"];
    const { code, stdout } = await runHere(words, {}, SECRET);
    assert.equal(code, 0);
    assert.deepEqual(JSON.parse(stdout), { out, sha256: sha256(read(out)) });
  });

  test("keeps what is there, unless it is to replace it, and then replaces a link and not its target", async () => {
    const target = file("target");
    const out = fresh();
    symlinkSync(target, out);
    const words = ["secret", "seal", "--recipient", recipient, "--out", out];
    const refused = await runHere(words, {}, SECRET);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /--out must be a file that is not there yet; --force replaces it/);
    assert.equal(readFileSync(target, "utf8"), "target");
    assert.equal((await runHere([...words, "--force"], {}, SECRET)).code, 0);
    assert.equal(readFileSync(target, "utf8"), "target");
    assert.equal(new TextDecoder().decode(await open(identity, read(out))), SECRET);
    assert.deepEqual(beside(out), ["out"]);
  });

  test("refuses flags that make no sense, writes nothing, and repeats no value", async () => {
    const out = fresh();
    const arn = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    const context = ["--encryption-context", JSON.stringify(CONTEXT)];
    const wrong: readonly (readonly string[])[] = [
      [],
      ["--recipient", recipient, "--key-arn", arn, ...context],
      ["--key-arn", arn],
      ["--recipient", recipient, ...context],
      ["--recipient", recipient, "--new-age-identity"],
      ["--key-arn", arn, ...context, "--new-age-identity", "--in", file(SECRET)],
      ["--key-arn", "alias/app", ...context],
      ["--recipient", identity],
      ["--recipient", "age1"],
      ["--recipient", recipient, "--in", join(folder, "none")],
      ["--recipient", recipient, "--in", folder],
      ["--recipient", recipient, "--in", file("")],
      [SECRET],
    ];
    for (const [index, words] of wrong.entries()) {
      const result = await runHere(
        ["secret", "seal", ...words, "--out", out],
        { AWS_ACCESS_KEY_ID: "A" },
        SECRET,
      );
      assert.equal(result.code, 1, `${index}: ${result.stderr}`);
      assert.equal(result.stdout, "");
      assert.doesNotMatch(result.stderr, new RegExp(`${identity}|${SECRET}`), `${index}`);
      assert.match(result.stderr, /^enclave-kms secret seal: \S/, `${index}`);
    }
    assert.deepEqual(beside(out), []);
    for (const words of [["--recipient", recipient], ["--recipient", recipient, "--out", ""]]) {
      assert.equal((await runHere(["secret", "seal", ...words], {}, SECRET)).code, 1);
    }
    const lost = ["--recipient", recipient, "--out", join(folder, "none", "out")];
    const { code, stderr } = await runHere(["secret", "seal", ...lost], {}, SECRET);
    assert.equal(code, 1);
    assert.match(stderr, /--out must be a file that can be written: ENOENT/);
  });
});

describe("secret seal with KMS", () => {
  let laptop: Laptop;
  let keyArn: string;
  beforeAll(async () => {
    laptop = await Laptop.start();
    ({ arn: keyArn } = await laptop.simulator.createKey());
  });
  afterAll(() => laptop[Symbol.asyncDispose]());

  const seal = (out: string, ...words: readonly string[]) => [
    "secret",
    "seal",
    "--key-arn",
    keyArn,
    "--encryption-context",
    JSON.stringify(CONTEXT),
    ...laptop.connection.slice(0, -2),
    "--timeout-ms",
    "30000",
    "--out",
    out,
    ...words,
  ];

  async function decrypt(ciphertext: Uint8Array): Promise<string> {
    await using client = await KmsClient.open({ ...laptop.simulator.clientOptions, engine: "direct" });
    using opened = await client.decrypt({ ciphertext, keyId: keyArn, encryptionContext: CONTEXT });
    return new TextDecoder().decode(opened.bytes);
  }

  test("encrypts for an enclave that pins key and context", async () => {
    const out = fresh();
    const { code, stderr } = await runHere(seal(out), laptop.env, SECRET);
    assert.deepEqual([code, stderr], [0, ""]);
    assert.equal(await decrypt(read(out)), SECRET);
  });

  test("makes an age identity that nobody sees, and prints its recipient, in a process of its own", async () => {
    const out = fresh();
    const { code, stdout, stderr } = await runChild(seal(out, "--new-age-identity"), { env: laptop.env });
    assert.equal(code, 0, stderr);
    const [, printed] = /^recipient: (age1\w+)$/m.exec(stdout) ?? [];
    const opened = await decrypt(read(out));
    assert.equal(await identityToRecipient(opened), printed);
    assert.ok(!stdout.includes("AGE-SECRET-KEY"));
  });

  test("writes nothing when KMS refuses", async () => {
    const out = fresh();
    const env = { ...laptop.env, AWS_SECRET_ACCESS_KEY: "wrong" };
    const { code, stderr } = await runHere(seal(out), env, SECRET);
    assert.equal(code, 2, stderr);
    assert.match(stderr, /code: ERR_KMS/);
    assert.deepEqual(beside(out), []);
  });

  test("looks at the file before it asks KMS", async () => {
    const out = file("there");
    const before = laptop.simulator.kms.requests.length;
    assert.equal((await runHere(seal(out), laptop.env, SECRET)).code, 1);
    assert.equal(laptop.simulator.kms.requests.length, before);
  });
});

describe("secret sign", () => {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const key = file(privateKey.export({ format: "pem", type: "pkcs8" }));
  const publisher = file(publicKey.export({ format: "pem", type: "spki" }));
  const words = (
    out: string,
  ) => ["secret", "sign", "--name", "orders", "--version", "7", "--key", key, "--out", out];

  test("writes what the publisher's key verifies, and prints the hash that was signed", async () => {
    const out = fresh();
    const { code, stdout, stderr } = await runHere([...words(out), "--publisher", publisher], {}, "sealed");
    assert.deepEqual([code, stderr], [0, ""]);
    assert.equal(stdout, `out: ${out}\nsha256: ${sha256(new TextEncoder().encode("sealed"))}\n`);
    const parts = parseSignedSecret(read(out));
    assert.deepEqual([parts?.statement.name, parts?.statement.version], ["orders", 7]);
    const publisherKey = await importPublisherKey(readFileSync(publisher, "utf8"));
    assert.equal(await verifySignedSecret(parts!, publisherKey), true);
    assert.equal(statSync(out).mode & 0o777, 0o600);
  });

  test("refuses another publisher's key, an unusable one, and bad names and versions, and writes nothing", async () => {
    const out = fresh();
    const other = generateKeyPairSync("ed25519").publicKey.export({ format: "pem", type: "spki" });
    const change = (flag: string, value: string) => words(out).with(words(out).indexOf(flag) + 1, value);
    const wrong: readonly (readonly string[])[] = [
      [...words(out), "--publisher", file(other)],
      change("--key", publisher),
      change("--key", join(folder, "none")),
      change("--name", "a b"),
      change("--version", "-1"),
      change("--version", "1.0"),
      words(out).filter((word) => word !== "--name" && word !== "orders"),
      words(out).filter((word) => word !== "--version" && word !== "7"),
    ];
    for (const [index, given] of wrong.entries()) {
      const { code, stdout, stderr } = await runHere(given, {}, "sealed");
      assert.deepEqual([code, stdout], [1, ""], `${index}: ${stderr}`);
      assert.doesNotMatch(stderr, /BEGIN|unexpected/, `${index}`);
    }
    assert.equal((await runHere(words(out), {}, "")).code, 1, "nothing to sign");
    assert.deepEqual(beside(out), []);
  });
});

describe("secret split", () => {
  const words = (
    out: string,
  ) => ["secret", "split", "--threshold", "2", "--out", out, "--recipient", recipient];

  test("writes a file for each share, and prints the hash that the enclave pins", async () => {
    const out = fresh("key");
    const { code, stdout, stderr } = await runHere([...words(out), "--shares", "3", "--json"], {}, SECRET);
    assert.deepEqual([code, stderr], [0, ""]);
    const paths = [1, 2, 3].map((index) => `${out}-${index}.age`);
    assert.deepEqual(JSON.parse(stdout), { out: paths, sha256: sha256(new TextEncoder().encode(SECRET)) });
    const shares = await Promise.all([paths[2]!, paths[0]!].map((path) => open(identity, read(path))));
    using joined = await joinShares(shares, createHash("sha256").update(SECRET).digest());
    assert.equal(new TextDecoder().decode(joined.bytes), SECRET);
    assert.deepEqual(beside(out).sort(), ["key-1.age", "key-2.age", "key-3.age"]);
    assert.deepEqual(paths.map((path) => statSync(path).mode & 0o777), [0o600, 0o600, 0o600]);
  });

  test("gives each of several recipients their own", async () => {
    const out = fresh("key");
    const other = await generateX25519Identity();
    const both = ["--recipient", await identityToRecipient(other)];
    assert.equal((await runHere([...words(out), ...both], {}, SECRET)).code, 0);
    await open(other, read(`${out}-2.age`));
    await assert.rejects(open(other, read(`${out}-1.age`)));
  });

  test("writes all shares or none", async () => {
    const out = fresh("key");
    writeFileSync(`${out}-3.age`, "there");
    const refused = await runHere([...words(out), "--shares", "3"], {}, SECRET);
    assert.equal(refused.code, 1);
    assert.deepEqual(beside(out), ["key-3.age"]);
    assert.equal((await runHere([...words(out), "--shares", "3", "--force"], {}, SECRET)).code, 0);
    assert.equal(beside(out).length, 3);
  });

  test("refuses numbers and secrets that make no sense, and repeats none", async () => {
    const out = fresh("key");
    const change = (flag: string, value: string) => words(out).with(words(out).indexOf(flag) + 1, value);
    const wrong: readonly (readonly string[])[] = [
      words(out),
      [...words(out), "--shares", "1"],
      [...words(out), "--shares", "256"],
      [...words(out), "--shares", "3", "--recipient", recipient],
      [...change("--threshold", "1"), "--shares", "3"],
      [...change("--threshold", "4"), "--shares", "3"],
      [...change("--recipient", identity), "--shares", "3"],
      words(out).slice(0, -2),
    ];
    for (const [index, given] of wrong.entries()) {
      const { code, stderr } = await runHere(given, {}, SECRET);
      assert.equal(code, 1, `${index}: ${stderr}`);
      assert.doesNotMatch(stderr, new RegExp(`${SECRET}|${identity}`), `${index}`);
    }
    const short = await runHere([...words(out), "--shares", "3"], {}, "too short");
    assert.equal(short.code, 1);
    assert.match(short.stderr, /secret\.length must be an integer from 16/);
    assert.deepEqual(beside(out), []);
  });
});

describe("secret pcr16", () => {
  const [one, two] = ["sealed one", "sealed two"].map((text) => new TextEncoder().encode(text)) as [
    Uint8Array,
    Uint8Array,
  ];

  test("prints what the library computes, in the order given", async () => {
    const words = ["secret", "pcr16", "--secret", `a=${file(one)}`, "--secret", `b=${file(two)}`];
    const { code, stdout } = await runHere(words);
    assert.equal(code, 0);
    const expected = await computePcr16([{ name: "a", content: one }, { name: "b", content: two }]);
    assert.equal(stdout, `pcr16: ${Buffer.from(expected).toString("hex")}\n`);
    const json = await runHere([...words, "--json"]);
    assert.deepEqual(JSON.parse(json.stdout), { pcr16: Buffer.from(expected).toString("hex") });
  });

  test("refuses what is no NAME=FILE", async () => {
    for (
      const words of [[], ["--secret", "a"], ["--secret", "=x"], ["--secret", `a=${join(folder, "none")}`]]
    ) {
      const { code, stderr } = await runHere(["secret", "pcr16", ...words]);
      assert.equal(code, 1, stderr);
    }
  });
});

describe("writeWhole()", () => {
  test("removes what it made when the last of several cannot be placed", () => {
    const path = fresh("one");
    const late = fresh("two");
    writeFileSync(late, "there");
    const bytes = new Uint8Array(3);
    assert.throws(() => writeWhole([{ path, bytes }, { path: late, bytes }], false), /--force/);
    assert.deepEqual([existsSync(path), readFileSync(late, "utf8")], [false, "there"]);
    assert.deepEqual([beside(path), beside(late)], [[], ["two"]]);
  });

  test("loses no race against another writer of the same file", () => {
    const path = fresh();
    writeWhole([{ path, bytes: Uint8Array.of(1) }], false);
    assert.throws(() => writeWhole([{ path, bytes: Uint8Array.of(2) }], false), /--force/);
    assert.deepEqual([...read(path)], [1]);
  });
});
