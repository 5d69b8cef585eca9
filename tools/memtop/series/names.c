#include "names.h"

#include "view/containers.h"
#include "view/plain_text.h"
#include "view/plumbing.h"
#include "view/simple_name.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* A look-up that was asked for: addresses with copies of their modules, so that the thread needs
 * nothing that the caller may change.  Whoever has taken it off a list owns it. */
struct job {
    struct job *next;
    struct stack_names *result;
    size_t count;
    struct {
        uint64_t pc;
        bool known;
        struct md_module module;
    } at[];
};

struct names {
    /* Used by the thread alone, if there is one. */
    struct symbolizer *symbolizer;

    /* Used by the caller alone. */
    struct stack_names **stack; /* in no order */
    size_t count, capacity;
    struct pair_map index; /* stack -> index in `stack` */
    bool background;       /* there is a thread; set once */
    bool jit_map;          /* code in no module may have names; set once */
    struct pair_map kinds; /* pc -> enum address_kind */
    uint64_t learned;      /* how often `kinds` has changed */

    int event; /* an eventfd that the thread writes and the caller reads; set once */

    pthread_mutex_t lock;       /* guards what follows */
    pthread_cond_t work, ended; /* `wanted` or `stop` has changed; `running` has */
    struct job *wanted, *done;  /* the last one asked for, or done, first */
    bool stop, running;
};

static atomic_uint running_threads;

/* What is known of an address in a stack.  UNNAMED: its module is not plumbing, and its function is
 * not known yet. */
enum address_kind { ADDRESS_OWN, ADDRESS_UNNAMED, ADDRESS_PLUMBING, ADDRESS_NAMELESS };

enum { LABEL_SIZE = 512, FUNCTION_SIZE = 204, JOB_FRAMES = 256 };

unsigned names_running(void)
{
    return running_threads;
}

static char *clean_copy(const char *text)
{
    size_t length = text ? strlen(text) : 0;
    char *copy = malloc(length + 1);
    return copy ? plain_text(copy, length + 1, text ? text : "", length) : NULL;
}

static bool is_plumbing(const struct name_frame *frame)
{
    return plumbing_is_function(frame->module, frame->function);
}

/* Whether a frame is of what calls every main and every thread. */
static bool is_beginning(const struct name_frame *frame)
{
    static const char *const names[] = {"_start", "start_thread", "clone", "clone3"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(frame->function, names[i]) == 0)
            return true;
    return strncmp(frame->function, "__libc_start", 12) == 0;
}

/* The length of a demangled function without its arguments.  Brackets of template arguments, of
 * "(anonymous namespace)" and of operator() do not begin those. */
static size_t name_length(const char *function)
{
    int depth = 0;
    for (const char *p = function; *p != '\0'; p++) {
        depth += *p == '<' ? 1 : *p == '>' ? -1 : 0;
        bool skipped = strncmp(p, "(anonymous", 10) == 0 ||
                       (p - function >= 8 && strncmp(p - 8, "operator()", 10) == 0);
        if (*p == '(' && depth <= 0 && p > function && !skipped)
            return (size_t)(p - function);
    }
    return strlen(function);
}

/* A function without its arguments and anonymous namespaces, as a label names many; what is too
 * long ends in an ellipsis. */
static void short_function(const struct name_frame *frame, char buffer[FUNCTION_SIZE])
{
    static const char ellipsis[] = "\xe2\x80\xa6";
    if (frame->function[0] == '\0') {
        snprintf(buffer, FUNCTION_SIZE, "%.180s+0x%" PRIx64, frame->module[0] ? frame->module : "?",
                 frame->address);
        return;
    }
    size_t length = name_length(frame->function), room = FUNCTION_SIZE - sizeof ellipsis;
    if (length > room)
        for (length = room; length > 0 && (frame->function[length] & 0xc0) == 0x80;)
            length--; /* not inside a character */
    memcpy(buffer, frame->function, length);
    strcpy(buffer + length, name_length(frame->function) > length ? ellipsis : "");
    simple_name_drop_anonymous(buffer);
}

/* The innermost frame that is the program's own; if none is, the innermost of all. */
static size_t find_first(const struct name_frame *frames, size_t count)
{
    size_t first = 0;
    while (first < count && is_plumbing(&frames[first]))
        first++;
    return first < count ? first : 0;
}

