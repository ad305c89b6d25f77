/**
 * A program with no right but the one to FFI: seeds the kernel from what stands for an NSM, and prints the
 * report as JSON, with how many bytes it has handed to `write` meanwhile.
 *
 * @module
 */
import { O_RDONLY } from "../../ffi/layouts.ts";
import { Descriptor } from "../../lib/native/descriptor.ts";
import { cString, libc } from "../../lib/native/libc.ts";
import { seedKernelEntropy } from "../../lib/nsm/mod.ts";

const nsm = { getRandom: () => Promise.resolve(crypto.getRandomValues(new Uint8Array(256))) };
const before = writtenBytes();
const report = await seedKernelEntropy(nsm);
console.log(JSON.stringify({ ...report, written: writtenBytes() - before }));

/** As the kernel counts them, of the whole process. */
function writtenBytes(): number {
  using file = new Descriptor(libc().call.open(cString("/proc/self/io"), O_RDONLY, 0));
  const buffer = new Uint8Array(new ArrayBuffer(1024));
  libc().call.read(file.fd, buffer, buffer.length);
  return Number(/^wchar: (\d+)$/m.exec(new TextDecoder().decode(buffer))?.[1]);
}
