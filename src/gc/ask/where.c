#include "gc/ask/where.h"

#include "base/compiler.h"
#include "base/fmt.h"
#include "gc/ask/thread_stack.h"
#include "gc/roots/parked.h"
#include "gc/stop/world.h"
#include "gc/sys/proc.h"
#include "gc/sys/raw.h"
#include "stack/loaded.h"

#include <link.h>
#include <string.h>

/* glibc's struct pthread, which a thread pointer points at, is no larger. */
#define PTHREAD_BYTES 4096u
#define TLS_MAX ((size_t)1 << 20)

/* Bytes below a thread's pointer: of the modules that the program was started with, whose
 * thread-locals have the same place in each thread. */
static size_t tls_bytes;
static bool stacks_are_seen; /* the copy's own */

static int note_tls(struct dl_phdr_info *info, size_t size, void *ctx)
{
    uintptr_t below = (uintptr_t)__builtin_thread_pointer() - (uintptr_t)info->dlpi_tls_data;
    (void)size, (void)ctx;
    if (info->dlpi_tls_data && below < TLS_MAX)
        tls_bytes = MAX(tls_bytes, below);
    return 0;
}

void where_init(void)
{
    tls_bytes = 0;
    dl_iterate_phdr(note_tls, NULL);
}

void where_begin(void)
{
    stacks_are_seen = !thread_stacks_begin();
}

static void name_thread(struct md_answer_path *path, int tid)
{
    char file[64], name[sizeof path->thread + 1];
    struct fmt f = fmt_on(file, sizeof file);
    path->tid = (uint32_t)tid;
    fmt_text(&f, "../");
    fmt_u64(&f, (uint64_t)RAW3(SYS_getppid, 0, 0, 0)); /* we are the copy of it */
    fmt_text(&f, "/task/");
    fmt_u64(&f, (uint64_t)tid);
    fmt_text(&f, "/comm");
    if (proc_self_read(file, name, sizeof name) <= 0)
        return;
    name[strcspn(name, "\n")] = '\0';
    memcpy(path->thread, name, MIN(strlen(name), sizeof path->thread - 1));
}

struct in_register {
    uintptr_t word;
    bool found;
};

static void try_register(void *ctx, uintptr_t start, uintptr_t end)
{
    struct in_register *in = ctx;
    in->found |= in->word >= start && in->word < end;
}

static bool is_register(uintptr_t word, struct md_answer_path *path)
{
    for (unsigned i = 0; i < world.count; i++) {
        const struct world_thread *thread = &world.threads[i];
        struct in_register in = {word, false};
        if (world_state_of(thread) == WORLD_PARKED)
            parked_each_register(thread, try_register, &in);
        if (!in.found)
            continue;
        path->root = MD_ROOT_REGISTER;
        path->word = 0; /* it lies in our frame, which is no place of the program's */
        name_thread(path, thread->tid);
        return true;
    }
    return false;
}

static void find_mapping(void *ctx, const struct proc_mapping *m)
{
    struct md_answer_path *path = ctx;
    if (path->word < m->start || path->word >= m->end)
        return;
    path->mapping_start = m->start;
    path->mapping_limit = m->end;
    memcpy(path->path, m->path, MIN(strlen(m->path), sizeof path->path - 1));
}

/* Of the threads whose stack or thread-locals may have the word: the one of the nearest place below
 * it, as another's stack may lie behind in the same mapping. */
static bool is_threads(struct md_answer_path *path)
{
    const struct world_thread *owner = NULL;
    uintptr_t nearest = 0;
    for (unsigned i = 0; i < world.count; i++) {
        const struct world_thread *thread = &world.threads[i];
        enum world_state state = world_state_of(thread);
        if (state != WORLD_PARKED && state != WORLD_BLOCKED)
            continue;
        uintptr_t tls = thread->pointer - tls_bytes;
        if (thread->pointer && path->word - tls < tls_bytes + PTHREAD_BYTES) {
            path->root = MD_ROOT_TLS;
            path->offset = (int64_t)(path->word - thread->pointer);
            name_thread(path, thread->tid);
            return true;
        }
        uintptr_t point = parked_point(thread);
        if (point >= path->mapping_start && point <= path->word && point >= nearest) {
            owner = thread;
            nearest = point;
        }
    }
    if (!owner)
        return false;
    path->root = MD_ROOT_STACK;
    path->offset = (int64_t)(path->word - owner->sp);
    if (stacks_are_seen)
        path->pc = thread_stack_frame(owner, path->word);
    name_thread(path, owner->tid);
    return true;
}

void where_is(uintptr_t word, struct md_answer_path *path)
{
    struct loaded object;
    path->root = MD_ROOT_OTHER;
    if (is_register(word, path))
        return;
    path->word = word;
    proc_each_mapping(find_mapping, path);
    if (!path->mapping_start || is_threads(path))
        return;
    path->root = MD_ROOT_MAPPING;
    path->offset = (int64_t)(word - path->mapping_start);
    if (!loaded_is_lock_free() || !loaded_at(word, &object))
        return;
    path->root = MD_ROOT_MODULE;
    path->offset = (int64_t)(word - object.bias);
    memset(path->path, 0, sizeof path->path);
    memcpy(path->path, object.name, MIN(strlen(object.name), sizeof path->path - 1));
}
