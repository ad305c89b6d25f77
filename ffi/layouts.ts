/**
 * Sizes and offsets, in bytes, of the C structs we read or write: 64-bit little-endian Linux. A C program
 * compiled in the tests checks each of them against the real headers.
 */

/**
 * `struct aws_byte_buf` of aws-c-common: `{ size_t len; uint8_t *buffer; size_t capacity; struct aws_allocator
 * *allocator; }`
 */
export const AWS_BYTE_BUF = { size: 32, len: 0, buffer: 8, capacity: 16, allocator: 24 } as const;

/**
 * `struct aws_socket_endpoint` of aws-c-io: `{ char address[108]; uint16_t port; }` through 0.13 (110
 * bytes), `uint32_t port` from 0.14 (112 bytes). Zeroed, 112 bytes long and with a little-endian port of
 * four bytes it is right for both.
 */
export const AWS_SOCKET_ENDPOINT = { size: 112, address: 0, addressLength: 108, port: 108 } as const;

/** `enum aws_socket_domain` of aws-c-io. */
export const AWS_SOCKET_DOMAIN = { IPV4: 0, IPV6: 1, LOCAL: 2, VSOCK: 3 } as const;

/** `enum aws_key_spec` of aws-nitro-enclaves-sdk-c. */
export const AWS_KEY_SPEC = { AES_256: 0, AES_128: 1 } as const;

/** `enum aws_rsa_key_size` of aws-nitro-enclaves-sdk-c. */
export const AWS_RSA_2048 = 2048;

/**
 * `struct aws_nitro_enclaves_kms_client_configuration`: `allocator`, `region`, `endpoint`, `domain`,
 * `credentials`, `credentials_provider`, `host_name`. Only the last has no parameter of its own.
 */
export const AWS_KMS_CLIENT_CONFIGURATION = { size: 56, host_name: 48 } as const;

/** `struct sockaddr_vm` of <linux/vm_sockets.h>. */
export const SOCKADDR_VM = { size: 16, svm_family: 0, svm_port: 4, svm_cid: 8 } as const;

/** `struct timeval` of <sys/time.h>. */
export const TIMEVAL = { size: 16, tv_sec: 0, tv_usec: 8 } as const;

/** `struct pollfd` of <poll.h>. */
export const POLLFD = { size: 8, fd: 0, events: 4, revents: 6 } as const;

/** The ioctl's argument of the NSM driver: two `struct iovec`-like pairs of address and length. */
export const NSM_MESSAGE = {
  size: 32,
  requestAddress: 0,
  requestLength: 8,
  responseAddress: 16,
  responseLength: 24,
} as const;

/** `_IOWR(0x0A, 0, struct nsm_raw)` of the NSM driver. */
export const NSM_IOCTL = 0xc0200a00;

/** Largest request that the driver takes, in bytes. */
export const NSM_REQUEST_MAX_BYTES = 0x1000;

/** Largest response buffer that the driver fills, in bytes. */
export const NSM_RESPONSE_MAX_BYTES = 0x3000;

/** `struct rand_pool_info` of <linux/random.h>; the bytes follow it. */
export const RAND_POOL_INFO = { size: 8, entropy_count: 0, buf_size: 4, buf: 8 } as const;

/** `_IOW('R', 3, int[2])` of <linux/random.h>: takes a `struct rand_pool_info`. */
export const RNDADDENTROPY = 0x40085203;

/** `_IO('R', 7)` of <linux/random.h>, from Linux 4.17 on. */
export const RNDRESEEDCRNG = 0x5207;

/** `struct ifreq` of <net/if.h>: the name of an interface of at most 15 bytes and, among others, its flags. */
export const IFREQ = { size: 40, ifr_name: 0, nameLength: 16, ifr_flags: 16 } as const;

/** <linux/sockios.h>: reads `ifr_flags` of the interface that `ifr_name` names. */
export const SIOCGIFFLAGS = 0x8913;

/** <linux/sockios.h>: sets them. */
export const SIOCSIFFLAGS = 0x8914;

/** <net/if.h>: the interface is up. */
export const IFF_UP = 1;

