import { NetworkInterface } from "../native/network_interface.ts";

const LOOPBACK = "lo";

/**
 * Raises the loopback interface, so that 127.0.0.1 can be reached. An enclave starts with it down.
 *
 * Needs root or CAP_NET_ADMIN when the interface is down, and neither when it is up; on Deno `--allow-ffi`.
 *
 * @returns Whether it was down
 * @throws {SystemCallError} When it is down and this process may not raise it
 * @throws {LibraryLoadError} When libc cannot be called
 */
export function raiseLoopback(): boolean {
  using loopback = NetworkInterface.open(LOOPBACK);
  if (loopback.isUp) return false;
  loopback.raise();
  return true;
}
