#include "gc/stop/restart.h"

#include "base/os.h"
#include "gc/stop/restart_x86_64.h"
#include "gc/sys/frame.h"
#include "gc/sys/raw.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

/* long gc_restart(const uint64_t *mask): sets the mask and finishes the call that was interrupted.
 * A stop between `again` and `after` jumps to `again` (below): returning from that handler would
 * make the kernel forget the call. */
long gc_restart(const uint64_t *mask);
extern const char gc_restart_again[], gc_restart_after[];
__asm__(".text\n"
        ".hidden gc_restart, gc_restart_again, gc_restart_after\n"
        ".globl gc_restart, gc_restart_again, gc_restart_after\n"
        ".type gc_restart, @function\n"
        "gc_restart:\n"
        "    .cfi_startproc\n"
        "    push %rbx\n"
        "    .cfi_adjust_cfa_offset 8\n"
        "    .cfi_rel_offset %rbx, 0\n"
        "    mov %rdi, %rbx\n"
        "gc_restart_again:\n"
        "    mov $14, %eax\n" /* rt_sigprocmask(SIG_SETMASK, mask, NULL, 8) */
        "    mov $2, %edi\n"
        "    mov %rbx, %rsi\n"
        "    xor %edx, %edx\n"
        "    mov $8, %r10d\n"
        "    syscall\n"
        "    mov $219, %eax\n" /* restart_syscall */
        "    syscall\n"
        "gc_restart_after:\n"
        "    pop %rbx\n"
        "    .cfi_adjust_cfa_offset -8\n"
        "    .cfi_restore %rbx\n"
        "    ret\n"
        "    .cfi_endproc\n"
        ".size gc_restart, . - gc_restart\n");

/* In a call that an earlier stop has interrupted. */
static bool is_finishing(uintptr_t pc)
{
    return pc >= (uintptr_t)gc_restart_again && pc <= (uintptr_t)gc_restart_after;
}

const ucontext_t *restart_context(const ucontext_t *context)
{
    if (!is_finishing(frame_pc(context)))
        return context;
    uintptr_t mask = (uintptr_t)context->uc_mcontext.gregs[REG_RBX];
    return (const ucontext_t *)(mask - offsetof(ucontext_t, uc_sigmask));
}

/* Leaves the handler for gc_restart_again on the frame that it has interrupted. */
static _Noreturn void jump_again(const greg_t *regs)
{
    __asm__ volatile("mov %c[r12](%[regs]), %%r12\n\t"
                     "mov %c[r13](%[regs]), %%r13\n\t"
                     "mov %c[r14](%[regs]), %%r14\n\t"
                     "mov %c[r15](%[regs]), %%r15\n\t"
                     "mov %c[rbx](%[regs]), %%rbx\n\t"
                     "mov %c[rbp](%[regs]), %%rbp\n\t"
                     "mov %c[rsp](%[regs]), %%rsp\n\t"
                     "jmp gc_restart_again"
                     :
                     : [regs] "a"(regs), [r12] "i"(REG_R12 * 8), [r13] "i"(REG_R13 * 8),
                       [r14] "i"(REG_R14 * 8), [r15] "i"(REG_R15 * 8), [rbx] "i"(REG_RBX * 8),
                       [rbp] "i"(REG_RBP * 8), [rsp] "i"(REG_RSP * 8)
                     : "memory");
    __builtin_unreachable();
}

/* ---- which call it is ---- */

#define CODE 18u  /* bytes before the return address that are looked at */
#define WORDS 64u /* above the stack pointer, likewise, by restart_learn */

struct restart_stub restart_stub;

static const uint8_t syscall_code[] = {0x0f, 0x05};
static const uint8_t load_code[] = {0x48, 0x8b, 0x44, 0x24}; /* mov N(%rsp), %rax; N follows */
#define RET_CODE 0xc3

static int number_at(uintptr_t at, restart_read *read)
{
    uint64_t word;
    return read(at, &word, sizeof word) && word < 1u << 16 ? (int)word : -1;
}