void names_describe(struct stack_names *stack)
{
    static const char unknown[] = "(stack not known)";
    char label[LABEL_SIZE], function[FUNCTION_SIZE];
    const struct name_frame *frames = stack->frames;
    size_t count = stack->frame_count;
    if (count == 0) {
        stack->label = clean_copy(unknown);
        stack->head = stack->function = sizeof unknown - 1;
        return;
    }
    size_t first = stack->first = find_first(frames, count);
    short_function(&frames[first], function);
    int n = snprintf(label, sizeof label, "%s", function);
    stack->function = (size_t)n;
    if (frames[first].line > 0)
        n += snprintf(label + n, sizeof label - (size_t)n, " %.120s:%" PRIu32,
                      plumbing_base_name(frames[first].file), frames[first].line);
    stack->head = (size_t)n;
    for (size_t i = first + 1; i < count && !is_beginning(&frames[i]); i++) {
        if (n + FUNCTION_SIZE + 16 >= (int)sizeof label) {
            snprintf(label + n, sizeof label - (size_t)n, " \xe2\x80\xa6");
            break;
        }
        short_function(&frames[i], function);
        n += snprintf(label + n, sizeof label - (size_t)n, " \xe2\x86\x90 %s", function);
        if (frames[i].line > 0) /* tells apart two calls from one function */
            n += snprintf(label + n, sizeof label - (size_t)n, ":%" PRIu32, frames[i].line);
    }
    stack->label = clean_copy(label);
    /* That malloc itself was called goes without saying. */
    if (first > 0 && frames[first - 1].function[0] && !plumbing_is_own(frames[first - 1].module)) {
        short_function(&frames[first - 1], function);
        stack->via = clean_copy(function);
    }
}

static void free_frames(struct stack_names *stack)
{
    for (size_t i = 0; i < stack->frame_count; i++) {
        free(stack->frames[i].function);
        free(stack->frames[i].file);
        free(stack->frames[i].module);
    }
    free(stack->frames);
    free(stack->label);
    free(stack->via);
    *stack = (struct stack_names){.stack = stack->stack};
}

static bool add_frame(struct stack_names *stack, const struct symbol_frame *symbol,
                      const struct md_module *module, uint64_t pc, bool inlined)
{
    struct name_frame *grown =
        realloc(stack->frames, (stack->frame_count + 1) * sizeof stack->frames[0]);
    if (!grown)
        return false;
    stack->frames = grown;
    struct name_frame *frame = &grown[stack->frame_count];
    *frame =
        (struct name_frame){.function = clean_copy(symbol ? symbol->function : ""),
                            .file = clean_copy(symbol ? symbol->file : ""),
                            .module = clean_copy(module ? plumbing_base_name(module->path) : ""),
                            .pc = pc + 1,
                            .address = module ? pc - module->bias : pc,
                            .line = symbol ? symbol->line : 0,
                            .inlined = inlined,
                            .nameless = symbol && !module && symbol_frame_nameless(symbol)};
    if (!frame->function || !frame->file || !frame->module) {
        free(frame->function);
        free(frame->file);
        free(frame->module);
        return false;
    }
    stack->frame_count++;
    return true;
}

/* Whether this is one more of a row without module and name, for which its first frame stands. */
static bool goes_on(const struct stack_names *stack, const struct symbol_frame *symbol)
{
    return symbol_frame_nameless(symbol) && stack->frame_count > 0 &&
           strcmp(stack->frames[stack->frame_count - 1].function, symbol->function) == 0;
}

/* Fills in the job's result; without a symbolizer, with addresses only. */
static void resolve(struct symbolizer *symbolizer, struct job *job)
{
    struct stack_names *result = job->result;
    for (size_t i = 0; i < job->count; i++) {
        const struct md_module *module = job->at[i].known ? &job->at[i].module : NULL;
        uint64_t address = job->at[i].pc - 1; /* of the call, not of what follows it */
        const struct symbol_frame *frames = NULL;
        size_t found = symbolizer ? symbolizer_find(symbolizer, module, address, &frames) : 0;
        if (!module && found && goes_on(result, frames))
            continue;
        if (found == 0)
            add_frame(result, NULL, module, address, false);
        for (size_t k = 0; k < found; k++)
            add_frame(result, &frames[k], module, address, k + 1 < found);
    }
    names_describe(result);
    result->resolved = symbolizer != NULL;
}

