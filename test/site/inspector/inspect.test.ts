import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { makeKeyPolicy } from "../../../deploy/mod.ts";
import { parseArguments } from "../../../cli/arguments.ts";
import { COMMANDS } from "../../../cli/command_table.ts";
import { SoftwareNsm } from "../../../sim/nsm/nsm.ts";
import { NsmAuthority } from "../../../sim/nsm/nsm_authority.ts";
import { makeDocument } from "../../../sim/nsm/nsm_document.ts";
import { CHECK_NAMES, checkDocument } from "../../../site/inspector/checks.ts";
import { comparePcrs } from "../../../site/inspector/compare_pcrs.ts";
import { inspect, type InspectOptions } from "../../../site/inspector/inspect.ts";
import { type Item, readItem } from "../../../site/inspector/read_item.ts";
import type { Section } from "../../../site/inspector/section.ts";
import { shellWord, showBytes, visible } from "../../../site/inspector/visible.ts";
import { makeImages } from "../../browser/images.ts";
import { DOCUMENT_VECTORS, HAS_VECTORS, readVector, SKIPPED } from "../../lib/attestation/vectors.ts";
import { badDocuments } from "./bad_documents.ts";
import { beforeAll, describe, test } from "#test";

const ROLE = "arn:aws:iam::111122223333:role/enclave";
const ADMIN = "arn:aws:iam::111122223333:role/key-admin";
const REPOSITORY = fileURLToPath(new URL("../../..", import.meta.url));

let nsm: SoftwareNsm;
let document: Uint8Array<ArrayBuffer>;
let root: Item;
beforeAll(async () => {
  nsm = await SoftwareNsm.create({ documentForm: "definite" });
  document = new Uint8Array(await nsm.attest({ nonce: new TextEncoder().encode("a nonce") }));
  root = await read(pem(nsm.root), "root.pem");
});

function pem(der: Uint8Array): string {
  return `-----BEGIN CERTIFICATE-----\n${Buffer.from(der).toString("base64")}\n-----END CERTIFICATE-----\n`;
}

async function read(content: string | Uint8Array<ArrayBuffer>, name = "given"): Promise<Item> {
  return await readItem(name, new Blob([content]));
}

async function sectionOf(
  items: readonly Item[],
  title: RegExp,
  options: InspectOptions = {},
): Promise<Section> {
  const sections = await inspect(items, options);
  const found = sections.find((section) => title.test(section.title));
  assert.ok(found, `${title} in ${sections.map((section) => section.title).join(", ")}`);
  return found;
}

const documentOf = (items: readonly Item[], options?: InspectOptions) =>
  sectionOf(items, /^Attestation document/, options);

function outcomes({ tables: [checks] }: Section): Map<string, string> {
  return new Map(checks?.rows.map(({ cells: [check = "", outcome = ""] }) => [check, outcome]));
}

function valueOf({ tables }: Section, field: string): string | undefined {
  return tables.flatMap(({ rows }) => rows).find(({ cells }) => cells[0] === field)?.cells[1];
}

