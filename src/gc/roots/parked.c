#include "gc/roots/parked.h"

#include "base/compiler.h"
#include "gc/stop/restart.h"
#include "gc/sys/fault.h"
#include "gc/sys/frame.h"

/* Of each thread: where the part of its stack ends that is the program's, and the frame that waits
 * for us.  Written by the thread itself, and read while it is parked, perhaps between the two
 * stores.  `above` is written first: then one that begins to wait has no frame yet, one that goes
 * on has no `above` any more, and neither counts as waiting. */
static THREAD_LOCAL volatile struct {
    uintptr_t above, wait; /* 0: does not wait */
} waits;

/* A stack pointer less than this below the waiting frame is in our own calls from there.  Further
 * down runs a signal handler of the program's: the kernel's frame for it takes more than this. */
#define WAIT_MAX 1024u

static struct frame_layout layout;

void parked_init(void)
{
    frame_learn(&layout);
}

void parked_note_wait(uintptr_t above, uintptr_t wait)
{
    waits.above = above;
    waits.wait = wait;
}

/* Where what the program has on the stack of a thread that waits for us ends; 0: it does not. */
static uintptr_t waits_below(const struct world_thread *thread)
{
    if (!thread->pointer)
        return 0;
    uintptr_t here = (uintptr_t)&waits - (uintptr_t)__builtin_thread_pointer() + thread->pointer;
    uintptr_t above = fault_load((const uintptr_t *)here);
    uintptr_t wait = fault_load((const uintptr_t *)here + 1);
    return wait - thread->sp < WAIT_MAX ? above : 0;
}

bool parked_waits(const struct world_thread *thread)
{
    return waits_below(thread);
}

uintptr_t parked_point(const struct world_thread *thread)
{
    uintptr_t above = waits_below(thread);
    return above ? above : thread->sp - FRAME_RED_ZONE;
}

void parked_each_register(const struct world_thread *thread,
                          void (*fn)(void *ctx, uintptr_t start, uintptr_t end), void *ctx)
{
    if (world_state_of(thread) == WORLD_PARKED && !waits_below(thread))
        frame_each_register(restart_context(thread->context), &layout, fn, ctx);
}
