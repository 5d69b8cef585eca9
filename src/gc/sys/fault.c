#include "gc/sys/fault.h"

#include "gc/sys/frame.h"
#include "gc/sys/raw.h"

#include <signal.h>
#include <ucontext.h>

struct entry {
    int32_t from, to; /* each relative to where it stands */
};
/* Weak: there may be no load in the table. */
extern const struct entry __start_fault_table[] __attribute__((weak, visibility("hidden")));
extern const struct entry __stop_fault_table[] __attribute__((weak, visibility("hidden")));

volatile uint32_t fault_count;
static void (*give_up_now)(void);

static void on_fault(int number, void *info, void *context_pointer)
{
    ucontext_t *context = context_pointer;
    uintptr_t at = frame_pc(context);
    (void)number, (void)info;
    if (__atomic_add_fetch(&fault_count, 1, __ATOMIC_RELAXED) <= FAULT_MAX)
        for (const struct entry *e = __start_fault_table; e < __stop_fault_table; e++)
            if ((uintptr_t)&e->from + (uintptr_t)(intptr_t)e->from == at) {
                fault_leave(context, (uintptr_t)&e->to + (uintptr_t)(intptr_t)e->to);
                return;
            }
    give_up_now();
}

void fault_handle(void (*give_up)(void))
{
    fault_count = 0;
    give_up_now = give_up;
    raw_handle(SIGSEGV, on_fault, 0);
    raw_handle(SIGBUS, on_fault, 0);
}
