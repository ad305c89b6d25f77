import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "#test";
import { enclaveApp, startEnclave } from "../../../enclave/mod.ts";
import { createLogger } from "../../../enclave/telemetry/log.ts";
import { Metrics } from "../../../enclave/telemetry/metrics.ts";
import { createFetch } from "../../../lib/transport/mod.ts";
import { startSimulator } from "../../../sim/mod.ts";

interface Dashboard {
  readonly panels: readonly {
    readonly id: number;
    readonly title: string;
    readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
    readonly targets: readonly { readonly expr: string }[];
  }[];
  readonly templating: { readonly list: readonly { readonly query: string }[] };
}

const URL_OF_FILE = new URL("../../../deploy/grafana/dashboard.json", import.meta.url);
const DASHBOARD = JSON.parse(readFileSync(URL_OF_FILE, "utf8")) as Dashboard;
const EXPRESSIONS = [
  ...DASHBOARD.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr)),
  ...DASHBOARD.templating.list.map(({ query }) => query),
];
const USED = new Set(EXPRESSIONS.flatMap((expression) => expression.match(/enclave_kms_\w+/g) ?? []));

/** Names of the samples that a page of metrics has or may have. */
function namesIn(page: string): ReadonlySet<string> {
  const types = [...page.matchAll(/^# TYPE (\w+) (\w+)$/gm)];
  return new Set(
    types.flatMap(([, name = "", type]) =>
      type === "histogram" ? ["bucket", "sum", "count"].map((part) => `${name}_${part}`) : [name]
    ),
  );
}

describe("the dashboard for Grafana", () => {
  test("asks for metrics that an enclave prints, and for all of them", async () => {
    await using simulator = await startSimulator();
    await using enclave = await startEnclave(enclaveApp(), {
      name: "measured",
      nsm: simulator.nsm,
      logger: createLogger("silent"),
      signals: false,
      environment: {
        ENV_SETUP: "SIM",
        ENCLAVE_KMS_REQUEST_TIMEOUT_MS: "50000",
        ENCLAVE_PORT: "0",
        CONTROL_PORT: "0",
      },
    });
    const printed = namesIn(await (await createFetch(enclave.endpoint)("http://enclave/metrics")).text());
    assert.deepEqual([...USED].filter((name) => !printed.has(name)), []);
    const families = [...printed].filter((name) => !/_(?:bucket|sum|count)$/.test(name));
    assert.deepEqual(families.filter((name) => !USED.has(name)), []);
    assert.ok(USED.size > 20, `${USED.size} metrics`);
    assert.ok(!printed.has("enclave_kms_request_seconds"), "one that is not there would be found");
  });

  test("tells series apart by labels that they have", () => {
    const metrics = new Metrics();
    metrics.countRequest("http", "Decrypt", "ok", 0.1);
    metrics.countKmsError("ThrottlingException");
    metrics.countHandshake("ok");
    metrics.countReload("ok");
    metrics.observeTelemetry({ counts: [[{ signal: "traces", outcome: "sent" }, 1]], waitingBytes: 0 });
    const page = metrics.render();
    const labelsOf = (name: string) => {
      const sample = new RegExp(`^${name}\\{(.*)\\} `, "m").exec(page)?.[1] ?? "";
      return [...sample.matchAll(/(\w+)=/g)].map(([, label]) => label);
    };
    let compared = 0;
    for (const expression of EXPRESSIONS) {
      const grouped = [...expression.matchAll(/by \(([^)]+)\) \((?:\w+\()?(enclave_kms_\w+)\{([^}]*)\}/g)];
      assert.equal(grouped.length, expression.split("by (").length - 1, expression);
      for (const [, labels = "", name = "", matchers = ""] of grouped) {
        const matched = [...matchers.matchAll(/(\w+)[=!]/g)].map(([, label = ""]) => label);
        for (const label of [...labels.split(", "), ...matched].filter((label) => label !== "job")) {
          assert.ok(labelsOf(name).includes(label), `${name} has no ${label}`);
          compared++;
        }
      }
    }
    assert.ok(compared > 15, `${compared} labels`);
  });

  test("has whole expressions, and panels that do not overlap", () => {
    for (const expression of EXPRESSIONS) {
      for (const [open, close] of ["()", "{}", "[]"].map((pair) => [...pair])) {
        assert.equal(expression.split(open ?? "").length, expression.split(close ?? "").length, expression);
      }
    }
    const cells = DASHBOARD.panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, index) => `${x + index % w} ${y + Math.floor(index / w)}`)
    );
    assert.equal(new Set(cells).size, cells.length);
    assert.equal(new Set(DASHBOARD.panels.map(({ id }) => id)).size, DASHBOARD.panels.length);
  });
});
