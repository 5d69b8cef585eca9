/* Runs a program whose long writes get stuck in the kernel, as those to a disk that does not
 * answer: each write(2) of 256 bytes and more, whatever it goes to, stands until it is let go.
 *
 *   stuck STATE PROGRAM [ARGUMENT...]
 *
 * STATE is a file: "held" is appended to it, a line, for each write that stands.  SIGUSR1 to this
 * process, which is the parent of the program's, lets go of all, and of those to come.  It exits as
 * the program does; with 77 where the kernel does not allow it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LONG_BYTES 256
#define SKIP 77
#define HELD_MAX 64

static volatile sig_atomic_t let_go;

static void on_signal(int signal)
{
    (void)signal;
    let_go = 1;
}

/* The descriptor that tells of them; negative: refused. */
static int stop_long_writes(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, LONG_BYTES, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof code[0], code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return -1;
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
                        &program);
}

static bool pass(int socket, int fd)
{
    char byte = 0, room[CMSG_SPACE(sizeof fd)] = "";
    struct iovec part = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    struct cmsghdr *control = CMSG_FIRSTHDR(&message);
    control->cmsg_level = SOL_SOCKET;
    control->cmsg_type = SCM_RIGHTS;
    control->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(control), &fd, sizeof fd);
    return sendmsg(socket, &message, 0) == 1;
}

static int take(int socket)
{
    int fd;
    char byte, room[CMSG_SPACE(sizeof fd)];
    struct iovec part = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    struct cmsghdr *control;
    if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != 1 || !(control = CMSG_FIRSTHDR(&message)))
        return -1;
    memcpy(&fd, CMSG_DATA(control), sizeof fd);
    return fd;
}

static void go_on(int listener, uint64_t id)
{
    struct seccomp_notif_resp answer = {.id = id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
}

int main(int argc, char **argv)
{
    int sockets[2], status;
    if (argc < 3 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0)
        return 2;
    int state = open(argv[1], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    signal(SIGUSR1, on_signal);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGUSR1, SIG_DFL);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int listener = stop_long_writes();
        if (listener < 0 || !pass(sockets[1], listener))
            _exit(SKIP);
        close(listener);
        execv(argv[2], argv + 2);
        _exit(127);
    }
    close(sockets[1]);
    int listener = take(sockets[0]);
    uint64_t held[HELD_MAX];
    unsigned count = 0;
    while (waitpid(child, &status, WNOHANG) == 0) {
        struct pollfd events = {listener, POLLIN, 0};
        if (listener >= 0 && poll(&events, 1, 20) == 1 && events.revents & POLLIN) {
            struct seccomp_notif notice;
            memset(&notice, 0, sizeof notice);
            if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &notice) == 0 && count < HELD_MAX) {
                held[count++] = notice.id;
                if (write(state, "held\n", 5) != 5)
                    return 2;
            }
        }
        if (let_go)
            while (count)
                go_on(listener, held[--count]);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
