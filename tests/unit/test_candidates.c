/* What a mark in place still looks for, against a list of all blocks: unreached, and not found so
 * by two full looks before. */
#include "gc_heap.h"
#include "tap.h"

#include "gc/dirty/candidates.h"
#include "gc/sys/pagemap.h"
#include "gc/sys/proc.h"

#include <stdlib.h>

#define BLOCKS 20000

static struct heap_index index_now;
static struct mark mark;
static struct candidates candidates;

struct truth {
    void *block;
    bool live;
    unsigned looks; /* that have found it unreachable, one after the other; 2: or more */
};
static struct truth truth[BLOCKS];

static void begin(void)
{
    extents_pin();
    memset(&index_now, 0, sizeof index_now);
    if (!heap_index_build(&index_now, NULL) || !mark_init(&mark, &index_now, 65536))
        __builtin_trap();
    candidates_prepare(&candidates);
}

static void end(bool full)
{
    candidates_keep(&candidates, &index_now, full);
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
    candidates_gather(&candidates, &mark);
}

static bool any(void)
{
    return candidates_any(&candidates, &index_now);
}

static const size_t sizes[] = {16, 48, 80, 112, 1024, 5120, 14336, 65536};

static void renew(struct truth *t)
{
    *t = (struct truth){memset(th_alloc(sizes[(unsigned)rand() % 8]), 0, 16), true, 0};
}

/* All blocks die, are found again, and are freed and born again at random; the list says whether
 * there is a candidate after each one that is reached. */
static void test_random(unsigned count, unsigned rounds, const char *what)
{
    unsigned wrong = 0, asked = 0, none = 0, kept = 0, checked = 0, trusted = 0;
    for (unsigned i = 0; i < count; i++)
        renew(&truth[i]);
    for (unsigned round = 0; round < rounds; round++) {
        for (unsigned i = 0; i < count; i++) {
            unsigned fate = (unsigned)rand() % (4 * count);
            if (truth[i].live) {
                truth[i].live = fate > 1;
            } else if (fate < count / 10) {
                th_free(truth[i].block);
                renew(&truth[i]);
            } else if (fate < count / 5) { /* or another has its address */
                truth[i].live = true;
            }
        }
        begin();
        unsigned late[8], lates = 0, unknown = 0; /* late: reached when the list has been made */
        for (unsigned i = 0; i < count; i++)
            if (truth[i].live && lates < 8 && (unsigned)rand() % (4 * count) < 4)
                late[lates++] = i;
            else if (truth[i].live)
                reach(truth[i].block);
            else
                unknown += truth[i].looks < 2 || trusted >= CANDIDATES_TRUST;
        for (unsigned i = 0; i < lates; i++) /* was known, and its address has another now */
            unknown -= truth[late[i]].looks == 2 && trusted < CANDIDATES_TRUST;
        gather();
        bool found = false;
        for (unsigned i = 0; i <= lates; i++) {
            unsigned left = unknown + lates - i;
            found = any();
            wrong += found != (left > 0);
            none += left == 0;
            asked++;
            if (i < lates) {
                reach(truth[late[i]].block);
                unknown += truth[late[i]].looks == 2 && trusted < CANDIDATES_TRUST;
            }
        }
        end(found);
        checked += found && trusted >= CANDIDATES_TRUST;
        trusted = found ? 0 : trusted + 1;
        for (unsigned i = 0; i < count; i++) {
            truth[i].looks = truth[i].live ? 0 : MIN(truth[i].looks + 1, 2u);
            kept += truth[i].looks == 2;
        }
    }
    ok(wrong == 0 && kept > rounds && none > rounds / 20,
       "%s: asked %u times, none left in %u, %u wrong; %u known, %u full looks for safety", what,
       asked, none, wrong, kept, checked);
    for (unsigned i = 0; i < count; i++)
        th_free(truth[i].block);
    begin();
    end(true);
}

/* Nothing is known until the second look, nor when too long ago, nor when it is forgotten. */
static void test_known(void)
{
    void *block = th_alloc(48);
    unsigned looks = 0, since = 0;
    for (unsigned cycle = 0; cycle < 3 * CANDIDATES_TRUST; cycle++) {
        if (cycle == 2 * CANDIDATES_TRUST) {
            candidates_forget(&candidates);
            looks = 0;
        }
        begin();
        gather();
        bool found = any(), expected = looks < 2 || since == CANDIDATES_TRUST;
        if (found != expected || cycle < 3 || found)
            ok(found == expected, "cycle %u, after %u looks, %u cycles ago: %s", cycle, looks,
               since, expected ? "a candidate" : "known");
        end(found);
        looks += found;
        since = found ? 0 : since + 1;
    }
    th_free(block);
    begin();
    end(true);
}

/* More pages than the list has room for. */
static void test_many(void)
{
    void **blocks = own_map((CANDIDATE_PAGES + 8) * sizeof *blocks);
    for (unsigned i = 0; i < CANDIDATE_PAGES + 8; i++)
        blocks[i] = memset(th_alloc(4096), 0, 16);
    begin();
    gather();
    ok(any() && candidates.many, "more pages than there is room for");
    for (unsigned i = 0; i < CANDIDATE_PAGES + 8; i++)
        if (i != 77)
            reach(blocks[i]);
    ok(any(), "still, until they are listed again");
    candidates_gather(&candidates, &mark);
    ok(any() && !candidates.many && candidates.page_count == 1, "then one is left");
    reach(blocks[77]);
    ok(!any(), "and none");
    end(false);
    for (unsigned i = 0; i < CANDIDATE_PAGES + 8; i++)
        th_free(blocks[i]);
    own_unmap(blocks, (CANDIDATE_PAGES + 8) * sizeof *blocks);
}

/* More blocks than can be known. */
static void test_most(void)
{
    void **blocks = own_map((CANDIDATES_LOST + 1) * sizeof *blocks);
    for (unsigned i = 0; i < CANDIDATES_LOST; i++)
        blocks[i] = th_alloc(16);
    for (unsigned cycle = 0; cycle < 3; cycle++) {
        begin();
        gather();
        bool found = any();
        is(found, cycle < 2, "so many can be known");
        end(found);
    }
    blocks[CANDIDATES_LOST] = th_alloc(16);
    for (unsigned cycle = 0; cycle < 3; cycle++) {
        begin();
        gather();
        ok(any(), "one more is looked for in each cycle");
        end(true);
    }
    for (unsigned i = 0; i <= CANDIDATES_LOST; i++)
        th_free(blocks[i]);
    own_unmap(blocks, (CANDIDATES_LOST + 1) * sizeof *blocks);
}

int main(void)
{
    if (!th_init(NULL) || !proc_open(false))
        return 1;
    pagemap_open();
    srand(7);
    begin();
    gather();
    ok(!any(), "in an empty heap there is no candidate");
    end(false);
    test_random(200, 1000, "200 blocks");
    test_random(BLOCKS, 40, "20000 blocks");
    test_known();
    test_many();
    test_most();
    return tap_done();
}
