#include "series/thread_list.h"

#include <stdlib.h>
#include <string.h>

/* A thread that a stop has interrupted gets a CPU once more when that ends; on a busy machine some
 * time later.  One that has run by itself so soon after may have waited longer, too. */
#define STOP_SLACK_NS INT64_C(10000000000)

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* ---- names ---- */

static bool take_modules(struct thread_list *list, const struct snapshot *snapshot)
{
    size_t at = 0, count = 0;
    while (snapshot_record(snapshot, &at, MD_ANSWER_MODULE, sizeof(struct md_answer_module)))
        count++;
    list->modules = calloc(count + 1, sizeof *list->modules);
    if (!list->modules)
        return false;
    at = 0;
    while (snapshot_answer_module(snapshot, &at, &list->modules[list->module_count]))
        list->module_count++;
    return true;
}

static const struct md_module *module_of(const struct thread_list *list, uint64_t pc)
{
    for (size_t i = 0; i < list->module_count; i++)
        if (pc - list->modules[i].start < list->modules[i].limit - list->modules[i].start)
            return &list->modules[i];
    return NULL;
}

static bool name_frames(struct thread_list *list, struct thread_row *row)
{
    static const struct symbol_frame unnamed = {"", "", "", 0, 0};
    const struct md_answer_thread *seen = row->seen;
    size_t room = 0;
    for (uint32_t i = 0; seen && i < seen->depth; i++) {
        uint64_t pc = seen->pc[i] - 1;
        const struct md_module *module = module_of(list, pc);
        const struct symbol_frame *found = &unnamed;
        size_t count = list->symbolizer ? symbolizer_find(list->symbolizer, module, pc, &found) : 0;
        if (!count) {
            found = &unnamed;
            count = 1;
        }
        if (row->frame_count + count > room) {
            room = 2 * (row->frame_count + count);
            struct thread_frame *more = realloc(row->frames, room * sizeof *more);
            if (!more)
                return false;
            row->frames = more;
        }
        for (size_t k = 0; k < count; k++)
            row->frames[row->frame_count++] =
                (struct thread_frame){.function = found[k].function,
                                      .file = found[k].file,
                                      .module = module ? module->path : "",
                                      .pc = pc,
                                      .address = module ? pc - module->bias : pc,
                                      .line = found[k].line};
    }
    return true;
}

/* ---- waits ---- */

#define NAMED_FRAMES 12

static void find_wait(struct thread_row *row)
{
    struct thread_function names[NAMED_FRAMES];
    size_t count = row->frame_count < NAMED_FRAMES ? row->frame_count : NAMED_FRAMES;
    const struct md_answer_thread *seen = row->seen;
    for (size_t i = 0; i < count; i++)
        names[i] =
            (struct thread_function){row->frames[i].function, base_name(row->frames[i].module)};
    bool sleeps = row->kernel.state == 'S' || row->kernel.state == 'D';
    if (seen && seen->call >= 0)
        row->wait = thread_wait_of(seen->call, seen->args, seen->words, names, count);
    else if (sleeps && !seen && row->kernel.call >= 0)
        row->wait = thread_wait_of(row->kernel.call, row->kernel.args, NULL, names, count);
    else if (sleeps)
        row->wait = thread_wait_by_names(names, count);
    else
        row->wait = (struct thread_wait){.kind = THREAD_RUNS, .number = -1};
}

static size_t row_of(const struct thread_list *list, uint32_t own_tid)
{
    for (size_t i = 0; own_tid && i < list->count; i++)
        if ((uint32_t)list->rows[i].kernel.own_tid == own_tid)
            return i;
    return THREAD_NONE;
}

