/* Calls the malloc family one instruction at a time.  At each, in a handler of SIGTRAP, a stack is
 * taken as a profiler or a crash handler does: it must lead to the call, and have the stack pointer
 * there right.  libgcc's unwinder, which is none of ours.
 *
 * Ends with a line: instructions of the library, of which `lost` were not led back; the library is
 * whatever has malloc. */
#include <dlfcn.h>
#include <malloc.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>
#include <unwind.h>

/* Calls fn(a, b) with the trap flag set; notes its stack pointer before the call. */
uintptr_t stepped_call(void *fn, uintptr_t a, uintptr_t b);
extern char stepped_return[];
__attribute__((used)) uintptr_t stepped_sp; /* by the assembler alone */
__asm__(".text\n"
        ".globl stepped_call\n"
        ".type stepped_call, @function\n"
        "stepped_call:\n"
        ".cfi_startproc\n"
        "  push %rbx\n"
        "  .cfi_adjust_cfa_offset 8\n"
        "  mov %rdi, %rax\n"
        "  mov %rsi, %rdi\n"
        "  mov %rdx, %rsi\n"
        "  mov %rsp, stepped_sp(%rip)\n"
        "  pushfq\n"
        "  .cfi_adjust_cfa_offset 8\n"
        "  orq $0x100, (%rsp)\n"
        "  popfq\n"
        "  .cfi_adjust_cfa_offset -8\n"
        "  call *%rax\n"
        "stepped_return:\n"
        "  pushfq\n"
        "  .cfi_adjust_cfa_offset 8\n"
        "  andq $~0x100, (%rsp)\n"
        "  popfq\n"
        "  .cfi_adjust_cfa_offset -8\n"
        "  pop %rbx\n"
        "  .cfi_adjust_cfa_offset -8\n"
        "  ret\n"
        "stepped_end:\n"
        ".cfi_endproc\n"
        ".size stepped_call, . - stepped_call\n");
extern char stepped_end[];

static uintptr_t library;
static unsigned long steps, lost;
static uintptr_t first_lost;

static _Unwind_Reason_Code look(struct _Unwind_Context *context, void *found)
{
    if (_Unwind_GetIP(context) != (uintptr_t)stepped_return)
        return _URC_NO_REASON;
    *(bool *)found = _Unwind_GetCFA(context) == stepped_sp;
    return _URC_NORMAL_STOP;
}

static void on_trap(int number, siginfo_t *info, void *data)
{
    uintptr_t pc = (uintptr_t)((ucontext_t *)data)->uc_mcontext.gregs[REG_RIP];
    bool found = false;
    struct dl_find_object object;
    (void)number, (void)info;
    if (_dl_find_object((void *)pc, &object) != 0 || (uintptr_t)object.dlfo_map_start != library)
        return;
    steps++;
    _Unwind_Backtrace(look, &found);
    if (!found && !lost++)
        first_lost = pc - library;
}

static void *step(void *fn, uintptr_t a, uintptr_t b)
{
    return (void *)stepped_call(fn, a, b);
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};
    struct dl_find_object object;
    static const uintptr_t sizes[] = {1, 8, 100, 4000, 20000};
    void *allocate = dlsym(RTLD_DEFAULT, "malloc"), *release = dlsym(RTLD_DEFAULT, "free");
    bool warm = false;
    _dl_find_object(allocate, &object);
    library = (uintptr_t)object.dlfo_map_start;
    _Unwind_Backtrace(look, &warm);
    sigaction(SIGTRAP, &action, NULL);
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            void *p = step(allocate, sizes[i], 0);
            p = step(dlsym(RTLD_DEFAULT, "realloc"), (uintptr_t)p, sizes[i] * 3);
            step(dlsym(RTLD_DEFAULT, "malloc_usable_size"), (uintptr_t)p, 0);
            step(release, (uintptr_t)p, 0);
            p = step(dlsym(RTLD_DEFAULT, "calloc"), 2, sizes[i]);
            step(release, (uintptr_t)p, 0);
            p = step(dlsym(RTLD_DEFAULT, "memalign"), 64, sizes[i]);
            step(release, (uintptr_t)p, 0);
        }
    step(release, (uintptr_t)step(allocate, 9 << 20, 0), 0);
    printf("steps=%s lost=%lu first=%#lx\n", steps > 10000 ? "many" : "few", lost, first_lost);
    return 0;
}
