import { existsSync } from "node:fs";
import { stat } from "node:fs/promises";
import { kmsHostName } from "../../lib/aws/region.ts";
import { EnclaveKmsError } from "../../lib/core/errors.ts";
import { connect } from "../../lib/transport/connect.ts";
import { readArtefact, type ReadArtefactOptions } from "../../parent/artefacts/read_artefact.ts";
import { missingParts } from "../../parent/connector/until_ready.ts";
import { ImdsError } from "../../parent/imds/imds_error.ts";
import { sourceOf } from "../../parent/runner/real_parts.ts";
import { chooseMemoryMib } from "../../parent/nitro/enclave_memory.ts";
import { NitroCli } from "../../parent/nitro/nitro_cli.ts";
import { allSecrets } from "../../parent/settings/parent_settings.ts";
import type { ParentExamination } from "./parent_examination.ts";
import { broken, ok, unneeded, type Verdict, warning } from "./finding.ts";
import type { Link } from "./link.ts";
import { runtimeLink } from "./local_links.ts";

const NITRO_DEVICE = "/dev/nitro_enclaves";

/** Metadata service of the instance: whether it answers, by version 2. */
const imdsLink: Link<ParentExamination> = {
  name: "imds",
  needs: ["runtime"],
  silence: {
    what: "the metadata service does not answer",
    hint: "Is it on, and its hop limit enough? In a container it must be at least 2",
  },
  async examine(examination): Promise<Verdict> {
    const { settings } = examination.options;
    if (settings.credentials !== "imds") return unneeded(`credentials come from ${settings.credentials}`);
    const failure = await failureOf(examination.probe());
    if (failure instanceof ImdsError && !["token", "region"].includes(failure.question)) {
      return ok("it answers, by version 2");
    }
    if (failure !== undefined) throw failure;
    const { region } = await examination.probe();
    if (settings.region === undefined || settings.region === region) return ok(`it answers, in ${region}`);
    return warning(
      `the instance is in ${region}, and the settings say ${settings.region}`,
      "Is the key, and the bucket, in that other region? Otherwise mend AWS_REGION",
    );
  },
};

/** Role of the instance, and its credentials. */
const roleLink: Link<ParentExamination> = {
  name: "role",
  needs: ["imds"],
  silence: {
    what: "the role's credentials do not come",
    hint: "Is the metadata service overloaded? Try again",
  },
  async examine(examination): Promise<Verdict> {
    const { credentials } = examination.options.settings;
    if (credentials !== "imds") return unneeded(`credentials come from ${credentials}`);
    const { role, expiresAtMs } = await examination.probe();
    const minutes = Math.floor((expiresAtMs - Date.now()) / 60_000);
    if (minutes >= 0) return ok(`${role}, with credentials for ${minutes} minutes`);
    return broken(
      `the credentials of ${role} expired ${-minutes} minutes ago`,
      "Is this machine's clock right, and the role still attached to the instance?",
    );
  },
};

/** Artefacts that the enclave gets, in S3 or in files. */
const s3Link: Link<ParentExamination> = {
  name: "s3",
  needs: ["role"],
  silence: {
    what: "the artefacts do not come",
    hint: "Does this machine reach S3: is there a route, a VPC endpoint?",
  },
  async examine({ options: { settings }, remainingMs: timeoutMs, signal }): Promise<Verdict> {
    const secrets = allSecrets(settings);
    if (secrets.length === 0) return unneeded("there are no secrets to hand over");
    const { region, s3Endpoint: endpoint } = settings;
    const credentials = sourceOf(settings) as ReadArtefactOptions["credentials"];
    for (const { name, source, sha256, versionId, maxBytes } of secrets) {
      const options = { region, endpoint, credentials, sha256, versionId, maxBytes, timeoutMs, signal };
      const failure = await failureOf(readArtefact(source, options));
      if (failure === undefined) continue;
      if (!(failure instanceof EnclaveKmsError)) throw failure;
      return broken(`${name}: ${failure.message}`, failure.hint, failure.code);
    }
    return ok(`${secrets.map(({ name }) => name).join(", ")} can be read`);
  },
};

