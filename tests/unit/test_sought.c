/* What a mark in place still looks for, against a list of all blocks: unreached, and not so at the
 * end of the cycle before. */
#include "gc_heap.h"
#include "tap.h"

#include "gc/pages.h"
#include "gc/proc.h"
#include "gc/sought.h"

#include <stdlib.h>

#define BLOCKS 20000

static struct heap_index index_now;
static struct mark mark;
static struct sought sought;

struct truth {
    void *block;
    bool live, known;
};
static struct truth truth[BLOCKS];

static void begin(void)
{
    extents_pin();
    memset(&index_now, 0, sizeof index_now);
    if (!heap_index_build(&index_now, NULL) || !mark_init(&mark, &index_now, 65536))
        __builtin_trap();
    sought_prepare(&sought);
}

static void end(void)
{
    sought_keep(&sought, &index_now);
    mark_free(&mark);
    heap_index_free(&index_now);
    extents_unpin();
}

/* A block that holds nothing. */
static void reach(void *block)
{
    void *word = block;
    mark_from(&mark, (uintptr_t)&word, (uintptr_t)(&word + 1));
    mark_finish(&mark);
}

static void gather(void)
{
    mark_note_reached(&mark);
    sought_gather(&sought, &mark);
}

static bool any(void)
{
    return sought_any(&sought, &index_now);
}

static unsigned unknown(unsigned count)
{
    unsigned left = 0;
    for (unsigned i = 0; i < count; i++)
        left += !truth[i].live && !truth[i].known;
    return left;
}

/* All blocks die and are born again at random; the list says whether anything is sought after each
 * one that is reached. */
static void test_random(unsigned count, unsigned rounds, const char *what)
{
    static const size_t sizes[] = {16, 48, 80, 112, 1024, 5120, 14336, 65536};
    unsigned wrong = 0, asked = 0, none = 0, kept = 0;
    for (unsigned i = 0; i < count; i++)
        truth[i] =
            (struct truth){memset(th_alloc(sizes[(unsigned)rand() % 8]), 0, 16), true, false};
    for (unsigned round = 0; round < rounds; round++) {
        for (unsigned i = 0; i < count; i++) {
            if (truth[i].live && (unsigned)rand() % count < 2)
                truth[i].live = false;
            if (!truth[i].live && (unsigned)rand() % 40 == 0) { /* found after all, and freed */
                th_free(truth[i].block);
                truth[i] = (struct truth){memset(th_alloc(sizes[(unsigned)rand() % 8]), 0, 16),
                                          true, false};
            }
        }
        begin();
        unsigned late[8], lates = 0; /* reached only when the list has been made */
        for (unsigned i = 0; i < count; i++)
            if (truth[i].live && lates < 8 && (unsigned)rand() % count < 4)
                late[lates++] = i;
            else if (truth[i].live)
                reach(truth[i].block);
        gather();
        for (unsigned i = 0; i <= lates; i++) {
            unsigned left = unknown(count) + lates - i;
            wrong += any() != (left > 0);
            none += left == 0;
            asked++;
            if (i < lates)
                reach(truth[late[i]].block);
        }
        end();
        for (unsigned i = 0; i < count; i++) {
            truth[i].known = !truth[i].live;
            kept += truth[i].known;
        }
    }
    ok(wrong == 0 && kept > rounds && none > rounds / 20,
       "%s: asked %u times, nothing sought in %u, %u wrong; %u known", what, asked, none, wrong,
       kept);
    for (unsigned i = 0; i < count; i++)
        th_free(truth[i].block);
    begin();
    end();
}

/* More pages than the list has room for. */
static void test_many(void)
{
    void **blocks = own_map((SOUGHT_PAGES + 8) * sizeof *blocks);
    for (unsigned i = 0; i < SOUGHT_PAGES + 8; i++)
        blocks[i] = memset(th_alloc(4096), 0, 16);
    begin();
    gather();
    ok(any() && sought.many, "more pages than there is room for");
    for (unsigned i = 0; i < SOUGHT_PAGES + 8; i++)
        if (i != 77)
            reach(blocks[i]);
    ok(any(), "still, until they are listed again");
    sought_gather(&sought, &mark);
    ok(any() && !sought.many && sought.page_count == 1, "then one is left");
    reach(blocks[77]);
    ok(!any(), "and none");
    end();
    for (unsigned i = 0; i < SOUGHT_PAGES + 8; i++)
        th_free(blocks[i]);
    own_unmap(blocks, (SOUGHT_PAGES + 8) * sizeof *blocks);
}

/* More blocks than can be known. */
static void test_most(void)
{
    void **blocks = own_map((SOUGHT_KNOWN + 1) * sizeof *blocks);
    for (unsigned i = 0; i < SOUGHT_KNOWN; i++)
        blocks[i] = th_alloc(16);
    for (unsigned cycle = 0; cycle < 2; cycle++) {
        begin();
        gather();
        is(any(), cycle == 0, "so many can be known");
        end();
    }
    blocks[SOUGHT_KNOWN] = th_alloc(16);
    for (unsigned cycle = 0; cycle < 2; cycle++) {
        begin();
        gather();
        ok(any(), "one more is looked for in each cycle");
        end();
    }
    for (unsigned i = 0; i <= SOUGHT_KNOWN; i++)
        th_free(blocks[i]);
    own_unmap(blocks, (SOUGHT_KNOWN + 1) * sizeof *blocks);
}

int main(void)
{
    if (!th_init(NULL) || !proc_open(false))
        return 1;
    pages_open();
    srand(7);
    begin();
    gather();
    ok(!any(), "in an empty heap nothing is sought");
    end();
    test_random(200, 1000, "200 blocks");
    test_random(BLOCKS, 40, "20000 blocks");
    test_many();
    test_most();
    return tap_done();
}
