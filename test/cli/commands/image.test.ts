import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, test } from "#test";
import { KmsClient } from "../../../lib/kms/kms_client.ts";
import { startSimulator } from "../../../sim/mod.ts";
import { runHere } from "../terminal_double.ts";

const folder = mkdtempSync(join(tmpdir(), "enclave-kms-image-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const ROLE = "arn:aws:iam::111122223333:role/enclave";
const ADMIN = "arn:aws:iam::111122223333:role/key-admin";
const at = (...path: readonly string[]) => join(folder, ...path);
const openssl = (...args: readonly string[]) => execFileSync("openssl", args, { cwd: folder, stdio: "pipe" });
const sha256 = (content: string) => createHash("sha256").update(content).digest("hex");

/** Writes the sources of an image, and its manifest. */
function writeSources(name: string, files: Readonly<Record<string, string>>): string {
  mkdirSync(at(name));
  const file = (from: string, more: object = {}) => ({ from, sha256: sha256(files[from] ?? ""), ...more });
  for (const [path, content] of Object.entries(files)) writeFileSync(at(name, path), content);
  const manifest = {
    manifestVersion: 1,
    name: "sign-service",
    version: "1.0.0",
    architecture: "x86_64",
    kernel: file("bzImage"),
    commandLine: "quiet",
    bootstrap: [file("init", { path: "init", mode: "0755" })],
    application: [file("server.mjs", { path: "app/server.mjs" })],
    command: ["/usr/bin/node", "/app/server.mjs"],
    environment: { ENV_SETUP: "NITRO" },
  };
  writeFileSync(at(name, "image.json"), JSON.stringify(manifest));
  return at(name, "image.json");
}

const FILES = { bzImage: "kernel", init: "#!", "server.mjs": "serve()" };

let pcr0 = "";
beforeAll(async () => {
  const built = await runHere([
    "image",
    "build",
    "--manifest",
    writeSources("a", FILES),
    "--out",
    at("a-out"),
    "--json",
  ]);
  assert.equal(built.code, 0, built.stderr);
  pcr0 = JSON.parse(built.stdout).pcrs["0"];
  const changed = writeSources("b", { ...FILES, "server.mjs": "serve(2)" });
  const other = await runHere([
    "image",
    "build",
    "--manifest",
    changed,
    "--out",
    at("b-out"),
    "--commit",
    "0a1b",
  ]);
  assert.equal(other.code, 0, other.stderr);
  assert.match(
    other.stdout,
    /^image: .*b-out\/image\.eif\nPCR0: [0-9a-f]{96}\nPCR1: .*\nPCR2: .*\nSHA-384: /,
  );
});

const IMAGE = at("a-out", "image.eif");
const SUMMARY = at("a-out", "build-summary.json");
const OTHER = at("b-out", "image.eif");

describe("image", () => {
  test("describe prints PCRs, sections and entries, and nothing that steers a terminal", async () => {
    const { code, stdout } = await runHere(["image", "describe", IMAGE, "--contents"]);
    assert.equal(code, 0);
    assert.match(stdout, new RegExp(`^PCR0: ${pcr0}$`, "m"));
    assert.match(stdout, /^Section 4: ramdisk, \d+ bytes$/m);
    assert.match(
      stdout,
      new RegExp(`^ramdisk 2, rootfs/app/server\\.mjs: file 0644 ${sha256("serve()")}$`, "m"),
    );
    const { stdout: text } = await runHere(["image", "describe", IMAGE, "--json"]);
    const described = JSON.parse(text);
    assert.deepEqual([described.pcrs["0"], described.isSigned, described.commandLine], [
      pcr0,
      false,
      "quiet",
    ]);
    // A command line may hold anything.
    const escape = readFileSync(IMAGE).toString("latin1").replace("quiet", "\x1b[2Jq");
    writeFileSync(at("escape.eif"), escape, "latin1");
    const { code: refused, stderr } = await runHere(["image", "describe", at("escape.eif")]);
    assert.deepEqual([refused, /CRC-32/.test(stderr)], [2, true]);
  });

  test("describe refuses what is no image, and a file that is not there", async () => {
    writeFileSync(at("text"), "hello");
    const text = await runHere(["image", "describe", at("text")]);
    assert.deepEqual([text.code, text.stderr.split("\n")[0]], [
      2,
      "enclave-kms image describe: Cannot read the image: it is shorter than its header of 548 bytes",
    ]);
    const gone = await runHere(["image", "describe", at("gone")]);
    assert.deepEqual([gone.code, /ENOENT/.test(gone.stderr), /ERR_IMAGE/.test(gone.stderr)], [2, true, true]);
    assert.equal((await runHere(["image", "describe"])).code, 1);
  });

  test("verify compares with a summary, nitro-cli's values, and says what differs", async () => {
    for (const summary of [SUMMARY, at("a-out", "pcr-values.json")]) {
      const { code, stdout } = await runHere(["image", "verify", IMAGE, "--summary", summary]);
      assert.deepEqual([code, stdout], [0, "The image is the one that was expected\n"]);
    }
    const { code, stderr } = await runHere(["image", "verify", OTHER, "--summary", SUMMARY]);
    assert.equal(code, 1);
    assert.match(stderr, new RegExp(`PCR0 is [0-9a-f]{96}, and the summary has ${pcr0}`));
    assert.doesNotMatch(stderr, /PCR1/);
  });

  test("verify refuses a summary without measurements, or of debug mode", async () => {
    const zero = { Measurements: { HashAlgorithm: "x", PCR0: "0".repeat(96) } };
    const cases: readonly (readonly [string, RegExp])[] = [
      ["[]", /it has no PCR0/],
      ["{", /it is not JSON/],
      [JSON.stringify(zero), /PCR0 is zero, as in debug mode/],
      ['{"pcrs":{"0":"ab"}}', /PCR0 is not 96 hex digits/],
      ['{"pcrs":{"99":"ab"}}', /names what is no PCR/],
    ];
    for (const [content, message] of cases) {
      writeFileSync(at("summary"), content);
      const { code, stderr } = await runHere(["image", "verify", IMAGE, "--summary", at("summary")]);
      assert.deepEqual([code, message.test(stderr)], [2, true], stderr);
    }
    assert.equal((await runHere(["image", "verify", IMAGE])).code, 1);
  });

  test("verify compares with a document", async () => {
    await using simulator = await startSimulator();
    const { document } = await attest(simulator);
    writeFileSync(at("document"), document);
    const { code, stderr } = await runHere(["image", "verify", IMAGE, "--document", at("document")]);
    assert.equal(code, 1);
    assert.match(stderr, new RegExp(`PCR0 is ${pcr0}, and the document has ${simulator.nsm.pcr(0)}`));
  });

  test("diff says which file made which PCR another", async () => {
    const { code, stdout } = await runHere(["image", "diff", "--before", IMAGE, "--after", OTHER]);
    assert.deepEqual([code, stdout], [
      1,
      "ramdisk 2, rootfs/app/server.mjs has another content\nOther: PCR0, PCR2\n",
    ]);
    const same = await runHere(["image", "diff", "--before", IMAGE, "--after", IMAGE]);
    assert.deepEqual([same.code, same.stdout], [0, "The PCRs are the same\n"]);
  });

  test("build signs with a key of openssl's, and takes no other", async () => {
    openssl("ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", "ec.pem");
    openssl("pkcs8", "-topk8", "-nocrypt", "-in", "ec.pem", "-out", "key.pem");
    openssl(
      "req",
      "-x509",
      "-key",
      "key.pem",
      "-sha384",
      "-subj",
      "/CN=image",
      "-days",
      "20",
      "-out",
      "cert.pem",
    );
    const build = (key: string, ...more: readonly string[]) =>
      runHere([
        ...["image", "build", "--manifest", at("a", "image.json"), "--out", at("signed"), "--json"],
        ...["--signing-key", at(key), ...more],
      ]);
    const certificate = ["--signing-certificate", at("cert.pem")];
    const { code, stdout, stderr } = await build("key.pem", ...certificate);
    assert.equal(code, 0, stderr);
    const { pcrs } = JSON.parse(stdout);
    assert.equal(pcrs["0"], pcr0);
    assert.match(pcrs["8"], /^[0-9a-f]{96}$/);
    assert.equal(
      (await runHere([
        "image",
        "verify",
        at("signed", "image.eif"),
        "--summary",
        at("signed", "build-summary.json"),
      ])).code,
      0,
    );
    const unsigned = await runHere([
      "image",
      "verify",
      IMAGE,
      "--summary",
      at("signed", "build-summary.json"),
    ]);
    assert.match(unsigned.stderr, /PCR8 is not there: the image is not signed, and the summary has/);
    assert.match((await build("ec.pem", ...certificate)).stderr, /no private key on P-384 as PKCS #8/);
    assert.match((await build("key.pem")).stderr, /--signing-certificate goes with/);
    const both = await build("key.pem", ...certificate, "--signing-kms-key", "arn:aws:kms:eu-west-1:1:key/1");
    assert.match(both.stderr, /--signing-certificate goes with --signing-key or --signing-kms-key/);
  });

  test("build signs with a key that stays in KMS, whose certificate openssl makes of the public key", async () => {
    await using simulator = await startSimulator();
    const { arn, keyId } = await simulator.createKey({ spec: "ECC_NIST_P384", usage: "SIGN_VERIFY" });
    const other = await simulator.createKey({ spec: "ECC_NIST_P384", usage: "SIGN_VERIFY" });
    const small = await simulator.createKey({ spec: "ECC_NIST_P256", usage: "SIGN_VERIFY" });
    const { nsm: _, ...options } = simulator.clientOptions;
    await using client = await KmsClient.open({ ...options, recipient: "none" });
    writeFileSync(at("public.der"), (await client.getPublicKey({ keyId })).publicKey);
    openssl("ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", "once.pem");
    openssl("pkey", "-pubin", "-inform", "DER", "-in", "public.der", "-out", "public.pem");
    openssl("req", "-new", "-key", "once.pem", "-subj", "/CN=images", "-out", "once.csr");
    openssl(
      ...["x509", "-req", "-in", "once.csr", "-signkey", "once.pem", "-force_pubkey", "public.pem"],
      ...["-days", "3650", "-out", "kms.pem"],
    );
    writeFileSync(at("ca.pem"), simulator.trustedCertificates);
    const { accessKeyId, secretAccessKey, sessionToken } = simulator.credentials;
    writeFileSync(
      at("credentials.json"),
      JSON.stringify({ AccessKeyId: accessKeyId, SecretAccessKey: secretAccessKey, Token: sessionToken }),
    );
    const build = (key: string) =>
      runHere([
        ...["image", "build", "--manifest", at("a", "image.json"), "--out", at("by-kms"), "--json"],
        ...["--signing-certificate", at("kms.pem"), "--signing-kms-key", key],
        ...["--aws-credentials-file", at("credentials.json"), "--trusted-certificates", at("ca.pem")],
        ...["--endpoint", endpointOf(simulator), "--host-name", simulator.hostName],
      ]);
    const { code, stdout, stderr } = await build(arn);
    assert.equal(code, 0, stderr);
    const { pcrs } = JSON.parse(stdout);
    assert.equal(pcrs["0"], pcr0);
    const described = await runHere(["image", "describe", at("by-kms", "image.eif"), "--json"]);
    assert.deepEqual(JSON.parse(described.stdout).pcrs, pcrs);
    // PCR8 is that of the certificate, as the hypervisor measures it.
    const der = openssl("x509", "-in", "kms.pem", "-outform", "DER");
    const digest = createHash("sha384").update(der).digest();
    assert.equal(pcrs["8"], createHash("sha384").update(new Uint8Array(48)).update(digest).digest("hex"));

    const wrong = await build(other.arn);
    assert.match(wrong.stderr, /its signature is not by the key of its certificate/);
    const curve = await build(small.arn);
    assert.notEqual(curve.code, 0);
    assert.match((await build("alias/images")).stderr, /--signing-kms-key must be arn:aws:kms/);
  });
});

describe("key-policy", () => {
  const make = async (...summaries: readonly string[]) => {
    const { code, stdout, stderr } = await runHere([
      ...["key-policy", "make", "--role", ROLE, "--administrator", ADMIN],
      ...summaries.flatMap((summary) => ["--summary", summary]),
    ]);
    assert.equal(code, 0, stderr);
    return stdout;
  };

  test("make, gate, diff and verify go from a build to a rollout", async () => {
    writeFileSync(at("old.json"), await make(SUMMARY));
    writeFileSync(at("both.json"), await make(SUMMARY, at("b-out", "build-summary.json")));
    writeFileSync(at("new.json"), await make(at("b-out", "build-summary.json")));
    const gate = (policy: string) =>
      runHere(["key-policy", "gate", at(policy), "--role", ROLE, "--running", SUMMARY]);
    assert.deepEqual((await gate("both.json")).stdout, "The policy passes.\n");
    const lost = await gate("new.json");
    assert.deepEqual([lost.code, /^running-image: The image that runs/.test(lost.stdout)], [1, true]);
    const { stdout } = await runHere([
      "key-policy",
      "diff",
      "--before",
      at("old.json"),
      "--after",
      at("both.json"),
    ]);
    assert.match(
      stdout,
      /^role\/enclave of 111122223333 gains kms:Decrypt where PCR0 is [0-9a-f]{96} and PCR3 is/,
    );
    const same = await runHere(["key-policy", "diff", "--before", at("old.json"), "--after", at("old.json")]);
    assert.equal(same.stdout, "Both policies mean the same.\n");
  });

  test("gate refuses AWS's default policy", async () => {
    const policy = {
      Version: "2012-10-17",
      Id: "key-default-1",
      Statement: [{
        Sid: "Enable IAM User Permissions",
        Effect: "Allow",
        Principal: { AWS: "arn:aws:iam::111122223333:root" },
        Action: "kms:*",
        Resource: "*",
      }],
    };
    writeFileSync(at("default.json"), JSON.stringify(policy));
    const { code, stdout } = await runHere(["key-policy", "gate", at("default.json"), "--role", ROLE]);
    assert.equal(code, 1);
    assert.deepEqual(stdout.match(/^[a-z-]+(?=:)/gm), [
      "unattested-access",
      "bypass",
      "unattested-operation",
    ]);
  });

  test("explain says which condition failed, and that none is about the action", async () => {
    await using simulator = await startSimulator();
    writeFileSync(at("document"), (await attest(simulator)).document);
    writeFileSync(at("policy.json"), await make(SUMMARY));
    const explain = (...more: readonly string[]) =>
      runHere(["key-policy", "explain", at("policy.json"), "--role", ROLE, ...more]);
    const { code, stdout } = await explain("--document", at("document"));
    assert.equal(code, 0);
    assert.match(
      stdout,
      new RegExp(`does not allow it: .*PCR0 by StringEqualsIgnoreCase must be ${pcr0}, and the`),
    );
    assert.match((await explain()).stdout, /the request had no attestation document/);
    assert.match((await explain("--action", "kms:Sign")).stdout, /^No statement is about the action/);
  });

  test("refuses mistakes by the name of what is wrong", async () => {
    const cases: readonly (readonly [readonly string[], number, RegExp])[] = [
      [["key-policy", "make", "--role", ROLE], 1, /administrators must be a list of at least one/],
      [
        ["key-policy", "make", "--role", ROLE, "--administrator", ADMIN],
        1,
        /images must be a list of at least one/,
      ],
      [["key-policy", "make", "--summary", SUMMARY, "--role", "x"], 1, /role must be the ARN/],
      [["key-policy", "gate", "--role", ROLE], 1, /A FILE is expected/],
      [["key-policy", "gate", at("gone"), "--role", ROLE], 1, /FILE must be a file that can be read/],
      [
        ["key-policy", "gate", SUMMARY, "--role", ROLE],
        2,
        /Cannot read the key policy: the policy has no field "name"/,
      ],
      [["key-policy", "gate", SUMMARY], 1, /--role must be set/],
    ];
    for (const [words, code, message] of cases) {
      const result = await runHere([...words]);
      assert.deepEqual([result.code, message.test(result.stderr)], [code, true], result.stderr);
    }
  });
});

async function attest(
  simulator: Awaited<ReturnType<typeof startSimulator>>,
): Promise<{ document: Uint8Array }> {
  const { NsmClient } = await import("../../../lib/nsm/nsm_client.ts");
  const client = new NsmClient(simulator.nsm);
  return { document: await client.attest({}) };
}

function endpointOf({ endpoint }: Awaited<ReturnType<typeof startSimulator>>): string {
  assert.ok(endpoint.transport === "tcp");
  return `tcp:${endpoint.host}:${endpoint.port}`;
}
