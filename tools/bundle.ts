import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { build, type BuildOptions, type Metafile, type Plugin, transform } from "esbuild";
import { readEntries } from "./entries.ts";

/** Runtime of a bundle: each has its own loader of C libraries. */
export type Runtime = "node" | "deno";

/** Name in the package, and source. The worker is found beside the file that starts it. */
export const ENTRIES: Readonly<Record<string, string>> = {
  ...Object.fromEntries(readEntries().map(({ name, source }) => [name, source])),
  cli_kms: "cli/kms_program.ts",
  cli_program: "cli/program.ts",
  sdk_client_worker: "lib/kms/sdk_client/sdk_client_worker.ts",
};

interface Content {
  /** Sources that may be behind the entry. */
  readonly allowed: RegExp;
  /** Packages that may be imported at run time. */
  readonly packages: readonly string[];
  /** Whether browsers load it too: then without any module of Node.js. */
  readonly isForBrowsers?: boolean;
}

const LIBRARY = /^(mod\.ts$|ffi\/|lib\/(?!policy\/))/;

/** Simulator without the instruments, which need their C sources, and without the demo. */
const SIMULATOR = /^(lib\/(?!native\/|policy\/)|sim\/(?!instruments|demo))/;

/**
 * The command line, over the library and policies, without servers: of those it knows the names of actions
 * only. The simulator is loaded by the command that runs it.
 */
const COMMAND_LINE =
  /^(cli\/|ffi\/|lib\/|parent\/|operator\/|deploy\/|sim\/(?!instruments|demo)|enclave\/actions\.ts$)/;

/** Calls to KMS from the command line, over what they need of the library. */
const KMS_COMMANDS =
  /^(cli\/|ffi\/|lib\/(aws|core|kms|native|nsm|transport)\/)(?!(commands\/(?!decrypt|genkey|genrandom)))/;

/** Policies, over what everybody uses. */
const POLICY = /^lib\/(policy|core)\//;

/** Verifying documents and sealing secrets, over what everybody uses, as far as browsers have it. */
const ATTESTATION = /^lib\/(attestation|core)\//;

/** Callers' half of the channels, as far as browsers have it. */
const CHANNEL = /^lib\/(channel\/(?!node\/)|attestation\/|wire\/|core\/)/;

/** Images and key policies, as far as browsers have them; signing takes a client that it is given. */
const DEPLOY = /^(deploy\/(?!node\/)|operator\/sign_with_kms\.ts$|lib\/(attestation|core)\/)/;

/** Building images as well. */
const DEPLOY_NODE = /^(deploy|lib\/(attestation|core))\//;

/** koffi is found at run time, and not imported. */
const LIBRARY_PACKAGES: readonly string[] = ["hpke"];

/** The other runtime's loader, and what is for bundles that hold koffi. */
const OTHER_LOADERS = {
  node: /^ffi\/(loader_deno|koffi_inside)\.ts$/,
  deno: /^ffi\/(loader_koffi|koffi|koffi_inside)\.ts$/,
} as const;

/**
 * Bundles the entries for one runtime. They share chunks, and with them the classes of errors.
 *
 * @param runtime Runtime of the loader and sockets
 * @param outdir Folder for the bundles
 * @param entries Name and source of each
 * @throws {Error} When a bundle holds more than its users should get
 */
export async function bundle(
  runtime: Runtime,
  outdir: string,
  entries: Readonly<Record<string, string>> = ENTRIES,
): Promise<Metafile> {
  const [alone, shared] = divide(entries, ({ name }) => runtime === "node" && ALONE.includes(name));
  const options = { outdir, conditions: runtime === "deno" ? ["deno"] : [] };
  const metafile = join(
    await makeFiles(shared, { ...options, splitting: true }, spread),
    // Names are kept for who reads it; what it was made of is beside it at full length.
    await makeFiles(alone, { ...options, minifySyntax: true, plugins: [PROGRAMS_APART] }),
  );
  for (const [name, source] of Object.entries(entries)) {
    const output = Object.keys(metafile.outputs).find((path) =>
      metafile.outputs[path]?.entryPoint === source
    );
    if (output === undefined) throw new Error(`There is no bundle of ${source}`);
    checkContent(metafile, output, runtime, name);
  }
  return metafile;
}

/**
 * Entries that are one file each on Node.js, where finding the sixty files of a decrypt takes longer than running
 * them. They share no classes of errors with the others, and need not: each runs in a process of its own.
 */
const ALONE: readonly string[] = ["cli", "cli_kms"];

/** The programs, as the file that starts them imports them. */
const PROGRAMS: readonly string[] = ["./cli_kms.js", "./cli_program.js"];

/** Leaves the programs out of the file that starts them: it loads one of them. */
const PROGRAMS_APART: Plugin = {
  name: "programs apart",
  setup({ onResolve }) {
    onResolve({ filter: /^\.\/(?:kms_)?program\.ts$/ }, ({ path }) => {
      const source = path.replace("./", "cli/");
      const [name] = Object.entries(ENTRIES).find((entry) => entry[1] === source) ?? [];
      return { path: `./${name}.js`, external: true };
    });
  },
};

/** Writes bundles without comments, which the types have and which are a tenth of a bundle. */
async function makeFiles(
  entryPoints: Readonly<Record<string, string>>,
  options: BuildOptions,
  print: (code: string) => Promise<string> = (code) => Promise.resolve(code),
): Promise<Metafile> {
  const { metafile, outputFiles } = await build({
    ...options,
    entryPoints,
    // Leaves comments out.
    minifyWhitespace: true,
    write: false,
    bundle: true,
    format: "esm",
    platform: "node",
    target: "node22",
    packages: "external",
    metafile: true,
    logLevel: "warning",
  });
  for (const { path, text } of outputFiles) {
    const code = await print(text);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, code);
    const output = Object.entries(metafile.outputs).find(([name]) => path.endsWith(`/${name}`))?.[1];
    if (output !== undefined) output.bytes = Buffer.byteLength(code);
  }
  return metafile;
}

