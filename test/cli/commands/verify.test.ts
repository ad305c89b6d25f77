import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { decode, encode } from "cbor2";
import { afterAll, beforeAll, describe, test } from "#test";
import { DOCUMENT_FORMATS } from "../../../cli/attestation/document_output.ts";
import { ATTESTATION_EXIT } from "../../../cli/exit_codes.ts";
import { encodeBase64 } from "../../../mod.ts";
import { decodeAttestationDocument } from "../../../lib/attestation/mod.ts";
import type { AttestationCheck } from "../../../lib/nsm/mod.ts";
import { HAS_VECTORS, readVector, SKIPPED } from "../../lib/attestation/vectors.ts";
import { Laptop, runChild } from "../child.ts";
import { runHere } from "../terminal_double.ts";

describe("attest and verify", () => {
  let laptop: Laptop;
  let path: string;
  let root: readonly string[];

  beforeAll(async () => {
    laptop = await Laptop.start();
    root = ["--root", join(laptop.folder, "root.der")];
    path = laptop.file(
      "document",
      await laptop.simulator.nsm.attest({ nonce: new Uint8Array([1, 2, 3, 4]) }),
    );
  });
  afterAll(() => laptop[Symbol.asyncDispose]());

  const verify = (...more: readonly string[]) => runHere(["verify", path, ...root, ...more]);

  test("a document goes from one process to the other, through a pipe", async () => {
    const made = await runChild([
      "attest",
      ...laptop.nsm,
      "--nonce",
      "text:hello",
      "--user-data",
      "base64:AQI=",
    ]);
    assert.equal(made.code, 0, made.stderr);
    assert.match(made.stdout, /^[A-Za-z0-9+/]+={0,2}\n$/);
    const checked = await runChild(["verify", "-", ...root, "--nonce", "68656c6c6f", "--max-age", "600"], {
      input: made.stdout,
    });
    assert.equal(checked.code, 0, checked.stderr);
    assert.match(checked.stdout, /^Document +verified$/m);
    assert.match(checked.stdout, /^User data +2 bytes, 0102$/m);
    assert.match(checked.stdout, /^Nonce +5 bytes, 68656c6c6f "hello"$/m);
    assert.match(checked.stdout, new RegExp(`^PCR0 +${laptop.simulator.nsm.pcr(0)}$`, "m"));
    assert.match(checked.stdout, /^Zero PCRs +5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15$/m);
  });

  test("attest writes the document itself to a file, and reads a public key in PEM", async () => {
    const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const pem = laptop.file("key.pem", publicKey.export({ type: "spki", format: "pem" }) as string);
    const out = join(laptop.folder, "out");
    const { code, stdout } = await runHere([
      "attest",
      ...laptop.nsm,
      "--public-key",
      `@${pem}`,
      "--out",
      out,
    ]);
    assert.deepEqual([code, stdout], [0, ""]);
    const der = publicKey.export({ type: "spki", format: "der" });
    assert.deepEqual(Buffer.from(decodeAttestationDocument(readFileSync(out)).publicKey ?? []), der);
  });

  for (const format of DOCUMENT_FORMATS) {
    test(`what attest writes as ${format} is what verify reads, through a file and from standard output`, async () => {
      const out = join(laptop.folder, `out.${format}`);
      const written = await runHere(["attest", ...laptop.nsm, "--format", format, "--out", out]);
      assert.deepEqual([written.code, written.stdout], [0, ""]);
      assert.equal((await runHere(["verify", out, ...root])).code, 0);
      if (format === "raw") return;
      const { stdout } = await runHere(["attest", ...laptop.nsm, "--format", format]);
      const { code, stdout: shown } = await runHere(["verify", "-", ...root], {}, stdout);
      assert.equal(code, 0);
      const readAs = {
        base64: "base64",
        base64url: "base64url",
        hex: "hex",
        pem: "PEM",
        json: "base64 in JSON",
      };
      assert.match(shown, new RegExp(`^Read as +${readAs[format]}$`, "m"));
    });
  }

  test("registers come from nitro-cli's JSON, and a wrong one is found", async () => {
    const { nsm } = laptop.simulator;
    const measurements = (pcr0: string) => ({
      Measurements: { HashAlgorithm: "Sha384 { ... }", PCR0: pcr0, PCR1: nsm.pcr(1), PCR2: nsm.pcr(2) },
    });
    const good = laptop.file("eif.json", JSON.stringify(measurements(nsm.pcr(0))));
    const { code, stdout } = await verify("--pcrs", good);
    assert.equal(code, 0);
    assert.match(stdout, /^Expected +PCR0, PCR1, PCR2, another root than AWS's$/m);
    const bad = laptop.file("other.json", JSON.stringify(measurements("ab".repeat(48))));
    assert.equal((await verify("--pcrs", bad)).code, ATTESTATION_EXIT.PCR);
  });

  test("verify takes no empty expectation, as an empty variable of a script would be", async () => {
    const document = await laptop.simulator.nsm.attest();
    const empty = join(laptop.folder, "empty.der");
    writeFileSync(empty, "");
    const cases = [
      [["--nonce", ""], /--nonce must not be empty/],
      [["--nonce", "text:"], /--nonce must not be empty/],
      [["--user-data", `@${empty}`], /--user-data must not be empty/],
      [["--pcr", ""], /--pcr must be a number/],
      [["--pcr", "0="], /--pcr must be a number/],
      [["--root", empty], /--root must hold CERTIFICATE .*: it is empty/],
      [["--max-age", ""], /--max-age must be a whole number/],
    ] as const;
    for (const [flags, message] of cases) {
      const { code, stdout, stderr } = await runHere(["verify", "-", ...flags], {}, document);
      assert.deepEqual([code, stdout], [1, ""], stderr);
      assert.match(stderr, message);
    }
  });

  test("attest ends with the code of what is wrong", async () => {
    const gone = await runHere(["attest", "--nsm", join(laptop.folder, "none.sock")]);
    assert.equal(gone.code, ATTESTATION_EXIT.UNAVAILABLE);
    assert.match(gone.stderr, /hint: Is a simulator listening/);
    laptop.simulator.nsm.injectFault({ kind: "refuse", errorName: "InternalError" }, { times: 1 });
    assert.equal((await runHere(["attest", ...laptop.nsm])).code, ATTESTATION_EXIT.REFUSED);
    laptop.simulator.nsm.injectFault({ kind: "silent" }, { times: 1 });
    const silent = await runHere(["attest", ...laptop.nsm, "--timeout-ms", "100"]);
    assert.equal(silent.code, 2);
    assert.match(silent.stderr, /code: ERR_TIMEOUT/);
  });

  test("verify reads DER and PEM roots, bytes and base64, files and standard input", async () => {
    const bytes = readFileSync(path);
    const pem = laptop.file(
      "root.pem",
      `-----BEGIN CERTIFICATE-----\n${encodeBase64(laptop.simulator.nsm.root)}\n-----END CERTIFICATE-----\n`,
    );
    assert.equal((await verify()).code, 0);
    assert.equal((await runHere(["verify", path, "--root", pem])).code, 0);
    assert.equal((await runHere(["verify", "-", ...root], {}, bytes)).code, 0);
    const folded = bytes.toString("base64").replaceAll(/.{76}/g, "$&\n");
    assert.equal((await runHere(["verify", "-", ...root], {}, folded)).code, 0);
  });

  test("--json has the fields, whether it is verified or not", async () => {
    const good = JSON.parse((await verify("--json")).stdout);
    assert.equal(good.verified, true);
    assert.equal(good.document.moduleId, laptop.simulator.nsm.moduleId);
    assert.equal(good.document.pcrs["1"], laptop.simulator.nsm.pcr(1));
    assert.equal(good.document.nonce, "AQIDBA==");
    assert.equal(good.document.userData, null);
    const { code, stdout } = await verify("--json", "--nonce", "00");
    const bad = JSON.parse(stdout);
    assert.equal(code, ATTESTATION_EXIT.NONCE);
    assert.equal(bad.verified, false);
    assert.equal(bad.code, "ERR_ATTESTATION_NONCE");
    assert.equal(bad.document.nonce, "AQIDBA==");
  });

  describe("the exit code names the check that failed:", () => {
    const cases: readonly (readonly [AttestationCheck, () => Promise<{ code: number; stderr: string }>])[] = [
      ["NONCE", () => verify("--nonce", "01020305")],
      ["USER_DATA", () => verify("--user-data", "00")],
      ["PCR", () => verify("--pcr", `0=${"ab".repeat(48)}`)],
      ["ROOT", () => runHere(["verify", path])],
      ["EXPIRED", () => verify("--at", "2050-01-01T00:00:00Z")],
      ["NOT_YET_VALID", () => verify("--at", "2020-01-01T00:00:00Z")],
      ["STALE", () => verify("--max-age", "60", "--at", new Date(Date.now() + 1_200_000).toISOString())],
      ["DEBUG", () => verifyFaulty({ kind: "debug" })],
      ["SIGNATURE", () => verifyFaulty({ kind: "wrongKey" })],
      ["CBOR", () => verifyBytes(new Uint8Array([0x84, 0xff]))],
      ["TOO_LARGE", () => verifyBytes(new Uint8Array(100_000).fill(0x84))],
    ];
    for (const [check, run] of cases) {
      test(check, async () => {
        const { code, stderr } = await run();
        assert.equal(code, ATTESTATION_EXIT[check], stderr);
        assert.match(stderr, new RegExp(`^hint: .+\ncode: ERR_ATTESTATION_${check}$`, "m"));
      });
    }

    async function verifyFaulty(fault: { readonly kind: "debug" | "wrongKey" }) {
      laptop.simulator.nsm.injectFault(fault, { times: 1 });
      return await verifyBytes(await laptop.simulator.nsm.attest());
    }

    function verifyBytes(bytes: Uint8Array) {
      return runHere(["verify", "-", ...root], {}, bytes);
    }
  });

  test("a register may have one of several values, and debug mode can be accepted", async () => {
    const right = laptop.simulator.nsm.pcr(0);
    assert.equal(
      (await verify("--pcr", `0=${"ab".repeat(48)}`, "--pcr", `0=${right.toUpperCase()}`)).code,
      0,
    );
    laptop.simulator.nsm.injectFault({ kind: "debug" }, { times: 1 });
    const document = await laptop.simulator.nsm.attest();
    assert.equal((await runHere(["verify", "-", ...root, "--allow-debug"], {}, document)).code, 0);
  });

  test.skipIf(!HAS_VECTORS)(
    `genuine documents of AWS's verify at their own time, and not now${SKIPPED}`,
    async () => {
      for (const name of ["attestation-production.cbor", "attestation-2026-04.cbor"] as const) {
        const genuine = readVector(name);
        assert.equal((await runHere(["verify", "-", "--at", "document"], {}, genuine)).code, 0);
        assert.equal((await runHere(["verify", "-"], {}, genuine)).code, ATTESTATION_EXIT.EXPIRED);
      }
    },
  );

  test("fields that are not known are shown, and decide nothing", async () => {
    const parts = decode<unknown[]>(await laptop.simulator.nsm.attest());
    const more = laptop.file(
      "more",
      encode(parts.with(1, new Map<unknown, unknown>([["\u001b[2J", 1], [4, "x"]]))),
    );
    const shown = await runHere(["verify", more, ...root]);
    assert.equal(shown.code, 0, shown.stderr);
    assert.match(shown.stdout, /^Also +unprotected \\u\{1b\}\[2J, unprotected 4$/m);
    const json = JSON.parse((await runHere(["verify", more, ...root, "--json"])).stdout);
    assert.deepEqual(json.document.unknownFields, ["unprotected \\u{1b}[2J", "unprotected 4"]);
    assert.doesNotMatch((await verify()).stdout, /^Also/m);
  });

  test("a document from a time that there is not is refused, and no mistake of the user's", async () => {
    const parts = decode<unknown[]>(await laptop.simulator.nsm.attest());
    const payload = decode<Record<string, unknown>>(parts[2] as Uint8Array);
    const later = encode(parts.with(2, encode({ ...payload, timestamp: Number.MAX_SAFE_INTEGER })));
    for (const at of [[], ["--at", "document"]]) {
      const { code, stderr } = await runHere(["verify", laptop.file("later", later), ...root, ...at]);
      assert.equal(code, ATTESTATION_EXIT.FIELD, stderr);
      assert.match(stderr, /timestamp is not a time in milliseconds since 1970$/m);
    }
  });

  test("a device without end and a file of gigabytes are not read to their end", async () => {
    const large = laptop.file("large", "");
    truncateSync(large, 3 * 2 ** 30);
    for (const endless of ["/dev/zero", large]) {
      const { code, stderr } = await runHere(["verify", endless, ...root]);
      assert.equal(code, 1);
      assert.match(
        stderr,
        /^enclave-kms verify: FILE must hold an attestation document .*: it has more than 1 MiB$/m,
      );
      const { stderr: ofRoot } = await runHere(["verify", path, "--root", endless]);
      assert.match(ofRoot, /^enclave-kms verify: --root must be a file of at most 1 MiB$/m);
    }
  });

  test("malformed values are named", async () => {
    for (
      const [words, message] of [
        [["--pcr", "0=00"], /--pcr must be a number from 0 to 31/],
        [["--pcr", `32=${"00".repeat(48)}`], /--pcr must be a number from 0 to 31/],
        [["--nonce", "xyz"], /--nonce must be hex/],
        [["--at", "yesterday"], /--at must be a time such as/],
        [["--max-age", "-1"], /--max-age must be a whole number/],
      ] as const
    ) {
      const { code, stderr } = await verify(...words);
      assert.equal(code, 1);
      assert.match(stderr, message);
    }
    assert.match((await runHere(["verify", "-"], {}, "no base64!")).stderr, /FILE must hold an attestation/);
    assert.match((await runHere(["verify", "/nonexistent"])).stderr, /FILE must be a file that can be read/);
  });
});
