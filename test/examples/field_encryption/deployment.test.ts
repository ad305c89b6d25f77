import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { stringify } from "yaml";
import { afterAll, describe, test } from "#test";
import { readParentSettings } from "../../../parent/settings/parent_settings.ts";
import { DEFAULT_TELEMETRY_PORT } from "../../../parent/telemetry/telemetry_relay.ts";
import { ROOT } from "../../support/documents.ts";
import { type ReadFile, render, type Rendered } from "../../support/kustomize.ts";
import { type Container, podSpecOf, problemsOf } from "../../support/manifest_rules.ts";
import { RunningService } from "./start_service.ts";

const DEPLOY = join(ROOT, "examples/field-encryption/deploy");
const OVERLAY = join(DEPLOY, "kubernetes");
/** Port of the relay when nothing else is set, in main.ts. */
const RELAY_PORT = 8443;

const folder = mkdtempSync(join(tmpdir(), "enclave-kms-fields-deploy-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const onDisk: ReadFile = (path) => readFileSync(path, "utf8");

/** Reads files with one of them changed, by the end of its path. */
function changed(end: string, from: string | RegExp, to: string): ReadFile {
  return (path) => {
    const text = onDisk(path);
    return path.endsWith(end) ? text.replace(from, to) : text;
  };
}

interface ServiceSpec {
  readonly selector: Readonly<Record<string, string>>;
  readonly ports: readonly { readonly targetPort: string }[];
}

/** Finds what does not fit together: manifests, the parent's settings, and what the image has. */
function problemsOfDeployment(read: ReadFile): string[] {
  const rendered = render(OVERLAY, read);
  const enclave = rendered.manifests.find(({ kind, metadata }) =>
    kind === "DaemonSet" && metadata.name === "enclave"
  );
  const [container] = enclave === undefined ? [] : podSpecOf(enclave)?.containers ?? [];
  if (enclave === undefined || container === undefined) return ["there is no enclave"];
  return [
    ...rendered.manifests.flatMap((manifest) => problemsOf(stringify(manifest))),
    ...problemsOfParent(container, enclave as never, rendered, read),
    ...rendered.manifests.filter(({ kind }) => kind === "Service").flatMap(({ spec }) => {
      const { selector, ports } = spec as unknown as ServiceSpec;
      const labels = (enclave.spec?.["template"] as { metadata: { labels: object } }).metadata.labels;
      return [
        ...JSON.stringify(selector) === JSON.stringify(labels) ? [] : ["the service selects other pods"],
        ...ports.filter(({ targetPort }) => !container.ports?.some(({ name }) => name === targetPort))
          .map(({ targetPort }) => `no port is named ${targetPort}`),
      ];
    }),
  ];
}

function problemsOfParent(
  container: Container,
  enclave: Parameters<typeof podSpecOf>[0],
  { configMaps }: Rendered,
  read: ReadFile,
): string[] {
  const env = Object.fromEntries((container.env ?? []).map(({ name, value = "" }) => [name, value]));
  const { ENCLAVE_KMS_PARENT_CONFIG: place = "", ...others } = env;
  const mount = container.volumeMounts?.find(({ mountPath }) => place === `${mountPath}/${basename(place)}`);
  const volume = podSpecOf(enclave)?.volumes?.find(({ name }) => name === mount?.name);
  const map = (volume?.["configMap"] as { name?: string } | undefined)?.name ?? "";
  const file = configMaps.get(map)?.find((path) => basename(path) === basename(place));
  if (file === undefined) return [`nothing makes ${place}`];
  const path = join(folder, "parent.json");
  writeFileSync(path, read(file));
  try {
    return problemsOfSettings(
      readParentSettings({ ...others, EIF_PATH: "/srv/image.eif" }, path),
      container,
      read,
    );
  } catch (error) {
    return [(error as Error).message];
  }
}

function problemsOfSettings(
  { tlsRelay, ingress, telemetryEndpoint, telemetryPort, region }: ReturnType<typeof readParentSettings>,
  container: Container,
  read: ReadFile,
): string[] {
  const image = JSON.parse(read(join(DEPLOY, "config.json"))) as Readonly<Record<string, string>>;
  const hosts = ["kms", "s3", "secretsmanager"].map((name) => `${name}.${region}.amazonaws.com`);
  const [bridge] = ingress;
  return [
    ...hosts.filter((name) => tlsRelay?.allow.includes(name) !== true).map((name) =>
      `${name} is not allowed`
    ),
    ...(tlsRelay?.allow ?? []).filter((name) => !hosts.includes(name)).map((name) => `${name} is not needed`),
    ...tlsRelay?.port === RELAY_PORT ? [] : ["the relay is on another port than the image's"],
    ...image["tls"] === `vsock:${bridge?.enclavePort}`
      ? []
      : ["callers come to another port than the image's"],
    ...container.ports?.some(({ containerPort }) => containerPort === bridge?.port) === true
      ? []
      : ["the bridge is on no port of the container"],
    ...bridge?.host === "0.0.0.0" ? [] : ["the bridge listens where no other pod comes"],
    ...telemetryEndpoint === undefined ? ["telemetry goes nowhere"] : [],
    ...image["telemetry"] === `vsock:3:${telemetryPort}`
      ? []
      : ["telemetry goes to another port than the image's"],
  ];
}

describe("the deployment of examples/field-encryption", () => {
  test("fits together: manifests, the parent's settings, and what is in the image", () => {
    assert.deepEqual(problemsOfDeployment(onDisk), []);
    assert.equal(DEFAULT_TELEMETRY_PORT, 4318);
  });

  const mistakes: Readonly<
    Record<string, readonly [end: string, from: string | RegExp, to: string, expected: RegExp]>
  > = {
    "no way to S3": ["parent.json", /"s3\.eu.*,\n/, "", /s3\.eu-central-1\.amazonaws\.com is not allowed/],
    "S3 of another region": [
      "parent.json",
      "s3.eu-central-1",
      "s3.eu-west-1",
      /s3\.eu-west-1.* is not needed/,
    ],
    "another region": [
      "kubernetes/enclave.yaml",
      "value: eu-central-1",
      "value: eu-west-1",
      /is not allowed/,
    ],
    "more than it needs": ["parent.json", '"allow": [', '"allow": ["sts.amazonaws.com",', /sts.* not needed/],
    "another port of the relay": ["parent.json", "8443", "8442", /the relay is on another port/],
    "a setting that there is not": ["parent.json", "tlsRelay", "tlsRelais", /tlsRelais/],
    "a variable's value that is none": ["kubernetes/enclave.yaml", "http://collector", "collector", /OTEL_/],
    "no collector": [
      "kubernetes/enclave.yaml",
      "OTEL_EXPORTER_OTLP_ENDPOINT",
      "OTEL_X",
      /telemetry goes nowhere/,
    ],
    "telemetry to another port": [
      "config.json",
      "vsock:3:4318",
      "vsock:3:4317",
      /telemetry goes to another port/,
    ],
    "callers at another port": ["config.json", "vsock:8444", "vsock:8445", /callers come to another port/],
    "a bridge on another port": ["parent.json", '"port": 8444', '"port": 8445', /no port of the container/],
    "a bridge for the node alone": ["parent.json", ' "host": "0.0.0.0",', "", /where no other pod comes/],
    "a file that nothing mounts": [
      "enclave.yaml",
      "mountPath: /etc/enclave-kms",
      "mountPath: /etc/a",
      /nothing makes/,
    ],
    "a configuration by another name": [
      "kustomization.yaml",
      "field-encryption-parent",
      "parent",
      /nothing makes/,
    ],
    "a patch of the image": ["enclave.yaml", "readOnly: true", "readOnli: true", /readOnli is no field/],
    "a service of other pods": ["service.yaml", "name: enclave", "name: enclav", /selects other pods/],
    "a service's port that there is not": [
      "service.yaml",
      "targetPort: tls",
      "targetPort: tsl",
      /no port is named tsl/,
    ],
  };
  for (const [what, mistake] of Object.entries(mistakes)) {
    test(`with ${what} would be refused`, () => {
      const [end, from, to, expected] = mistake;
      const read = changed(end, from, to);
      assert.match(problemsOfDeployment(read).join("\n"), expected);
    });
  }

  test("patches no object that there is not", () => {
    const read = changed("field-encryption/deploy/kubernetes/enclave.yaml", "name: enclave", "name: enclav");
    assert.throws(() => render(OVERLAY, read), /there is no DaemonSet enclav to patch/);
  });
});

interface RoleStatement {
  readonly Effect: string;
  readonly Action: string;
  readonly Resource: string;
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

describe("the role's policy of examples/field-encryption", () => {
  const { Statement } = JSON.parse(readFileSync(join(DEPLOY, "role-policy.json"), "utf8")) as {
    Statement: readonly RoleStatement[];
  };
  const allowed = (action: string) => Statement.find(({ Action }) => Action === action);

  test("has the actions of the requests that the service makes, and no others", async () => {
    await using service = await RunningService.start();
    await service.untilReady();
    const asked = new Set(service.world.seen.map(({ service: name, target, headers }) => {
      if (name === "s3") return target.includes("list-type=2") ? "s3:ListBucket" : "s3:GetObject";
      return String(headers["x-amz-target"]).replace(/^secretsmanager\./, "secretsmanager:");
    }));
    assert.deepEqual([...asked].toSorted(), Statement.map(({ Action }) => Action).toSorted());
    assert.deepEqual(new Set(Statement.map(({ Effect }) => Effect)), new Set(["Allow"]));
  });

  test("lets the role list and read below the default prefix, in one account's bucket", () => {
    const list = allowed("s3:ListBucket");
    const read = allowed("s3:GetObject");
    assert.equal(list?.Condition?.["StringEquals"]?.["s3:prefix"], "schemas/");
    assert.equal(read?.Resource, `${list?.Resource}/schemas/*`);
    for (const statement of [list, read]) {
      assert.equal(statement?.Condition?.["StringEquals"]?.["aws:ResourceAccount"], "111122223333");
    }
  });
});
