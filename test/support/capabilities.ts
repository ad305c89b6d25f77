import { readFileSync } from "node:fs";

/** <linux/capability.h>: what counting entropy takes. */
const CAP_SYS_ADMIN = 21n;

/** Starts a command without that capability; from util-linux, and only root can. */
export const WITHOUT_SYS_ADMIN: readonly string[] = [
  ...["setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin"],
];

/** @returns Whether this process has CAP_SYS_ADMIN */
export function isSysAdmin(): boolean {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0";
  return (BigInt(`0x${effective}`) >> CAP_SYS_ADMIN & 1n) === 1n;
}
