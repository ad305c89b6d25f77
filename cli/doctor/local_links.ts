import { type EnclaveKmsError, LibraryLoadError } from "../../lib/core/errors.ts";
import { HARDWARE_SOURCE_PATH, NSM_HARDWARE_SOURCE } from "../../lib/nsm/seed_kernel_entropy.ts";
import { codeOf } from "../failure.ts";
import { broken, ok, unneeded, untried, type Verdict, warning } from "./finding.ts";
import type { Link } from "./link.ts";
import type { Machine } from "./machine.ts";
import type { Examination } from "./examination.ts";

/** Oldest runtime versions that are tested. */
const OLDEST: Readonly<Record<string, readonly [major: number, minor: number]>> = {
  node: [22, 12],
  deno: [2, 9],
};

/** Verdict on a local link that does not answer, which happens in a debugger only. */
const SILENCE = { what: "it does not answer", hint: "Is this machine overloaded?" };

/** Version of Node.js or Deno. */
export const runtimeLink: Link = {
  name: "runtime",
  needs: [],
  silence: SILENCE,
  examine({ options: { machine } }): Verdict {
    const { name, version } = machine.runtime;
    const [major = 0, minor = 0] = version.split(".").map(Number);
    const [oldestMajor, oldestMinor] = OLDEST[name] ?? [0, 0];
    const title = `${name === "node" ? "Node.js" : "Deno"} ${version} on ${machine.platform}`;
    if (major < oldestMajor || (major === oldestMajor && minor < oldestMinor)) {
      return broken(
        `${title} is too old`,
        `Install ${name === "node" ? "Node.js" : "Deno"} ${oldestMajor}.${oldestMinor} or newer`,
      );
    }
    if (machine.platform === "linux") return ok(title);
    return warning(title, "vsock and the NSM exist on Linux only: here only a simulator can be reached");
  },
};

/** Permissions that the runtime gives this process. */
export const permissionsLink: Link = {
  name: "permissions",
  needs: ["runtime"],
  silence: SILENCE,
  async examine(examination): Promise<Verdict> {
    const { machine } = examination.options;
    return machine.runtime.name === "node" ? nodePermissions(machine) : await denoPermissions(examination);
  },
};

function nodePermissions(machine: Machine): Verdict {
  if (machine.allows("addon") === false) {
    return broken(
      "Node.js may not load native code",
      "Run node with --allow-addons, or without --permission",
    );
  }
  if (machine.allows("net") === false) {
    return broken("Node.js may not use the network", "Run node with --allow-net, or without --permission");
  }
  return ok("native code and the network are allowed");
}

async function denoPermissions(examination: Examination): Promise<Verdict> {
  const { client: { endpoint }, machine } = examination.options;
  if (endpoint?.transport === "tcp") {
    const address = `${endpoint.host}:${endpoint.port}`;
    if (machine.allows("net", address) === false) {
      return broken("Deno may not connect to KMS", `Run deno with --allow-net=${address}`);
    }
  }
  if (endpoint?.transport === "vsock") {
    const line = machine.commandLine();
    if (line !== undefined && !line.includes("--unstable-vsock")) {
      return broken("Deno's vsock is switched off", "Run deno with --unstable-vsock");
    }
  }
  if (machine.allows("env", "AWS_SECRET_ACCESS_KEY") === false && !hasCredentials(examination)) {
    return broken(
      "Deno may not read the credentials' variables, and no flag has them",
      "Run deno with --allow-env=AWS_ACCESS_KEY_ID,AWS_SECRET_ACCESS_KEY,AWS_SESSION_TOKEN",
    );
  }
  const ffi = machine.allows("ffi") === false ? await ffiRefusal(examination) : undefined;
  return ffi ?? ok("FFI and the network are allowed");
}

function hasCredentials({ options }: Examination): boolean {
  try {
    return options.credentials() !== undefined;
  } catch {
    return false;
  }
}

/** Tries the library that is needed: Deno cannot be asked whether any library of a list is allowed. */
async function ffiRefusal(examination: Examination): Promise<Verdict | undefined> {
  if (examination.options.client.nsm !== undefined) return undefined;
  try {
    await examination.nsm();
    return undefined;
  } catch (error) {
    if (!(error instanceof LibraryLoadError)) return undefined;
    return broken("Deno may not call C libraries", "Run deno with --allow-ffi", error.code);
  }
}

