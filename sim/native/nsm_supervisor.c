/*
 * nsm-supervisor <socket-directory> <program> [argument…]
 *
 * Runs an unmodified program on a machine without a Nitro Secure Module. Seccomp user notification hands
 * us its openat("/dev/nsm") and its ioctl on what that returned; the answers come from a software NSM that
 * listens on <socket-directory>/nsm-<pid>.sock, where pid is the calling process or its nearest ancestor
 * with such a socket. A message is a big-endian u32 length and as many bytes, one request and one answer
 * per connection. Without a listener the open fails with ENOENT, as on a machine without the device.
 *
 * Only open and ioctl are answered: stat and access see the machine's own /dev. A process that outlives the
 * program loses its answers, and with them every open. Needs Linux 5.14.
 *
 * See seccomp_unotify(2); for the ioctl, drivers/misc/nsm.c in Linux.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEVICE "/dev/nsm"
#define MEMFD_NAME "nsm"
#define NSM_IOCTL 0xC0200A00U
#define MAX_REQUEST 0x1000
#define MAX_RESPONSE 0x3000
#define MAX_ANCESTORS 16
/* How often a call that waits for its NSM looks whether its caller is still there. */
#define CALLER_CHECK_MS 500

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV /* Linux 5.19 */
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#else
#error "nsm-supervisor knows x86_64 and aarch64"
#endif

static const char *socket_directory;
static int listener;
static pid_t program;

/* ---- the program's side ---- */

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define RETURN_IF(value, action) \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1), BPF_STMT(BPF_RET | BPF_K, action)
#define RETURN_UNLESS(value, action) \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 1, 0), BPF_STMT(BPF_RET | BPF_K, action)

/* Installs the filter and returns its listener. A path cannot be judged in BPF, so every open is notified. */
static int install_filter(void)
{
    struct sock_filter code[] = {
        LOAD(arch),
        RETURN_UNLESS(ARCH, SECCOMP_RET_ALLOW),
        LOAD(nr),
#ifdef SYS_open
        RETURN_IF(SYS_open, SECCOMP_RET_USER_NOTIF),
#endif
        RETURN_IF(SYS_openat, SECCOMP_RET_USER_NOTIF),
        RETURN_IF(SYS_openat2, SECCOMP_RET_USER_NOTIF),
        RETURN_UNLESS(SYS_ioctl, SECCOMP_RET_ALLOW),
        LOAD(args[1]), /* the low word: both machines are little-endian */
        RETURN_IF(NSM_IOCTL, SECCOMP_RET_USER_NOTIF),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {.len = sizeof code / sizeof *code, .filter = code};
    unsigned long flags = SECCOMP_FILTER_FLAG_NEW_LISTENER;
    /* With it a signal does not restart a call that is being answered: the NSM would see it twice. */
    long fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &filter);
    return (int)(fd >= 0 ? fd : syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &filter));
}

union descriptor_message {
    struct cmsghdr header;
    char space[CMSG_SPACE(sizeof(int))];
};

static struct msghdr message_with(struct iovec *data, union descriptor_message *control)
{
    return (struct msghdr){
        .msg_iov = data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof *control};
}

static bool send_descriptor(int channel, int fd)
{
    char byte = 0;
    struct iovec data = {&byte, 1};
    union descriptor_message control = {0};
    struct msghdr message = message_with(&data, &control);
    control.header.cmsg_len = CMSG_LEN(sizeof fd);
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
    return sendmsg(channel, &message, 0) == 1;
}

static int receive_descriptor(int channel)
{
    char byte;
    struct iovec data = {&byte, 1};
    union descriptor_message control = {0};
    struct msghdr message = message_with(&data, &control);
    int fd = -1;
    if (recvmsg(channel, &message, MSG_CMSG_CLOEXEC) == 1 && control.header.cmsg_type == SCM_RIGHTS)
        memcpy(&fd, CMSG_DATA(&control.header), sizeof fd);
    return fd;
}

/* After install_filter() nothing here may open a file: nobody answers before the listener is handed over. */
static _Noreturn void become_program(int channel, char **command)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* without us its every open would fail */
    setenv("ENCLAVE_KMS_NSM_SUPERVISED", socket_directory, 1);
    int fd = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? install_filter() : -1;
    if (fd < 0 || !send_descriptor(channel, fd)) {
        perror("nsm-supervisor: seccomp listener");
        _exit(125);
    }
    close(fd);
    execvp(command[0], command);
    fprintf(stderr, "nsm-supervisor: %s: %s\n", command[0], strerror(errno));
    _exit(127);
}

/* ---- notifications ---- */

/* The caller may die at any time, and its number may be another's by then: ask before trusting it. */
static bool is_alive(uint64_t id)
{
    return ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}

