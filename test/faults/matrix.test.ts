import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "#test";
import * as api from "../../mod.ts";
import { KMS_FAULTS, type KmsFaultKind, NSM_FAULTS, type NsmFault } from "../../sim/mod.ts";
import { FAULT_MATRIX, type FaultRow } from "./matrix.ts";
import { assertOutcome, describeError, nameOutcome, type Outcome } from "./outcome.ts";
import { readRealResults } from "./real_results.ts";
import { renderMatrix } from "./table.ts";

const MIN_FAULTS = 60;
const SECRETS = [new TextEncoder().encode("the plaintext"), new TextEncoder().encode("the secret key")];

/** Faults that came after the real C client's last run, where its library was not at hand. */
const NOT_TRIED = new Set([
  "they expired by their own date, but not for KMS",
  "they expired by their own date, and are to be refused",
  "they expired for KMS, and their source is down",
  "they were revoked, and the provider has others",
  "the secret is another's, and the provider has the right one",
  "they are revoked while a request is on its way, and the provider has others",
]);

const cells = FAULT_MATRIX.flatMap(({ expected }) => Object.values(expected));

describe("the fault matrix", () => {
  test(`has at least ${MIN_FAULTS} faults, each once`, () => {
    assert.ok(FAULT_MATRIX.length >= MIN_FAULTS);
    assert.equal(new Set(FAULT_MATRIX.map(({ name }) => name)).size, FAULT_MATRIX.length);
    assert.equal(new Set(FAULT_MATRIX.map(makingOf)).size, FAULT_MATRIX.length);
  });

  test("has every kind of fault that the simulated KMS and NSM can make", () => {
    const kinds = { kms: new Set<KmsFaultKind>(), nsm: new Set<NsmFault["kind"]>() };
    for (const { made } of FAULT_MATRIX) {
      if (made.by === "kms") kinds.kms.add(made.fault.kind);
      if (made.by === "nsm") kinds.nsm.add(made.fault.kind);
    }
    assert.deepEqual([...kinds.kms].sort(), [...new Set(KMS_FAULTS.map(({ fault }) => fault.kind))].sort());
    assert.deepEqual([...kinds.nsm].sort(), [...new Set(NSM_FAULTS.map(({ fault }) => fault.kind))].sort());
  });

  test("names classes of the library only, and tells KMS's refusals apart", () => {
    for (const cell of cells) {
      if (typeof cell === "string" || "notAsked" in cell) continue;
      assert.equal(typeof (api as Readonly<Record<string, unknown>>)[cell.error], "function", cell.error);
      assert.equal(cell.kms !== undefined, cell.error === "KmsError");
    }
  });

  test("asks everything of direct and sdk, and leaves out at most one fault of sdk-client", () => {
    const isLeftOut = (cell: Outcome) => typeof cell === "object" && "notAsked" in cell;
    for (const { expected } of FAULT_MATRIX) {
      assert.ok(!isLeftOut(expected.direct) && !isLeftOut(expected.sdk));
    }
    assert.ok(cells.filter(isLeftOut).length <= 1);
  });

  test("stands in README.md as it is", () => {
    const readme = readFileSync(new URL("README.md", import.meta.url), "utf8");
    assert.equal(readme, renderMatrix(), "write it anew: node test/faults/table.ts > test/faults/README.md");
    const [first, ...others] = FAULT_MATRIX as [FaultRow, ...FaultRow[]];
    assert.notEqual(readme, renderMatrix(others));
    assert.notEqual(readme, renderMatrix([{ ...first, name: "another" }, ...others]));
  });

  test("was tried on the real C client, which gave the plaintext or nothing", () => {
    const { tries, rows } = readRealResults();
    const names = FAULT_MATRIX.map(({ name }) => name);
    assert.deepEqual(Object.keys(rows), names.filter((name) => !NOT_TRIED.has(name)));
    for (const [name, { fault, next }] of Object.entries(rows)) {
      for (const tally of [fault, next]) {
        assert.equal(Object.values(tally).reduce((sum, count) => sum + count, 0), tries, name);
        for (const outcome of Object.keys(tally)) {
          assert.match(outcome, /^(?:plaintext|ERR_[A-Z_]+|SIG[A-Z]+|hung|\d+)$/, name);
        }
      }
    }
  });
});

describe("an outcome", () => {
  const error = new api.KmsError("Cannot decrypt: refused", {
    hint: "Is it?",
    kmsCode: "AccessDeniedException",
    requestId: undefined,
    httpStatus: 400,
    retryable: false,
  });
  const kms = { kmsCode: "AccessDeniedException", httpStatus: 400, retryable: false };
  const expected: Outcome = { error: "KmsError", code: "ERR_KMS", kms };

  test("is asserted in every part", () => {
    assertOutcome(describeError(error), expected, SECRETS);
    for (
      const other of [
        "plaintext",
        { error: "ProtocolError", code: "ERR_KMS", kms },
        { error: "KmsError", code: "ERR_PROTOCOL", kms },
        { error: "KmsError", code: "ERR_KMS" },
        { ...expected, kms: { ...kms, kmsCode: "DisabledException" } },
        { ...expected, kms: { ...kms, httpStatus: 403 } },
        { ...expected, kms: { ...kms, retryable: true } },
      ] as const
    ) assert.throws(() => assertOutcome(describeError(error), other, SECRETS), nameOutcome(other));
  });

  test("is an error of the library, with a hint", () => {
    const own = Object.assign(new Error("x"), { name: "KmsError", code: "ERR_KMS", hint: "Is it?", ...kms });
    assert.throws(() => assertOutcome(describeError(own), { error: "KmsError", code: "ERR_KMS" }, SECRETS));
    const bare = new api.TimeoutError("Cannot decrypt", { hint: "", stage: "kms" });
    assert.throws(() =>
      assertOutcome(
        describeError(bare),
        { error: "TimeoutError", code: "ERR_TIMEOUT", stage: "kms" },
        SECRETS,
      )
    );
  });

  test("shows no secret, wherever in the error it stands", () => {
    const timeout: Outcome = { error: "TimeoutError", code: "ERR_TIMEOUT", stage: "kms" };
    for (const secret of SECRETS.map((bytes) => new TextDecoder().decode(bytes))) {
      for (
        const leak of [
          new api.TimeoutError(`Cannot decrypt: ${secret}`, { hint: "Is it?", stage: "kms" }),
          new api.TimeoutError("Cannot decrypt", { hint: secret, stage: "kms" }),
          new api.TimeoutError("Cannot decrypt", { hint: "Is it?", stage: "kms", cause: new Error(secret) }),
          Object.assign(new api.TimeoutError("Cannot decrypt", { hint: "Is it?", stage: "kms" }), {
            detail: secret,
          }),
        ]
      ) assert.throws(() => assertOutcome(describeError(leak), timeout, SECRETS), /shows a secret/);
    }
  });

  test("is the plaintext to the byte", () => {
    const [plaintext = new Uint8Array()] = SECRETS;
    const disguised = [...plaintext].map((byte) => byte ^ 0x5a);
    assertOutcome({ plaintext: disguised }, "plaintext", SECRETS);
    assert.throws(() => assertOutcome({ plaintext: disguised.slice(1) }, "plaintext", SECRETS));
    assert.throws(() => assertOutcome({ plaintext: disguised }, expected, SECRETS));
  });
});

/** Names the way in which a row's fault is made: two rows must not share one. */
function makingOf({ made, ownClient }: FaultRow): string {
  return JSON.stringify({ made, ownClient });
}
