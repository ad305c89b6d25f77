import assert from "node:assert/strict";
import { describe, test } from "#test";
import { readSummaryPcrs } from "../../deploy/eif/build_summary.ts";
import { judgePolicy } from "../../deploy/keys/gate.ts";
import { makeKeyPolicy } from "../../deploy/keys/make_policy.ts";
import { checkEnclave } from "../../cli/parent/check_parent.ts";
import { Deadline } from "../../lib/core/deadline.ts";
import { launchEnclave } from "../../parent/launch_enclave.ts";
import { findNitroError } from "../../parent/nitro/error_names.ts";
import { readParentSettings } from "../../parent/settings/parent_settings.ts";
import { readPage, tableRows } from "../support/documents.ts";
import { FakeNitroCli, FIRST_ID } from "../support/fake_nitro_cli.ts";

const ROLE = "arn:aws:iam::111122223333:role/enclave";
const ADMINISTRATOR = "arn:aws:iam::111122223333:role/key-admin";
const [PCR0, OTHER] = ["1a".repeat(48), "2b".repeat(48)];

const [, section = ""] = readPage("docs/rollout.md").split("## Twenty messages");
const rows = tableRows(section).filter(([message]) => message !== "message" && !/^-+$/.test(message ?? ""));
const messages = rows.map(([message = ""]) => message.replaceAll("`", ""));

interface Policy {
  readonly Statement: readonly [administration: object, image: { readonly Action: readonly string[] }];
}

function policy(): Policy {
  return JSON.parse(
    makeKeyPolicy({ images: [{ pcr0: PCR0 }], role: ROLE, administrators: [ADMINISTRATOR] }),
  ) as Policy;
}

function judge(statements: readonly object[], running: readonly string[] = []): string {
  const findings = judgePolicy(JSON.stringify({ Version: "2012-10-17", Statement: statements }), {
    role: ROLE,
    running: running.map((pcr0) => ({ pcr0 })),
  });
  return findings.map(({ rule, sentence }) => `${rule}: ${sentence}`).join("\n");
}

async function failureOf(run: () => unknown): Promise<string> {
  try {
    await run();
  } catch (error) {
    return (error as Error).message;
  }
  return "it did not fail";
}

/** Launches with a scripted nitro-cli. */
async function launch(
  change: { readonly eifPath?: string; readonly memoryMib?: number },
  prepare?: (nitro: FakeNitroCli) => void,
) {
  using nitro = new FakeNitroCli();
  prepare?.(nitro);
  return await failureOf(async () => {
    await using _ = await launchEnclave({ eifPath: nitro.eifPath, nitroCli: nitro.path, ...change });
  });
}

/** Asks for an enclave that nitro-cli does not list. */
async function check() {
  using nitro = new FakeNitroCli();
  const settings = readParentSettings({
    NITRO_CLI: nitro.path,
    EIF_PATH: nitro.eifPath,
    KMS_PROXY_ENABLE: "false",
  });
  using deadline = new Deadline("check", 60_000);
  const parent = {
    stage: "watch",
    isReady: true,
    failureCount: 0,
    enclaveId: FIRST_ID,
    lastFailure: undefined,
  } as const;
  return await failureOf(() => checkEnclave(parent, "running", { settings, deadline }));
}

/** Ways to our own messages, by their beginning. */
const WAYS: Readonly<Record<string, () => string | Promise<string>>> = {
  "Cannot launch the enclave: its image cannot be read": () => launch({ eifPath: "/nowhere/image.eif" }),
  "Cannot launch the enclave with": () => launch({ memoryMib: 16 }),
  "Cannot launch the enclave: another": () => launch({}, (nitro) => nitro.add({ EnclaveCID: 16 })),
  "Cannot launch the enclave: it runs in debug mode": () =>
    launch({}, (nitro) => nitro.replace("run-enclave", 'forced=DEBUG_MODE; standard "$@"')),
  "Cannot find the enclave as it should be": check,
  "Cannot read the build summary": () =>
    failureOf(() => readSummaryPcrs(JSON.stringify({ pcrs: { 0: "0".repeat(96) } }))),
  "unattested-access": () => {
    const [administration, image] = policy().Statement;
    return judge([administration, { ...image, Condition: undefined }]);
  },
  "running-image": () => judge(policy().Statement, [OTHER]),
  "bypass": () => {
    const [administration, image] = policy().Statement;
    return judge([administration, { ...image, Action: [...image.Action, "kms:CreateGrant"] }]);
  },
  "administrators must not": () =>
    failureOf(() => makeKeyPolicy({ images: [{ pcr0: PCR0 }], role: ROLE, administrators: [ROLE] })),
};

describe("the messages of docs/rollout.md", () => {
  test("are twenty or more, each with a meaning and something to do", () => {
    assert.ok(rows.length >= 20, `${rows.length}`);
    for (const [message = "", meaning = "", todo = ""] of rows) {
      assert.ok(meaning.length > 5 && todo.length > 5, message);
    }
  });

  for (const message of messages) {
    test(`"${message.slice(0, 60)}" is what is written`, async () => {
      const [, code, name] = /^(E\d\d) (\w+)$/.exec(message) ?? [];
      if (code !== undefined) {
        const found = findNitroError(`[ ${code} ] What it is.`, undefined);
        assert.equal(found?.name, name);
        return;
      }
      // KMS's own: the simulator and the tests of the client have it.
      if (message === "AccessDeniedException") {
        return assert.ok(readPage("docs/troubleshooting.md").includes(message));
      }
      const [, way] = Object.entries(WAYS).find(([beginning]) => message.startsWith(beginning)) ?? [];
      assert.ok(way !== undefined, message);
      assert.equal(await way(), message);
    });
  }

  test("leave no way out that there is here", () => {
    for (const beginning of Object.keys(WAYS)) {
      assert.ok(messages.some((one) => one.startsWith(beginning)), beginning);
    }
  });
});