static struct job *make_job(const struct snapshot *snapshot, uint32_t id)
{
    const struct md_stack *stack = snapshot_stack(snapshot, id);
    size_t count = stack ? stack->depth : 0;
    if (count > JOB_FRAMES)
        count = JOB_FRAMES;
    struct job *job = calloc(1, sizeof *job + count * sizeof job->at[0]);
    if (!job || !(job->result = calloc(1, sizeof *job->result))) {
        free(job);
        return NULL;
    }
    job->result->stack = id;
    job->count = count;
    for (size_t i = 0; i < count; i++) {
        job->at[i].pc = stack->pc[i];
        const struct md_module *module = snapshot_module(snapshot, stack->pc[i] - 1, stack->epoch);
        job->at[i].known = module != NULL;
        if (module)
            job->at[i].module = *module;
    }
    return job;
}

static void free_job(struct job *job)
{
    if (job->result) {
        free_frames(job->result);
        free(job->result);
    }
    free(job);
}

static void free_jobs(struct job *jobs)
{
    while (jobs) {
        struct job *next = jobs->next;
        free_job(jobs);
        jobs = next;
    }
}

static void free_names(struct names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        free_frames(names->stack[i]);
        free(names->stack[i]);
    }
    free(names->stack);
    pair_map_fini(&names->index);
    pair_map_fini(&names->kinds);
    free_jobs(names->wanted);
    free_jobs(names->done);
    symbolizer_destroy(names->symbolizer);
    if (names->event >= 0)
        close(names->event);
    pthread_mutex_destroy(&names->lock);
    pthread_cond_destroy(&names->work);
    pthread_cond_destroy(&names->ended);
    free(names);
}

/* The thread: looks names up until `stop`.  Nothing of `names` is touched once the lock is given
 * back with `running` false, as names_destroy may free it then. */
static void *work(void *argument)
{
    struct names *names = argument;
    pthread_mutex_lock(&names->lock);
    while (!names->stop) {
        struct job *job = names->wanted;
        if (!job) {
            pthread_cond_wait(&names->work, &names->lock);
            continue;
        }
        names->wanted = job->next;
        pthread_mutex_unlock(&names->lock);
        resolve(names->symbolizer, job);
        pthread_mutex_lock(&names->lock);
        job->next = names->done;
        names->done = job;
        if (names->event >= 0)
            eventfd_write(names->event, 1);
    }
    names->running = false;
    pthread_cond_signal(&names->ended);
    pthread_mutex_unlock(&names->lock);
    atomic_fetch_sub(&running_threads, 1);
    return NULL;
}