/** Library aws-nitro-enclaves-sdk-c, where the engine uses it. */
export const libraryLink: Link = {
  name: "library",
  needs: ["permissions"],
  silence: SILENCE,
  async examine({ options: { client: { engine = "auto", library, nsm } } }): Promise<Verdict> {
    if (engine === "direct") return unneeded("engine direct does without the C SDK");
    if (engine === "auto" && library === undefined && nsm !== undefined) {
      return unneeded("with a simulated NSM, auto takes engine direct");
    }
    const { findSdkLibrary } = await import("../../lib/kms/find_library.ts");
    try {
      return ok(`the C SDK loads from ${findSdkLibrary(library)}`);
    } catch (error) {
      if (!(error instanceof LibraryLoadError)) throw error;
      if (engine === "auto" && library === undefined) {
        return unneeded("the C SDK does not load: auto takes engine direct");
      }
      return broken(
        error.message,
        "Install the library, name its path by --library, or use --engine direct",
        error.code,
      );
    }
  },
};

const ENTROPY_AVAILABLE = "/proc/sys/kernel/random/entropy_avail";

/** Least entropy of an initialised kernel, in bits. Linux 5.18 and later report 256. */
const ENOUGH_ENTROPY = 128;

/** Entropy of the kernel and its hardware source. */
export const entropyLink: Link = {
  name: "entropy",
  needs: [],
  silence: SILENCE,
  async examine(examination): Promise<Verdict> {
    const { machine, client } = examination.options;
    const available = machine.readKernel(ENTROPY_AVAILABLE);
    if (available === undefined) return unneeded("the kernel's entropy cannot be read here");
    if (!(Number(available) >= ENOUGH_ENTROPY)) {
      return broken(
        `the kernel has ${Number(available) || 0} bits of entropy`,
        "Load the kernel module nsm, or call seedKernelEntropy() as root before anything makes a key",
      );
    }
    const source = machine.readKernel(HARDWARE_SOURCE_PATH);
    const inEnclave = client.nsm === undefined && (await examination.finding("nsm")).state !== "broken";
    if (inEnclave && source !== NSM_HARDWARE_SOURCE) {
      return warning(
        `${available} bits, and the kernel does not draw from the NSM by itself`,
        "Load the kernel module nsm, whose source is nsm-hwrng, or call seedKernelEntropy() as the server does",
      );
    }
    return ok(`${available} bits${source === undefined ? "" : `, from ${source.slice(0, 40)}`}`);
  },
};

/** Policy file. Loaded last: Cedar blocks the event loop for a while. */
export const policyLink: Link = {
  name: "policy",
  needs: [],
  silence: SILENCE,
  async examine(examination): Promise<Verdict> {
    const { policyFile } = examination.options;
    if (policyFile === undefined) return unneeded("no --policy is given");
    await examination.finding("round-trip");
    const { loadPolicyFile } = await import("../../lib/policy/policy_file.ts");
    const { SERVER_ACTIONS } = await import("../../enclave/actions.ts");
    try {
      return ok(`${loadPolicyFile(policyFile, { actions: SERVER_ACTIONS }).name} loads`);
    } catch (error) {
      const { message, hint } = error as EnclaveKmsError;
      return broken(message, hint, codeOf(error as EnclaveKmsError));
    }
  },
};

/** Makes the verdict on an error that a link did not expect. */
export function brokenBy(error: unknown, hint: string): Verdict {
  const { message, code, hint: itsHint } = error as Partial<EnclaveKmsError>;
  if (typeof code === "string" && code.startsWith("ERR_") && itsHint !== undefined) {
    return broken(message ?? code, itsHint, code);
  }
  const name = error instanceof Error && /^\w{1,40}$/.test(error.name) ? error.name : "error";
  return broken(`an unexpected ${name}`, hint);
}

/** Makes the verdict on a link that cannot be tried because another is broken. */
export function untriedFor(name: string): Verdict {
  return untried(`needs ${name}`);
}
