/* gc.h where there is no restart_MACHINE.c: gc_absent refuses cycles, and the rest does nothing. */
#include "gc/gc.h"

#include "base/compiler.h"
#include "base/machine.h"

const char *gc_absent(void)
{
    return "no cycles: they cannot be done on " MACHINE_NAME " yet";
}

void gc_init(const struct gc_hooks *hooks)
{
    (void)hooks;
}

void gc_init_late(const struct gc_hooks *hooks, const char *no_cycles)
{
    (void)hooks;
    (void)no_cycles;
}

bool gc_try(void)
{
    return true;
}

void gc_postfork_child(void)
{
}

void gc_note_wait(const void *above, const void *wait)
{
    (void)above;
    (void)wait;
}

void gc_end(void)
{
}

void gc_hurry(void)
{
}

bool gc_cycle(uint32_t flags, struct md_cycle *out)
{
    (void)flags;
    *out = (struct md_cycle){0};
    return false;
}

bool gc_question(const char *question)
{
    (void)question;
    return false;
}

bool gc_due(int64_t now_ns, uint32_t *flags, int64_t *look_again_ns)
{
    (void)now_ns;
    *flags = 0;
    *look_again_ns = INT64_MAX;
    return false;
}

uint64_t gc_ask_bytes(void)
{
    return UINT64_MAX;
}
