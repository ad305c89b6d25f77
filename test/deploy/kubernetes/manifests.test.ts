import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { describe, test } from "#test";
import { parseArguments } from "../../../cli/arguments.ts";
import { COMMANDS } from "../../../cli/command_table.ts";
import { SETTING_TABLE } from "../../../parent/settings/setting_table.ts";
import { parseVsockProxyArguments } from "../../../parent/vsock_proxy.ts";
import { readVsockProxyAllowList } from "../../../parent/vsock_proxy_allow_list.ts";
import { readPage, ROOT, tableRows } from "../../support/documents.ts";
import { podSpecOf, problemsOf, readManifests } from "../../support/manifest_rules.ts";

const FOLDER = join(ROOT, "deploy/kubernetes");
const read = (name: string) => readFileSync(join(FOLDER, name), "utf8");

/** Files for Kustomize and for the proxy, which are no manifests. */
const OTHERS = ["kustomization.yaml", "vsock-proxy-allow-list.yaml"];
const names = readdirSync(FOLDER).filter((name) => name.endsWith(".yaml") && !OTHERS.includes(name));

interface Kustomization {
  readonly namespace: string;
  readonly resources: readonly string[];
  readonly configMapGenerator: readonly { readonly name: string; readonly files: readonly string[] }[];
  readonly images: readonly { readonly name: string; readonly newName: string; readonly digest: string }[];
}

const kustomization = parse(read("kustomization.yaml"), { strict: true }) as Kustomization;