static bool start_thread(struct names *names)
{
    static const int faults[] = {SIGBUS, SIGSEGV, SIGFPE, SIGILL};
    pthread_t thread;
    sigset_t all, before;
    names->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    sigfillset(&all); /* signals are for the main thread, but for faults of this one's own */
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        sigdelset(&all, faults[i]);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    names->running = true;
    atomic_fetch_add(&running_threads, 1);
    if (pthread_create(&thread, NULL, work, names) == 0) {
        pthread_detach(thread);
    } else {
        names->running = false;
        atomic_fetch_sub(&running_threads, 1);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return names->running;
}

struct names *names_create(const struct symbolizer_options *options, bool background)
{
    struct names *names = calloc(1, sizeof *names);
    if (!names)
        return NULL;
    names->event = -1;
    pthread_mutex_init(&names->lock, NULL);
    pthread_cond_init(&names->work, NULL);
    pthread_cond_init(&names->ended, NULL);
    names->symbolizer = symbolizer_create(options);
    if (!names->symbolizer) {
        free_names(names);
        return NULL;
    }
    names->jit_map = symbolizer_has_jit_map(names->symbolizer);
    names->background = background && start_thread(names);
    return names;
}

void names_destroy(struct names *names)
{
    if (!names)
        return;
    pthread_mutex_lock(&names->lock);
    names->stop = true;
    pthread_cond_signal(&names->work);
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 100000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    int timed_out = 0;
    while (names->running && !timed_out)
        timed_out = pthread_cond_timedwait(&names->ended, &names->lock, &until);
    bool free_it = !names->running;
    pthread_mutex_unlock(&names->lock);
    if (free_it) /* else the thread still reads DWARF: its memory is given up */
        free_names(names);
}

static struct stack_names **lookup(const struct names *names, uint32_t stack)
{
    uint32_t at = pair_map_get(&names->index, stack, 0);
    return at == PAIR_MAP_NONE ? NULL : &names->stack[at];
}

const struct stack_names *names_find(const struct names *names, uint32_t stack)
{
    struct stack_names **entry = lookup(names, stack);
    return entry ? *entry : NULL;
}

/* Notes the kinds of a stack's addresses.  One is plumbing if all functions inlined there are. */
static void learn(struct names *names, const struct stack_names *stack)
{
    for (size_t i = 0, next; stack->resolved && i < stack->frame_count; i = next) {
        bool plumbing = true, nameless = stack->frames[i].nameless;
        for (next = i; next < stack->frame_count && stack->frames[next].pc == stack->frames[i].pc &&
                       (next == i || stack->frames[next - 1].inlined);
             next++)
            plumbing = plumbing && is_plumbing(&stack->frames[next]);
        uint32_t *kind = pair_map_put(&names->kinds, stack->frames[i].pc, 0);
        uint32_t is = nameless ? ADDRESS_NAMELESS : plumbing ? ADDRESS_PLUMBING : ADDRESS_OWN;
        if (kind && *kind != is) {
            *kind = is;
            names->learned++;
        }
    }
}

uint64_t names_learned(const struct names *names)
{
    return names->learned;
}

uint64_t names_site(struct names *names, const struct snapshot *snapshot, uint32_t id)
{
    const struct md_stack *stack = snapshot_stack(snapshot, id);
    for (uint32_t i = 0; stack && i < stack->depth; i++) {
        uint32_t *kind = pair_map_put(&names->kinds, stack->pc[i], 0);
        if (!kind)
            break;
        if (*kind == PAIR_MAP_NONE) {
            const struct md_module *module =
                snapshot_module(snapshot, stack->pc[i] - 1, stack->epoch);
            *kind = module && plumbing_is_module(plumbing_base_name(module->path))
                        ? ADDRESS_PLUMBING
                    : module || names->jit_map ? ADDRESS_UNNAMED
                                               : ADDRESS_NAMELESS;
        }
        if (*kind == ADDRESS_NAMELESS)
            return NAMES_SITE_NAMELESS;
        if (*kind != ADDRESS_PLUMBING)
            return stack->pc[i];
    }
    return stack && stack->depth > 0 ? stack->pc[0] : 0;
}

void names_want(struct names *names, const struct snapshot *snapshot, uint32_t stack)
{
    if (lookup(names, stack))
        return;
    uint32_t *at = pair_map_put(&names->index, stack, 0);
    if (!at || !array_reserve(&names->stack, &names->capacity, names->count + 1, sizeof(void *)))
        return;
    struct job *job = make_job(snapshot, stack), *provisional = NULL;
    if (!job)
        return;
    if (names->background && !(provisional = make_job(snapshot, stack))) {
        free_job(job);
        return;
    }
    struct job *shown = names->background ? provisional : job;
    resolve(names->background ? NULL : names->symbolizer, shown);
    *at = (uint32_t)names->count;
    names->stack[names->count++] = shown->result;
    learn(names, shown->result);
    shown->result = NULL;
    free_job(shown);
    if (!names->background)
        return;
    pthread_mutex_lock(&names->lock);
    job->next = names->wanted;
    names->wanted = job;
    pthread_cond_signal(&names->work);
    pthread_mutex_unlock(&names->lock);
}

bool names_take(struct names *names)
{
    if (!names->background)
        return false;
    eventfd_t value;
    if (names->event >= 0)
        eventfd_read(names->event, &value);
    pthread_mutex_lock(&names->lock);
    struct job *done = names->done;
    names->done = NULL;
    pthread_mutex_unlock(&names->lock);
    bool any = done != NULL;
    for (struct job *job = done; job; job = job->next) {
        struct stack_names **entry = lookup(names, job->result->stack);
        if (!entry)
            continue;
        struct stack_names *provisional = *entry;
        *entry = job->result;
        job->result = provisional;
        learn(names, *entry);
    }
    free_jobs(done);
    return any;
}

int names_fd(const struct names *names)
{
    return names->event;
}
