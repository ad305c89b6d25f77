import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { afterAll, describe, test } from "#test";
import { systemdUnit } from "../../../cli/parent/systemd_unit.ts";

const folder = mkdtempSync(join(tmpdir(), "enclave-kms-unit-"));
afterAll(() => rmSync(folder, { recursive: true }));

const ALLOCATOR = "[Unit]\nDescription=stub\n[Service]\nType=oneshot\nExecStart=/bin/true\n";

/** Runs systemd-analyze on a unit; undefined where there is none. */
function analyze(
  words: readonly string[],
  unit: string,
): { status: number | null; output: string } | undefined {
  const path = join(folder, "enclave-kms-parent.service");
  writeFileSync(path, unit);
  writeFileSync(join(folder, "nitro-enclaves-allocator.service"), ALLOCATOR);
  const env = { ...process.env, SYSTEMD_UNIT_PATH: `${folder}:`, SYSTEMD_COLORS: "0" };
  const { status, stdout, stderr, error } = spawnSync("systemd-analyze", [...words, path], {
    env,
    encoding: "utf8",
  });
  return error === undefined ? { status, output: `${stdout}${stderr}` } : undefined;
}

const verify = (unit: string) => analyze(["verify", "--man=no"], unit);

// Elsewhere there is no systemd, or one that cannot verify as this user, in this container.
const control = verify(ALLOCATOR);
const canVerify = control?.status === 0 && control.output === "";
const reason = canVerify ? "" : " (needs systemd-analyze)";
const unit = systemdUnit({ command: [process.execPath], config: "/etc/a b%.json" });

describe.skipIf(!canVerify)(`systemd${reason}`, () => {
  test("has nothing to say about the unit, and would about a wrong one", () => {
    assert.deepEqual(verify(unit), { status: 0, output: "" });
    const wrong = verify(unit.replace("KillMode=mixed", "KillMode=mixd"));
    assert.match(wrong?.output ?? "", /kill mode/i);
  });

  test("finds the service shut in: at most 2.5 of 10", () => {
    const judged = analyze(["security", "--offline=true", "--threshold=25", "--no-pager"], unit);
    assert.equal(judged?.status, 0, judged?.output);
    const open = analyze(
      ["security", "--offline=true", "--threshold=25", "--no-pager"],
      unit.replace("ProtectSystem=strict\n", "").replace("CapabilityBoundingSet=\n", ""),
    );
    assert.notEqual(open?.status, 0);
  });
});
