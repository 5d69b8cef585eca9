#include "prof/unnamed.h"

#include "base/compiler.h"

static void settle(struct unnamed *class, uint64_t objects, uint64_t samples)
{
    class->settled = objects;
    class->samples = samples;
    class->quiet = 0;
    class->wants = false;
}

bool unnamed_cycle(struct unnamed *class, uint64_t objects, uint64_t samples)
{
    uint64_t before = class->objects;
    class->objects = objects;
    /* Some came back: a pointer that nobody saw. */
    class->samples = MIN(class->samples, samples);
    class->settled = MIN(class->settled, objects);
    class->fresh = objects > before ? objects - before : 0;
    class->quiet = class->fresh ? 0 : class->quiet + 1;
    if (samples - class->samples >= UNNAMED_SAMPLES || class->quiet >= UNNAMED_CYCLES)
        settle(class, objects, samples);
    else if (before && class->fresh && objects > 2 * class->settled)
        class->wants = true;
    return class->wants;
}
