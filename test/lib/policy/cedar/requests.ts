import { type FactParts, makeFacts, type PolicyFacts } from "../../../../lib/policy/mod.ts";

/** A policy for the request below: the common case. */
export const TENANT_POLICY = `@id("tenant")
permit(principal == Caller::"7", action == Action::"Decrypt", resource == Key::"alias/tenants")
when {
  principal has tenant &&
  context.encryptionContext.hasTag("tenant") &&
  context.encryptionContext.getTag("tenant") == principal.tenant
};
`;

/** Facts that {@link TENANT_POLICY} permits, unless a part is changed. */
export function facts(parts: Partial<FactParts> = {}): PolicyFacts {
  return makeFacts({
    action: "Decrypt",
    caller: { cid: 7, attributes: { tenant: "red" } },
    keyId: "alias/tenants",
    region: "eu-central-1",
    encryptionContext: { tenant: "red" },
    ciphertext: new Uint8Array(184),
    pcrs: { 0: "ab".repeat(48) },
    time: 1_800_000_000,
    recentCount: 1,
    ...parts,
  });
}

/** The same for another caller. */
export function factsOf(cid: number, tenant: string): PolicyFacts {
  return facts({ caller: { cid, attributes: { tenant } } });
}

/** Policies like the common case, each for a caller and key of its own. */
export function manyPolicies(count: number): string {
  return Array.from(
    { length: count },
    (_, index) => TENANT_POLICY.replace('"7"', `"${index}"`).replace('"tenant")\n', `"tenant-${index}")\n`),
  ).join("\n");
}

/**
 * Made by the first test that asks, and not while tests are collected: mutation testing must see which
 * tests load it.
 */
export function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}
