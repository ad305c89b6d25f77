import type { Command } from "./command.ts";
import { JSON_FLAG } from "./flags.ts";

/** Commands that make what an image holds. */
export const BUNDLE_COMMANDS: readonly Command[] = [
  {
    name: "bundle",
    summary: "makes one file of an application, for an image",
    example: "bundle --entry main.ts --runtime node --out build/bundle",
    flags: [
      { name: "entry", value: "FILE", isFile: true, help: "First file of the application" },
      { name: "runtime", value: "NAME", choices: ["node", "deno"], help: "One of" },
      {
        name: "architecture",
        value: "NAME",
        choices: ["x86_64", "arm64", "both"],
        help: "Default x86_64; one of",
      },
      { name: "out", value: "FOLDER", isFile: true, help: "Folder for the bundle; an old one is replaced" },
      JSON_FLAG,
    ],
    notes: ["", "Needs the package esbuild. `image init` makes a manifest of the folder."],
    load: async () => (await import("./commands/bundle.ts")).bundle,
  },
];
