import assert from "node:assert/strict";
import { createHmac, generateKeyPairSync, randomBytes } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe } from "#test";
import { bundleApplication, OPTIONAL_PACKAGES } from "../../../deploy/bundle/bundle_application.ts";
import type { Bundle } from "../../../deploy/bundle/bundle_description.ts";
import { loadEsbuild } from "../../../deploy/bundle/load_esbuild.ts";
import { declareSecrets, ENCRYPTION_CONTEXT } from "../../../examples/boot-secrets/app.ts";
import { describeCrypto } from "../../../lib/kms/runtime_crypto.ts";
import { KmsClient } from "../../../lib/kms/kms_client.ts";
import { AgeKeyPair, importSigningKey, sealWithAge, sealWithKms, signSecret } from "../../../operator/mod.ts";
import { OwnedCredentials, sendCredentials, sendSecret } from "../../../parent/mod.ts";
import { SimulatedEnvironment, startSimulator } from "../../../sim/mod.ts";
import { ROOT } from "../../support/documents.ts";
import { BundledProcess } from "./bundled_process.ts";
import { divideTests } from "../../support/share.ts";

const test = divideTests();

const folder = mkdtempSync(join(tmpdir(), "enclave-kms-bundled-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (...path: readonly string[]) => join(folder, ...path);

const RUNTIME = "Deno" in globalThis ? "deno" : "node";
const example = (name: string) => join(ROOT, "examples", name, "main.ts");
const bundle = (entry: string, output: string, more: object = {}): Promise<Bundle> =>
  bundleApplication({ entry, runtime: RUNTIME, architectures: ["x86_64"], output: at(output), ...more });

/** Writes files below the folder. */
function write(files: Readonly<Record<string, string>>): void {
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(at(path)), { recursive: true });
    writeFileSync(at(path), content);
  }
}

/** Moves a bundle into a folder that has nothing else in it. */
function elsewhere(from: string): string {
  const place = mkdtempSync(join(folder, "elsewhere-"));
  cpSync(at(from), join(place, "app"), { recursive: true });
  return place;
}

