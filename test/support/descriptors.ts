import { readdirSync, readlinkSync } from "node:fs";

/**
 * Counts this process's descriptors of some kind, sockets once each. What threads and event loops open and close of their
 * own, at any time, is to be none of that kind.
 *
 * @param kind Targets to count. Default: sockets, and NSM devices
 */
export function countDescriptors(kind: RegExp = /^socket:|nsm/): number {
  const targets = readdirSync("/proc/self/fd").map(targetOf).filter((target) => kind.test(target));
  const isSocket = (target: string) => target.startsWith("socket:");
  return new Set(targets.filter(isSocket)).size + targets.filter((target) => !isSocket(target)).length;
}

/** Reads the target of a descriptor; empty for one that is closed meanwhile, such as that of the list itself. */
function targetOf(fd: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return "";
  }
}
