#include "pinned.h"

#include "base/os.h"
#include "malloc/slabs.h"
#include "prof/pins.h"
#include "segment/segment.h"

#include <stdint.h>

static bool stepping;  /* one thread at a time: atomic, claimed by exchange */
static bool under_way; /* atomic */
static int64_t begun_ns;

static void step(void)
{
    enum pins_state state = pins_step(slabs_share);
    __atomic_store_n(&under_way, state == PINS_MORE, __ATOMIC_RELAXED);
    if (state == PINS_TOLD)
        __atomic_store_n(&segment_header()->pinned_ns, (uint64_t)begun_ns, __ATOMIC_RELEASE);
}

void pinned_write(bool own)
{
    if (!slabs_are_known() || __atomic_exchange_n(&stepping, true, __ATOMIC_ACQUIRE))
        return;
    begun_ns = os_now_ns();
    pins_begin();
    do
        step();
    while (own && pinned_is_under_way());
    __atomic_store_n(&stepping, false, __ATOMIC_RELEASE);
}

bool pinned_is_under_way(void)
{
    return __atomic_load_n(&under_way, __ATOMIC_RELAXED);
}

void pinned_continue(void)
{
    if (!pinned_is_under_way() || __atomic_exchange_n(&stepping, true, __ATOMIC_ACQUIRE))
        return;
    if (pinned_is_under_way())
        step();
    __atomic_store_n(&stepping, false, __ATOMIC_RELEASE);
}

void pinned_postfork_child(void)
{
    stepping = under_way = false;
}
