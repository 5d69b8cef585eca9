#include "gc/ask/threads.h"

#include "base/compiler.h"
#include "base/options.h"
#include "base/os.h"
#include "gc/ask/answers.h"
#include "gc/ask/thread_stack.h"
#include "gc/mark/mark.h"
#include "gc/roots/roots.h"
#include "gc/stop/blocked.h"
#include "gc/stop/world.h"
#include "gc/sys/proc.h"
#include "gc/sys/raw.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <string.h>

#ifndef FUTEX_LOCK_PI2
#define FUTEX_LOCK_PI2 13
#endif

/* ---- before the stop ---- */

/* What a thread was at.  It may have gone on since: what counts is whether it stands at the same
 * place in the stop. */
struct noted {
    int tid;
    bool in_call;
    struct blocked_call call;
    char name[16];
};
static struct noted *noted; /* of the last question; the tracer's */
static size_t noted_count, noted_room;

static bool make_room(void)
{
    size_t room = noted_room ? 2 * noted_room : 256;
    struct noted *table = own_map(room * sizeof *table);
    if (!table)
        return false;
    struct noted *old = noted;
    size_t old_bytes = noted_room * sizeof *old;
    if (old)
        memcpy(table, old, noted_count * sizeof *table);
    /* In this order: a fork may come between. */
    __atomic_store_n(&noted, table, __ATOMIC_SEQ_CST);
    noted_room = room;
    if (old)
        own_unmap(old, old_bytes);
    return true;
}

static void note(struct noted *to, int tid)
{
    char name[sizeof to->name + 1];
    *to = (struct noted){.tid = tid};
    to->in_call = blocked_call_of(tid, &to->call);
    long bytes = proc_task_read(tid, "comm", name, sizeof name);
    for (long i = 0; i < bytes && name[i] != '\n' && i < (long)sizeof to->name - 1; i++)
        to->name[i] = name[i];
}

const char *threads_prepare(void)
{
    char entries[2048] DIRENTS_ALIGNED;
    long directory = proc_self_open("task", O_RDONLY | O_DIRECTORY), tid;
    if (directory < 0)
        return "/proc/self/task cannot be read";
    struct proc_numbers tasks = {.fd = directory, .buf = entries, .size = sizeof entries};
    bool room = true;
    noted_count = 0;
    while (room && (tid = proc_next_number(&tasks)) >= 0)
        if (noted_count < noted_room || (room = make_room()))
            note(&noted[noted_count++], (int)tid);
    RAW3(SYS_close, directory, 0, 0);
    return room ? NULL : "no memory for the threads";
}

/* ---- in the copy ---- */

/* Of each of world.threads. */
struct seen {
    const struct noted *noted; /* NULL: it has come since */
    bool in_call;              /* noted->call is what it was in when it was stopped */
    uint64_t futex;            /* waits there until it is woken; 0: it does not */
};
static struct seen *seen;
static struct roots_stack *stacks;

static const struct noted *find_noted(int tid)
{
    for (size_t i = 0; i < noted_count; i++)
        if (noted[i].tid == tid)
            return &noted[i];
    return NULL;
}

static bool waits_for_futex(const struct blocked_call *call)
{
    unsigned operation = (unsigned)call->args[1] & FUTEX_CMD_MASK;
    return call->number == SYS_futex && call->args[3] == 0 &&
           (operation == FUTEX_WAIT || operation == FUTEX_WAIT_BITSET ||
            operation == FUTEX_LOCK_PI || operation == FUTEX_LOCK_PI2);
}

static void look_at(const struct world_thread *thread, struct seen *to)
{
    to->noted = find_noted(thread->tid);
    if (!to->noted || !to->noted->in_call)
        return;
    const struct blocked_call *call = &to->noted->call;
    to->in_call = call->sp == thread->sp && call->number >= 0;
    /* Its registers are not known: it may have anything in them. */
    if (to->in_call && world_state_of(thread) == WORLD_PARKED && waits_for_futex(call))
        to->futex = call->args[0];
}

static bool is_stopped(const struct world_thread *thread)
{
    enum world_state state = world_state_of(thread);
    return state == WORLD_PARKED || state == WORLD_BLOCKED;
}

/* Whose stack `address` lies in; world.count: nobody's. */
static unsigned stack_of(uintptr_t address)
{
    unsigned i = 0;
    while (i < world.count && address - stacks[i].start >= stacks[i].end - stacks[i].start)
        i++;
    return i;
}

