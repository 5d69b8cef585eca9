#include "symbols.h"

#include "target/save.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <unistd.h>

#define KEPT 8
#define KEPT_NS (INT64_C(60) * 1000000000)

struct symbols_use {
    pid_t pid;
    uint64_t start_ticks;
    ino_t ino;
    pthread_mutex_t busy; /* held by who uses the symbolizer */
    struct symbolizer *symbolizer;
    unsigned users; /* guarded by symbols.lock, as what follows */
    int64_t used_ns;
    struct symbols_use *next;
};

struct symbols {
    pthread_mutex_t lock;
    struct symbols_use *first; /* used last */
    sem_t slots;               /* look-ups that may run now */
};

struct symbols *symbols_create(void)
{
    struct symbols *symbols = calloc(1, sizeof *symbols);
    if (!symbols)
        return NULL;
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    pthread_mutex_init(&symbols->lock, NULL);
    sem_init(&symbols->slots, 0, cpus > 2 ? (unsigned)cpus : 2);
    return symbols;
}

static void free_use(struct symbols_use *use)
{
    symbolizer_destroy(use->symbolizer);
    pthread_mutex_destroy(&use->busy);
    free(use);
}

void symbols_destroy(struct symbols *symbols)
{
    if (!symbols)
        return;
    while (symbols->first) {
        struct symbols_use *use = symbols->first;
        symbols->first = use->next;
        free_use(use);
    }
    sem_destroy(&symbols->slots);
    pthread_mutex_destroy(&symbols->lock);
    free(symbols);
}

/* With the lock: the process's, now the first of the list; NULL: no memory. */
static struct symbols_use *find_locked(struct symbols *symbols, const struct source *source)
{
    const struct target *target = &source->target;
    struct symbols_use **at = &symbols->first;
    while (*at && !((*at)->pid == target->pid && (*at)->ino == target->ino &&
                    (*at)->start_ticks == target->start_ticks))
        at = &(*at)->next;
    struct symbols_use *use = *at;
    if (use) {
        *at = use->next;
    } else {
        use = calloc(1, sizeof *use);
        if (!use)
            return NULL;
        use->pid = target->pid;
        use->ino = target->ino;
        use->start_ticks = target->start_ticks;
        pthread_mutex_init(&use->busy, NULL);
    }
    use->next = symbols->first;
    symbols->first = use;
    return use;
}

struct symbols_use *symbols_acquire(struct symbols *symbols, const struct source *source)
{
    pthread_mutex_lock(&symbols->lock);
    struct symbols_use *use = find_locked(symbols, source);
    if (use)
        use->users++;
    pthread_mutex_unlock(&symbols->lock);
    if (!use)
        return NULL;
    pthread_mutex_lock(&use->busy);
    while (sem_wait(&symbols->slots) != 0)
        ;
    if (!use->symbolizer)
        use->symbolizer = save_symbolizer(source, false);
    if (!use->symbolizer) {
        symbols_release(symbols, use);
        return NULL;
    }
    return use;
}

struct symbolizer *symbols_of(const struct symbols_use *use)
{
    return use->symbolizer;
}

/* With the lock: takes out of the list what is not to be kept. */
static struct symbols_use *take_old_locked(struct symbols *symbols, int64_t now)
{
    struct symbols_use *old = NULL, **at = &symbols->first;
    for (size_t i = 0; *at; i++) {
        struct symbols_use *use = *at;
        bool go = use->users == 0 && (i >= KEPT || now - use->used_ns > KEPT_NS);
        if (!go) {
            at = &use->next;
            continue;
        }
        *at = use->next;
        use->next = old;
        old = use;
    }
    return old;
}

void symbols_release(struct symbols *symbols, struct symbols_use *use)
{
    if (use->symbolizer && symbolizer_has_jit_map(use->symbolizer)) {
        symbolizer_destroy(use->symbolizer);
        use->symbolizer = NULL;
    }
    sem_post(&symbols->slots);
    pthread_mutex_unlock(&use->busy);
    pthread_mutex_lock(&symbols->lock);
    use->users--;
    use->used_ns = monotonic_ns();
    struct symbols_use *old = take_old_locked(symbols, use->used_ns);
    pthread_mutex_unlock(&symbols->lock);
    while (old) {
        struct symbols_use *next = old->next;
        free_use(old);
        old = next;
    }
}