describe("bundleApplication()", () => {
  let signer: Bundle;
  beforeAll(async () => {
    mkdirSync(join(ROOT, "build"), { recursive: true });
    signer = await bundle(example("signer"), "signer");
  });

  test("makes the same bytes again, which tell nothing of the machine", async () => {
    assert.deepEqual(await bundle(example("signer"), "again/and/again"), signer);
    const text = readFileSync(at("signer/app.js"), "utf8");
    for (const place of [ROOT, folder]) assert.equal(text.includes(place.replace(/\/$/, "")), false, place);
    assert.doesNotMatch(text, /SimulatedKms|SoftwareNsm/);
    assert.match(readFileSync(at("signer/LICENSES.txt"), "utf8"), /^enclave-kms 0.*^hono 4/ms);
    assert.deepEqual(JSON.parse(readFileSync(at("signer/bundle.json"), "utf8")), signer);
    assert.deepEqual(readdirSync(folder).filter((name) => name.endsWith(".part")), []);
  });

  test("replaces a bundle, and nothing else", async () => {
    assert.deepEqual(await bundle(example("signer"), "signer"), signer);
    write({ "home/letters.txt": "dear" });
    await assert.rejects(bundle(example("signer"), "home"), { name: "ImageError", message: /no bundle/ });
    assert.equal(readFileSync(at("home/letters.txt"), "utf8"), "dear");
  });

  test("makes what writes its configuration's schema, far from every package", async () => {
    const place = elsewhere("signer");
    await using running = new BundledProcess(place, ["app/app.js", "--print-config-schema"]);
    assert.equal(await running.end(), 0, running.lines.join("\n"));
    const { properties } = JSON.parse(running.lines.join("\n"));
    assert.equal(properties.signerKeyArn["x-env"], "SIGNER_KEY_ARN");
  });

  test("makes what calls C, far from every package, as long as the addon is there", async () => {
    const source = mkdtempSync(join(ROOT, "build", "bundled-")); // from here the library is found by its name
    try {
      const entry = join(source, "nsm.ts");
      writeFileSync(
        entry,
        `import { NsmClient } from "enclave-kms/nsm";
try {
  NsmClient.open("/nowhere/nsm");
} catch (error) {
  console.log((error as { code: string }).code);
}
`,
      );
      await bundle(entry, "nsm");
    } finally {
      rmSync(source, { recursive: true });
    }
    const place = elsewhere("nsm");
    const codes = async () => {
      await using running = new BundledProcess(place, ["app/app.js"]);
      await running.end();
      return running.lines;
    };
    assert.deepEqual(await codes(), ["ERR_ATTESTATION_UNAVAILABLE"]);
    rmSync(join(place, "app/node_modules"), { recursive: true, force: true });
    assert.deepEqual(await codes(), [
      RUNTIME === "node" ? "ERR_LIBRARY_LOAD" : "ERR_ATTESTATION_UNAVAILABLE",
    ]);
  });

  test("makes what serves, with age and KMS, far from every package", async () => {
    await bundle(example("boot-secrets"), "boot");
    const place = elsewhere("boot");
    await using simulator = await startSimulator();
    await using environment = await SimulatedEnvironment.create(simulator);
    const { arn: keyArn } = await simulator.createKey();
    const pair = generateKeyPairSync("ed25519");
    const publisher = pair.publicKey.export({ type: "spki", format: "pem" }).toString();
    const key = await importSigningKey(pair.privateKey.export({ type: "pkcs8", format: "der" }));
    using age = await AgeKeyPair.generate();
    const pins = { keyArn, recipient: age.recipient, publisher };
    assert.equal(declareSecrets(pins).length, 2);
    writeFileSync(join(place, "pins.json"), JSON.stringify(pins));
    const simulationFolder = mkdtempSync(join(tmpdir(), "ekb-"));
    try {
      await using running = new BundledProcess(place, ["app/app.js"], {
        ...environment.variables,
        ENCLAVE_PORT: "0",
        ENCLAVE_KMS_SIMULATION_FOLDER: simulationFolder,
        PINS_FILE: join(place, "pins.json"),
      });
      const { http, crypto } = JSON.parse(await running.line('"listening"')) as {
        http: { port: number };
        crypto: string;
      };
      assert.equal(crypto, describeCrypto());
      const url = `http://127.0.0.1:${http.port}/v1/code/42`;
      assert.equal((await fetch(url)).status, 503);

      const to = { enclaveCid: 16, simulationFolder };
      await sendCredentials({ ...to, credentials: OwnedCredentials.copyOf(simulator.credentials) });
      const { nsm: _, ...options } = simulator.clientOptions;
      await using client = await KmsClient.open({ ...options, recipient: "none" });
      const encryptionContext = ENCRYPTION_CONTEXT;
      const sealed = await sealWithKms(client, age.identity, { keyArn, encryptionContext });
      const identity = await signSecret({ name: "age-key", version: 1, sealed, key });
      await sendSecret({ ...to, port: 7101, content: identity });
      const secret = randomBytes(32);
      const shares = await sealWithAge(secret, [age.recipient]);
      const signed = await signSecret({ name: "key-shares", version: 1, sealed: shares, key });
      await sendSecret({ ...to, port: 7102, content: signed });
      let answer = await fetch(url);
      // The receipt comes before the application has the secret.
      while (answer.status === 503) answer = await fetch(url);
      assert.equal(await answer.text(), createHmac("sha256", secret).update("42").digest("hex"));
      process.kill(running.pid, "SIGTERM");
      assert.equal(await running.end(), 0);
    } finally {
      rmSync(simulationFolder, { recursive: true, force: true });
    }
  });
});

const LIBRARY = "project/node_modules/enclave-kms";
const KOFFI = "project/node_modules/koffi";

/** Project with a library in the form of the npm package, and koffi for two processors. */
const PROJECT: Readonly<Record<string, string>> = {
  "project/main.ts": 'import { runtime, verify } from "enclave-kms";\nconsole.log(runtime, typeof verify);\n',
  [`${LIBRARY}/package.json`]: JSON.stringify({
    name: "enclave-kms",
    version: "9.9.9",
    license: "Apache-2.0",
    type: "module",
    exports: { ".": { deno: "./deno/mod.js", default: "./node/mod.js" } },
  }),
  [`${LIBRARY}/LICENSE`]: "of the library\n",
  ...Object.fromEntries(["node", "deno"].flatMap((runtime) => [
    [
      `${LIBRARY}/${runtime}/mod.js`,
      `export const runtime = "${runtime}";\nexport const verify = () => import("jose");\n`,
    ],
    [`${LIBRARY}/${runtime}/sdk_client_worker.js`, `console.log("worker on ${runtime}");\n`],
  ])),
  [`${KOFFI}/package.json`]: '{"name":"koffi","version":"3","license":"MIT","main":"./index.cjs"}',
  ...Object.fromEntries(
    ["LICENSE.txt", "index.cjs", "indirect.cjs", "src/koffi/index.cjs", "src/koffi/indirect.cjs"].map((
      file,
    ) => [
      `${KOFFI}/${file}`,
      "// koffi\n",
    ]),
  ),
  ...Object.fromEntries(["x64", "arm64"].flatMap((processor) => [
    [
      `project/node_modules/@koromix/koffi-linux-${processor}/package.json`,
      `{"name":"@koromix/koffi-linux-${processor}","version":"3"}`,
    ],
    [`project/node_modules/@koromix/koffi-linux-${processor}/linux_${processor}/koffi.node`, processor],
  ])),
};

