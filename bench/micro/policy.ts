import * as unmetered from "@cedar-policy/cedar-wasm/nodejs";
import { makeFacts, type PolicyFacts } from "../../lib/policy/mod.ts";
import { facts, manyPolicies } from "../../test/lib/policy/cedar/requests.ts";
import { lookingFor, plugin } from "../../test/support/wasm_module.ts";
import { OWN_RUNTIME } from "../runtimes.ts";
import type { Row } from "../table.ts";
import { measureTurns, type Turns } from "./turns.ts";
import { cedarPolicy, cedarSchema, wasmPolicy } from "../../test/support/policies.ts";

const SECTION = "Policies: one decision";
const COUNTS = [10, 100, 1000];

/**
 * Measures decisions at 10, 100 and 1000 policies, beside Cedar's own glue, which has no fuel and no cap on
 * memory and passes objects. Decisions are remembered only in the row that says so.
 *
 * @param turns Number of turns
 */
export async function policyRows(turns: Turns): Promise<Row[]> {
  const request = facts({ caller: { cid: 5, attributes: { tenant: "red" } } });
  const rows: Row[] = [];
  for (const count of COUNTS) {
    const text = manyPolicies(count);
    const started = performance.now();
    const policy = cedarPolicy(text, { remembered: 0 });
    const loadMs = performance.now() - started;
    const [metered, plain] = await measureTurns(
      [() => policy.decide(request).allowed, unmeteredDecision(text, request)],
      turns,
    );
    rows.push({
      ...row(`Cedar, ${count} policies`),
      ...metered,
      ratio: metered.p50 / plain.p50,
      baseline: "Cedar's own glue, no fuel",
      note: `fuel ${policy.decide(request).fuelUsed}, loaded in ${loadMs.toFixed(0)} ms`,
    });
  }
  const module = wasmPolicy(plugin(lookingFor("Decr")));
  const remembering = cedarPolicy(manyPolicies(100));
  const [remembered, own, making] = await measureTurns([
    () => remembering.decide(request).allowed,
    () => module.decide(request).allowed,
    () => makeFacts(parts(request)).action === "Decrypt",
  ], turns);
  const baseline = "making the facts";
  const again = row("Cedar, 100 policies, a decision it remembers");
  rows.push({ ...again, ...remembered, ratio: remembered.p50 / making.p50, baseline });
  rows.push({ ...row("WebAssembly plug-in, fresh instance"), ...own, ratio: own.p50 / making.p50, baseline });
  rows.push({ ...row(baseline), ...making, ratio: 1, baseline });
  return rows;
}

function row(what: string): Row {
  return { section: SECTION, what, runtime: OWN_RUNTIME, unit: "ms" };
}

function parts({ principal, action, resource, context }: PolicyFacts): Parameters<typeof makeFacts>[0] {
  return {
    action,
    caller: principal,
    keyId: resource.key,
    region: resource.region,
    encryptionContext: context.encryptionContext,
    ciphertext: new Uint8Array(184),
    time: context.time,
    recentCount: context.recentCount,
  };
}

/** Makes the same decision by the package's own glue: objects in and out, and no limits. */
function unmeteredDecision(text: string, { principal, resource, context }: PolicyFacts): () => boolean {
  unmetered.preparseSchema("schema", cedarSchema());
  unmetered.preparsePolicySet("policies", { staticPolicies: text });
  const uid = (type: string, id: string) => ({ type, id });
  const cid = principal.type === "Caller" ? principal.cid : 0;
  const caller = uid("Caller", String(cid));
  const key = uid("Key", resource.key);
  const tags = uid("EncryptionContext", "request");
  return () => {
    const answer = unmetered.statefulIsAuthorized({
      principal: caller,
      action: uid("Action", "Decrypt"),
      resource: key,
      context: { ...context, pcrs: { ...context.pcrs }, encryptionContext: { __entity: tags } },
      entities: [
        { uid: caller, attrs: { cid, tenant: "red" }, parents: [] },
        { uid: key, attrs: { id: resource.key, region: resource.region }, parents: [] },
        { uid: tags, attrs: {}, parents: [], tags: { ...context.encryptionContext } },
      ],
      validateRequest: true,
      preparsedSchemaName: "schema",
      preparsedPolicySetId: "policies",
    });
    return answer.type === "success" && answer.response.decision === "allow";
  };
}
