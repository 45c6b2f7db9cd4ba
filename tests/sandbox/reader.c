/* Tries in every way to get at the memory of others: `reader ADDRESS LENGTH PID…`, where the numbers in /proc are tried too.
 * Says what it got, line by line; last how many were tried, and what it gets of a child of its own, which it may. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static unsigned long address;
static size_t length;
static int n_tried;

static void got(long pid, const char *way, const char *bytes, ssize_t n) {
    printf("%ld %s %.*s\n", pid, way, n > 0 ? (int)n : 0, bytes);
}

static void read_file(long pid, int flags, const char *way) {
    char path[64], bytes[256];
    snprintf(path, sizeof path, "/proc/%ld/mem", pid);
    int fd = open(path, flags);
    if (fd < 0) return;
    ssize_t n = pread(fd, bytes, length, (off_t)address);
    if (n > 0) got(pid, way, bytes, n);
    if (flags == O_RDWR && n > 0 && pwrite(fd, bytes, n, (off_t)address) > 0) got(pid, "write", bytes, n);
    close(fd);
}

static void attach(long pid, int request, const char *way) {
    if (ptrace(request, (pid_t)pid, 0, 0) != 0) return;
    errno = 0;
    if (request == PTRACE_SEIZE) ptrace(PTRACE_INTERRUPT, (pid_t)pid, 0, 0);
    waitpid((pid_t)pid, NULL, __WALL);
    long word = ptrace(PTRACE_PEEKDATA, (pid_t)pid, (void *)address, 0);
    got(pid, way, (const char *)&word, errno ? 0 : sizeof word);
    ptrace(PTRACE_DETACH, (pid_t)pid, 0, 0);
}

static void steal(long pid) {
    int process = (int)syscall(SYS_pidfd_open, pid, 0);
    if (process < 0) return;
    for (int number = 0; number < 16; number++) {
        int fd = (int)syscall(SYS_pidfd_getfd, process, number, 0);
        if (fd >= 0) {
            got(pid, "descriptor", "", 0);
            close(fd);
            break;
        }
    }
    close(process);
}

static void try(long pid) {
    char bytes[256];
    struct iovec here = {bytes, length}, there = {(void *)address, length};
    n_tried++;
    ssize_t n = process_vm_readv((pid_t)pid, &here, 1, &there, 1, 0);
    if (n > 0) got(pid, "readv", bytes, n);
    if (n > 0 && process_vm_writev((pid_t)pid, &here, 1, &there, 1, 0) > 0) got(pid, "writev", bytes, n);
    read_file(pid, O_RDONLY, "mem");
    read_file(pid, O_RDWR, "mem");
    attach(pid, PTRACE_ATTACH, "attach");
    attach(pid, PTRACE_SEIZE, "seize");
    steal(pid);
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    address = strtoul(argv[1], NULL, 0);
    length = strtoul(argv[2], NULL, 0);
    for (int i = 3; i < argc; i++) try(atol(argv[i]));
    DIR *processes = opendir("/proc");
    for (struct dirent *entry; processes && (entry = readdir(processes));) {
        long pid = atol(entry->d_name);
        if (pid > 0 && pid != getpid()) try(pid);
    }
    printf("tried %d\n", n_tried);
    static char own[] = "its own!";
    address = (unsigned long)own;
    length = sizeof own - 1;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        for (;;) pause();
    try(child);
    kill(child, SIGKILL);
    return 0;
}
