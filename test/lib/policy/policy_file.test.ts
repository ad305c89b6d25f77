import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, test } from "#test";
import { PolicyLoadError } from "../../../lib/core/errors.ts";
import { type FactParts, type Policy, PolicyHolder } from "../../../lib/policy/mod.ts";
import { lookingFor, plugin } from "../../support/wasm_module.ts";
import { facts, once, TENANT_POLICY } from "./cedar/requests.ts";
import { cedarPolicy, loadPolicyFile } from "../../support/policies.ts";

const EXAMPLE = fileURLToPath(new URL("../../../examples/policies/tenants.cedar", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "enclave-kms-policy-"));

function write(name: string, contents: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, contents);
  return path;
}

describe("loadPolicyFile()", () => {
  afterAll(() => rmSync(folder, { recursive: true }));

  test("loads Cedar's and plug-ins by the file's name", () => {
    const cedar = loadPolicyFile(write("a.cedar", TENANT_POLICY));
    assert.equal(cedar.name, "a.cedar");
    assert.equal(cedar.decide(facts()).allowed, true);
    const module = loadPolicyFile(write("b.wasm", plugin(lookingFor("Decr"))));
    assert.deepEqual(module.decide(facts()).determining, ["b.wasm"]);
  });

  test("takes a file as long as it may be, under its own name", () => {
    const path = write("longest.cedar", "");
    truncateSync(path, 1_048_576);
    assert.throws(() => loadPolicyFile(path), /it has 1048576 bytes, and may have 524288/);
    assert.equal(loadPolicyFile(write("a\nb.cedar", TENANT_POLICY)).name, "a\nb.cedar");
  });

  test("refuses what is no policy file", () => {
    const long = write("long.cedar", "");
    const text = write("text.wasm", TENANT_POLICY);
    const pipe = join(folder, "pipe.cedar");
    execFileSync("mkfifo", [pipe]);
    truncateSync(long, 1 << 21);
    for (
      const [path, message] of [
        [write("c.txt", TENANT_POLICY), /ends neither in/],
        [join(folder, "absent.cedar"), /absent\.cedar: the file cannot be read \(ENOENT\)$/],
        [folder, /ends neither in/],
        [pipe, /not a regular file/],
        [write("bad.cedar", new Uint8Array([0xff, 0xfe])), /not UTF-8/],
        [long, /more than 1048576 bytes/],
        [
          write("wrong.cedar", "permit(principal)"),
          /^Cannot load the policy wrong\.cedar: .* \(line 1, column/,
        ],
        [text, /^Cannot load the plug-in text\.wasm: it does not begin as a module does/],
      ] as const
    ) {
      assert.throws(() => loadPolicyFile(path), (error: unknown) => {
        assert.ok(error instanceof PolicyLoadError);
        assert.match(error.message, message);
        assert.ok(error.hint.length > 0);
        return true;
      });
    }
  });
});

describe("examples/policies/tenants.cedar", () => {
  const keyId = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
  const caller = { type: "Token", issuer: "https://id.example", subject: "red", claims: {} } as const;
  const certificate = {
    type: "Certificate",
    sha256: "5a".repeat(32),
    attributes: { tenant: "red" },
  } as const;
  const nobody = { type: "Caller", cid: 3 } as const;
  const policy = once(() => loadPolicyFile(EXAMPLE));
  const decide = (parts: Partial<FactParts>) => policy().decide(facts({ keyId, caller, ...parts }));

  test("permits what its comments say", () => {
    assert.deepEqual(decide({}).determining, ["tenant-decrypts-its-own"]);
    assert.deepEqual(decide({ caller: certificate }).determining, ["certificate-decrypts-its-own"]);
    for (const anybody of [caller, certificate, nobody]) {
      const { determining } = decide({ action: "GetAttestation", caller: anybody });
      assert.deepEqual(determining, ["anyone-attests"]);
    }
    const sets = (action: string, setter: FactParts["caller"]) =>
      decide({ action, caller: setter }).determining;
    assert.deepEqual(sets("SetCredentials", { type: "Parent" }), ["parent-sets-credentials"]);
    assert.deepEqual(sets("SetOwnCredentials", nobody), ["kmstool-sets-its-own-credentials"]);
    assert.equal(decide({ recentCount: 600 }).allowed, true);
  });

  test("refuses the rest", () => {
    for (
      const parts of [
        { keyId: undefined },
        { encryptionContext: undefined },
        { encryptionContext: { tenant: "blue" } },
        { caller: { ...caller, subject: "blue" } },
        { caller: { ...caller, issuer: "https://other.example" } },
        { caller: { ...certificate, attributes: { tenant: "blue" } } },
        { caller: { ...certificate, attributes: {} } },
        { caller: { ...nobody, attributes: { tenant: "red" } } },
        { caller: nobody },
        { caller: { type: "Parent" } },
        { caller: nobody, action: "SetCredentials" },
        { caller: { type: "Caller", cid: 16 }, action: "SetOwnCredentials" },
        { action: "GenerateDataKey" },
        { action: "SetCredentials" },
        { action: "SetOwnCredentials" },
        { recentCount: 601 },
      ] as const
    ) assert.equal(decide(parts).allowed, false, JSON.stringify(parts));
    assert.deepEqual(decide({ recentCount: 601 }).determining, ["not-too-many"]);
  });
});

describe("PolicyHolder", () => {
  test("denies all until it has a policy", () => {
    const holder = new PolicyHolder();
    assert.deepEqual([holder.name, holder.isLoaded], ["deny-all", false]);
    assert.deepEqual(holder.decide(facts()).reason, "No policy is loaded");
  });

  test("replaces a policy by one that loads, and keeps the old one otherwise", () => {
    const holder = new PolicyHolder();
    assert.deepEqual(holder.replace(() => cedarPolicy(TENANT_POLICY)), { replaced: true, name: "cedar" });
    assert.equal(holder.decide(facts()).allowed, true);
    assert.equal(holder.isLoaded, true);
    const nothing = holder.replace(() => ({ name: "nothing" }) as Policy);
    assert.match(
      String(!nothing.replaced && nothing.error),
      /^TypeError: A policy must have a name and decide\(\)$/,
    );
    for (
      const load of [
        () => cedarPolicy("permit("),
        () =>
          cedarPolicy("forbid(principal, action, resource) when { context.time * 9000000000000000000 > 5 };"),
        () => loadPolicyFile(join(folder, "absent.cedar")),
        () => undefined as unknown as Policy,
        () => {
          throw "not an Error";
        },
      ]
    ) {
      const outcome = holder.replace(load);
      assert.ok(!outcome.replaced && outcome.error instanceof Error);
      assert.equal(holder.decide(facts()).allowed, true);
    }
    holder.replace(() => cedarPolicy("forbid(principal, action, resource);", { name: "closed" }));
    assert.deepEqual([holder.name, holder.decide(facts()).allowed], ["closed", false]);
  });

  test("takes a policy's throw for a refusal", () => {
    const holder = new PolicyHolder({
      name: "broken",
      decide() {
        throw new Error("a bug\nwith a line");
      },
    });
    const { allowed, reason } = holder.decide(facts());
    assert.deepEqual({ allowed, reason }, { allowed: false, reason: "The policy threw: a bug?with a line" });
  });
});
