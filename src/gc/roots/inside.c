#include "gc/roots/inside.h"

#include "base/compiler.h"
#include "gc/roots/parked.h"
#include "gc/stop/restart.h"
#include "gc/sys/fault.h"
#include "gc/sys/frame.h"
#include "stack/loaded.h"
#include "stack/unwind.h"

#include <string.h>

extern void *__libc_stack_end;

/* How far above its stack pointer a thread that our code has called into another library has a
 * return address of ours: libc's functions take little; an unwinder takes kilobytes; a handler of
 * the program's that has come in between takes what it likes (its own signal is blocked then). */
#define LIBC_BYTES 1024u
#define UNWINDER_BYTES 12288u
#define HANDLER_BYTES 65536u

static bool is_ours(uintptr_t address)
{
    return address - own_text_start < own_text_end - own_text_start;
}

static bool names(const struct loaded *object, const char *library)
{
    return strstr(object->name, library);
}

/* What code of this place may have been called by ours, and so how far to look; 0: none.  The
 * program's own is called by the allocator only as a signal handler, where what it blocks tells, or
 * as an extent hook. */
static size_t window_at(uintptr_t pc)
{
    struct loaded object;
    if (!loaded_is_lock_free() || !loaded_at(pc, &object))
        return UNWINDER_BYTES;
    if (names(&object, "/libc.so") || names(&object, "/libc-") || names(&object, "/ld-linux") ||
        names(&object, "/ld-2") || names(&object, "/libpthread"))
        return LIBC_BYTES;
    return names(&object, "libunwind") || names(&object, "libgcc_s") || names(&object, "linux-vdso")
               ? UNWINDER_BYTES
               : 0;
}

/* Whether a word of ours lies in [start, start + size), as far as it is stack. */
static bool has_ours(const struct world_thread *thread, size_t size)
{
    uintptr_t end = thread->sp + size, top = (uintptr_t)__libc_stack_end;
    if (thread->pointer > thread->sp)
        end = MIN(end, thread->pointer);
    if (top > thread->sp)
        end = MIN(end, top);
    for (uintptr_t at = thread->sp & ~(uintptr_t)7; at < end; at += 8)
        if (is_ours(fault_load((const uintptr_t *)at)))
            return true;
    return false;
}

bool inside_allocator(const struct world_thread *thread)
{
    size_t window = LIBC_BYTES;
    if (parked_waits(thread))
        return false;
    if (world_state_of(thread) == WORLD_PARKED) {
        const ucontext_t *context = restart_context(thread->context);
        uintptr_t pc = frame_pc(context);
        if (is_ours(pc))
            return true;
        /* glibc keeps 32 and 33 for itself. */
        uint64_t blocked;
        memcpy(&blocked, &context->uc_sigmask, sizeof blocked);
        window = blocked & ~(UINT64_C(3) << 31) ? HANDLER_BYTES : window_at(pc);
    }
    return window && has_ours(thread, window);
}
