#include "gc/engine/thp.h"

#include "base/compiler.h"
#include "base/os.h"
#include "gc/sys/pagemap.h"
#include "gc/sys/raw.h"
#include "heap/extents.h"
#include "heap/object_map.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#define COLLAPSE 25 /* MADV_COLLAPSE; Debian 12's headers are older */
#define HUGE_BYTES ((uintptr_t)2 << 20)

static bool refused;      /* the kernel does not know it, or large pages are off: not asked again */
static unsigned failures; /* calls of this round that got no large page */
static int64_t deadline;

static void collapse(void *ctx, uintptr_t start, uintptr_t end)
{
    (void)ctx;
    start = (start + HUGE_BYTES - 1) & ~(HUGE_BYTES - 1);
    end &= ~(HUGE_BYTES - 1);
    /* Four ranges a call.  Each call first waits for a turn of every CPU, which takes long on a
     * busy machine, so one range a call would be slow.  But within a call the kernel takes the lock
     * of the address space again and again, so fast that faulting threads wait for the whole call
     * (1.7 s seen for 512 MB). */
    for (uintptr_t next; start < end && !refused && failures <= 4 && os_now_ns() < deadline;
         start = next) {
        next = MIN(end, start + 4 * HUGE_BYTES);
        long error = RAW3(SYS_madvise, start, next - start, COLLAPSE);
        refused = error == -EINVAL;
        failures += error != 0;
    }
}

void thp_collapse(void)
{
    if (refused || extents_bytes() < THP_MIN_HEAP)
        return;
    failures = 0;
    deadline = os_now_ns() + THP_LIMIT_NS;
    /* Read without the lock, while the program runs: entries may move under us.  A range that is no
     * longer heap is then collapsed for nothing, which changes nothing that it can see. */
    unsigned count = __atomic_load_n(&extent_count, __ATOMIC_ACQUIRE);
    for (unsigned i = 0; i < count; i++) {
        struct extent extent = extents[i];
        if (extent.end <= extent.start)
            continue;
        uintptr_t map_start = (uintptr_t)object_byte((void *)extent.start) & ~(uintptr_t)4095;
        uintptr_t map_end = (uintptr_t)object_byte((void *)extent.end) & ~(uintptr_t)4095;
        if (!pagemap_each_small(extent.start, extent.end, collapse, NULL))
            return;
        if (object_map)
            pagemap_each_small(map_start, map_end, collapse, NULL);
    }
}
