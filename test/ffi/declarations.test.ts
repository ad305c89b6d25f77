import assert from "node:assert/strict";
import { describe, test } from "#test";
import * as layouts from "../../ffi/layouts.ts";
import { LIBC_SYMBOLS } from "../../ffi/libc_symbols.ts";
import * as libcrypto from "../../ffi/libcrypto_symbols.ts";
import { SDK_SYMBOLS } from "../../ffi/sdk_symbols.ts";
import type { SymbolDeclaration, SymbolTable } from "../../ffi/symbols.ts";
import { checkSource, hasCompiler, hasHeader } from "../support/c_compiler.ts";
import { findHeader, whyWithoutHeader } from "../support/sdk_headers.ts";

const withoutCompiler = !hasCompiler();
const CC_REASON = withoutCompiler ? " (skipped: no C compiler)" : "";

/** The libraries whose headers are looked for, each by itself: what is installed is checked. */
interface CLibrary {
  /** Shows that the library's headers are there. */
  readonly header: string;
  readonly includes: string;
  /** Its functions in the table. */
  readonly symbols: RegExp;
  /** Assertions on its structs and constants. */
  readonly layout: string;
}

const LIBC_HEADERS = `
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include <linux/random.h>
#include <linux/vm_sockets.h>
#define offset(type, field, value) _Static_assert(offsetof(type, field) == (value), #type "." #field)
#define equal(a, b) _Static_assert((a) == (b), #a)
`;

const SDK_MACROS = `
#include <stddef.h>
#define offset(type, field, value) _Static_assert(offsetof(struct type, field) == (value), #type "." #field)
#define equal(a, b) _Static_assert((a) == (b), #a)
`;

const { AWS_BYTE_BUF, AWS_SOCKET_DOMAIN, AWS_SOCKET_ENDPOINT, AWS_KMS_CLIENT_CONFIGURATION: CONFIGURATION } =
  layouts;

/** aws-nitro-enclaves-sdk-c and what it is built on. Its internal header is in its sources only. */
const SDK_LIBRARIES: Readonly<Record<string, CLibrary>> = {
  "aws-c-common": {
    header: "aws/common/byte_buf.h",
    includes: `
#include <aws/common/allocator.h>
#include <aws/common/byte_buf.h>
#include <aws/common/error.h>
#include <aws/common/string.h>`,
    symbols: /^aws_(default|mem|string|byte|last|reset|error)_/,
    layout: `
      equal(sizeof(struct aws_byte_buf), ${AWS_BYTE_BUF.size});
      offset(aws_byte_buf, len, ${AWS_BYTE_BUF.len});
      offset(aws_byte_buf, buffer, ${AWS_BYTE_BUF.buffer});
      offset(aws_byte_buf, capacity, ${AWS_BYTE_BUF.capacity});
      offset(aws_byte_buf, allocator, ${AWS_BYTE_BUF.allocator});
      equal(sizeof(void *), 8);`,
  },
  "aws-c-io": {
    header: "aws/io/socket.h",
    includes: "#include <aws/io/socket.h>",
    symbols: /^aws_socket_/,
    layout: `
      _Static_assert(sizeof(struct aws_socket_endpoint) <= ${AWS_SOCKET_ENDPOINT.size}, "endpoint");
      offset(aws_socket_endpoint, address, ${AWS_SOCKET_ENDPOINT.address});
      offset(aws_socket_endpoint, port, ${AWS_SOCKET_ENDPOINT.port});
      equal(sizeof(((struct aws_socket_endpoint *)0)->address), ${AWS_SOCKET_ENDPOINT.addressLength});
      equal(AWS_SOCKET_IPV4, ${AWS_SOCKET_DOMAIN.IPV4});
      equal(AWS_SOCKET_IPV6, ${AWS_SOCKET_DOMAIN.IPV6});
      equal(AWS_SOCKET_LOCAL, ${AWS_SOCKET_DOMAIN.LOCAL});
      equal(AWS_SOCKET_VSOCK, ${AWS_SOCKET_DOMAIN.VSOCK});`,
  },
  "aws-nitro-enclaves-sdk-c": {
    header: "aws/nitro_enclaves/kms.h",
    includes: `
#include <aws/nitro_enclaves/attestation.h>
#include <aws/nitro_enclaves/kms.h>
#include <aws/nitro_enclaves/nitro_enclaves.h>`,
    symbols: /^aws_(nitro|attestation|kms)_/,
    layout: `
      equal(sizeof(struct aws_nitro_enclaves_kms_client_configuration), ${CONFIGURATION.size});
      offset(aws_nitro_enclaves_kms_client_configuration, host_name, ${CONFIGURATION.host_name});
      equal(AWS_KS_AES_256, ${layouts.AWS_KEY_SPEC.AES_256});
      equal(AWS_KS_AES_128, ${layouts.AWS_KEY_SPEC.AES_128});
      equal(AWS_RSA_2048, ${layouts.AWS_RSA_2048});`,
  },
  "aws-nitro-enclaves-sdk-c, internal": {
    header: "aws/nitro_enclaves/internal/cms.h",
    includes: "#include <aws/nitro_enclaves/internal/cms.h>",
    symbols: /^aws_cms_/,
    layout: "",
  },
};