static bool is_stub(uintptr_t pc, uintptr_t sp, restart_read *read)
{
    uintptr_t caller;
    return pc == restart_stub.pc && read(sp, &caller, sizeof caller) &&
           caller == restart_stub.caller;
}

/* The code in front of `pc`; 0 where it cannot be read, as it may begin with its page. */
static void read_code(uintptr_t pc, uint8_t *code, restart_read *read)
{
    size_t size = CODE;
    memset(code, 0, CODE);
    if (!read(pc - size, code, size)) {
        size = MIN(pc % OS_PAGE, CODE);
        if (!size || !read(pc - size, code + CODE - size, size))
            memset(code, 0, CODE);
    }
}

/* Whether `byte` is the prefix of an instruction that makes one of its registers an upper one: that
 * of ModRM's `reg` (R) or of its `rm` (B). */
enum rex { REX_B = 1, REX_R = 4 };
static bool has_rex(uint8_t byte, enum rex bit)
{
    return (byte & 0xf0) == 0x40 && (byte & bit) != 0;
}

/* Of `mov %REG, %eax` in front of the call: what REG has, if it takes no argument and outlives the
 * call. */
static int number_in_register(const uint8_t *call, const greg_t *regs)
{
    static const int8_t kept[16] = {[3] = REG_RBX,  [5] = REG_RBP,  [12] = REG_R12,
                                    [13] = REG_R13, [14] = REG_R14, [15] = REG_R15};
    unsigned reg = (call[-1] >> 3 & 7u) + (has_rex(call[-3], REX_R) ? 8u : 0);
    if (!regs || !kept[reg])
        return -1;
    uint32_t number = (uint32_t)regs[kept[reg]];
    return number < 1u << 16 ? (int)number : -1;
}

/* The number of the call that returns to `pc`, from the code in front of it:
 *
 *     mov $N, %eax; syscall          with one or two instructions between, or none: glibc to 2.40
 *     mov N(%rsp), %rax; syscall     from 2.41 on, in a process of one thread, or one that cannot
 *                                    be cancelled
 *     syscall; ret                   from 2.41 on: all that can be cancelled, from one place
 *     mov %REG, %eax; syscall        liburing: for who has the registers
 *
 * -1: not found, or it is one of two (cmov).  `regs` may be NULL. */
static int number_of(uintptr_t pc, uintptr_t sp, const greg_t *regs, restart_read *read)
{
    uint8_t code[CODE];
    const uint8_t *call = code + CODE - sizeof syscall_code;
    read_code(pc, code, read);
    if (memcmp(call, syscall_code, sizeof syscall_code) != 0)
        return -1;
    if (memcmp(call - 5, load_code, sizeof load_code) == 0 && call[-1] < 0x80)
        return number_at(sp + call[-1], read);
    if (is_stub(pc, sp, read))
        return restart_stub.calls > 1 && restart_stub.words
                   ? number_at(sp + 8 * (uintptr_t)__builtin_ctzll(restart_stub.words), read)
                   : -1;
    if (call[-2] == 0x89 && (call[-1] & 0xc7) == 0xc0 && !has_rex(call[-3], REX_B))
        return number_in_register(call, regs);
    bool is_cmov = call[-3] == 0x0f && (call[-2] & 0xf0) == 0x40 && (call[-1] & 0xf8) == 0xc0;
    if (is_cmov && !has_rex(call[-4], REX_R))
        return -1;
    for (const uint8_t *at = call - 5; at >= code; at--)
        if (at[0] == 0xb8 && at[2] <= 1 && at[3] == 0 && at[4] == 0)
            return at[1] | at[2] << 8;
    return -1;
}

/* Asked with a call that does nothing. */
static bool is_readable(uintptr_t at)
{
    const uint64_t *word = (const uint64_t *)(at & ~(sizeof *word - 1)); /* on one page */
    return raw_sigmask(-1, word, NULL) != -EFAULT;
}

