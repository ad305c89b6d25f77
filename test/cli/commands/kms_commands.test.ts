import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { afterAll, beforeAll, describe } from "#test";
import { decodeBase64, encodeBase64 } from "../../../mod.ts";
import { Laptop, runChild, withoutProgress } from "../child.ts";
import { type Outcome, runHere } from "../terminal_double.ts";
import { divideTests } from "../../support/share.ts";

const test = divideTests("Deno");

const PLAINTEXT = "attack at dawn";
const PLAINTEXT_LINE = `PLAINTEXT: ${encodeBase64(new TextEncoder().encode(PLAINTEXT))}\n`;

/** More than the command gives itself: a busy machine must not look like a broken link. */
const PATIENT = ["--timeout-ms", "30000"];

const hasScript = spawnSync("script", ["--version"]).status === 0;
const REASON = hasScript ? "" : " (skipped: there is no script(1) to make a terminal)";

describe("enclave-kms against the simulator", () => {
  let laptop: Laptop;
  let keyId: string;
  let ciphertext: string;

  beforeAll(async () => {
    laptop = await Laptop.start();
    ({ keyId } = await laptop.simulator.createKey());
    ciphertext = encodeBase64(await laptop.simulator.encrypt({ keyId, plaintext: PLAINTEXT }));
  });
  afterAll(() => laptop[Symbol.asyncDispose]());

  const decrypt = (...more: readonly string[]) => [
    "decrypt",
    ...laptop.connection,
    "--ciphertext",
    ciphertext,
    ...more,
  ];

  describe("in a process of its own", () => {
    test("decrypt prints what kmstool_enclave_cli prints, and nothing else", async () => {
      const { code, stdout, stderr } = await runChild(decrypt("--region", "us-east-1"), { env: laptop.env });
      assert.deepEqual([code, stdout, withoutProgress(stderr)], [0, PLAINTEXT_LINE, ""]);
    });

    test("genkey prints ciphertext and plaintext of one key", async () => {
      for (const [spec, length] of [["AES-256", 32], ["AES-128", 16]] as const) {
        const { code, stdout, stderr } = await runChild(
          ["genkey", ...laptop.connection, "--key-id", keyId, "--key-spec", spec],
          { env: laptop.env },
        );
        assert.equal(code, 0, stderr);
        const [, sealed = "", plain = ""] =
          /^CIPHERTEXT: ([A-Za-z0-9+/=]+)\nPLAINTEXT: ([A-Za-z0-9+/=]+)\n$/.exec(stdout) ?? [];
        assert.equal(decodeBase64(plain).length, length);
        const opened = await runHere(
          ["decrypt", ...laptop.connection, "--ciphertext", sealed],
          laptop.env,
        );
        assert.equal(opened.stdout, `PLAINTEXT: ${plain}\n`);
      }
    });

    test("genrandom prints as many bytes as it is asked for", async () => {
      const { code, stdout } = await runChild(["genrandom", ...laptop.connection, "--length", "48"], {
        env: laptop.env,
      });
      assert.equal(code, 0);
      assert.equal(decodeBase64(/^PLAINTEXT: (\S+)\n$/.exec(stdout)?.[1] ?? "").length, 48);
    });

    test("doctor finds nothing broken, and prints JSON", async () => {
      const words = [
        "doctor",
        ...laptop.connection,
        "--root",
        `${laptop.folder}/root.der`,
        ...PATIENT,
        "--json",
      ];
      const { code, stdout } = await runChild(words, { env: laptop.env });
      const { healthy, firstBroken, links } = JSON.parse(stdout);
      assert.deepEqual([code, healthy, firstBroken, links.length], [0, true, null, 14], stdout);
    });

    test("doctor ends, though the NSM is silent, and names it", async () => {
      laptop.simulator.nsm.injectFault({ kind: "silent" });
      try {
        const words = ["doctor", ...laptop.connection, "--root", `${laptop.folder}/root.der`];
        const { code, stdout } = await runChild(words, { env: laptop.env });
        assert.equal(code, 4);
        assert.match(stdout, /^First broken link: nsm: the NSM does not answer\nTo mend it: \S/m);
      } finally {
        laptop.simulator.nsm.clearFaults();
      }
    });

    test("a refusal is three lines on standard error, and kmstool's exit code", async () => {
      const { simulator } = laptop;
      const expired = simulator.kms.issueCredentials();
      simulator.kms.expireCredentials(expired);
      const { code, stdout, stderr } = await runChild(decrypt(), {
        env: {
          AWS_ACCESS_KEY_ID: expired.accessKeyId,
          AWS_SECRET_ACCESS_KEY: expired.secretAccessKey,
          AWS_SESSION_TOKEN: expired.sessionToken,
        },
      });
      assert.equal(code, 255);
      assert.equal(stdout, "");
      assert.match(
        withoutProgress(stderr),
        /^enclave-kms decrypt: Cannot decrypt: .*\nhint: .+\ncode: ERR_KMS \(ExpiredTokenException, request [\w-]+\)\n$/,
      );
    });

    test("says what it waits for, once that has taken a second", async () => {
      laptop.simulator.nsm.injectFault({ kind: "latency", ms: 2500 }, { times: 1 });
      const { code, stdout, stderr } = await runChild(decrypt(), { env: laptop.env });
      assert.deepEqual(
        { code, stdout, stderr },
        { code: 0, stdout: PLAINTEXT_LINE, stderr: "enclave-kms: waiting for KMS\n" },
      );
    });

    test.skipIf(!hasScript)(
      `on a terminal it counts the seconds, and takes the line away${REASON}`,
      async () => {
        laptop.simulator.nsm.injectFault({ kind: "latency", ms: 2500 }, { times: 1 });
        const { code, stdout } = await runChild(decrypt(), {
          env: laptop.env,
          command: ["sh", "-c", 'exec script -qec "$*" /dev/null', "sh", ...nodeOrDeno()],
        });
        assert.equal(code, 0);
        assert.match(stdout, /\renclave-kms: waiting for KMS \(1 s\) /);
        assert.ok(stdout.endsWith(`\r\x1b[K${PLAINTEXT_LINE.trim()}\r\n`), JSON.stringify(stdout));
      },
    );

    test("a reader that goes away is no failure to talk about", async () => {
      const { stderr } = await runChild(["--help"], {
        command: ["sh", "-c", 'exec 3>&1; "$@" | true', "sh", ...nodeOrDeno()],
      });
      assert.equal(stderr, "");
    });
  });

  describe("credentials", () => {
    test("from files, without the end of line", async () => {
      const { secretAccessKey, sessionToken, accessKeyId } = laptop.simulator.credentials;
      const outcome = await runHere(decrypt(
        "--aws-access-key-id",
        accessKeyId,
        "--aws-secret-access-key-file",
        laptop.file("secret", `${secretAccessKey}\n`),
        "--aws-session-token-file",
        laptop.file("token", `${sessionToken}\r\n`),
      ));
      assert.deepEqual(outcome, { code: 0, stdout: PLAINTEXT_LINE, stderr: "" });
    });

    test("from a file of JSON, as AWS writes it", async () => {
      const { secretAccessKey, sessionToken, accessKeyId } = laptop.simulator.credentials;
      const aws = { AccessKeyId: accessKeyId, SecretAccessKey: secretAccessKey };
      const Expiration = "2026-01-01T00:00:00Z"; // KMS decides
      for (
        const json of [
          { Version: 1, ...aws, SessionToken: sessionToken, Expiration },
          { Credentials: { ...aws, SessionToken: sessionToken, Expiration } },
          { Code: "Success", ...aws, Token: sessionToken },
        ]
      ) {
        const path = laptop.file("credentials.json", JSON.stringify(json));
        const outcome = await runHere(decrypt("--aws-credentials-file", path), { AWS_ACCESS_KEY_ID: "AKIA" });
        assert.deepEqual(outcome, { code: 0, stdout: PLAINTEXT_LINE, stderr: "" });
      }
    });

    test("of a wrong shape are refused field by field, without a value", async () => {
      const refuse = async (text: string, message: RegExp) => {
        const words = decrypt("--aws-credentials-file", laptop.file("credentials.json", text));
        await assertUsage([words, laptop.env], message);
        const { stderr } = await runHere(words, laptop.env);
        assert.doesNotMatch(stderr, /HUSH/);
      };
      await refuse("HUSH", /--aws-credentials-file must be a file of JSON/);
      await refuse(
        '{"Credentials":{"AccessKeyId":"HUSH HUSH"}}',
        /Credentials\.AccessKeyId: expected printable.*; Credentials\.SecretAccessKey: expected to be there/,
      );
      await refuse('"HUSH"', /must be a file of credentials: expected an object/);
      const path = laptop.file("credentials.json", "{}");
      await assertUsage(
        [decrypt("--aws-credentials-file", path, "-k", "AKIA"), laptop.env],
        /--aws-credentials-file and --aws-access-key-id exclude each other/,
      );
    });

    test("from flags, as kmstool takes them, with a warning for each secret", async () => {
      const { secretAccessKey, sessionToken, accessKeyId } = laptop.simulator.credentials;
      const { code, stdout, stderr } = await runHere(
        decrypt("-k", accessKeyId, "-s", secretAccessKey, "-t", sessionToken),
      );
      assert.equal(code, 0);
      assert.equal(stdout, PLAINTEXT_LINE);
      assert.deepEqual(stderr.split("\n").map((line) => line.slice(0, 34)), [
        "warning: --aws-secret-access-key i",
        "warning: --aws-session-token is on",
        "",
      ]);
      assert.ok(!stderr.includes(secretAccessKey) && !stderr.includes(sessionToken));
    });

    test("a flag goes before the environment", async () => {
      const { code } = await runHere(decrypt("--aws-access-key-id", "AKIAIOSFODNN7EXAMPLE"), laptop.env);
      assert.equal(code, 255);
    });

    test("what is missing is named, with the better way to give it", async () => {
      const { AWS_ACCESS_KEY_ID = "" } = laptop.env;
      await assertUsage([decrypt()], /--aws-access-key-id must be set, or AWS_ACCESS_KEY_ID/);
      await assertUsage(
        [decrypt(), { AWS_ACCESS_KEY_ID }],
        /--aws-secret-access-key must be set: better AWS_SECRET_ACCESS_KEY, or --aws-secret-access-key-file/,
      );
    });

    test("a secret from two places, an empty file and one that is not there are refused", async () => {
      const file = (path: string) => decrypt("--aws-secret-access-key-file", path);
      await assertUsage([[...file("x"), "-s", "y"], laptop.env], /exclude each other/);
      await assertUsage([file(laptop.file("empty", "\n")), laptop.env], /must be a file that is not empty/);
      await assertUsage(
        [file(`${laptop.folder}/none`), laptop.env],
        /must be a file that can be read: ENOENT/,
      );
    });
  });

  describe("values", () => {
    test("an encryption context is part of the request", async () => {
      const bytes = await laptop.simulator.encrypt({
        keyId,
        plaintext: "x",
        encryptionContext: { tenant: "a" },
      });
      const words = ["decrypt", ...laptop.connection, "--ciphertext", encodeBase64(bytes)];
      assert.equal((await runHere([...words, "--encryption-context", '{"tenant":"a"}'], laptop.env)).code, 0);
      assert.equal(
        (await runHere([...words, "--encryption-context", '{"tenant":"b"}'], laptop.env)).code,
        255,
      );
    });

    /** As kmstool_enclave_cli 0.4.2: its usage errors end with 1, a value that is no good with 255. */
    for (
      const [code, name, words, message] of [
        [1, "no ciphertext", ["decrypt"], /--ciphertext must be set/],
        [1, "no length", ["genrandom"], /--length must be set/],
        [
          1,
          "a length of nothing",
          ["genrandom", "-l", "0"],
          /--length must be a whole number from 1 to 1024/,
        ],
        [
          1,
          "a length that is none",
          ["genrandom", "-l", "x"],
          /--length must be a whole number from 1 to 1024/,
        ],
        [1, "a length that is too long", ["genrandom", "-l", "1025"], /from 1 to 1024/],
        [1, "no key", ["genkey", "--key-spec", "AES-256"], /--key-id must be set/],
        [1, "no key spec", ["genkey", "--key-id", "k"], /--key-spec must be set/],
        [1, "another key spec", ["genkey", "-K", "k", "-p", "AES-512"], /--key-spec must be one of AES-256/],
        [1, "an unknown flag", ["decrypt", "--cipher-text", "AA=="], /is --ciphertext meant/],
        [
          1,
          "two ways out",
          ["decrypt", "-c", "AA==", "-x", "1", "--endpoint", "unix:/x"],
          /exclude each other/,
        ],
        [
          1,
          "a simulated NSM for the C SDK",
          ["decrypt", "-c", "AA==", "--nsm", "/x", "--engine", "sdk"],
          /--nsm goes with/,
        ],
        [
          1,
          "certificates that are not there",
          ["decrypt", "-c", "AA==", "--trusted-certificates", "/none"],
          /file that can be read: ENOENT/,
        ],
        [255, "a ciphertext that is no base64", ["decrypt", "-c", "?"], /--ciphertext must be base64/],
        [
          255,
          "a port of nothing",
          ["decrypt", "-c", "AA==", "-x", "x"],
          /--proxy-port must be a whole number/,
        ],
        [
          255,
          "an endpoint of another kind",
          ["decrypt", "-c", "AA==", "--endpoint", "http://x"],
          /vsock:CID:PORT/,
        ],
        [
          255,
          "a context of numbers",
          ["decrypt", "-c", "AA==", "--encryption-context", '{"a":1}'],
          /JSON object of str/,
        ],
        [
          255,
          "an algorithm that is none",
          ["decrypt", "-c", "AA==", "-a", "ROT13", "--nsm", "/x"],
          /Algorithm/,
        ],
        [
          255,
          "a library by a relative path",
          ["decrypt", "-c", "AA==", "--library", "x.so"],
          /absolute path/,
        ],
        [
          255,
          "a time-out of nothing",
          ["decrypt", "-c", "AA==", "--timeout-ms", "0"],
          /--timeout-ms must be/,
        ],
        ...["decrypt -c AA==", "genkey -K k -p AES-256", "genrandom -l 1"].map((command) =>
          [
            255,
            `a region that is none, ${command}`,
            [...command.split(" "), "--region", "Mars", "--nsm", "/x"],
            /region/,
          ] as const
        ),
      ] as const
    ) {
      test(`${name}: exit code ${code}, and what was expected`, async () => {
        await assertUsage([words, laptop.env], message, code);
      });
    }
  });

  async function assertUsage(
    [words, env]: readonly [readonly string[], Readonly<Record<string, string>>?],
    message: RegExp,
    expected = 1,
  ): Promise<void> {
    const { code, stdout, stderr }: Outcome = await runHere(words, env);
    assert.match(stderr, message);
    assert.deepEqual([code, stdout], [expected, ""]);
  }
});

function nodeOrDeno(): readonly string[] {
  return "Deno" in globalThis ? ["deno", "run", "--quiet", "-A", "--no-check"] : ["node"];
}