/** Way from this machine to KMS, which the proxy takes. */
const proxyLink: Link<ParentExamination> = {
  name: "proxy",
  needs: ["runtime"],
  silence: {
    what: "KMS does not accept the connection",
    hint:
      "Is there a route to the internet or a VPC endpoint for KMS, and does its security group let this machine in?",
  },
  async examine({ options: { settings }, remainingMs: timeoutMs, signal }): Promise<Verdict> {
    const { kmsProxyEnable, region, kmsProxyDestHost, kmsProxyDestPort: port } = settings;
    if (!kmsProxyEnable) return unneeded("KMS_PROXY_ENABLE is off: another program is the proxy");
    const host = kmsProxyDestHost ?? kmsHostName(region ?? "");
    const stream = await connect({ transport: "tcp", host, port }, { timeoutMs, signal });
    stream.destroy();
    return ok(`${host} accepts connections`);
  },
};

/** Image, nitro-cli, and the enclave where one runs. */
const launchLink: Link<ParentExamination> = {
  name: "launch",
  needs: ["runtime"],
  silence: {
    what: "nitro-cli does not answer",
    hint: "Is nitro-enclaves-allocator.service running? See its log",
  },
  async examine(examination): Promise<Verdict> {
    const { settings, isDryRun } = examination.options;
    if (settings.envSetup === "SIM") return unneeded("the enclave is a process: envSetup is SIM");
    const { eifPath = "", memoryMib: wanted, nitroCli, enclaveName, debugMode } = settings;
    const failure = await failureOf(stat(eifPath));
    if (failure !== undefined) {
      return broken("the image cannot be read", "Is EIF_PATH the path of the image?");
    }
    const memoryMib = chooseMemoryMib((await stat(eifPath)).size, wanted);
    const enclaves = await new NitroCli(nitroCli, examination.remainingMs).describe(examination.signal);
    const found = enclaves.find(({ name }) => name === enclaveName);
    if (found === undefined) return isDryRun === true ? launchable(memoryMib) : notRunning();
    if (found.isDebug && !debugMode) {
      return broken(
        "the enclave runs in debug mode, which nobody asked for",
        "End it: its console is readable, and its PCRs are zero, so that KMS should refuse it",
      );
    }
    if (found.isDebug) {
      return warning("the enclave runs in debug mode", "Its PCRs are zero: only for finding faults");
    }
    return ok(`${enclaveName} runs, with CID ${found.cid} and ${found.memoryMib} MiB`);
  },
};

function launchable(memoryMib: number): Verdict {
  if (existsSync(NITRO_DEVICE)) return ok(`nitro-cli answers; the enclave would get ${memoryMib} MiB`);
  return broken(
    `there is no ${NITRO_DEVICE}`,
    "Is the instance launched with enclave options enabled, and on a type that has them?",
  );
}

function notRunning(): Verdict {
  return broken(
    "no enclave of that name runs",
    "Is `enclave-kms parent` running? Its log says why there is none",
  );
}

/** Causes of parts that are missing in an enclave. */
const MISSING_HINTS: Readonly<Record<string, string>> = {
  credentials: "Does the role exist, and does KMS accept its credentials? See the links before",
  secrets: "Are the artefacts those of this image: its key, its context, its publisher and recipient?",
  policy: "Has the image a policy that loads?",
};

/** Enclave: whether it answers, and has what was injected. */
const injectionLink: Link<ParentExamination> = {
  name: "injection",
  needs: ["launch"],
  silence: {
    what: "the enclave does not answer",
    hint: "Does its application start? Run it once in debug mode",
  },
  async examine({ options: { isDryRun }, connector, remainingMs: timeoutMs, signal }): Promise<Verdict> {
    if (isDryRun === true) return unneeded("no enclave is launched by a dry run");
    const answer = await connector.sendRequest({ path: "/readyz" }, { timeoutMs, signal });
    if (answer.status === 200) return ok("the enclave is ready");
    const missing = missingParts(answer) ?? [];
    return broken(
      missing.length === 0 ? `it answers ${answer.status}` : `missing in the enclave: ${missing.join(", ")}`,
      MISSING_HINTS[missing[0] ?? ""] ?? "What does the log of the parent say, and that of the enclave?",
    );
  },
};

/** Every link of the parent, in order. */
export const PARENT_LINKS: readonly Link<ParentExamination>[] = [
  runtimeLink as unknown as Link<ParentExamination>,
  imdsLink,
  roleLink,
  s3Link,
  proxyLink,
  launchLink,
  injectionLink,
];

async function failureOf(work: Promise<unknown>): Promise<unknown> {
  try {
    await work;
    return undefined;
  } catch (error) {
    return error;
  }
}
