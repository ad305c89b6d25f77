import { validate as daemonSet } from "kubernetes-models/_schemas/IoK8sApiAppsV1DaemonSet";
import { validate as namespace } from "kubernetes-models/_schemas/IoK8sApiCoreV1Namespace";
import { validate as pod } from "kubernetes-models/_schemas/IoK8sApiCoreV1Pod";
import { validate as service } from "kubernetes-models/_schemas/IoK8sApiCoreV1Service";
import { validate as serviceAccount } from "kubernetes-models/_schemas/IoK8sApiCoreV1ServiceAccount";
import { validate as networkPolicy } from "kubernetes-models/_schemas/IoK8sApiNetworkingV1NetworkPolicy";
import { parseAllDocuments } from "yaml";

/** Kinds that may be in a manifest, by their version and kind. */
const VALIDATORS = {
  "apps/v1 DaemonSet": daemonSet,
  "networking.k8s.io/v1 NetworkPolicy": networkPolicy,
  "v1 Namespace": namespace,
  "v1 Pod": pod,
  "v1 Service": service,
  "v1 ServiceAccount": serviceAccount,
};

/** Parsed object of Kubernetes. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels?: Readonly<Record<string, string>> };
  readonly spec?: Readonly<Record<string, unknown>>;
}

/** Part of a container's specification. */
export interface Container {
  readonly image: string;
  readonly args?: readonly string[];
  readonly env?: readonly { readonly name: string; readonly value?: string }[];
  readonly ports?: readonly { readonly name: string; readonly containerPort: number }[];
  readonly resources: Readonly<Record<"requests" | "limits", Readonly<Record<string, string>>>>;
  readonly securityContext?: Readonly<Record<string, unknown>>;
  readonly readinessProbe?: { readonly exec?: { readonly command: readonly string[] } };
  readonly volumeMounts?: readonly { readonly name: string; readonly mountPath: string }[];
}

/** Part of a pod's specification. */
export interface PodSpec {
  readonly nodeSelector?: Readonly<Record<string, string>>;
  readonly securityContext?: Readonly<Record<string, unknown>>;
  readonly automountServiceAccountToken?: boolean;
  readonly containers: readonly Container[];
  readonly volumes?: readonly Readonly<Record<string, unknown> & { name: string }>[];
}

/** Reads the documents of a file strictly: no key twice, no anchor, no tag. */
export function readManifests(text: string): Manifest[] {
  return parseAllDocuments(text, { strict: true, uniqueKeys: true }).map((document) => {
    if ("errors" in document && document.errors[0] !== undefined) throw document.errors[0];
    return document.toJS({ maxAliasCount: 0 }) as Manifest;
  });
}

/** Specification of the pods of an object; undefined when it has none. */
export function podSpecOf({ kind, spec }: Manifest): PodSpec | undefined {
  if (kind === "Pod") return spec as unknown as PodSpec;
  return (spec?.["template"] as { spec?: PodSpec } | undefined)?.spec;
}

/** Finds what is wrong with a manifest: by the schemas of Kubernetes, and by what an enclave's pod must be. */
export function problemsOf(text: string): string[] {
  return readManifests(text).flatMap((manifest) => {
    const pod = podSpecOf(manifest);
    return [
      ...bySchema(manifest),
      ...manifest.kind === "DaemonSet" ? ofDaemonSet(manifest) : [],
      ...pod === undefined ? [] : ofPod(pod),
    ].map((problem) => `${manifest.kind} ${manifest.metadata?.name}: ${problem}`);
  });
}

function bySchema(manifest: Manifest): string[] {
  const name = `${manifest.apiVersion} ${manifest.kind}`;
  if (!Object.hasOwn(VALIDATORS, name)) return [`${name} is no kind that is known`];
  const validate = VALIDATORS[name as keyof typeof VALIDATORS];
  const unread = new Set<string>();
  const isValid = validate(watched(manifest, "", unread));
  const errors =
    (validate as { errors?: readonly { instancePath: string; message?: string; keyword: string }[] }).errors;
  return [
    ...isValid
      ? []
      : (errors ?? []).map(({ instancePath, message, keyword }) => `${instancePath} ${message ?? keyword}`),
    ...[...unread].map((path) => `${path} is no field`),
  ];
}