/** libcrypto of OpenSSL 3. */
const OPENSSL: Omit<CLibrary, "symbols"> = {
  header: "openssl/evp.h",
  includes: `
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/opensslv.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
_Static_assert(OPENSSL_VERSION_MAJOR >= 3, "OpenSSL 3");`,
  layout: `${
    (["OPENSSL_VERSION", "OPENSSL_INIT_NO_ATEXIT", "EVP_CTRL_AEAD_GET_TAG", "EVP_CTRL_AEAD_SET_TAG"] as const)
      .map((name) => `equal(${name}, ${libcrypto[name]});`).join("\n")
  }
      equal(RSA_NO_PADDING, ${libcrypto.RSA_NO_PADDING});
      equal(sizeof(unsigned long), 8);
      equal(sizeof(size_t), 8);
      equal(sizeof(int), 4);`,
};

/** Makes the C prototype of a declaration: the compiler refuses it beside a different one. */
function prototype(name: string, declaration: SymbolDeclaration): string {
  const parameters: string[] = declaration.parameters.map(([, c]) => c);
  if (declaration.variadic) parameters.splice(-1, 1, "...");
  return `${declaration.result[1]} ${name}(${parameters.join(", ") || "void"});`;
}

function prototypes(table: SymbolTable, include: (name: string) => boolean): string {
  return Object.entries(table).filter(([name]) => include(name)).map(([name, d]) => prototype(name, d)).join(
    "\n",
  );
}

/** Finds the kinds that a C declaration may have. */
function kindsFor(c: string): RegExp {
  if (c.includes("struct aws_byte_buf *")) return /^bytes\??$/;
  const struct = /struct (\w+) \*/.exec(c)?.[1];
  if (struct?.startsWith("aws_")) return new RegExp(`^pointer\\?? ${struct}$`);
  const opaque = /\b((?:EVP|OSSL|OPENSSL)_\w+|ENGINE) \*(?!\*)/.exec(c)?.[1];
  if (opaque !== undefined) return new RegExp(`^pointer\\?? ${opaque}$`);
  if (c.includes("*")) return /^(bytes\??|pointer\?? (any|c_char|c_int|c_uchar|void))$/;
  if (/\b(size_t|nfds_t|unsigned long|uint64_t)\b/.test(c)) {
    return c.startsWith("ssize_t") ? /^isize$/ : /^usize$/;
  }
  if (/\bssize_t\b/.test(c)) return /^isize$/;
  if (/\b(unsigned int|uint32_t|mode_t|socklen_t)\b/.test(c)) return /^u32$/;
  if (/^(int\b|enum )/.test(c)) return /^i32$/;
  return new RegExp(`^${c}$`);
}