static void answer(uint64_t id, int error, uint32_t flags)
{
    struct seccomp_notif_resp response = {.id = id, .error = -error, .flags = flags};
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response); /* fails only when the caller is gone */
}

static void let_through(uint64_t id)
{
    answer(id, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
}

static bool read_memory(const struct seccomp_notif *call, uint64_t address, void *out, size_t length)
{
    struct iovec here = {out, length}, there = {(void *)(uintptr_t)address, length};
    return process_vm_readv((pid_t)call->pid, &here, 1, &there, 1, 0) == (ssize_t)length && is_alive(call->id);
}

static bool write_memory(const struct seccomp_notif *call, uint64_t address, const void *from, size_t length)
{
    struct iovec here = {(void *)from, length}, there = {(void *)(uintptr_t)address, length};
    return length == 0 ||
           (is_alive(call->id) && process_vm_writev((pid_t)call->pid, &here, 1, &there, 1, 0) == (ssize_t)length);
}

/* ---- which software NSM ---- */

static pid_t status_field(pid_t process, const char *field)
{
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/%d/status", process);
    FILE *status = fopen(path, "re");
    pid_t value = 0;
    while (status && value == 0 && fgets(line, sizeof line, status))
        if (strncmp(line, field, strlen(field)) == 0) value = atoi(line + strlen(field));
    if (status) fclose(status);
    return value;
}

static int connect_to(pid_t process)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/nsm-%d.sock", socket_directory, process);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
    close(fd);
    return -1;
}

/* The NSM of the calling process or of its nearest ancestor that has one, or -1. */
static int connect_nsm(pid_t thread)
{
    pid_t process = status_field(thread, "Tgid:");
    for (int i = 0; process > 0 && i < MAX_ANCESTORS; i++) {
        int fd = connect_to(process);
        if (fd >= 0) return fd;
        process = status_field(process, "PPid:");
    }
    return -1;
}

/* ---- open("/dev/nsm") ---- */

/* openat and openat2 have a directory in front of the path, open has not. */
static bool takes_directory(const struct seccomp_notif *call)
{
    return call->data.nr == SYS_openat || call->data.nr == SYS_openat2;
}

static bool is_device(const struct seccomp_notif *call)
{
    uint64_t path = call->data.args[takes_directory(call) ? 1 : 0];
    char name[sizeof DEVICE];
    return read_memory(call, path, name, sizeof name) && memcmp(name, DEVICE, sizeof name) == 0;
}

static void install_memfd(const struct seccomp_notif *call, bool close_on_exec)
{
    int memfd = memfd_create(MEMFD_NAME, MFD_CLOEXEC);
    struct seccomp_notif_addfd add = {
        .id = call->id,
        .flags = SECCOMP_ADDFD_FLAG_SEND, /* installs and answers in one step */
        .srcfd = (uint32_t)memfd,
        .newfd_flags = close_on_exec ? O_CLOEXEC : 0,
    };
    if (memfd < 0 || ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add) < 0) answer(call->id, EMFILE, 0);
    close(memfd);
}

/* In a thread of its own, for a listener whose backlog is full blocks. */
static void open_device(const struct seccomp_notif *call)
{
    uint64_t flags = call->data.args[takes_directory(call) ? 2 : 1];
    uint64_t how = flags + offsetof(struct open_how, flags);
    if (call->data.nr == SYS_openat2 && !read_memory(call, how, &flags, sizeof flags))
        return answer(call->id, EFAULT, 0);
    int nsm = connect_nsm((pid_t)call->pid);
    if (nsm < 0) return answer(call->id, ENOENT, 0);
    close(nsm);
    install_memfd(call, flags & O_CLOEXEC);
}

/* ---- ioctl ---- */

struct nsm_message {
    uint64_t request, request_length, response, response_length;
};

static bool is_our_memfd(const struct seccomp_notif *call)
{
    static const char expected[] = "/memfd:" MEMFD_NAME " ";
    char path[64], target[64] = "";
    snprintf(path, sizeof path, "/proc/%u/fd/%d", call->pid, (int)call->data.args[0]);
    return readlink(path, target, sizeof target - 1) > 0 && strncmp(target, expected, sizeof expected - 1) == 0;
}

static bool send_all(int fd, const void *data, size_t length)
{
    for (ssize_t sent; length > 0; data = (const char *)data + sent, length -= (size_t)sent)
        if ((sent = send(fd, data, length, MSG_NOSIGNAL)) <= 0) return false;
    return true;
}

