/* One cycle on the tracer thread: which engine, its stops, one more attempt, another engine. */
#ifndef GC_CYCLE_H
#define GC_CYCLE_H

#include "gc/engine/engine.h"
#include "gc/gc.h"

#include <memdebug/segment.h>
#include <stdbool.h>
#include <stdint.h>

struct cycle {
    /* Given. */
    const struct gc_hooks *hooks;
    struct md_cycle *record;  /* flags; gets what stops and marks have cost */
    int64_t patient_until_ns; /* until then stops are tried; 0: four times */
    const char *question;     /* to be answered instead (ask.h); NULL: what leaks is */

    /* What has come of it. */
    const char *reason; /* NULL: done */
    uint64_t moment;    /* of the samples, at the snapshot */
    struct engine_cycle engine;
};

/* Runs it.  On the tracer thread; `ctx` is the struct cycle. */
void cycle_run(void *ctx);
/* The program is at its end: marks yield to nobody from now on.  On any thread. */
void cycle_hurry(void);

#endif