const TABLES = { libc: LIBC_SYMBOLS, libcrypto: libcrypto.LIBCRYPTO_SYMBOLS, sdk: SDK_SYMBOLS };

describe("symbol tables", () => {
  const needsGnu = (name: string) => ["memfd_create", "dup3"].includes(name);

  test.skipIf(withoutCompiler)(`libc's prototypes are those of its headers${CC_REASON}`, () => {
    checkSource(LIBC_HEADERS + prototypes(LIBC_SYMBOLS, (name) => !needsGnu(name)), ["-D_DEFAULT_SOURCE"]);
    checkSource(LIBC_HEADERS + prototypes(LIBC_SYMBOLS, needsGnu), ["-D_GNU_SOURCE"]);
  });

  test.skipIf(withoutCompiler)(`a wrong prototype does not pass${CC_REASON}`, () => {
    assert.throws(() => checkSource(`${LIBC_HEADERS}int close(long fd);`), /conflicting types/);
  });

  for (const [library, table] of Object.entries(TABLES)) {
    test(`${library}: every kind suits its C declaration`, () => {
      for (const [name, declaration] of Object.entries<SymbolDeclaration>(table)) {
        for (const [kind, c] of [...declaration.parameters, declaration.result]) {
          assert.match(kind, kindsFor(c), `${name}: ${c}`);
        }
      }
    });
  }
});

describe("the headers of OpenSSL", () => {
  const { header, includes, layout } = OPENSSL;
  const isWithout = withoutCompiler || !hasHeader(header);
  const reason = withoutCompiler ? CC_REASON : " (skipped: no openssl/evp.h, which Debian's libssl-dev has)";
  const source = `${SDK_MACROS}${includes}`;

  test.skipIf(isWithout)(`prototypes and constants are theirs${isWithout ? reason : ""}`, () => {
    const declared = prototypes(libcrypto.LIBCRYPTO_SYMBOLS, () => true);
    checkSource(`${source}\n${declared}\n${layout}`);
  });

  test.skipIf(isWithout)(`a prototype without its const does not pass${isWithout ? reason : ""}`, () => {
    const wrong =
      "int EVP_Digest(void *data, size_t count, unsigned char *md, unsigned int *size, const EVP_MD *type, ENGINE *impl);";
    assert.throws(() => checkSource(`${source}\n${wrong}`), /conflicting types/);
  });
});

describe("the headers of the C SDK", () => {
  for (const [name, { header, includes, symbols, layout }] of Object.entries(SDK_LIBRARIES)) {
    const folder = withoutCompiler ? undefined : findHeader(header);
    const reason = folder === undefined ? whyWithoutHeader(header, withoutCompiler) : "";
    test.skipIf(folder === undefined)(
      `${name}: prototypes, structs and constants are theirs${reason}`,
      () => {
        const declared = prototypes(SDK_SYMBOLS, (symbol) => symbols.test(symbol));
        checkSource(`${SDK_MACROS}${includes}\n${declared}\n${layout}`, [`-I${folder}`, "-DUSE_VSOCK=1"]);
      },
    );
  }

  test("every function of the table is of one of these libraries", () => {
    for (const symbol of Object.keys(SDK_SYMBOLS)) {
      const owners = Object.values(SDK_LIBRARIES).filter(({ symbols }) => symbols.test(symbol));
      assert.equal(owners.length, 1, symbol);
    }
  });
});

