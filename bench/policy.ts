/**
 * What policies cost: `node bench/policy.ts` or `deno run -A bench/policy.ts`. Prints the time to load, and
 * the median and 99th percentile of decisions, with how much of that is fuel metering.
 *
 * @module
 */
import process from "node:process";
import * as unmetered from "@cedar-policy/cedar-wasm/nodejs";
import { cedarPolicy, cedarSchema, makeFacts, type PolicyFacts, wasmPolicy } from "../lib/policy/mod.ts";
import { lookingFor, plugin } from "../test/support/wasm_module.ts";
import { facts, manyPolicies } from "../test/lib/policy/requests.ts";

const ROUNDS = 5000;
const WARM_UP = 1000;

const runtime = "Deno" in globalThis ? `Deno ${process.versions["deno"]}` : `Node ${process.version}`;
console.log(`${runtime}, ${process.arch}; milliseconds`);

const request = facts({ caller: { cid: 5, attributes: { tenant: "red" } } });

const started = performance.now();
const startedCpu = threadCpuMs();
cedarPolicy(manyPolicies(100));
line("load 100 policies, cold", { ms: performance.now() - started, cpu: threadCpuMs() - startedCpu });

for (const count of [10, 100, 1000]) {
  const text = manyPolicies(count);
  const loading = performance.now();
  const policy = cedarPolicy(text);
  const load = performance.now() - loading;
  const metered = measure(() => policy.decide(request).allowed);
  const plain = measure(unmeteredDecision(text, request));
  line(`Cedar, ${count} policies`, { load, ...metered, fuel: policy.decide(request).fuelUsed ?? 0 });
  line(`Cedar, ${count} policies, its own glue, no fuel`, { ...plain, ratio: metered.p50 / plain.p50 });
}

const module = wasmPolicy(plugin(lookingFor("Decr")));
line("plug-in, fresh instance", measure(() => module.decide(request).allowed, 50_000));
line("makeFacts()", measure(() => makeFacts(parts()).action === "Decrypt"));

function parts(): Parameters<typeof makeFacts>[0] {
  const { principal, action, resource, context } = request;
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

/** The same decision by the package's own glue: objects in and out, and no limits. */
function unmeteredDecision(text: string, { principal, resource, context }: PolicyFacts): () => boolean {
  unmetered.preparseSchema("schema", cedarSchema());
  unmetered.preparsePolicySet("policies", { staticPolicies: text });
  const uid = (type: string, id: string) => ({ type, id });
  const caller = uid("Caller", String(principal.cid));
  const key = uid("Key", resource.key);
  const tags = uid("EncryptionContext", "request");
  return () => {
    const answer = unmetered.statefulIsAuthorized({
      principal: caller,
      action: uid("Action", "Decrypt"),
      resource: key,
      context: { ...context, pcrs: { ...context.pcrs }, encryptionContext: { __entity: tags } },
      entities: [
        { uid: caller, attrs: { cid: principal.cid, tenant: "red" }, parents: [] },
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

/** This thread's own time, which a busy machine does not lengthen; Node.js 22 has no such clock. */
function threadCpuMs(): number {
  if (!("threadCpuUsage" in process)) return NaN;
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

function measure(decide: () => boolean, rounds = ROUNDS): { p50: number; p99: number } {
  const times = Array.from({ length: WARM_UP + rounds }, () => {
    const start = performance.now();
    if (!decide()) throw new Error("The benchmark measures a refusal");
    return performance.now() - start;
  }).slice(WARM_UP).sort((a, b) => a - b);
  const at = (share: number) => times[Math.floor(times.length * share)] ?? NaN;
  return { p50: at(0.5), p99: at(0.99) };
}

function line(name: string, numbers: Readonly<Record<string, number>>): void {
  const columns = Object.entries(numbers).map(([unit, value]) => `${unit} ${Number(value.toFixed(3))}`);
  console.log(`${name.padEnd(50)} ${columns.join("  ")}`);
}
