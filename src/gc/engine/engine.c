#include "gc/engine/engine.h"

#include "base/compiler.h"
#include "gc/engine/clone.h"
#include "gc/engine/stopped.h"
#include "gc/engine/wp.h"

static const struct engine *const engines[] = {
    [MD_ENGINE_CLONE] = &engine_clone,
    [MD_ENGINE_WP] = &engine_wp,
    [MD_ENGINE_STOP] = &engine_stopped,
};
_Static_assert(MD_ENGINE_NONE == 0, "no engine has no descriptor");

const struct engine *engine_of(enum md_engine engine)
{
    return engines[engine];
}

void engines_forget_but(enum md_engine kept)
{
    for (unsigned i = 1; i < ARRAY_LENGTH(engines); i++)
        if (i != kept && engines[i]->forget)
            engines[i]->forget();
}

void engines_hurry(void)
{
    for (unsigned i = 1; i < ARRAY_LENGTH(engines); i++)
        if (engines[i]->hurry)
            engines[i]->hurry();
}

void engines_postfork_child(void)
{
    for (unsigned i = 1; i < ARRAY_LENGTH(engines); i++)
        engines[i]->postfork_child();
}