describe("layouts", () => {
  test.skipIf(withoutCompiler)(`libc's structs and constants are those of its headers${CC_REASON}`, () => {
    const { IFREQ, SOCKADDR_VM, POLLFD, RAND_POOL_INFO, TIMEVAL } = layouts;
    checkSource(
      `${LIBC_HEADERS}
      equal(sizeof(struct sockaddr_vm), ${SOCKADDR_VM.size});
      offset(struct sockaddr_vm, svm_family, ${SOCKADDR_VM.svm_family});
      offset(struct sockaddr_vm, svm_port, ${SOCKADDR_VM.svm_port});
      offset(struct sockaddr_vm, svm_cid, ${SOCKADDR_VM.svm_cid});
      equal(sizeof(struct timeval), ${TIMEVAL.size});
      offset(struct timeval, tv_sec, ${TIMEVAL.tv_sec});
      offset(struct timeval, tv_usec, ${TIMEVAL.tv_usec});
      equal(sizeof(struct pollfd), ${POLLFD.size});
      offset(struct pollfd, fd, ${POLLFD.fd});
      offset(struct pollfd, events, ${POLLFD.events});
      offset(struct pollfd, revents, ${POLLFD.revents});
      struct nsm_raw { struct { unsigned long long address, length; } request, response; };
      equal(sizeof(struct nsm_raw), ${layouts.NSM_MESSAGE.size});
      offset(struct nsm_raw, request.length, ${layouts.NSM_MESSAGE.requestLength});
      offset(struct nsm_raw, response.address, ${layouts.NSM_MESSAGE.responseAddress});
      offset(struct nsm_raw, response.length, ${layouts.NSM_MESSAGE.responseLength});
      equal(_IOWR(0x0A, 0, struct nsm_raw), ${layouts.NSM_IOCTL}u);
      equal(sizeof(struct rand_pool_info), ${RAND_POOL_INFO.size});
      offset(struct rand_pool_info, entropy_count, ${RAND_POOL_INFO.entropy_count});
      offset(struct rand_pool_info, buf_size, ${RAND_POOL_INFO.buf_size});
      offset(struct rand_pool_info, buf, ${RAND_POOL_INFO.buf});
      equal(sizeof(struct ifreq), ${IFREQ.size});
      offset(struct ifreq, ifr_name, ${IFREQ.ifr_name});
      offset(struct ifreq, ifr_flags, ${IFREQ.ifr_flags});
      equal(sizeof(((struct ifreq *)0)->ifr_name), ${IFREQ.nameLength});
      equal(sizeof(((struct ifreq *)0)->ifr_flags), 2);
      equal(RNDADDENTROPY, ${layouts.RNDADDENTROPY}u);
      equal(RNDRESEEDCRNG, ${layouts.RNDRESEEDCRNG}u);
      ${
        ([
          "AF_INET",
          "AF_UNIX",
          "AF_VSOCK",
          "SOCK_STREAM",
          "SOCK_DGRAM",
          "SIOCGIFFLAGS",
          "SIOCSIFFLAGS",
          "IFF_UP",
          "SOCK_NONBLOCK",
          "SOCK_CLOEXEC",
          "SOL_SOCKET",
          "SO_ERROR",
          "SO_ACCEPTCONN",
          "SO_VM_SOCKETS_CONNECT_TIMEOUT",
        ] as const)
          .map((name) => `equal(${name}, ${layouts[name]});`).join("\n")
      }
      ${
        ([
          "POLLOUT",
          "O_RDONLY",
          "O_WRONLY",
          "O_RDWR",
          "O_CLOEXEC",
          "EPERM",
          "EINPROGRESS",
          "ETIMEDOUT",
          "MFD_CLOEXEC",
          "RTLD_NOW",
          "RTLD_NODELETE",
        ] as const)
          .map((name) => `equal(${name}, ${layouts[name]});`).join("\n")
      }`,
      ["-D_GNU_SOURCE"],
    );
  });

  test("encodeRandPoolInfo() has every bit of the bytes count", () => {
    const struct = layouts.encodeRandPoolInfo(new Uint8Array(256).fill(7));
    assert.deepEqual([...struct.subarray(0, 8)], [0, 8, 0, 0, 0, 1, 0, 0]);
    assert.deepEqual(struct.subarray(8), new Uint8Array(256).fill(7));
  });

  test("encodeNsmMessage() puts addresses and lengths where the driver reads them", () => {
    const [request, response] = [{ address: 0x1122_3344_5566_7788n, length: 0x102 }, {
      address: 9n,
      length: 0x3000,
    }];
    const struct = layouts.encodeNsmMessage(request, response);
    assert.deepEqual([...struct], [
      ...[0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11],
      ...[0x02, 0x01, 0, 0, 0, 0, 0, 0],
      ...[9, 0, 0, 0, 0, 0, 0, 0],
      ...[0, 0x30, 0, 0, 0, 0, 0, 0],
    ]);
    assert.equal(layouts.readNsmResponseLength(struct), 0x3000);
  });

  test("encodeIfreq() puts name and flags where Linux reads them, and readIfreqFlags() finds these", () => {
    const struct = layouts.encodeIfreq("lo", 0xfedc);
    assert.deepEqual([...struct], [
      0x6c,
      0x6f,
      ...new Array(14).fill(0),
      0xdc,
      0xfe,
      ...new Array(22).fill(0),
    ]);
    assert.equal(layouts.readIfreqFlags(struct), 0xfedc);
    assert.equal(layouts.encodeIfreq("x".repeat(15), 0)[15], 0);
    assert.throws(
      () => layouts.encodeIfreq("x".repeat(16), 0),
      /^RangeError: Name of the interface is over 15 bytes$/,
    );
  });

  test("encodePollfd() waits for writability, on the descriptor", () => {
    assert.deepEqual([...layouts.encodePollfd(0x0102_0304)], [4, 3, 2, 1, layouts.POLLOUT, 0, 0, 0]);
  });

  test("readByteBuf() reads length and address, wherever the struct lies in its buffer", () => {
    const struct = new Uint8Array(new ArrayBuffer(48), 8, 32);
    struct[layouts.AWS_BYTE_BUF.len + 1] = 1;
    struct[layouts.AWS_BYTE_BUF.buffer + 7] = 0x7f;
    assert.deepEqual(layouts.readByteBuf(struct), { len: 256, buffer: 0x7f00_0000_0000_0000n });
  });

  test("encodeSocketEndpoint() is right for a port of 16 and of 32 bits", () => {
    const struct = layouts.encodeSocketEndpoint("3", 8000);
    const view = new DataView(struct.buffer);
    assert.equal(struct.length, 112);
    assert.deepEqual([...struct.subarray(0, 108)], [0x33, ...new Array(107).fill(0)]);
    assert.equal(view.getUint16(108, true), 8000);
    assert.equal(view.getUint32(108, true), 8000);
  });

  test("encodeSocketEndpoint() refuses an address that leaves no room for the NUL", () => {
    assert.equal(layouts.encodeSocketEndpoint("x".repeat(107), 1)[107], 0);
    assert.throws(
      () => layouts.encodeSocketEndpoint("x".repeat(108), 1),
      /^RangeError: Address is over 107 bytes$/,
    );
  });

  test("encodeSockaddrVm() puts family, port and CID where Linux reads them", () => {
    const struct = layouts.encodeSockaddrVm(0xffff_ff10, 8000);
    assert.deepEqual([...struct], [40, 0, 0, 0, 0x40, 0x1f, 0, 0, 0x10, 255, 255, 255, 0, 0, 0, 0]);
  });

  test("decodeSockaddrVm() reads what encodeSockaddrVm() writes, and no other family", () => {
    const struct = layouts.encodeSockaddrVm(0xffff_ff10, 8000);
    assert.deepEqual(layouts.decodeSockaddrVm(struct), { cid: 0xffff_ff10, port: 8000 });
    struct[0] = layouts.AF_UNIX;
    assert.equal(layouts.decodeSockaddrVm(struct), undefined);
  });

  test("encodeTimeval() splits milliseconds into seconds and microseconds", () => {
    const view = new DataView(layouts.encodeTimeval(2_147_483_647.5).buffer);
    assert.equal(view.getBigInt64(0, true), 2_147_483n);
    assert.equal(view.getBigInt64(8, true), 647_500n);
  });
});
