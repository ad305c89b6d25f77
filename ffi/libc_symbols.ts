import type { SymbolTable } from "./symbols.ts";

/** libc: glibc >= 2.27 or musl >= 1.1.20, Linux on x86-64 and arm64. */
export const LIBC_SYMBOLS = {
  // <stdlib.h>
  calloc: {
    parameters: [["usize", "size_t nmemb"], ["usize", "size_t size"]],
    result: ["pointer void", "void *"],
  },
  free: { parameters: [["pointer any", "void *ptr"]], result: ["void", "void"] },
  getenv: { parameters: [["bytes", "const char *name"]], result: ["pointer c_char", "char *"] },
  setenv: {
    parameters: [["bytes", "const char *name"], ["bytes", "const char *value"], ["i32", "int overwrite"]],
    result: ["i32", "int"],
  },
  unsetenv: { parameters: [["bytes", "const char *name"]], result: ["i32", "int"] },

  // <string.h>: memcpy is declared for the way out of C memory, memmove for the way in
  memcpy: {
    parameters: [["bytes", "void *dest"], ["pointer any", "const void *src"], ["usize", "size_t n"]],
    result: ["pointer void", "void *"],
  },
  memmove: {
    parameters: [["pointer any", "void *dest"], ["bytes", "const void *src"], ["usize", "size_t n"]],
    result: ["pointer void", "void *"],
  },
  explicit_bzero: {
    parameters: [["pointer any", "void *s"], ["usize", "size_t n"]],
    result: ["void", "void"],
  },
  strnlen: {
    parameters: [["pointer c_char", "const char *s"], ["usize", "size_t maxlen"]],
    result: ["usize", "size_t"],
  },

  // <dlfcn.h>; in libdl before glibc 2.34, where Deno does not find it
  dlopen: {
    parameters: [["bytes", "const char *filename"], ["i32", "int flags"]],
    result: ["pointer void", "void *"],
    optional: true,
  },

  // <errno.h>
  __errno_location: { parameters: [], result: ["pointer c_int", "int *"] },

  // <fcntl.h>, <unistd.h>, <sys/ioctl.h>, <sys/mman.h>, <poll.h>
  open: {
    parameters: [["bytes", "const char *pathname"], ["i32", "int flags"], ["u32", "mode_t mode"]],
    result: ["i32", "int"],
    variadic: true,
  },
  close: { parameters: [["i32", "int fd"]], result: ["i32", "int"] },
  read: {
    parameters: [["i32", "int fd"], ["bytes", "void *buf"], ["usize", "size_t count"]],
    result: ["isize", "ssize_t"],
  },
  write: {
    parameters: [["i32", "int fd"], ["bytes", "const void *buf"], ["usize", "size_t count"]],
    result: ["isize", "ssize_t"],
  },
  dup3: {
    parameters: [["i32", "int oldfd"], ["i32", "int newfd"], ["i32", "int flags"]],
    result: ["i32", "int"],
  },
  memfd_create: {
    parameters: [["bytes", "const char *name"], ["u32", "unsigned int flags"]],
    result: ["i32", "int"],
  },
  ioctl: {
    parameters: [["i32", "int fd"], ["usize", "unsigned long request"], ["pointer any", "void *argp"]],
    result: ["i32", "int"],
    variadic: true,
    blocking: true,
  },
  poll: {
    parameters: [["bytes", "struct pollfd *fds"], ["usize", "nfds_t nfds"], ["i32", "int timeout"]],
    result: ["i32", "int"],
    blocking: true,
  },
  _exit: { parameters: [["i32", "int status"]], result: ["void", "void"] },

  // <sys/socket.h>
  socket: {
    parameters: [["i32", "int domain"], ["i32", "int type"], ["i32", "int protocol"]],
    result: ["i32", "int"],
  },
  bind: {
    parameters: [["i32", "int sockfd"], ["bytes", "const struct sockaddr *addr"], [
      "u32",
      "socklen_t addrlen",
    ]],
    result: ["i32", "int"],
  },
  connect: {
    parameters: [["i32", "int sockfd"], ["bytes", "const struct sockaddr *addr"], [
      "u32",
      "socklen_t addrlen",
    ]],
    result: ["i32", "int"],
  },
  listen: { parameters: [["i32", "int sockfd"], ["i32", "int backlog"]], result: ["i32", "int"] },
  getsockname: {
    parameters: [["i32", "int sockfd"], ["bytes", "struct sockaddr *addr"], [
      "bytes",
      "socklen_t *addrlen",
    ]],
    result: ["i32", "int"],
  },
  getpeername: {
    parameters: [["i32", "int sockfd"], ["bytes", "struct sockaddr *addr"], [
      "bytes",
      "socklen_t *addrlen",
    ]],
    result: ["i32", "int"],
  },
  getsockopt: {
    parameters: [
      ["i32", "int sockfd"],
      ["i32", "int level"],
      ["i32", "int optname"],
      ["bytes", "void *optval"],
      ["bytes", "socklen_t *optlen"],
    ],
    result: ["i32", "int"],
  },
  setsockopt: {
    parameters: [
      ["i32", "int sockfd"],
      ["i32", "int level"],
      ["i32", "int optname"],
      ["bytes", "const void *optval"],
      ["u32", "socklen_t optlen"],
    ],
    result: ["i32", "int"],
  },
} as const satisfies SymbolTable;
