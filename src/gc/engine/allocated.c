#include "gc/engine/allocated.h"

#include "base/os.h"
#include "gc/roots/inside.h"
#include "gc/stop/world.h"
#include "heap/extents.h"
#include "heap/object_map.h"

#include <string.h>
#include <sys/mman.h>

/* A block that something was told of; the note in its low bits. */
#define NOTES_MAX ((size_t)1 << 24)
static uintptr_t *notes;
static size_t note_count;
static struct allocated_thread *threads;
static unsigned thread_count;
static size_t threads_bytes;

static void note(void *ctx, uintptr_t block, enum allocated_note what)
{
    (void)ctx;
    if (note_count < NOTES_MAX)
        notes[note_count] = block | what;
    note_count++;
}

/* The threads of the stop. */
static void list_threads(void)
{
    thread_count = 0;
    for (unsigned i = 0; i < world.count; i++) {
        const struct world_thread *thread = &world.threads[i];
        enum world_state state = world_state_of(thread);
        if (state == WORLD_PARKED || state == WORLD_BLOCKED)
            threads[thread_count++] =
                (struct allocated_thread){thread->pointer, inside_allocator(thread), false};
    }
}

const char *allocated_fill(allocated_enter *enter)
{
    static const char no_memory[] = "no memory to mark in";
    const char *reason = no_memory;
    threads_bytes = ((world.count + 1) * sizeof *threads + OS_PAGE - 1) & ~(size_t)(OS_PAGE - 1);
    threads = own_map(threads_bytes);
    notes = own_map_as(NOTES_MAX * sizeof *notes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_NORESERVE, 0);
    if (!threads || !notes || !object_map_init(&reason))
        return reason;
    for (unsigned i = 0; i < extent_count; i++)
        if (!object_map_open((const void *)extents[i].start, extents[i].end - extents[i].start))
            return no_memory;
    list_threads();
    reason = enter(threads, thread_count, note, NULL);
    if (!reason && note_count > NOTES_MAX)
        reason = "too many blocks are just being allocated or freed";
    return reason;
}

void allocated_settle(struct mark *mark)
{
    size_t size;
    mark->doubted = notes;
    for (size_t i = 0; i < note_count; i++) {
        uintptr_t block = notes[i] & ~(uintptr_t)15;
        if ((notes[i] & 15) != ALLOCATED_OURS) {
            notes[mark->doubted_count++] = block;
        } else if (heap_index_resolve(mark->index, block, &size)) {
            mark_reach(mark, block);
            mark->index->objects--;
            mark->index->bytes -= size;
        }
    }
    note_count = 0;
}

void allocated_free(void)
{
    if (notes) {
        own_forget(notes, NOTES_MAX * sizeof *notes);
        os_munmap(notes, NOTES_MAX * sizeof *notes);
    }
    if (threads)
        own_unmap(threads, threads_bytes);
    notes = NULL;
    threads = NULL;
    note_count = 0;
    object_map_end();
}

#define IN_DOUBT 0xff

/* How many large blocks may have another size in the map: a block that jemalloc resizes where it
 * lies has its new size in the records first, and a thread is at one block. */
static unsigned resized_at_most(void)
{
    unsigned inside = 0;
    for (unsigned i = 0; i < thread_count; i++)
        inside += threads[i].inside;
    return inside;
}

const char *allocated_check(allocated_enter *enter)
{
    const uint8_t *map = object_map;
    const char *reason = allocated_fill(enter);
    uint8_t *records = object_map;
    unsigned resized = 0;
    object_map = (uint8_t *)map;
    for (size_t i = 0; i < note_count && !reason; i++)
        records[notes[i] >> GRANULE_SHIFT] = (notes[i] & 15) == ALLOCATED_OURS ? 0 : IN_DOUBT;
    note_count = 0;
    for (unsigned i = 0; i < extent_count && !reason; i++)
        for (size_t at = extents[i].start >> GRANULE_SHIFT; at < extents[i].end >> GRANULE_SHIFT;
             at++) {
            unsigned class = map[at] & OBJECT_CLASS, told = records[at] & OBJECT_CLASS;
            if (!class || records[at] == IN_DOUBT || class == told)
                continue;
            if (!told)
                reason = ALLOCATED_DIFFERS " miss a block";
            else if (MIN(class, told) <= object_small_classes || ++resized > resized_at_most())
                reason = ALLOCATED_DIFFERS " have a block of another size";
        }
    own_unmap(records, OBJECT_MAP_BYTES);
    /* What cannot be read in this process is not compared. */
    return reason && strncmp(reason, ALLOCATED_DIFFERS, strlen(ALLOCATED_DIFFERS)) == 0 ? reason
                                                                                        : NULL;
}