/* Whether what is reached so far has a way to this word. */
static bool is_reached(const struct ask *ask, uintptr_t word)
{
    size_t size;
    unsigned stack = stack_of(word);
    if (stack < world.count)
        return !stacks[stack].left_out;
    uintptr_t block = heap_index_resolve(ask->index, word, &size);
    for (size_t i = 0; i < ask->doubted_count; i++)
        if (ask->doubted[i] == block)
            return true;
    return !block || !(*index_white(ask->index, block) & index_white_bit(block));
}

/* The mark without those that wait, and then with each that may be woken. */
static const char *mark_all(const struct ask *ask)
{
    struct roots_size size;
    struct mark *mark = own_map(sizeof *mark);
    if (!mark || !mark_init(mark, ask->index, SIZE_MAX))
        return "no memory to mark in";
    for (unsigned i = 0; i < world.count; i++)
        stacks[i].left_out = seen[i].futex;
    if (!roots_mark_but(mark, &size, stacks))
        return "/proc/self/maps cannot be read";
    for (bool more = true; more;) {
        more = false;
        mark_finish(mark);
        for (unsigned i = 0; i < world.count; i++)
            if (stacks[i].left_out && is_reached(ask, seen[i].futex)) {
                roots_mark_stack(mark, stacks, i);
                more = true;
            }
    }
    return NULL;
}

/* Where the futex lies, and what lies around it. */
static void tell_place(const struct ask *ask, uintptr_t word, struct md_answer_thread *to)
{
    size_t size = 0;
    unsigned stack = stack_of(word);
    uintptr_t block = heap_index_resolve(ask->index, word, &size);
    thread_stack_read(word, to->words, sizeof to->words);
    if (stack < world.count) {
        to->place = MD_PLACE_STACK;
        to->place_tid = (uint32_t)world.threads[stack].tid;
    } else if (block) {
        to->place = MD_PLACE_BLOCK;
        to->place_start = block;
        to->place_bytes = size;
    } else if (thread_stacks_module(word, &to->place_start)) {
        to->place = MD_PLACE_MODULE;
    }
}

static void tell(const struct ask *ask, unsigned number)
{
    static uint64_t pcs[MD_STACK_MAX_DEPTH];
    const struct world_thread *thread = &world.threads[number];
    const struct seen *is = &seen[number];
    unsigned most = (unsigned)MIN(option_number(OPTION_PROFSTACKDEPTH), MD_STACK_MAX_DEPTH);
    uint32_t end;
    unsigned depth = thread_stack(thread, pcs, most, &end);
    struct md_answer_thread *to =
        answers_record(MD_ANSWER_THREAD, sizeof *to + depth * sizeof to->pc[0]);
    if (!to)
        return;
    to->tid = (uint32_t)thread->tid;
    to->depth = depth;
    to->stack_end = end;
    memcpy(to->pc, pcs, depth * sizeof pcs[0]);
    if (world_state_of(thread) == WORLD_PARKED)
        to->flags |= MD_THREAD_SEEN;
    if (is->noted)
        memcpy(to->name, is->noted->name, sizeof to->name);
    to->call = -1;
    if (is->noted && is->in_call) {
        to->call = is->noted->call.number;
        memcpy(to->args, is->noted->call.args, sizeof to->args);
        if (to->call == SYS_futex)
            tell_place(ask, is->noted->call.args[0], to);
    }
    if (stacks[number].left_out)
        to->flags |= MD_THREAD_UNREACHED;
}

const char *threads_answer(const struct ask *ask)
{
    const char *reason = thread_stacks_begin();
    seen = own_map(MAX(world.count, 1) * sizeof *seen);
    stacks = own_map(MAX(world.count, 1) * sizeof *stacks);
    if (reason)
        return reason;
    if (!seen || !stacks)
        return "no memory to mark in";
    for (unsigned i = 0; i < world.count; i++)
        if (is_stopped(&world.threads[i]))
            look_at(&world.threads[i], &seen[i]);
    if ((reason = mark_all(ask)))
        return reason;
    for (unsigned i = 0; i < world.count; i++)
        if (is_stopped(&world.threads[i]))
            tell(ask, i);
    thread_stacks_tell_modules();
    return NULL;
}
