import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, test } from "#test";
import { listen } from "../../../lib/transport/listen.ts";
import { startImds } from "../../../sim/mod.ts";
import { runChild } from "../child.ts";
import { runHere } from "../terminal_double.ts";

const folder = mkdtempSync(join(tmpdir(), "enclave-kms-instance-"));
afterAll(() => rmSync(folder, { recursive: true }));

const path = join(folder, "kmstool.sock");
const ENV = { AWS_ACCESS_KEY_ID: "AKIA", AWS_SECRET_ACCESS_KEY: "s3cr3t", AWS_SESSION_TOKEN: "t0ken" };
const OK = '{ "Status": "Ok" }\0';
const PLAINTEXT = '{ "Status": "Ok", "Message": "aGVsbG8=" }\0{ "Status": "Error" }\0';
const COMMAND = ["kmstool-instance", "--endpoint", `unix:${path}`];

/** Plays kmstool_enclave. */
async function speak(replies: readonly string[]) {
  const got: Record<string, unknown>[] = [];
  const listener = await listen({ transport: "unix", path }, {}, ({ stream }) => {
    let pending = "";
    stream.on("data", (chunk) => {
      pending += String(chunk);
      for (let end = pending.indexOf("\0"); end >= 0; end = pending.indexOf("\0")) {
        stream.write(replies[got.push(JSON.parse(pending.slice(0, end))) - 1] ?? "");
        pending = pending.slice(end + 1);
      }
    });
    stream.on("end", () => stream.end());
  });
  return Object.assign(listener, { got });
}

describe("enclave-kms kmstool-instance", () => {
  test("prints the plaintext and a line feed, and nothing of what it sent", async () => {
    await using enclave = await speak([OK, PLAINTEXT]);
    const outcome = await runHere(
      [...COMMAND, "-r", "eu-central-1", "-e", "a=1", "--encryption-context", "b=x=y", "-e", "a=2", "AQID"],
      ENV,
    );
    assert.deepEqual(outcome, { code: 0, stdout: "hello\n", stderr: "" });
    assert.deepEqual(enclave.got, [
      {
        Operation: "SetClient",
        AwsAccessKeyId: "AKIA",
        AwsSecretAccessKey: "s3cr3t",
        AwsSessionToken: "t0ken",
        AwsRegion: "eu-central-1",
      },
      { Operation: "Decrypt", Ciphertext: "AQID", EncryptionContext: { a: "2", b: "x=y" } },
    ]);
  });

  test("is a process like kmstool_instance: exit code 1 and `Error: …` for a refusal", async () => {
    await using _ = await speak([OK, '{ "Status": "Error", "Message": "Could not decrypt ciphertext" }\0']);
    const { code, stdout, stderr } = await runChild([...COMMAND, "AQID"], { env: ENV });
    assert.deepEqual([code, stdout], [1, ""]);
    assert.match(stderr, /^Error: Could not decrypt ciphertext\nhint: .+\n$/);
  });

  test("exits with 1 when nobody is there, and says what may be", async () => {
    const { code, stdout, stderr } = await runHere([...COMMAND, "AQID"], ENV);
    assert.deepEqual([code, stdout], [1, ""]);
    assert.match(stderr, /^enclave-kms kmstool-instance: Cannot connect to the enclave/);
    assert.doesNotMatch(stderr, /s3cr3t|t0ken/);
  });

  test("takes the instance's credentials when there are no others", async () => {
    await using imds = await startImds({ role: "parent" });
    await using enclave = await speak([OK, PLAINTEXT]);
    const env = { AWS_EC2_METADATA_SERVICE_ENDPOINT: imds.endpoint };
    const { code, stdout, stderr } = await runChild([...COMMAND, "AQID"], { env });
    assert.deepEqual([code, stdout], [0, "hello\n"], stderr);
    assert.equal(enclave.got[0]?.["AwsSecretAccessKey"], imds.credentials.secretAccessKey);
  });

  test("exits with 1 for mistakes, which it names", async () => {
    for (
      const [words, pattern] of [
        [["AQID"], /--cid must be set/],
        [["--cid", "16"], /A ENCRYPTED_MESSAGE is expected/],
        [["--cid", "3", "AQID"], /--cid must be a whole number from 4/],
        [["--cid", "16", "AQI"], /ENCRYPTED_MESSAGE must be base64/],
        [["--cid", "16", "-e", "novalue", "AQID"], /--encryption-context must be NAME=VALUE/],
        [["--cid", "16", "--endpoint", "unix:/x", "AQID"], /give one or the other/],
        [["--endpoint", "nonsense", "AQID"], /--endpoint must be/],
        [["--cid", "16", "--region", "x/y", "AQID"], /region/],
      ] as const
    ) {
      const { code, stdout, stderr } = await runHere(["kmstool-instance", ...words], ENV);
      assert.deepEqual([code, stdout], [1, ""], stderr);
      assert.match(stderr, pattern);
    }
  });
});
