import type { Arguments } from "../arguments.ts";
import type { Run } from "../command.ts";
import { EXIT } from "../exit_codes.ts";
import { readPackage } from "../project/read_package.ts";
import { type ProjectKind, readTemplates } from "../project/read_templates.ts";
import { checkFolder, writeProject } from "../project/write_project.ts";
import type { Terminal } from "../terminal.ts";
import { UsageError } from "../usage_error.ts";

/**
 * Makes a command `init`: it writes a project in a new folder, with the package's tarball in it.
 *
 * @param kind Kind of the project
 */
export function initOf(kind: ProjectKind): Run {
  return async (args: Arguments, terminal: Terminal) => {
    const tarball = args.get("package");
    if (tarball === undefined) {
      throw new UsageError("--package must be set, to the tarball that `npm pack` makes of enclave-kms");
    }
    const { path, name } = checkFolder(args.argument ?? kind);
    const { version, bytes } = readPackage(tarball);
    const place = `vendor/enclave-kms-${version}.tgz`;
    writeProject(path, [
      ...readTemplates(kind, { name, package: place }),
      { path: place, content: bytes },
    ]);
    await terminal.report(`${name} is written. In it: npm install && npm test\n`);
    return EXIT.ok;
  };
}