/** Constants of libc on Linux, the same on x86-64 and arm64. */
export const AF_UNIX = 1;
/** <bits/socket.h> */
export const AF_INET = 2;
/** <linux/socket.h> */
export const AF_VSOCK = 40;
/** <bits/socket_type.h> */
export const SOCK_STREAM = 1;
/** <bits/socket_type.h> */
export const SOCK_DGRAM = 2;
/** <bits/socket_type.h> */
export const SOCK_NONBLOCK = 0o4000;
/** <bits/socket_type.h> */
export const SOCK_CLOEXEC = 0o2000000;
/** <asm-generic/socket.h> */
export const SOL_SOCKET = 1;
/** <asm-generic/socket.h> */
export const SO_ERROR = 4;
/** <asm-generic/socket.h> */
export const SO_ACCEPTCONN = 30;
/** <linux/vm_sockets.h>, for a `struct timeval`. */
export const SO_VM_SOCKETS_CONNECT_TIMEOUT = 6;
/** <bits/poll.h> */
export const POLLOUT = 4;
/** <fcntl.h> */
export const O_RDONLY = 0;
/** <fcntl.h> */
export const O_WRONLY = 1;
/** <fcntl.h> */
export const O_RDWR = 2;
/** <fcntl.h> */
export const O_CLOEXEC = 0o2000000;
/** <asm-generic/errno-base.h> */
export const EPERM = 1;
/** <asm-generic/errno.h> */
export const EINPROGRESS = 115;
/** <asm-generic/errno.h> */
export const ETIMEDOUT = 110;
/** <dlfcn.h> */
export const RTLD_NOW = 2;
/** <dlfcn.h> */
export const RTLD_NODELETE = 0x1000;
/** <sys/mman.h> */
export const MFD_CLOEXEC = 1;

/**
 * Reads the fields of a filled `struct aws_byte_buf`.
 *
 * @param struct 32 bytes
 */
export function readByteBuf(struct: Uint8Array<ArrayBuffer>): { len: number; buffer: bigint } {
  const view = viewOf(struct);
  return {
    len: Number(view.getBigUint64(AWS_BYTE_BUF.len, true)),
    buffer: view.getBigUint64(AWS_BYTE_BUF.buffer, true),
  };
}

/**
 * Encodes a `struct aws_socket_endpoint`.
 *
 * @param address CID in decimal, IP address or socket path, at most 107 bytes
 * @param port 0 to 2^32 - 1
 * @returns 112 bytes
 */
export function encodeSocketEndpoint(address: string, port: number): Uint8Array<ArrayBuffer> {
  const struct = new Uint8Array(new ArrayBuffer(AWS_SOCKET_ENDPOINT.size));
  const bytes = new TextEncoder().encode(address);
  if (bytes.length >= AWS_SOCKET_ENDPOINT.addressLength) throw new RangeError("Address is over 107 bytes");
  struct.set(bytes, AWS_SOCKET_ENDPOINT.address);
  viewOf(struct).setUint32(AWS_SOCKET_ENDPOINT.port, port, true);
  return struct;
}

/**
 * Encodes a `struct sockaddr_vm`.
 *
 * @param cid 0 to 2^32 - 1
 * @param port 0 to 2^32 - 1
 * @returns 16 bytes
 */
export function encodeSockaddrVm(cid: number, port: number): Uint8Array<ArrayBuffer> {
  const struct = new Uint8Array(new ArrayBuffer(SOCKADDR_VM.size));
  const view = viewOf(struct);
  view.setUint16(SOCKADDR_VM.svm_family, AF_VSOCK, true);
  view.setUint32(SOCKADDR_VM.svm_port, port, true);
  view.setUint32(SOCKADDR_VM.svm_cid, cid, true);
  return struct;
}

/**
 * Decodes a `struct sockaddr_vm`.
 *
 * @param struct At least 16 bytes
 */
export function decodeSockaddrVm(struct: Uint8Array<ArrayBuffer>): { cid: number; port: number } | undefined {
  const view = viewOf(struct);
  if (view.getUint16(SOCKADDR_VM.svm_family, true) !== AF_VSOCK) return undefined;
  return { cid: view.getUint32(SOCKADDR_VM.svm_cid, true), port: view.getUint32(SOCKADDR_VM.svm_port, true) };
}