describe("the manifests of Kubernetes", () => {
  for (const name of names) {
    test(`${name} has no fault that we look for`, () => assert.deepEqual(problemsOf(read(name)), []));
  }

  test("are all in kustomization.yaml but the example, and it names no other files", () => {
    assert.deepEqual([...kustomization.resources, "example-pod.yaml"].toSorted(), names.toSorted());
    const known = ["apiVersion", "kind", "namespace", "resources", "configMapGenerator", "images"];
    assert.deepEqual(Object.keys(kustomization).filter((key) => !known.includes(key)), []);
    for (const { files } of kustomization.configMapGenerator) for (const file of files) assert.ok(read(file));
    const [namespace] = readManifests(read("namespace.yaml"));
    assert.equal(namespace?.metadata.name, kustomization.namespace);
  });

  test("have each image by digest, and no digest that somebody could take for a real one", () => {
    const containers = names.flatMap((name) => readManifests(read(name)))
      .flatMap((manifest) => podSpecOf(manifest)?.containers ?? []);
    assert.equal(containers.length, 3);
    for (const { image } of containers) {
      const digest = kustomization.images.find(({ name }) => name === image)?.digest ?? image.split("@")[1];
      assert.equal(digest, `sha256:${"0".repeat(64)}`, image);
    }
  });

  test("set variables that the script and the parent know, to values that the parent takes", () => {
    const table = new Map(Object.values(SETTING_TABLE).map(({ variable, kind }) => [variable, kind]));
    const renamed = new Map(
      tableRows(readPage("docs/running-the-parent.md")).map((row) =>
        row.map((cell) => cell.replaceAll("`", ""))
      )
        .filter(([name = ""]) => /^[A-Z_]{3,}$/.test(name)).map(([name, passedOn]) => [name, passedOn]),
    );
    const env = ["enclave.yaml", "example-pod.yaml"].flatMap((name) => readManifests(read(name)))
      .flatMap((manifest) => podSpecOf(manifest)?.containers ?? []).flatMap(({ env = [] }) => env);
    assert.ok(env.length > 8);
    for (const { name, value } of env) {
      if (name === "HEALTH_CHECK_INTERVAL") continue;
      const kind = table.get(renamed.get(name) ?? name);
      assert.ok(kind?.read(value, true) !== undefined, `${name}=${value}`);
    }
  });

  test("ask for readiness by a command that there is", () => {
    const [enclave] = readManifests(read("enclave.yaml")).flatMap((manifest) =>
      podSpecOf(manifest)?.containers ?? []
    );
    const [program, name, ...words] = enclave?.readinessProbe?.exec?.command ?? [];
    assert.equal(program, "enclave-kms");
    const command = COMMANDS.find((one) => one.name === name);
    assert.ok(command !== undefined);
    assert.equal(parseArguments(command, words).get("check"), "ready");
  });

  test("let the proxy go where its allow-list lets it, and nowhere else", () => {
    const [proxy] = readManifests(read("vsock-proxy.yaml")).flatMap((manifest) =>
      podSpecOf(manifest)?.containers ?? []
    );
    const { remoteHost, remotePort, localPort } = parseVsockProxyArguments(proxy?.args ?? []);
    assert.deepEqual(readVsockProxyAllowList(read("vsock-proxy-allow-list.yaml")), [
      { name: remoteHost, port: remotePort },
    ]);
    assert.equal(localPort, 8000);
  });

  const ENCLAVE = read("enclave.yaml");
  const mistakes: Readonly<Record<string, readonly [from: string | RegExp, to: string, expected: RegExp]>> = {
    "a field that there is not": ["minReadySeconds", "minReadySecond", /minReadySecond is no field/],
    "a field of another place": [
      "readOnlyRootFilesystem: true",
      "runAsNonRot: true",
      /securityContext\/runAsNonRot is no field/,
    ],
    "a number that is a text": [
      "minReadySeconds: 30",
      'minReadySeconds: "30"',
      /minReadySeconds (?:must be integer|type)/,
    ],
    "a mount without a place": [
      "mountPath: /dev/hugepages",
      "mountPat: /dev/hugepages",
      /volumeMounts\/0 required/,
    ],
    "no selector": [/ {2}selector:\n.*\n.*\n/, "", /selector/],
    "a selector of other pods": [
      "app.kubernetes.io/name: enclave\n  #",
      "app.kubernetes.io/name: a\n  #",
      /does not select/,
    ],
    "all nodes at once": ["maxUnavailable: 1", "maxUnavailable: 100%", /one node at a time/],
    "two enclaves on a node for a while": [
      "maxUnavailable: 1",
      "maxUnavailable: 0\n      maxSurge: 1",
      /one node at a time/,
    ],
    "any node": [/ {6}nodeSelector:\n.*\n/, "", /may run on any node/],
    "root": ["runAsUser: 10001", "runAsUser: 0", /may run as root/],
    "the usual seccomp profile": ["type: Unconfined", "type: RuntimeDefault", /refuses vsock/],
    "a token of the cluster": ["      automountServiceAccountToken: false\n", "", /a token of the cluster/],
    "more rights": [
      "allowPrivilegeEscalation: false",
      "allowPrivilegeEscalation: true",
      /may get more rights/,
    ],
    "capabilities": ['drop: ["ALL"]', 'drop: ["NET_RAW"]', /has capabilities/],
    "no device": [/aws\.ec2\.nitro\/nitro_enclaves: "1"/g, "", /does not ask for one enclave/],
    "a device that is only requested": [
      /limits:\n(.*\n).*nitro_enclaves: "1"/,
      "limits:\n$1",
      /does not ask for one/,
    ],
    "less memory than the enclave has": ['value: "1024"', 'value: "2048"', /huge pages are less/],
    "pages that differ": [
      /hugepages-1Gi: 1Gi(?=\n {12}limits)/,
      "hugepages-1Gi: 2Gi",
      /something else than its limit/,
    ],
    "a folder of the node": [
      "medium: HugePages",
      "medium: HugePages\n        - name: x\n          hostPath:\n            path: /",
      /x is a path of the node/,
    ],
    "a volume that there is not": [
      "- name: log\n              mount",
      "- name: lgo\n              mount",
      /no volume lgo/,
    ],
    "a kind that nobody knows": ["kind: DaemonSet", "kind: DaemonSett", /is no kind that is known/],
  };
  for (const [what, [from, to, expected]] of Object.entries(mistakes)) {
    test(`with ${what} would be refused`, () => {
      const changed = ENCLAVE.replaceAll(typeof from === "string" ? from : new RegExp(from, "g"), to);
      assert.notEqual(changed, ENCLAVE);
      assert.match(problemsOf(changed).join("\n"), expected);
    });
  }

  test("with a key twice would not be read", () => {
    assert.throws(
      () => problemsOf(ENCLAVE.replace("kind: DaemonSet", "kind: DaemonSet\nkind: Pod")),
      /unique/,
    );
  });
});