/** Notes the fields that the schema never looks at: it lets them pass, and a cluster drops them. */
function watched<T extends object>(value: T, path: string, unread: Set<string>): T {
  if (!Array.isArray(value)) { for (const key of Object.keys(value)) unread.add(`${path}/${key}`); }
  return new Proxy(value, {
    get(target, key, receiver) {
      const found: unknown = Reflect.get(target, key, receiver);
      const place = `${path}/${String(key)}`;
      unread.delete(place);
      return typeof found === "object" && found !== null ? watched(found, place, unread) : found;
    },
  });
}

function ofDaemonSet({ spec }: Manifest): string[] {
  const { updateStrategy, selector, template } = spec as {
    updateStrategy?: { type?: string; rollingUpdate?: { maxUnavailable?: number; maxSurge?: number } };
    selector?: { matchLabels?: object };
    template?: { metadata?: { labels?: object } };
  };
  const labels = JSON.stringify(template?.metadata?.labels);
  const { maxUnavailable, maxSurge = 0 } = updateStrategy?.rollingUpdate ?? {};
  return [
    ...updateStrategy?.type === "RollingUpdate" && maxUnavailable === 1 && maxSurge === 0
      ? []
      : ["it does not go one node at a time"],
    ...JSON.stringify(selector?.matchLabels) === labels ? [] : ["its selector does not select its pods"],
  ];
}

/** A pod that runs as nobody in particular, on labelled nodes, and gets no more than it asks for. */
function ofPod(pod: PodSpec): string[] {
  const { runAsNonRoot, runAsUser, seccompProfile } = (pod.securityContext ?? {}) as {
    runAsNonRoot?: boolean;
    runAsUser?: number;
    seccompProfile?: { type?: string };
  };
  const volumes = pod.volumes ?? [];
  return [
    ...pod.nodeSelector?.["aws-nitro-enclaves-k8s-dp"] === "enabled" ? [] : ["it may run on any node"],
    ...runAsNonRoot === true && (runAsUser ?? 0) > 0 ? [] : ["it may run as root"],
    ...seccompProfile?.type === "Unconfined" ? [] : ["its seccomp profile refuses vsock"],
    ...pod.automountServiceAccountToken === false ? [] : ["it gets a token of the cluster"],
    ...volumes.filter((volume) => "hostPath" in volume).map(({ name }) => `${name} is a path of the node`),
    ...pod.containers.flatMap((container) => ofContainer(container, volumes.map(({ name }) => name))),
  ];
}

function ofContainer(container: Container, volumes: readonly string[]): string[] {
  const { securityContext = {}, resources, volumeMounts = [], env = [] } = container;
  const { capabilities } = securityContext as { capabilities?: { drop?: readonly string[]; add?: unknown } };
  const enclaves = resources?.limits?.[ENCLAVES];
  const pages = Object.entries(resources?.limits ?? {}).find(([name]) => name.startsWith("hugepages-"));
  const memoryMib = Number(env.find(({ name }) => name === "ENCLAVE_MEMORY_MB")?.value ?? NaN);
  const extended = [ENCLAVES, ...pages === undefined ? [] : [pages[0]]];
  return [
    ...securityContext["allowPrivilegeEscalation"] === false ? [] : ["it may get more rights"],
    ...securityContext["readOnlyRootFilesystem"] === true ? [] : ["its files can be changed"],
    ...capabilities?.drop?.includes("ALL") === true && capabilities.add === undefined
      ? []
      : ["it has capabilities"],
    ...resources?.limits?.["memory"] === undefined ? ["its memory has no limit"] : [],
    ...volumeMounts.filter(({ name }) => !volumes.includes(name)).map(({ name }) =>
      `there is no volume ${name}`
    ),
    ...enclaves === undefined && pages === undefined && !Number.isFinite(memoryMib) ? [] : [
      ...enclaves === "1" ? [] : ["it does not ask for one enclave"],
      ...pages !== undefined && mibOf(pages[1]) >= memoryMib
        ? []
        : ["its huge pages are less than the enclave's memory"],
      ...extended.some((name) => resources.requests?.[name] !== resources.limits[name])
        ? ["it requests something else than its limit, which these resources do not have"]
        : [],
    ],
  ];
}

/** Resource that the device plugin of AWS offers. */
const ENCLAVES = "aws.ec2.nitro/nitro_enclaves";

function mibOf(quantity: string): number {
  const [, number = "", unit = ""] = /^(\d+)([MG]i)$/.exec(quantity) ?? [];
  return Number(number) * (unit === "Gi" ? 1024 : 1);
}
