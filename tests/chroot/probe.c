/* Tries to get out, or at others. Says each way that worked, in a line; nothing if none did.
 * `probe outside PID…`: at processes; `probe escape`: out of the root; `probe terminal` makes a
 * terminal, and `probe again` does so as another program. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRY(pid, what, call) \
    do { \
        errno = 0; \
        if ((long)(call) >= 0) printf("%d %s\n", pid, what); \
    } while (0)

/* A call in the numbers of another architecture. */
static long call_i386(long number, long first, long second) {
#ifdef __x86_64__
    long answer;
    __asm__ volatile("int $0x80" : "=a"(answer) : "a"(number), "b"(first), "c"(second) : "memory");
    return answer;
#else
    return -1;
#endif
}

static long call_x32(long number, long first, long second) {
#ifdef __x86_64__
    return syscall(number | 0x40000000, first, second);
#else
    return -1;
#endif
}

static void outside(int pid) {
    siginfo_t info;
    memset(&info, 0, sizeof info);
    info.si_code = SI_QUEUE;
    struct rlimit limit = {1, 1};
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(0, &set);
    struct f_owner_ex owner = {F_OWNER_PID, pid};
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) puts("no pair");
    TRY(pid, "kill", kill(pid, 0));
    TRY(pid, "kill its group", kill(-pid, 0));
    TRY(pid, "tkill", syscall(SYS_tkill, pid, 0));
    TRY(pid, "tgkill", syscall(SYS_tgkill, pid, pid, 0));
    TRY(pid, "queue", syscall(SYS_rt_sigqueueinfo, pid, SIGURG, &info));
    TRY(pid, "queue for a thread", syscall(SYS_rt_tgsigqueueinfo, pid, pid, SIGURG, &info));
    TRY(pid, "pidfd", syscall(SYS_pidfd_open, pid, 0));
    TRY(pid, "limit", prlimit(pid, RLIMIT_CPU, NULL, &limit));
    TRY(pid, "ask its limit", prlimit(pid, RLIMIT_CPU, &limit, NULL));
    TRY(pid, "affinity", sched_setaffinity(pid, sizeof set, &set));
    TRY(pid, "nice", setpriority(PRIO_PROCESS, pid, 19));
    TRY(pid, "nice its user", setpriority(PRIO_USER, 0, 19));
    TRY(pid, "owner", fcntl(pair[0], F_SETOWN, pid));
    TRY(pid, "owner by structure", fcntl(pair[0], F_SETOWN_EX, &owner));
    TRY(pid, "owner by ioctl", ioctl(pair[0], 0x8901, &pid));
    TRY(pid, "attach", ptrace(PTRACE_ATTACH, pid, 0, 0));
    TRY(pid, "seize", ptrace(PTRACE_SEIZE, pid, 0, 0));
    TRY(pid, "i386 kill", call_i386(37, pid, 0));
    TRY(pid, "x32 kill", call_x32(62, pid, 0));
    TRY(pid, "ring", syscall(425, 1, NULL));
}

static void escape(void) {
    struct stat root, up;
    stat("/", &root);
    mkdir("/inner", 0755);
    TRY(0, "chroot", chroot("/inner"));
    TRY(0, "namespaces", unshare(CLONE_NEWNS));
    TRY(0, "user namespace", unshare(CLONE_NEWUSER));
    TRY(0, "clone of a user namespace", syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
    TRY(0, "proc's parent", open("/proc/self/..", O_PATH | O_DIRECTORY) >= 0 && stat("/proc/..", &up) == 0 &&
                                    up.st_ino != root.st_ino ? 0 : -1);
    TRY(0, "a directory of another process", open("/proc/1/cwd/..", O_DIRECTORY));
    int fds = open("/proc/self/fd", O_DIRECTORY);
    char link[64];
    snprintf(link, sizeof link, "%d/../../../..", fds);
    struct stat there;
    if (fds >= 0 && fstatat(fds, "../../..", &there, 0) == 0 && (there.st_ino != root.st_ino || there.st_dev != root.st_dev))
        puts("0 out through a listing");
    TRY(0, "a device", mknod("/device", S_IFCHR | 0666, makedev(1, 1)));
    TRY(0, "handle", syscall(SYS_open_by_handle_at, AT_FDCWD, "x", 0));
    rmdir("/inner");
}

/* Makes a terminal, and opens its other end by name. */
static int terminal(void) {
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) return 1;
    const char *name = ptsname(master);
    int slave = name ? open(name, O_RDWR | O_NOCTTY) : -1;
    if (slave < 0 || !isatty(slave)) return 2;
    printf("a terminal at %.9s\n", name);
    return 0;
}

/* Names a socket in no file system, or finds one that has this name. */
static int named(const char *name, int (*use)(int, const struct sockaddr *, socklen_t)) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int found = socket(AF_UNIX, SOCK_STREAM, 0);
    memcpy(address.sun_path + 1, name, strlen(name));
    if (use(found, (struct sockaddr *)&address, offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name)) != 0) {
        puts(strerror(errno));
        return -1;
    }
    return found;
}

static int sockets(const char *outside) {
    int own = named("of the command", bind);
    if (listen(own, 1) != 0 || named("of the command", connect) < 0) return 1;
    puts("own");
    return named(outside, connect) >= 0;
}

int main(int argc, char **argv) {
    if (argc > 2 && strcmp(argv[1], "sockets") == 0) return sockets(argv[2]);
    if (argc > 1 && strcmp(argv[1], "escape") == 0) escape();
    if (argc > 1 && strcmp(argv[1], "terminal") == 0) return terminal();
    if (argc > 1 && strcmp(argv[1], "again") == 0) return execl("/proc/self/exe", "probe", "terminal", NULL);
    for (int i = 2; i < argc; i++) outside(atoi(argv[i]));
    return 0;
}