/* An NSM may take its time, or for ever: wait as long as the caller does. */
static bool receive_all(int fd, void *data, size_t length, uint64_t id)
{
    while (length > 0) {
        int ready = poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, CALLER_CHECK_MS);
        if (ready == 0 && is_alive(id)) continue;
        ssize_t received = ready > 0 ? recv(fd, data, length, 0) : 0;
        if (received <= 0) return false;
        data = (char *)data + received;
        length -= (size_t)received;
    }
    return true;
}

static int exchange(const struct seccomp_notif *call, const uint8_t *request, size_t length, uint8_t *response,
                    size_t *response_length)
{
    int nsm = connect_nsm((pid_t)call->pid);
    uint32_t size = htonl((uint32_t)length);
    bool ok = nsm >= 0 && send_all(nsm, &size, sizeof size) && send_all(nsm, request, length) &&
              receive_all(nsm, &size, sizeof size, call->id) && ntohl(size) <= MAX_RESPONSE &&
              receive_all(nsm, response, ntohl(size), call->id);
    if (nsm >= 0) close(nsm);
    *response_length = ntohl(size);
    return ok ? 0 : EIO;
}

static int answer_ioctl(const struct seccomp_notif *call)
{
    uint8_t request[MAX_REQUEST], response[MAX_RESPONSE];
    uint64_t address = call->data.args[2];
    struct nsm_message message;
    size_t length;
    if (!read_memory(call, address, &message, sizeof message)) return EFAULT;
    if (message.request_length > MAX_REQUEST) return EMSGSIZE;
    if (!read_memory(call, message.request, request, message.request_length)) return EFAULT;
    int error = exchange(call, request, message.request_length, response, &length);
    if (error) return error;
    if (message.response_length > length) message.response_length = length; /* a longer answer is cut */
    if (!write_memory(call, message.response, response, message.response_length)) return EFAULT;
    return write_memory(call, address, &message, sizeof message) ? 0 : EFAULT;
}

static void serve_ioctl(const struct seccomp_notif *call)
{
    if (is_our_memfd(call)) answer(call->id, answer_ioctl(call), 0);
    else let_through(call->id);
}

/* ---- the loop ---- */

static void *serve_device_call(void *argument)
{
    struct seccomp_notif *call = argument;
    if (call->data.nr == SYS_ioctl) serve_ioctl(call);
    else open_device(call);
    free(call);
    return NULL;
}

/* A silent NSM must not hold up the files that others open. */
static void start_device_call(const struct seccomp_notif *call)
{
    pthread_t thread;
    struct seccomp_notif *copy = malloc(sizeof *copy);
    if (copy) *copy = *call;
    if (copy && pthread_create(&thread, NULL, serve_device_call, copy) == 0) {
        pthread_detach(thread);
        return;
    }
    free(copy);
    answer(call->id, ENOMEM, 0);
}

static void *serve(void *unused)
{
    for (;;) {
        struct seccomp_notif call = {0}; /* the kernel insists on zeros */
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call) != 0) {
            if (errno == EINTR || errno == ENOENT) continue; /* ENOENT: the caller died meanwhile */
            return unused;
        }
        if (call.data.nr == SYS_ioctl || is_device(&call)) start_device_call(&call);
        else let_through(call.id);
    }
}

/* ---- life of the program ---- */

/* What the terminal sends (SI_KERNEL) reaches the program without us. */
static void forward_signal(int number, siginfo_t *info, void *context)
{
    (void)context;
    if (info->si_code != SI_KERNEL) kill(program, number);
}

static void forward_signals(void)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};
    struct sigaction action = {.sa_sigaction = forward_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) sigaction(numbers[i], &action, NULL);
}

static int wait_for_program(void)
{
    for (int status;;) {
        pid_t ended = waitpid(-1, &status, 0); /* orphans of the program end here too */
        if (ended == program) return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
        if (ended < 0 && errno != EINTR) return 125;
    }
}

static int fail(const char *what)
{
    perror(what);
    if (program > 0) kill(program, SIGKILL);
    return 125;
}

int main(int count, char **arguments)
{
    if (count < 3) return fprintf(stderr, "usage: nsm-supervisor <socket-directory> <program> [argument…]\n"), 125;
    socket_directory = arguments[1];
    int channel[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel) != 0) return fail("nsm-supervisor: socketpair");
    /* Orphans stay our descendants: where Yama restricts ptrace we could not read their memory otherwise. */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    program = fork();
    if (program < 0) return fail("nsm-supervisor: fork");
    if (program == 0) become_program(channel[1], arguments + 2);
    forward_signals();
    close(channel[1]);
    listener = receive_descriptor(channel[0]);
    close(channel[0]);
    if (listener < 0) return wait_for_program();
    pthread_t server;
    if (pthread_create(&server, NULL, serve, NULL) != 0) return fail("nsm-supervisor: pthread_create");
    return wait_for_program();
}
