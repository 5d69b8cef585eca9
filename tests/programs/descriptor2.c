/* A program that puts something else on its descriptor 2, in the way that its first argument names:
 *
 *   descriptor2 HOW [PATH]
 *     none          leaves it alone
 *     dup2, dup3    opens PATH (a file or FIFO; made if it is not there) and puts it there
 *     early         dup2 before any library is initialised
 *     open          closes 2 and opens PATH, which takes the number
 *     append        the same, to append
 *     socket, pipe, dup2socket, null
 *     vfork         a child of vfork has PATH as its stderr; then as append
 *     fork          a forked copy does as dup2 and goes on; the parent leaves
 *     vforked       as dup2, then a child of vfork puts something else on its own
 *     sandbox       as dup2, under a filter that allows little more than that call
 *
 * Then it asks for two cycles, loses a block of 5000 bytes, and returns from main.  It says "done"
 * on stdout.  With --wait it first waits until its stdin ends. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern int md_gc(void) __attribute__((weak));

static const char *path = "/dev/null";

static void need(int condition, const char *what)
{
    if (condition)
        return;
    printf("failed: %s: %s\n", what, strerror(errno));
    fflush(stdout);
    _exit(9);
}

static int open_path(int flags)
{
    int fd = open(path, O_WRONLY | O_CREAT | flags, 0600);
    need(fd >= 0, path);
    return fd;
}

static void by_dup2(void)
{
    int fd = open_path(O_APPEND);
    need(dup2(fd, 2) == 2, "dup2");
    close(fd);
}

static void by_number(int flags)
{
    close(2);
    need(open_path(flags) == 2, "open gives 2");
}

/* What is on descriptor 2 of a child of vfork is not its parent's. */
static void in_vfork(void)
{
    pid_t child = vfork();
    if (child == 0) {
        int fd = open(path, O_WRONLY | O_CREAT, 0600);
        _exit(dup2(fd, 2) == 2 ? 0 : 1);
    }
    int status = 0;
    need(child > 0 && waitpid(child, &status, 0) == child && status == 0, "vfork");
}

#define ALLOW(name)                                                                                \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1), BPF_STMT(BPF_RET, SECCOMP_RET_ALLOW)

/* Only with MEMDEBUG unset: then dup2 is that call and nothing else. */
static void in_sandbox(void)
{
    static struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        ALLOW(dup2),
        ALLOW(dup3),
        ALLOW(write),
        ALLOW(exit_group),
        BPF_STMT(BPF_RET, SECCOMP_RET_KILL_PROCESS)};
    struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};
    int fd = open_path(O_APPEND);
    need(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
             prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0,
         "seccomp");
    need(dup2(fd, 2) == 2 && dup3(fd, 3 + (fd == 3), 0) > 2, "dup2");
    _exit(write(1, "done\n", 5) == 5 && write(2, "own\n", 4) == 4 ? 0 : 1);
}

static void early(int argc, char **argv)
{
    if (argc < 3 || strcmp(argv[1], "early") != 0)
        return;
    path = argv[2];
    by_dup2();
}
static __attribute__((section(".preinit_array"), used)) void (*const first)(int, char **) = early;

static void replace(const char *how)
{
    int ends[2];
    if (strcmp(how, "dup2") == 0) {
        by_dup2();
    } else if (strcmp(how, "dup3") == 0) {
        int fd = open_path(O_APPEND);
        need(dup3(fd, 2, 0) == 2, "dup3");
        close(fd);
    } else if (strcmp(how, "open") == 0) {
        by_number(0);
    } else if (strcmp(how, "append") == 0) {
        by_number(O_APPEND);
    } else if (strcmp(how, "null") == 0) {
        path = "/dev/null";
        by_dup2();
    } else if (strcmp(how, "socket") == 0 || strcmp(how, "dup2socket") == 0) {
        if (how[0] == 's')
            close(2);
        need(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0, "socketpair");
        need(how[0] == 's' ? ends[0] == 2 : dup2(ends[0], 2) == 2, "socket at 2");
        int other = ends[1];
        need(fcntl(other, F_SETFL, O_NONBLOCK) == 0, "fcntl");
        need(dup2(other, 100) == 100, "dup2"); /* read in finish */
    } else if (strcmp(how, "pipe") == 0) {
        int spare = open("/dev/null", O_RDONLY);
        close(2);
        need(pipe(ends) == 0 && ends[0] == 2, "pipe");
        need(fcntl(2, F_DUPFD, 100) == 100 && fcntl(100, F_SETFL, O_NONBLOCK) == 0, "fcntl");
        close(2);
        need(dup(ends[1]) == 2, "dup");
        close(spare);
    } else if (strcmp(how, "vfork") == 0) {
        in_vfork();
        by_number(O_APPEND);
    } else if (strcmp(how, "vforked") == 0) {
        static char other[4096];
        by_dup2();
        snprintf(other, sizeof other, "%s.other", path);
        path = other;
        in_vfork();
    } else if (strcmp(how, "fork") == 0) {
        if (fork() != 0)
            _exit(0);
        setsid();
        by_dup2();
    } else if (strcmp(how, "sandbox") == 0) {
        in_sandbox();
    }
}

__attribute__((noinline)) static void lose(void)
{
    char *volatile block = malloc(5000);
    memset(block, 1, 5000);
    block = NULL;
}

int main(int argc, char **argv)
{
    char byte;
    int waits = argc > 1 && strcmp(argv[argc - 1], "--wait") == 0;
    if (argc > 2 && argv[2][0] != '-')
        path = argv[2];
    void **kept[1000];
    for (int i = 0; i < 1000; i++)
        kept[i] = malloc(2000);
    lose();
    replace(argc > 1 ? argv[1] : "none");
    if (write(2, "own\n", 4) != 4)
        printf("nothing to write to\n");
    for (int i = 0; i < 2; i++)
        if (md_gc)
            md_gc();
    printf("done\n");
    fflush(stdout);
    if (waits)
        while (read(0, &byte, 1) > 0)
            ;
    char text[4096];
    ssize_t n = fcntl(100, F_GETFD) >= 0 ? read(100, text, sizeof text) : 0;
    if (n > 0)
        printf("arrived: %.*s", (int)n, text);
    return kept[999] == NULL;
}