static void find_owners(struct thread_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        struct thread_row *row = &list->rows[i];
        row->owner = row_of(list, row->wait.owner);
        row->place_owner = THREAD_NONE;
        if (row->seen && row->seen->place == MD_PLACE_STACK)
            row->place_owner = row_of(list, row->seen->place_tid);
        /* libc keeps a thread's number on its stack, and a futex there until its end. */
        if (row->wait.kind == THREAD_FUTEX && row->place_owner != THREAD_NONE &&
            row->seen->words[0] == row->seen->place_tid && row->place_owner != i) {
            row->wait.kind = THREAD_JOIN;
            row->owner = row->place_owner;
        }
    }
    for (size_t i = 0; i < list->count; i++) {
        size_t at = list->rows[i].owner, steps = 0;
        for (; at != THREAD_NONE && at != i && steps < list->count; steps++)
            at = list->rows[at].wait.timed ? THREAD_NONE : list->rows[at].owner;
        list->rows[i].in_deadlock = at == i && !list->rows[i].wait.timed;
    }
}

int64_t thread_stop_ns(const struct snapshot *snapshot)
{
    const struct md_answer *answer = &snapshot->header.answer;
    uint64_t last = answer->number ? answer->start_ns + answer->stop_ns + answer->wall_ns : 0;
    for (size_t i = 0; i < snapshot->cycle_count; i++) {
        const struct md_cycle *cycle = &snapshot->cycles[i];
        uint64_t end = cycle->start_ns + cycle->stop1_ns + cycle->mark_ns + cycle->stop2_ns;
        last = end > last ? end : last;
    }
    return last ? (int64_t)(snapshot->header.start_ns + last) : 0;
}

/* ---- all ---- */

static const struct md_answer_thread *find_seen(const struct snapshot *snapshot, uint32_t own_tid)
{
    const struct md_answer_record *record;
    size_t at = 0;
    while ((record = snapshot_record(snapshot, &at, MD_ANSWER_THREAD,
                                     sizeof(struct md_answer_thread)))) {
        const struct md_answer_thread *seen = (const void *)record;
        if (seen->tid == own_tid && seen->depth <= MD_STACK_MAX_DEPTH &&
            sizeof *seen + seen->depth * sizeof seen->pc[0] <= record->words * 8ull)
            return seen;
    }
    return NULL;
}

bool thread_list_make(struct thread_list *list, struct proc_thread *threads, size_t count,
                      const struct snapshot *snapshot, bool answered, int64_t stop_ns,
                      const struct symbolizer_options *symbols)
{
    *list = (struct thread_list){.rows = calloc(count + 1, sizeof *list->rows)};
    bool good = list->rows && (!answered || take_modules(list, snapshot));
    if (good && answered)
        list->symbolizer = symbolizer_create(symbols);
    for (size_t i = 0; good && i < count; i++) {
        struct thread_row *row = &list->rows[list->count++];
        row->kernel = threads[i];
        row->seen = answered ? find_seen(snapshot, (uint32_t)threads[i].own_tid) : NULL;
        row->stopped_by_us = threads[i].ran_ns >= 0 && threads[i].ran_ns <= stop_ns + STOP_SLACK_NS;
        good = name_frames(list, row);
        find_wait(row);
    }
    free(threads);
    if (good)
        find_owners(list);
    return good;
}

void thread_list_fini(struct thread_list *list)
{
    for (size_t i = 0; list->rows && i < list->count; i++)
        free(list->rows[i].frames);
    free(list->rows);
    free(list->modules);
    symbolizer_destroy(list->symbolizer);
    *list = (struct thread_list){0};
}

bool thread_rows_alike(const struct thread_row *a, const struct thread_row *b)
{
    if (a->wait.kind != b->wait.kind || a->wait.number != b->wait.number ||
        thread_row_unreached(a) != thread_row_unreached(b) || a->in_deadlock != b->in_deadlock ||
        !a->seen != !b->seen)
        return false;
    return !a->seen ||
           (a->seen->depth == b->seen->depth &&
            memcmp(a->seen->pc, b->seen->pc, a->seen->depth * sizeof a->seen->pc[0]) == 0);
}