describe("the inspector, given a document", () => {
  test("lists the checks in the verifier's order", () => {
    const source = readFileSync(`${REPOSITORY}/lib/attestation/verify.ts`, "utf8");
    const names = Array.from(source.matchAll(/^ \* \| `([A-Z_]+)` \|/gm), ([, name]) => name);
    assert.ok(names.length > 20);
    assert.deepEqual(CHECK_NAMES, names);
  });

  test("shows a good one of a simulator, field by field", async () => {
    const section = await documentOf([await read(document), root]);
    assert.equal(section.state, "good");
    const of = outcomes(section);
    assert.deepEqual([of.get("SIGNATURE"), of.get("ROOT"), of.get("PCR")], ["passed", "passed", "not asked"]);
    assert.equal(valueOf(section, "Nonce"), '61206e6f6e6365 (7 bytes; as text: "a nonce")');
    assert.equal(valueOf(section, "PCR0"), nsm.pcr(0));
    assert.match(valueOf(section, "Root certificate") ?? "", /CN=.+; valid \d{4}-.+Z to \d{4}-.+Z$/);
    assert.deepEqual(section.commands, ["enclave-kms verify given --at document --root root.pem"]);
    assert.match(section.sentences.join(" "), /any enclave of anyone passes/);
  });

  test("reads each form of it", async () => {
    const base64 = Buffer.from(document).toString("base64");
    for (
      const text of [
        base64,
        Buffer.from(document).toString("base64url"),
        Buffer.from(document).toString("hex"),
        `-----BEGIN ATTESTATION DOCUMENT-----\n${base64}\n-----END ATTESTATION DOCUMENT-----\n`,
        JSON.stringify({ document: base64 }),
        JSON.stringify(base64),
      ]
    ) assert.equal((await documentOf([await read(text), root])).state, "good", text.slice(0, 30));
  });

  test("names the check that each bad one fails; those before passed or are open, those after were not reached", async () => {
    const bad = badDocuments(document);
    assert.ok(bad.length > 12);
    for (const { check, bytes } of bad) {
      const section = await documentOf([await read(bytes), root]);
      assert.equal(section.state, "bad", check);
      assert.match(section.sentences[0] ?? "", new RegExp(`^NOT verified: ${check}\\. `));
      const rows = [...outcomes(section)];
      const place = rows.findIndex(([name]) => name === check);
      assert.deepEqual(rows.filter(([, outcome]) => outcome === "failed").map(([name]) => name), [check]);
      for (const [, outcome] of rows.slice(0, place)) {
        assert.match(outcome, /^(?:passed|not decided)$/, check);
      }
      for (const [, outcome] of rows.slice(place + 1)) assert.match(outcome, /^not /, check);
    }
  });

  test("names ROOT, EXPIRED, NOT_YET_VALID, PCR and DEBUG", async () => {
    const given = await read(document);
    const day = 86_400_000;
    const pcrs = await read(JSON.stringify({ Measurements: { PCR0: "ab".repeat(48) } }), "pcrs.json");
    const debug = await SoftwareNsm.create({ debug: true });
    const cases: readonly (readonly [string, Item[], InspectOptions?])[] = [
      ["ROOT", [given]],
      ["EXPIRED", [given, root], { at: Date.now() + day }],
      ["NOT_YET_VALID", [given, root], { at: Date.now() - 40 * 365 * day }],
      ["PCR", [given, root, pcrs]],
      [
        "DEBUG",
        [await read(new Uint8Array(await debug.attest())), await read(pem(debug.root))],
      ],
    ];
    for (const [check, items, options] of cases) {
      const section = await documentOf(items, options);
      assert.equal(outcomes(section).get(check), "failed", check);
      assert.equal(/DEBUG MODE: PCR0 to PCR2 are zero/.test(section.sentences.join(" ")), check === "DEBUG");
    }
  });

  test("names CERTIFICATE_SIGNATURE and FUTURE", async () => {
    const now = Date.now();
    const authority = await NsmAuthority.create("us-east-1", "i-0123456789abcdef0", now);
    const leaf = await authority.issueLeaf("i-0123456789abcdef0-enc0123456789abcdef", now);
    const fields = {
      moduleId: "i-0123456789abcdef0-enc0123456789abcdef",
      timestamp: now,
      pcrs: new Map([[0, new Uint8Array(48).fill(7)]]),
      cabundle: authority.cabundle,
      publicKey: null,
      userData: null,
      nonce: null,
    };
    const making = { form: "definite", leaf, signer: leaf } as const;
    const cabundle = authority.cabundle.map((der, i) => i === 2 ? der.with(-1, der.at(-1)! ^ 1) : der);
    const trusted = await read(pem(authority.root));
    for (
      const [check, changes] of [
        ["CERTIFICATE_SIGNATURE", { cabundle }],
        ["FUTURE", { timestamp: now + 600_000 }],
      ] as const
    ) {
      const given = await read(await makeDocument({ ...fields, ...changes }, making));
      const section = await documentOf([given, trusted], { at: now });
      assert.equal(outcomes(section).get(check), "failed", section.sentences[0]);
    }
  });

  test("checks the keys of a server's answer", async () => {
    const answer = {
      document: Buffer.from(document).toString("base64"),
      bootId: "00".repeat(16),
      keys: { sign: Buffer.from([1, 2, 3]).toString("base64") },
    };
    const section = await documentOf([await read(JSON.stringify(answer)), root]);
    assert.equal(outcomes(section).get("USER_DATA"), "failed");
    assert.equal(valueOf(section, "sign"), "010203");
  });

  test.skipIf(!HAS_VECTORS)(`verifies genuine ones, old and new${SKIPPED}`, async () => {
    for (const name of DOCUMENT_VECTORS) {
      const section = await documentOf([await read(readVector(name), name)]);
      const isDebug = name.includes("debug");
      assert.equal(section.state, isDebug ? "bad" : "good", name);
      assert.equal(outcomes(section).get("DEBUG"), isDebug ? "failed" : "passed");
      assert.match(valueOf(section, "Root certificate") ?? "", /CN=aws\.nitro-enclaves/);
    }
    const now = await documentOf([await read(readVector("attestation-production.cbor"))], { at: Date.now() });
    assert.equal(outcomes(now).get("EXPIRED"), "failed");
  });

  test("throws for an expectation that is none", async () => {
    await assert.rejects(checkDocument(document, { pcrs: {} }), TypeError);
  });
});