describe("bundleApplication() of somebody's own project", () => {
  beforeAll(() => write(PROJECT));

  test("takes the library's files for the runtime, and leaves out what is not installed", async () => {
    for (const runtime of ["node", "deno"] as const) {
      const made = await bundle(at("project/main.ts"), `own-${runtime}`, { runtime });
      assert.deepEqual(made.leftOut, ["@cedar-policy/cedar-wasm", "jose"]);
      assert.match(readFileSync(at(`own-${runtime}/app.js`), "utf8"), new RegExp(`"${runtime}"`));
      assert.match(
        readFileSync(at(`own-${runtime}/sdk_client_worker.js`), "utf8"),
        new RegExp(`on ${runtime}`),
      );
      assert.equal(existsSync(at(`own-${runtime}/node_modules`)), runtime === "node");
    }
    assert.match(readFileSync(at("own-node/LICENSES.txt"), "utf8"), /of the library\n\n=+\nkoffi 3 \(MIT\)/);
  });

  test("brings koffi's addon for each processor, and says which is missing", async () => {
    const addons = async (architectures: readonly string[]) =>
      Object.keys((await bundle(at("project/main.ts"), "both", { runtime: "node", architectures })).files)
        .filter((path) => path.endsWith(".node")).map((path) => path.split("/").at(-2));
    assert.deepEqual(await addons(["x86_64", "arm64"]), ["linux_arm64", "linux_x64"]);
    assert.deepEqual(await addons(["arm64"]), ["linux_arm64"]);
    cpSync(at("project"), at("poor"), { recursive: true });
    rmSync(at("poor/node_modules/@koromix/koffi-linux-arm64"), { recursive: true });
    const options = { runtime: "node", architectures: ["x86_64", "arm64"] };
    await assert.rejects(bundle(at("poor/main.ts"), "poor-out", options), {
      name: "ImageError",
      message: "Cannot bundle for arm64: @koromix/koffi-linux-arm64 is not installed",
    });
    rmSync(at("poor/node_modules/koffi"), { recursive: true });
    await assert.rejects(bundle(at("poor/main.ts"), "poor-out", options), /koffi is not installed/);
    assert.equal(existsSync(at("poor-out")), false);
    await bundle(at("poor/main.ts"), "poor-deno", { runtime: "deno" });
  });

  test("refuses what would not run in the enclave, by its place", async () => {
    write({
      "project/gone.ts": 'import "not-there";\n',
      "project/far.ts": 'import "https://example.com/mod.ts";\n',
      "project/broken.ts": "const a = ;\n",
      "project/calls.ts": 'import "koffi";\n',
    });
    const cases: readonly (readonly [string, RegExp])[] = [
      ["gone.ts", /^Cannot bundle gone\.ts: gone\.ts:1: Could not resolve "not-there"$/],
      ["far.ts", /not part of the bundle: https:\/\/example\.com\/mod\.ts/],
      ["broken.ts", /broken\.ts:1: Unexpected/],
      ["calls.ts", /not part of the bundle: koffi/],
      ["nowhere.ts", /there is no such file/],
    ];
    for (const [file, message] of cases) {
      const failing = bundle(at("project", file), "failed", { runtime: "deno" });
      await assert.rejects(failing, { name: "ImageError", message });
    }
    assert.equal(existsSync(at("failed")), false);
    assert.deepEqual(readdirSync(folder).filter((name) => name.endsWith(".part")), []);
  });

  test("says that esbuild is not installed", async () => {
    await assert.rejects(loadEsbuild(() => Promise.reject(new Error("ERR_MODULE_NOT_FOUND"))), {
      name: "ImageError",
      message: "Cannot bundle: esbuild is not installed",
    });
  });

  test("leaves out nothing but optional packages", () => {
    const { peerDependenciesMeta } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
    for (const name of OPTIONAL_PACKAGES) assert.equal(peerDependenciesMeta[name]?.optional, true, name);
  });
});
