import type { Command } from "./command.ts";
import type { ProjectKind } from "./project/read_templates.ts";

const SUMMARIES: Readonly<Record<ProjectKind, string>> = {
  signer: "a project that signs",
  server: "a project of the decrypt server",
  "secret-loader": "a project that awaits a secret",
};

/** Commands that write a new project, for those who begin. */
export const INIT_COMMANDS: readonly Command[] = (Object.keys(SUMMARIES) as ProjectKind[]).map((kind) => ({
  name: `init ${kind}`,
  summary: SUMMARIES[kind],
  example: `init ${kind} my-app --package enclave-kms-0.1.0.tgz`,
  argument: { name: "FOLDER", isOptional: true },
  flags: [
    { name: "package", value: "FILE", isFile: true, help: "Tarball of enclave-kms, from npm pack" },
  ],
  notes: [
    "",
    `The folder (default: ${kind}) must be new or empty. It gets an`,
    "application, a policy, tests, the configuration of image and parent, and a copy",
    "of the tarball. Then: npm install && npm test, or deno task test.",
  ],
  load: async () => (await import("./commands/init.ts")).initOf(kind),
}));
