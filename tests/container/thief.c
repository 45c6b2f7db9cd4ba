/* Tries in every way to get at what is not its own, and says `GOT …` of each that it gets. It is told a port of 127.0.0.1.
 * Outside of a sandbox it would get all of it, and mount: it runs only where it is installed as /bin/thief. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static int n_tried, n_got;

static void got(const char *what, long pid) {
    n_got++;
    printf("GOT %s %ld\n", what, pid);
}

static void files_of(long pid) {
    const char *names[] = {"mem", "environ", "maps", "fd/0", "fd/3", "fd/5", "fd/9", "root/scratch", "cwd/source", "task/1/mem"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[64];
        snprintf(path, sizeof path, "/proc/%ld/%s", pid, names[i]);
        int fd = open(path, O_RDONLY | O_NONBLOCK);
        if (fd < 0) continue;
        char byte;
        if (read(fd, &byte, 1) != 0) got(path, pid);
        close(fd);
    }
}

static void memory_of(long pid) {
    char byte;
    struct iovec here = {&byte, 1}, there = {(void *)8, 1};
    if (process_vm_readv((pid_t)pid, &here, 1, &there, 1, 0) >= 0 || errno == EFAULT) got("readv", pid);
    if (process_vm_writev((pid_t)pid, &here, 1, &there, 1, 0) >= 0 || errno == EFAULT) got("writev", pid);
    if (ptrace(PTRACE_SEIZE, (pid_t)pid, 0, 0) == 0) {
        got("ptrace", pid);
        ptrace(PTRACE_DETACH, (pid_t)pid, 0, 0);
    }
    int process = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
    for (int number = 0; process >= 0 && number < 64; number++)
        if (syscall(SYS_pidfd_getfd, process, number, 0) >= 0) got("a descriptor", pid);
    close(process);
}

static void others(void) {
    for (long pid = 1; pid < 2000; pid++) {
        if (pid == getpid()) continue;
        n_tried++;
        files_of(pid);
        memory_of(pid);
    }
    for (int fd = 3; fd < 1024; fd++)
        if (fcntl(fd, F_GETFD) >= 0) got("an inherited descriptor", fd);
}

static void is_outside(const char *way) {
    struct stat found;
    if (stat("/opt/resource/out", &found) == 0 || stat("/scratch", &found) == 0) got(way, 0);
}

static void root(void) {
    is_outside("the root as it is");
    int here = open("/", O_RDONLY | O_DIRECTORY);
    mkdir("/cell", 0755);
    if (chroot("/cell") == 0) {
        if (fchdir(here) == 0)
            for (int i = 0; i < 64; i++)
                if (chdir("..") != 0) break;
        if (chroot(".") == 0) is_outside("a chroot out of the chroot");
    }
    rmdir("/cell");
    struct file_handle *handle = calloc(1, sizeof *handle + 64);
    int mount_id;
    handle->handle_bytes = 64;
    if (name_to_handle_at(here, "", handle, &mount_id, AT_EMPTY_PATH) == 0 &&
        open_by_handle_at(here, handle, O_RDONLY) >= 0)
        got("a file by its handle", 0);
    close(here);
}

static void kernel(void) {
    mkdir("/mine", 0755);
    if (mount("none", "/mine", "tmpfs", 0, NULL) == 0) got("a mount", 0);
    if (mknod("/disk", S_IFBLK | 0600, makedev(254, 0)) == 0) got("a disk", 0);
}

static void network(int port) {
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&there, sizeof there) == 0) got("the network", port);
}

/* What it may do with a child of its own; so the ways above do work. */
static void child(void) {
    pid_t pid = fork();
    if (pid == 0)
        for (;;) pause();
    int before = n_got;
    if (ptrace(PTRACE_SEIZE, pid, 0, 0) == 0) n_got++;
    kill(pid, SIGKILL);
    printf("child %d\n", n_got - before);
}

int main(int argc, char **argv) {
    if (argc < 2 || strcmp(argv[0], "/bin/thief") != 0 || access("/bin/bash", F_OK) == 0) return 2;
    extern char **environ;
    for (char **variable = environ; *variable; variable++) printf("env %s\n", *variable);
    others();
    root();
    kernel();
    network(atoi(argv[1]));
    printf("tried %d\n", n_tried);
    child();
    return 0;
}
