import { examineLinks } from "./examine.ts";
import type { Finding } from "./finding.ts";
import { ParentExamination, type ParentExaminationOptions } from "./parent_examination.ts";
import { PARENT_LINKS } from "./parent_links.ts";

/**
 * Examines what a parent hangs on: the metadata service, the role, S3, the way to KMS, nitro-cli with the enclave, and what
 * was injected. It changes nothing.
 *
 * @param options Settings and time
 * @returns The findings, in the order of the links. Never throws
 */
export function examineParent(options: ParentExaminationOptions): Promise<readonly Finding[]> {
  return examineLinks(
    PARENT_LINKS,
    (findings) => new ParentExamination(options, findings),
    (_name, { remainingMs }) => remainingMs,
  );
}