/**
 * Encodes a `struct timeval`.
 *
 * @param durationMs Milliseconds, not negative
 * @returns 16 bytes
 */
export function encodeTimeval(durationMs: number): Uint8Array<ArrayBuffer> {
  const struct = new Uint8Array(new ArrayBuffer(TIMEVAL.size));
  const seconds = Math.floor(durationMs / 1000);
  viewOf(struct).setBigInt64(TIMEVAL.tv_sec, BigInt(seconds), true);
  viewOf(struct).setBigInt64(TIMEVAL.tv_usec, BigInt(Math.floor((durationMs - seconds * 1000) * 1000)), true);
  return struct;
}

/**
 * Encodes the argument of the NSM ioctl.
 *
 * @param request Address and length of the request
 * @param response Address and capacity of the response buffer
 * @returns 32 bytes
 */
export function encodeNsmMessage(
  request: { address: bigint; length: number },
  response: { address: bigint; length: number },
): Uint8Array<ArrayBuffer> {
  const struct = new Uint8Array(new ArrayBuffer(NSM_MESSAGE.size));
  const view = viewOf(struct);
  view.setBigUint64(NSM_MESSAGE.requestAddress, request.address, true);
  view.setBigUint64(NSM_MESSAGE.requestLength, BigInt(request.length), true);
  view.setBigUint64(NSM_MESSAGE.responseAddress, response.address, true);
  view.setBigUint64(NSM_MESSAGE.responseLength, BigInt(response.length), true);
  return struct;
}

/**
 * Reads the number of bytes that the NSM wrote.
 *
 * @param struct The 32 bytes after the ioctl
 */
export function readNsmResponseLength(struct: Uint8Array<ArrayBuffer>): number {
  return Number(viewOf(struct).getBigUint64(NSM_MESSAGE.responseLength, true));
}

/**
 * Encodes a `struct rand_pool_info` that credits every bit of its bytes.
 *
 * @param bytes Random bytes
 * @returns The struct, 8 bytes longer than them; the caller wipes it
 */
export function encodeRandPoolInfo(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const struct = new Uint8Array(new ArrayBuffer(RAND_POOL_INFO.size + bytes.length));
  viewOf(struct).setInt32(RAND_POOL_INFO.entropy_count, bytes.length * 8, true);
  viewOf(struct).setInt32(RAND_POOL_INFO.buf_size, bytes.length, true);
  struct.set(bytes, RAND_POOL_INFO.buf);
  return struct;
}

/**
 * Encodes a `struct ifreq`.
 *
 * @param name Name of an interface, 1 to 15 bytes of ASCII
 * @param flags Its flags, 0 to 65535
 * @returns 40 bytes
 */
export function encodeIfreq(name: string, flags: number): Uint8Array<ArrayBuffer> {
  const struct = new Uint8Array(new ArrayBuffer(IFREQ.size));
  const bytes = new TextEncoder().encode(name);
  if (bytes.length >= IFREQ.nameLength) throw new RangeError("Name of the interface is over 15 bytes");
  struct.set(bytes, IFREQ.ifr_name);
  viewOf(struct).setUint16(IFREQ.ifr_flags, flags, true);
  return struct;
}

/**
 * Reads the flags of a filled `struct ifreq`.
 *
 * @param struct 40 bytes
 */
export function readIfreqFlags(struct: Uint8Array<ArrayBuffer>): number {
  return viewOf(struct).getUint16(IFREQ.ifr_flags, true);
}

/**
 * Encodes a `struct pollfd` that waits for writability.
 *
 * @param fd The descriptor
 * @returns 8 bytes
 */
export function encodePollfd(fd: number): Uint8Array<ArrayBuffer> {
  const struct = new Uint8Array(new ArrayBuffer(POLLFD.size));
  viewOf(struct).setInt32(POLLFD.fd, fd, true);
  viewOf(struct).setInt16(POLLFD.events, POLLOUT, true);
  return struct;
}

function viewOf(struct: Uint8Array<ArrayBuffer>): DataView<ArrayBuffer> {
  return new DataView(struct.buffer, struct.byteOffset, struct.byteLength);
}