/* On the thread itself: its own stack, and the code that it has just run, or is about to.  What
 * lies in front of that may be another page, with nothing to read. */
static NO_SANITIZE bool read_own(uintptr_t at, void *to, size_t size)
{
    if (!is_readable(at) || !is_readable(at + size - 1))
        return false;
    for (size_t i = 0; i < size; i++)
        ((volatile uint8_t *)to)[i] = ((const volatile uint8_t *)at)[i];
    return true;
}

/* What `sp` has at the same place in each call is the number's place. */
static enum restart_seen learn_place(uintptr_t sp, const int numbers[2])
{
    for (unsigned i = 0; i < WORDS; i++) {
        int number = number_at(sp + 8 * (uintptr_t)i, read_own);
        if (number != numbers[0] && number != numbers[1])
            restart_stub.words &= ~(UINT64_C(1) << i);
    }
    restart_stub.calls++;
    return restart_stub.words ? RESTART_READ : RESTART_NOT_READ;
}

enum restart_seen restart_learn(const ucontext_t *context, const int numbers[2])
{
    uintptr_t pc = frame_pc(context), sp = frame_sp(context);
    uint8_t code[sizeof syscall_code + 1] = {0};
    read_own(pc - sizeof syscall_code, code, sizeof code);
    if (context->uc_mcontext.gregs[REG_RAX] != -EINTR ||
        memcmp(code, syscall_code, sizeof syscall_code) != 0)
        return RESTART_NO_CALL;
    if (is_stub(pc, sp, read_own))
        return learn_place(sp, numbers);
    int found = number_of(pc, sp, context->uc_mcontext.gregs, read_own);
    if (found >= 0 || restart_stub.pc || code[sizeof syscall_code] != RET_CODE)
        return found == numbers[0] || found == numbers[1] ? RESTART_READ : RESTART_NOT_READ;
    restart_stub = (struct restart_stub){.pc = pc, .words = ~UINT64_C(0)};
    read_own(sp, &restart_stub.caller, sizeof restart_stub.caller);
    return learn_place(sp, numbers);
}

/* ---- how it goes on ---- */

enum how { LEAVE, FINISH, SET_BACK };

/* System calls younger than the headers that we may be built with. */
#define CALL_IO_URING_ENTER 426
#define IO_URING_EXT_ARG 8u
#define CALL_EPOLL_PWAIT2 441

static enum how set_back_if(bool exact)
{
    return exact ? SET_BACK : LEAVE;
}

