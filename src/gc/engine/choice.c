#include "gc/engine/choice.h"

#include "base/compiler.h"

#include <string.h>

#define REST_MAX 64 /* cycles */

/* Pause = base + per_gb * private memory.  First guesses measured on Linux 6.18, a 2-CPU virtual
 * machine. */
struct expectation {
    uint64_t base_ns;
    uint64_t per_gb_ns;
    unsigned rest;   /* cycles for which it is left alone */
    unsigned rested; /* how long that was the last time */
    unsigned failed; /* how often in a row */
};

static const struct expectation first[] = {
    [MD_ENGINE_CLONE] = {300000, 40000000}, /* in pages of 4 KB; a quarter in large ones */
    [MD_ENGINE_WP] = {400000, 1500000},
    [MD_ENGINE_STOP] = {300000, 1000000000},
};
static struct expectation now[ARRAY_LENGTH(first)];

static void learn_guesses(void)
{
    if (now[MD_ENGINE_CLONE].base_ns == 0)
        memcpy(now, first, sizeof now);
}

static uint64_t expected_ns(enum md_engine engine, uint64_t private_bytes)
{
    return now[engine].base_ns + now[engine].per_gb_ns * (private_bytes >> 20) / 1024;
}

/* Whether write tracking, after failures, is still to be preferred. */
static bool is_patient(uint64_t private_bytes)
{
    return now[MD_ENGINE_WP].failed < ENGINE_PATIENCE &&
           expected_ns(MD_ENGINE_CLONE, private_bytes) > ENGINE_LONG_PAUSE_NS;
}

enum md_engine engine_only(enum md_engine forced, bool memory_locked)
{
    return forced == MD_ENGINE_NONE && memory_locked ? MD_ENGINE_CLONE : forced;
}

enum md_engine engine_choose(enum md_engine only, bool at_exit, uint64_t private_bytes)
{
    learn_guesses();
    if (only != MD_ENGINE_NONE)
        return only;
    if (at_exit)
        return MD_ENGINE_CLONE;
    if (now[MD_ENGINE_CLONE].rest) {
        now[MD_ENGINE_CLONE].rest--;
        return MD_ENGINE_WP;
    }
    if (private_bytes < ENGINE_MIN_TRACKED)
        return MD_ENGINE_CLONE;
    if (now[MD_ENGINE_WP].rest) {
        now[MD_ENGINE_WP].rest--;
        if (!is_patient(private_bytes))
            return MD_ENGINE_CLONE;
    }
    return expected_ns(MD_ENGINE_WP, private_bytes) <= expected_ns(MD_ENGINE_CLONE, private_bytes)
               ? MD_ENGINE_WP
               : MD_ENGINE_CLONE;
}

enum md_engine engine_after(enum md_engine only, enum md_engine began, enum md_engine failed,
                            uint64_t private_bytes, bool available)
{
    if (only != MD_ENGINE_NONE || failed == MD_ENGINE_STOP)
        return MD_ENGINE_NONE;
    if (failed == MD_ENGINE_WP && available && is_patient(private_bytes))
        return MD_ENGINE_NONE;
    if (began == failed)
        return failed == MD_ENGINE_WP ? MD_ENGINE_CLONE : MD_ENGINE_WP;
    return MD_ENGINE_STOP;
}

void engine_note(enum md_engine engine, uint64_t private_bytes, uint64_t pause_ns)
{
    learn_guesses();
    now[engine].rested = now[engine].failed = 0;
    if (private_bytes < ENGINE_MIN_TRACKED)
        return;
    uint64_t more = pause_ns > now[engine].base_ns ? pause_ns - now[engine].base_ns : 0;
    uint64_t seen = more * 1024 / (private_bytes >> 20);
    /* One cycle that met a busy machine says little. */
    now[engine].per_gb_ns = (now[engine].per_gb_ns * 3 + seen) / 4;
}

void engine_note_failure(enum md_engine engine)
{
    learn_guesses();
    now[engine].rested = MIN(MAX(2 * now[engine].rested, 1u), REST_MAX);
    now[engine].rest = now[engine].rested;
    now[engine].failed++;
}

void engine_postfork_child(void)
{
    memset(now, 0, sizeof now);
}
