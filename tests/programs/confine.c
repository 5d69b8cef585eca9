/* Runs a program under a seccomp filter, as a service manager does:
 *
 *   confine ACTION CALL[,CALL...] PROGRAM ARGS...
 *
 * ACTION is what a CALL, a name below or a number, gets: kill | trap | refuse (EPERM); or
 * kill-others: what is not named is killed for. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct {
    const char *name;
    int number;
} calls[] = {
    {"rt_tgsigqueueinfo", SYS_rt_tgsigqueueinfo},
    {"rt_sigpending", SYS_rt_sigpending},
    {"restart_syscall", SYS_restart_syscall},
    {"close_range", 436},
    {"unshare", SYS_unshare},
    {"userfaultfd", SYS_userfaultfd},
    {"setpriority", SYS_setpriority},
    {"sched_setscheduler", SYS_sched_setscheduler},
    {"prlimit64", SYS_prlimit64},
    {"process_vm_readv", SYS_process_vm_readv},
    {"ptrace", SYS_ptrace},
    {"waitid", SYS_waitid},
    {"ioctl", SYS_ioctl},
    {"pread64", SYS_pread64},
    {"clone", SYS_clone},
    {"mincore", SYS_mincore},
    {"msync", SYS_msync},
    {"pipe2", SYS_pipe2},
    {"wait4", SYS_wait4},
    {"nanosleep", SYS_nanosleep},
};

int main(int argc, char **argv)
{
    static struct sock_filter code[1024] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
    unsigned n = 1;
    if (argc < 4)
        return 2;
    bool others = strcmp(argv[1], "kill-others") == 0;
    unsigned action = others                         ? SECCOMP_RET_ALLOW
                      : strcmp(argv[1], "kill") == 0 ? SECCOMP_RET_KILL_PROCESS
                      : strcmp(argv[1], "trap") == 0 ? SECCOMP_RET_TRAP
                                                     : SECCOMP_RET_ERRNO | EPERM;
    for (char *call = strtok(argv[2], ","); call; call = strtok(NULL, ",")) {
        size_t i = 0;
        while (i < sizeof calls / sizeof calls[0] && strcmp(calls[i].name, call) != 0)
            i++;
        bool named = i < sizeof calls / sizeof calls[0];
        if ((!named && (*call < '0' || *call > '9')) || n + 3 > sizeof code / sizeof code[0])
            return 2;
        code[n++] = (struct sock_filter)BPF_JUMP(
            BPF_JMP | BPF_JEQ | BPF_K, named ? (unsigned)calls[i].number : (unsigned)atoi(call), 0,
            1);
        code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action);
    }
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K,
                                             others ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ALLOW);
    struct sock_fprog filter = {(unsigned short)n, code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) != 0)
        return 3;
    execv(argv[3], argv + 3);
    return 4;
}
