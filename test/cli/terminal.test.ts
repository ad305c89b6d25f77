import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { describe, test } from "#test";
import { colour, wantsColour } from "../../cli/terminal.ts";

const SAMPLE = ["policy", "check", "examples/policies/tenants.cedar"];
const MAIN = fileURLToPath(new URL("../../cli/main.ts", import.meta.url));
const RUNTIME = "Deno" in globalThis ? "deno run --quiet --no-check --allow-all" : "node";

const hasScript = spawnSync("script", ["--version"]).status === 0;
const REASON = hasScript ? "" : " (skipped: there is no script(1) to make a terminal)";

describe("colour", () => {
  test("only on a terminal, and never against NO_COLOR or a dumb one", () => {
    const env = (values: Readonly<Record<string, string>>) => (name: string) => values[name];
    assert.equal(wantsColour({ isTTY: true }, env({})), true);
    assert.equal(wantsColour({ isTTY: true }, env({ TERM: "xterm-256color" })), true);
    assert.equal(wantsColour({ isTTY: true }, env({ NO_COLOR: "1" })), false);
    assert.equal(wantsColour({ isTTY: true }, env({ TERM: "dumb" })), false);
    assert.equal(wantsColour({}, env({})), false);
    assert.equal(colour("good", "ok"), "\x1b[32mok\x1b[0m");
  });

  test.skipIf(!hasScript)(`a terminal gets it, a pipe does not${REASON}`, () => {
    const env = { ...process.env, TERM: "xterm" };
    // A child of Deno's inherits what its own environment leaves out.
    const command = `unset NO_COLOR; ${RUNTIME} ${MAIN} ${SAMPLE.join(" ")}`;
    const terminal = spawnSync("script", ["-qec", command, "/dev/null"], { env, encoding: "utf8" });
    assert.equal(terminal.stdout.trim(), "\x1b[32mok\x1b[0m tenants.cedar");
    const quietly = command.replace("unset NO_COLOR", "export NO_COLOR=1");
    const quiet = spawnSync("script", ["-qec", quietly, "/dev/null"], { env, encoding: "utf8" });
    assert.equal(quiet.stdout.trim(), "ok tenants.cedar");
    const pipe = spawnSync("sh", ["-c", command], { env, encoding: "utf8" });
    assert.equal(pipe.stdout, "ok tenants.cedar\n");
  });
});
