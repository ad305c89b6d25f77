import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parse } from "yaml";
import { type Manifest, readManifests } from "./manifest_rules.ts";

/** Part of a kustomization. */
export interface Kustomization {
  readonly namespace: string;
  readonly resources: readonly string[];
  readonly configMapGenerator?: readonly { readonly name: string; readonly files: readonly string[] }[];
  readonly patches?: readonly { readonly path: string }[];
}

/** Rendered objects, and the names of their configuration with the files in it. */
export interface Rendered {
  readonly manifests: readonly Manifest[];
  readonly configMaps: ReadonlyMap<string, readonly string[]>;
}

/** Fields by which lists are merged: of all others the patch's list counts. */
const LIST_KEYS: Readonly<Record<string, string>> = {
  containers: "name",
  env: "name",
  ports: "containerPort",
  volumeMounts: "mountPath",
  volumes: "name",
};

/** Reads a file of a kustomization, by its path. */
export type ReadFile = (path: string) => string;

/**
 * Renders what `kubectl apply -k` would apply, as far as the manifests of this repository need it: resources, strategic
 * merge patches, and the names of generated configuration, which get no hash here.
 *
 * @param folder Folder of a kustomization.yaml
 * @param read Reads a file. Default: from the disk
 * @throws {Error} When a patch is for an object that there is not
 */
export function render(folder: string, read: ReadFile = (path) => readFileSync(path, "utf8")): Rendered {
  const kustomization = parse(read(join(folder, "kustomization.yaml")), { strict: true }) as Kustomization;
  const { resources, configMapGenerator = [], patches = [] } = kustomization;
  const bases = resources.filter((name) => !name.endsWith(".yaml")).map((name) =>
    render(join(folder, name), read)
  );
  const manifests = [
    ...bases.flatMap((base) => base.manifests),
    ...resources.filter((name) => name.endsWith(".yaml")).flatMap((name) =>
      readManifests(read(join(folder, name)))
    ),
  ];
  for (const patch of patches.flatMap(({ path }) => readManifests(read(join(folder, path))))) {
    const at = manifests.findIndex(({ kind, metadata }) =>
      kind === patch.kind && metadata.name === patch.metadata.name
    );
    if (at < 0) throw new Error(`there is no ${patch.kind} ${patch.metadata.name} to patch`);
    manifests[at] = merge(manifests[at], patch, "") as Manifest;
  }
  const configMaps = new Map(bases.flatMap((base) => [...base.configMaps]));
  for (const { name, files } of configMapGenerator) {
    configMaps.set(name, files.map((file) => join(dirname(join(folder, "kustomization.yaml")), file)));
  }
  return { manifests, configMaps };
}

function merge(base: unknown, patch: unknown, field: string): unknown {
  if (Array.isArray(base) && Array.isArray(patch)) return mergeLists(base, patch, LIST_KEYS[field]);
  if (!isObject(base) || !isObject(patch)) return patch;
  const merged: Record<string, unknown> = { ...base };
  for (const [name, value] of Object.entries(patch)) merged[name] = merge(base[name], value, name);
  return merged;
}

function mergeLists(base: readonly unknown[], patch: readonly unknown[], key: string | undefined): unknown[] {
  if (key === undefined) return [...patch];
  const merged = [...base] as Record<string, unknown>[];
  for (const item of patch as Record<string, unknown>[]) {
    const at = merged.findIndex((one) => one[key] === item[key]);
    if (at < 0) merged.push(item);
    else merged[at] = merge(merged[at], item, "") as Record<string, unknown>;
  }
  return merged;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
