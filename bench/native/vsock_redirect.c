/*
 * LD_PRELOAD: AF_VSOCK connections go to the same port of 127.0.0.1 over TCP, so that an unmodified
 * kmstool_enclave_cli reaches a simulated KMS on a machine without an enclave. Nothing of it uses AF_VSOCK.
 *
 * With ENCLAVE_KMS_BENCH_PROBE in the environment the program prints "redirected" and does nothing else: whoever
 * starts it thus knows beforehand that it takes preloaded libraries, which a static program does not.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

__attribute__((constructor)) static void probe(void)
{
    static const char answer[] = "redirected\n";
    if (getenv("ENCLAVE_KMS_BENCH_PROBE") == NULL)
        return;
    ssize_t written = write(STDOUT_FILENO, answer, sizeof answer - 1);
    _exit(written == (ssize_t)(sizeof answer - 1) ? 0 : 1);
}

int socket(int domain, int type, int protocol)
{
    int (*next)(int, int, int) = (int (*)(int, int, int))dlsym(RTLD_NEXT, "socket");
    return next(domain == AF_VSOCK ? AF_INET : domain, type, protocol);
}

int connect(int descriptor, const struct sockaddr *address, socklen_t length)
{
    int (*next)(int, const struct sockaddr *, socklen_t) =
        (int (*)(int, const struct sockaddr *, socklen_t))dlsym(RTLD_NEXT, "connect");
    if (address->sa_family != AF_VSOCK)
        return next(descriptor, address, length);
    struct sockaddr_vm vsock;
    memcpy(&vsock, address, sizeof vsock);
    struct sockaddr_in tcp = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)vsock.svm_port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    return next(descriptor, (const struct sockaddr *)&tcp, sizeof tcp);
}