/** Prints code as people read it, a statement a line. */
async function spread(code: string): Promise<string> {
  return (await transform(code, { format: "esm", target: "esnext" })).code;
}

function join(one: Metafile, other: Metafile): Metafile {
  return {
    inputs: { ...one.inputs, ...other.inputs },
    outputs: { ...one.outputs, ...other.outputs },
  };
}

function divide(
  entries: Readonly<Record<string, string>>,
  isFirst: (entry: { name: string }) => boolean,
): [Record<string, string>, Record<string, string>] {
  const all = Object.entries(entries);
  return [
    Object.fromEntries(all.filter(([name]) => isFirst({ name }))),
    Object.fromEntries(all.filter(([name]) => !isFirst({ name }))),
  ];
}

/** The server, and applications on its base, over the library. */
const SERVER = /^(mod\.ts$|(enclave|server|lib|ffi)\/)/;

/** The adapter for the AWS SDK, over the library; of the base, the way to the credentials that the parent pushes. */
const AWS_SDK = /^(aws_sdk\/|enclave\/pushed_credentials\.ts$|ffi\/|lib\/(?!policy\/))/;

/** An operator's side of secrets, over the library. */
const OPERATOR = /^(operator\/|ffi\/|lib\/(?!policy\/))/;

/** Packages of an operator's side besides the library's: the first must be there, the other is optional. */
const OPERATOR_PACKAGES: readonly string[] = ["age-encryption", "shamir-secret-sharing"];

/** The parent instance's half. */
const PARENT = /^(parent|lib\/(core|native|transport|aws|attestation|wire|channel)|ffi)\//;

/** Packages of the parent's half besides the library's, which are optional. */
const PARENT_PACKAGES: readonly string[] = ["@aws-sdk/credential-providers", "aws4fetch"];

/** Packages of the server besides the library's, which are optional. */
const SERVER_PACKAGES: readonly string[] = [
  ...[
    "hono",
    "hono/body-limit",
    "hono/html",
    "hono/http-exception",
    "hono/validator",
    "jose",
    "pino",
    "valibot",
    "age-encryption",
    "shamir-secret-sharing",
  ],
];

function contentOf(name: string): Content {
  if (name === "server" || name === "enclave") {
    return { allowed: SERVER, packages: [...LIBRARY_PACKAGES, ...SERVER_PACKAGES] };
  }
  // Nothing in it could open what KMS answers.
  if (name === "parent") return { allowed: PARENT, packages: [...LIBRARY_PACKAGES, ...PARENT_PACKAGES] };
  if (name === "operator") {
    return { allowed: OPERATOR, packages: [...LIBRARY_PACKAGES, ...OPERATOR_PACKAGES] };
  }
  if (name === "aws") return { allowed: AWS_SDK, packages: LIBRARY_PACKAGES };
  if (name === "sim") return { allowed: SIMULATOR, packages: ["cbor2"] };
  // A decrypt on the command line loads no policy, no attestation, no parent's half: they are not there.
  if (name === "cli_kms") return { allowed: KMS_COMMANDS, packages: [] };
  if (name === "cli" || name === "cli_program") {
    return {
      allowed: COMMAND_LINE,
      packages: LIBRARY_PACKAGES.concat(PARENT_PACKAGES, OPERATOR_PACKAGES, "cbor2", "esbuild", PROGRAMS),
    };
  }
  // Cedar's module is found in its package at run time, and not imported.
  if (name === "policy") return { allowed: POLICY, packages: [] };
  if (name === "attestation") {
    return { allowed: ATTESTATION, packages: ["hpke"], isForBrowsers: true };
  }
  if (name === "deploy") return { allowed: DEPLOY, packages: [], isForBrowsers: true };
  if (name === "deploy/node") return { allowed: DEPLOY_NODE, packages: [] };
  if (name === "channel") return { allowed: CHANNEL, packages: LIBRARY_PACKAGES, isForBrowsers: true };
  return { allowed: LIBRARY, packages: LIBRARY_PACKAGES };
}

/** Checks that a bundle holds no third party's code, which would need its licence in the package. */
function checkContent(
  metafile: Metafile,
  output: string,
  runtime: Runtime,
  name: string,
): void {
  const { allowed, packages, isForBrowsers = false } = contentOf(name);
  const outputs = outputsBehind(metafile, output);
  const inputs = outputs.flatMap((path) => Object.keys(metafile.outputs[path]?.inputs ?? {}));
  const imports = outputs.flatMap((path) => metafile.outputs[path]?.imports ?? []);
  const foreign = [
    ...inputs.filter((input) => !allowed.test(input) || OTHER_LOADERS[runtime].test(input)),
    ...imports.filter(({ external }) => external).map(({ path }) => path)
      .filter((path) => (isForBrowsers || !path.startsWith("node:")) && !packages.includes(path)),
  ];
  if (foreign.length > 0) throw new Error(`${runtime}/${name}.js must not hold ${foreign.join(", ")}`);
}

function outputsBehind(metafile: Metafile, output: string, seen: Set<string> = new Set()): string[] {
  if (seen.has(output)) return [];
  seen.add(output);
  const chunks = metafile.outputs[output]?.imports.filter(({ external }) => !external) ?? [];
  return [output, ...chunks.flatMap(({ path }) => outputsBehind(metafile, path, seen))];
}