describe("the inspector, given other things", () => {
  test("compares an image, its PCR file, a policy and a document, and says that they differ", async () => {
    const [bytes = new Uint8Array()] = await makeImages();
    const image = await read(new Uint8Array(bytes), "app.eif");
    assert.ok(image.kind === "image");
    const { pcrs } = image.description;
    const [summary, other] = [pcrs, { ...pcrs, 1: "cd".repeat(48) }].map((one) =>
      JSON.stringify({ pcrs: one })
    );
    const policy = makeKeyPolicy({ images: [{ pcr0: pcrs[0]! }], role: ROLE, administrators: [ADMIN] });
    const same = [image, await read(summary!, "build-summary.json"), await read(policy, "policy.json")];
    const compared = await sectionOf(same, /^PCRs compared/);
    assert.deepEqual(
      compared.tables[0]?.rows.map(({ cells }) => cells.slice(0, 2)).slice(0, 3),
      [["PCR0", "same"], ["PCR1", "same"], ["PCR2", "same"]],
    );
    assert.equal((await sectionOf([...same, await read(other!)], /^PCRs compared/)).state, "bad");
    const withDocument = await sectionOf([...same, await read(document, "doc")], /^PCRs compared/);
    assert.match(withDocument.sentences[0] ?? "", /^DIFFERENT: PCR0, PCR1, PCR2/);
    const judged = await sectionOf(same, /^Key policy/);
    assert.equal(judged.state, "good");
    assert.match(judged.sentences.join(" "), /role\/enclave, as the policy names it/);
    const section = await sectionOf(same, /^Enclave image/);
    assert.deepEqual(section.commands, ["enclave-kms image describe app.eif"]);
  });

  test("says what the gate finds, and that a policy does not let a document decrypt", async () => {
    const statement = { Effect: "Allow", Principal: { AWS: ROLE }, Action: "kms:*", Resource: "*" };
    const loose = await read(JSON.stringify({ Statement: [statement] }), "policy.json");
    const refused = await sectionOf([loose], /^Key policy/, { role: ROLE });
    assert.match(JSON.stringify(refused.tables[0]), /unattested-access.*lockout/);
    assert.equal((await sectionOf([loose], /^Key policy/)).state, "note");
    const other = makeKeyPolicy({ images: [{ pcr0: "4e".repeat(48) }], role: ROLE, administrators: [ADMIN] });
    const items = [await read(other, "policy.json"), await read(document, "doc"), root];
    const section = await sectionOf(items, /^Key policy/);
    assert.match(section.sentences.join(" "), /It does NOT let doc decrypt/);
    assert.deepEqual(section.commands, [
      `enclave-kms key-policy gate policy.json --role '${ROLE}'`,
      `enclave-kms key-policy explain policy.json --role '${ROLE}' --document doc`,
    ]);
  });

  test("names commands that the command line has, with flags that they take", async () => {
    const policy = makeKeyPolicy({ images: [{ pcr0: nsm.pcr(0) }], role: ROLE, administrators: [ADMIN] });
    const [image = new Uint8Array()] = await makeImages();
    const items = [
      ...[await read(document, "doc"), root, await read(policy, "policy.json")],
      await read(JSON.stringify({ pcrs: { 0: nsm.pcr(0) } }), "pcrs.json"),
    ];
    const sections = [
      ...await inspect(items),
      ...await inspect([items[0]!, await read(new Uint8Array(image), "app.eif")]),
    ];
    const commands = sections.flatMap((section) => section.commands);
    assert.ok(
      commands.some((line) => line.includes("--pcrs")) && commands.some((line) => /--pcr 0=/.test(line)),
    );
    for (const line of commands) {
      const [program, ...words] = line.replaceAll("'", "").split(" ");
      const command = COMMANDS.find(({ name }) => `${words.join(" ")} `.startsWith(`${name} `));
      assert.ok(program === "enclave-kms" && command, line);
      parseArguments(command, words.slice(command.name.split(" ").length));
    }
  });

  test("refuses with a reason what is none of them, or broken", async () => {
    const [, , broken = new Uint8Array()] = await makeImages();
    for (
      const [content, reason] of [
        [new Uint8Array(broken), /Cannot read the image/],
        ["hello, world", /An attestation document is raw CBOR, base64/],
        ["{}", /its JSON has no member `document`/],
        ['{"Measurements":{"PCR0":"00"}}', /A PCR file must be/],
        [JSON.stringify({ pcrs: { 0: "0".repeat(96) } }), /PCR0 is zero, as in debug mode/],
        ['{"Statement":[]}', /no Statement/],
        ["-----BEGIN CERTIFICATE-----\nAA", /not whole PEM/],
        ["", /it is empty/],
        ["x".repeat(1_048_577), /at most 1 MiB/],
      ] as const
    ) {
      const { state, sentences } = await sectionOf([await read(content)], /^Not read/);
      assert.equal(state, "bad");
      assert.match(sentences.join(" "), reason);
    }
  });

  test("takes the statements of a policy as one choice", () => {
    const [a, b] = ["aa".repeat(48), "bb".repeat(48)] as const;
    const choice = (value: string) => ({ name: value, pcrs: { 0: [value] }, policy: "p" });
    const one = (value: string) => ({ name: value, pcrs: { 0: [value] } });
    const verdict = (...sources: Parameters<typeof comparePcrs>[0]) => comparePcrs(sources)[0]?.verdict;
    assert.equal(verdict(choice(a), choice(b), one(b)), "same");
    assert.equal(verdict(choice(a), one(b)), "DIFFERENT");
    assert.equal(verdict(one(a), one(b)), "DIFFERENT");
    assert.equal(verdict(one(a), one(a)), "same");
    assert.equal(verdict(choice(a), choice(b)), "in one only");
    assert.equal(verdict(one("0".repeat(96))), "zero");
  });

  test("shows bytes, somebody's texts and names so that they do no harm", () => {
    assert.equal(showBytes(Uint8Array.of(0xff)), "ff (1 byte)");
    assert.equal(showBytes(Uint8Array.of(0x61, 0x0a)), "610a (2 bytes)");
    assert.equal(showBytes(undefined), "none");
    assert.equal(visible("a\u202eb\u0000"), "a\ufffdb\ufffd");
    assert.equal(shellWord("it's $(x).eif", "image"), "'it'\\''s $(x).eif'");
    assert.equal(shellWord("-rf", "image"), "./-rf");
    assert.equal(shellWord("a\nb", "image"), "image");
  });
});