static enum how how_to_go_on(int number, const uint64_t *args)
{
    switch (number) {
    case SYS_nanosleep:
    case SYS_poll:
        return FINISH;
    case SYS_clock_nanosleep:
        return args[1] & TIMER_ABSTIME ? SET_BACK : FINISH;
    case SYS_futex:
        return (args[1] & FUTEX_CMD_MASK) == FUTEX_WAIT ||
                       (args[1] & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET
                   ? FINISH
                   : LEAVE;
    /* No time, or what is left of it has been written into the program's own. */
    case SYS_select:
    case SYS_pselect6:
    case SYS_ppoll:
    case SYS_pause:
    case SYS_rt_sigsuspend:
    case SYS_semop:
    case SYS_msgrcv:
    case SYS_msgsnd:
        return SET_BACK;
    case SYS_epoll_wait:
    case SYS_epoll_pwait:
        return set_back_if((int)args[3] < 0);
    case CALL_EPOLL_PWAIT2:
    case SYS_semtimedop:
        return set_back_if(args[3] == 0);
    case SYS_rt_sigtimedwait:
        return set_back_if(args[2] == 0);
    case SYS_io_getevents:
        return set_back_if(args[4] == 0);
    case CALL_IO_URING_ENTER:
        return set_back_if(!(args[3] & IO_URING_EXT_ARG));
    }
    return LEAVE;
}

enum restart_fate restart_fate(int number, const uint64_t *args, uintptr_t pc, uintptr_t sp,
                               restart_read *read)
{
    enum how how = how_to_go_on(number, args);
    if (is_finishing(pc))
        return RESTART_GOES_ON;
    /* The kernel goes on with these by itself. */
    if (number == SYS_wait4 || number == SYS_waitid ||
        (number == SYS_futex && (args[3] == 0 || how == LEAVE)))
        return RESTART_GOES_ON;
    if (how == LEAVE)
        return RESTART_ENDS;
    return number_of(pc, sp, NULL, read) == number ? RESTART_GOES_ON : RESTART_UNREAD;
}

/* Whether the program is about to get a signal of its own that would end the call.  One that it
 * ignores can be pending too: of a child that ends while its threads are stopped. */
static bool signal_waits(uint64_t mask)
{
    const uint64_t harmless = UINT64_C(1) << (SIGCHLD - 1) | UINT64_C(1) << (SIGCONT - 1) |
                              UINT64_C(1) << (SIGURG - 1) | UINT64_C(1) << (SIGWINCH - 1);
    uint64_t pending = 0;
    RAW3(SYS_rt_sigpending, &pending, sizeof pending, 0);
    pending &= ~mask & ~(UINT64_C(3) << 31); /* but libc's and ours */
    for (; pending; pending &= pending - 1) {
        int number = __builtin_ctzll(pending) + 1;
        struct raw_sigaction action = {0};
        raw_sigaction(number, NULL, &action);
        bool by_default = (uintptr_t)action.handler == (uintptr_t)SIG_DFL;
        if ((uintptr_t)action.handler != (uintptr_t)SIG_IGN &&
            !(by_default && (harmless >> (number - 1) & 1)))
            return true;
    }
    return false;
}

/* Finishes the call of which the kernel keeps the rest; what that returns. */
static long finish(const uint64_t *mask)
{
    long result = gc_restart(mask);
    /* Refused by a filter of the program's: as if it did not exist. */
    return result == -ENOSYS || result == -EPERM || result == -EACCES ? -EINTR : result;
}

/* Whether the kernel has set the thread onto restart_syscall(2), since something without a handler
 * has interrupted it (SIGSTOP and SIGCONT, a freezer, a debugger, what io_uring has to do there),
 * and it has not come to make that call yet.  Our signal in between makes the kernel forget what it
 * would finish, unless it is finished here. */
static bool is_to_finish(const greg_t *regs, uintptr_t pc)
{
    uint8_t code[sizeof syscall_code];
    return regs[REG_RAX] == SYS_restart_syscall && read_own(pc, code, 1) &&
           code[0] == syscall_code[0] && read_own(pc + 1, code + 1, 1) &&
           code[1] == syscall_code[1];
}

void restart_call(ucontext_t *context)
{
    greg_t *regs = context->uc_mcontext.gregs;
    const uint64_t *mask = (const uint64_t *)&context->uc_sigmask;
    uintptr_t pc = frame_pc(context);
    if (is_finishing(pc)) {
        if (pc < (uintptr_t)gc_restart_after || regs[REG_RAX] == -EINTR)
            jump_again(regs);
        return;
    }
    if (is_to_finish(regs, pc)) {
        regs[REG_RAX] = finish(mask);
        regs[REG_RIP] += sizeof syscall_code;
        return;
    }
    if (regs[REG_RAX] != -EINTR)
        return;
    int number = number_of(pc, frame_sp(context), regs, read_own);
    const uint64_t args[] = {(uint64_t)regs[REG_RDI], (uint64_t)regs[REG_RSI],
                             (uint64_t)regs[REG_RDX], (uint64_t)regs[REG_R10],
                             (uint64_t)regs[REG_R8],  (uint64_t)regs[REG_R9]};
    switch (how_to_go_on(number, args)) {
    case LEAVE:
        break;
    case FINISH:
        regs[REG_RAX] = finish(mask);
        break;
    case SET_BACK:
        if (!signal_waits(*mask)) {
            regs[REG_RAX] = number;
            regs[REG_RIP] -= 2;
        }
        break;
    }
}
