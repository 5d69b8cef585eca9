/* memtop threads: what each thread of a process does, waits for, and since when; and which wait for
 * what nobody can give them. */
#include "cli.h"
#include "commands.h"
#include "series/ndjson.h"
#include "series/thread_list.h"
#include "series/units.h"
#include "target/discover.h"
#include "target/source.h"
#include "view/plain_text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_SECONDS 10
#define SHOWN 10 /* threads of a group */
#define TEXT_SIZE 512

struct report {
    const struct options *options;
    struct source source;
    struct thread_list list;
    char reason[VIEW_ERROR_SIZE]; /* why there are no stacks; "": there are */
    int64_t taken_ns;
};

/* ---- words ---- */

static void append(char text[TEXT_SIZE], const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void append(char text[TEXT_SIZE], const char *format, ...)
{
    size_t length = strlen(text);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text + length, TEXT_SIZE - length, format, arguments);
    va_end(arguments);
}

/* "814 worker-a" */
static void append_thread(const struct report *r, char text[TEXT_SIZE], size_t row)
{
    const struct proc_thread *thread = &r->list.rows[row].kernel;
    append(text, "%d %s", (int)thread->tid, thread->name);
}

static const struct md_module *place_module(const struct report *r,
                                            const struct md_answer_thread *s)
{
    for (size_t i = 0; i < r->list.module_count; i++)
        if (r->list.modules[i].bias == s->place_start)
            return &r->list.modules[i];
    return NULL;
}

/* Where a futex lies: "in a block of 64 B", "on the stack of 814 main", "queue_lock in prog". */
static void append_place(const struct report *r, char text[TEXT_SIZE], const struct thread_row *row)
{
    const struct md_answer_thread *seen = row->seen;
    const struct md_module *module;
    char size[UNITS_SIZE];
    if (!seen)
        return;
    switch (seen->place) {
    case MD_PLACE_BLOCK:
        append(text, ", %" PRIu64 " bytes into a block of %s",
               row->wait.address - seen->place_start, units_bytes(size, (double)seen->place_bytes));
        break;
    case MD_PLACE_STACK:
        if (row->place_owner == THREAD_NONE || row->wait.kind == THREAD_JOIN)
            break;
        append(text, ", on the stack of ");
        append_thread(r, text, row->place_owner);
        break;
    case MD_PLACE_MODULE:
        if (r->list.symbolizer && (module = place_module(r, seen)) != NULL) {
            const char *slash = strrchr(module->path, '/');
            uint64_t offset;
            const char *name =
                symbolizer_variable(r->list.symbolizer, module, row->wait.address, &offset);
            if (name && offset)
                append(text, ", %.300s+0x%" PRIx64, name, offset);
            else
                append(text, ", %.300s", name ? name : "data");
            append(text, " in %.100s", slash ? slash + 1 : module->path);
        }
        break;
    default:
        break;
    }
}

/* "mutex at 0x5576…, 8 bytes into a block of 64, held by 815 worker-b" */
static void wait_text(const struct report *r, const struct thread_row *row, char text[TEXT_SIZE])
{
    const struct thread_wait *wait = &row->wait;
    char link[256];
    text[0] = 0;
    switch (wait->kind) {
    case THREAD_RUNS:
        append(text, "%s", row->kernel.state == 'R' ? "runs" : "runs, or is about to");
        return;
    case THREAD_UNKNOWN:
        append(text, "sleeps");
        return;
    case THREAD_DESCRIPTOR:
        append(text, "%s", wait->call);
        if (wait->known)
            append(text, ", descriptor %d", (int)wait->descriptor);
        if (wait->known &&
            proc_descriptor(r->source.target.pid, wait->descriptor, link, sizeof link))
            append(text, " (%s)", link);
        break;
    case THREAD_POLL:
        append(text, "%s", wait->call);
        if (wait->known && strcmp(wait->call, "poll") == 0)
            append(text, ", %" PRIu64 " descriptor%s", wait->count, wait->count == 1 ? "" : "s");
        break;
    case THREAD_CALL:
        if (wait->call)
            append(text, "%s", wait->call);
        else
            append(text, "system call %d", wait->number);
        break;
    case THREAD_SLEEP:
        append(text, "%s", wait->call);
        return;
    case THREAD_JOIN:
        append(text, "the end of ");
        if (row->owner != THREAD_NONE)
            append_thread(r, text, row->owner);
        else
            append(text, "a thread");
        break;
    case THREAD_CHILD:
    case THREAD_SIGNAL:
        append(text, "%s", wait->call);
        break;
    default:
        append(text, "%s", thread_wait_word(wait->kind));
        if (wait->known)
            append(text, " at 0x%" PRIx64, wait->address);
        append_place(r, text, row);
        if (row->owner != THREAD_NONE) {
            append(text, ", held by ");
            append_thread(r, text, row->owner);
        }
    }
    if (wait->timed)
        append(text, ", for a time");
}

/* Since when it has not run; NAN: not known. */
static double idle_seconds(const struct report *r, const struct thread_row *row)
{
    if (row->kernel.ran_ns < 0)
        return __builtin_nan("");
    int64_t idle = r->taken_ns - row->kernel.ran_ns;
    return idle > 0 ? (double)idle / 1e9 : 0;
}

static void idle_text(const struct report *r, const struct thread_row *row, char text[TEXT_SIZE])
{
    double seconds = idle_seconds(r, row);
    char number[UNITS_SIZE];
    text[0] = 0;
    if (row->wait.kind == THREAD_RUNS || seconds != seconds)
        return;
    if (seconds < 60)
        append(text, "; has not run for %s%.1fs", row->stopped_by_us ? "at least " : "", seconds);
    else
        append(text, "; has not run for %s%s", row->stopped_by_us ? "at least " : "",
               units_age(number, seconds));
}

/* ---- text ---- */

static void print_frame(size_t number, const struct thread_frame *f)
{
    printf("    #%zu 0x%" PRIx64, number, f->pc);
    if (*f->function) {
        fputs(" in ", stdout);
        plain_print(f->function, stdout);
    }
    if (*f->function && *f->file) {
        putchar(' ');
        plain_print(f->file, stdout);
        if (f->line)
            printf(":%" PRIu32, f->line);
    } else if (*f->module) {
        fputs(" (", stdout);
        plain_print(f->module, stdout);
        printf("+0x%" PRIx64 ")", f->address);
    }
    putchar('\n');
}

static const char *why_no_stack(const struct report *r, const struct thread_row *row)
{
    if (r->reason[0])
        return NULL; /* has been said */
    if (!row->seen)
        return "the thread is newer than the stop, or has ended before it";
    return row->seen->flags & MD_THREAD_SEEN ? "it could not be unwound"
                                             : "the thread could not be interrupted";
}

static void print_stack(const struct report *r, const struct thread_row *row)
{
    for (size_t i = 0; i < row->frame_count; i++)
        print_frame(i, &row->frames[i]);
    const char *reason = why_no_stack(r, row);
    if (!row->frame_count && reason)
        printf("    (stack not seen: %s)\n", reason);
    else if (row->frame_count && row->seen->stack_end == MD_STACK_CUT)
        printf("    (outer frames left out: profstackdepth)\n");
    else if (row->frame_count && row->seen->stack_end == MD_STACK_LOST)
        printf("    (what called that is not known)\n");
}

static void print_thread(const struct report *r, const struct thread_row *row)
{
    char what[TEXT_SIZE], since[TEXT_SIZE];
    wait_text(r, row, what);
    idle_text(r, row, since);
    printf("  %d %s  %c  ", (int)row->kernel.tid, row->kernel.name, row->kernel.state);
    plain_print(what, stdout);
    printf("%s\n", since);
}

static void print_deadlocks(const struct report *r)
{
    bool *said = calloc(r->list.count + 1, sizeof *said);
    for (size_t i = 0; said && i < r->list.count; i++) {
        if (!r->list.rows[i].in_deadlock || said[i])
            continue;
        char text[TEXT_SIZE] = "DEADLOCK: ";
        size_t at = i;
        do {
            said[at] = true;
            append_thread(r, text, at);
            append(text, at == i ? " waits for a %s of " : ", which waits for a %s of ",
                   thread_wait_word(r->list.rows[at].wait.kind));
            at = r->list.rows[at].owner;
        } while (at != i && !said[at]);
        append_thread(r, text, at);
        plain_print(text, stdout);
        putchar('\n');
    }
    free(said);
}

static int rank(const struct thread_row *row)
{
    return row->in_deadlock                ? 0
           : thread_row_unreached(row)     ? 1
           : row->wait.kind == THREAD_RUNS ? 2
                                           : 3;
}

struct group {
    size_t first, count; /* in `order` */
    int rank;
};

static int compare_groups(const void *a, const void *b)
{
    const struct group *x = a, *y = b;
    if (x->rank != y->rank)
        return x->rank - y->rank;
    if (x->count != y->count)
        return x->count < y->count ? 1 : -1;
    return x->first < y->first ? -1 : 1;
}

static const char unreached_text[] =
    "for ever? No thread that runs or can be woken leads to what they wait for; a signal, another "
    "process or a hidden pointer still might";

static void print_group(const struct report *r, const size_t *order, const struct group *group)
{
    const struct thread_row *first = &r->list.rows[order[group->first]];
    bool all = r->options->all;
    printf("\n%zu thread%s", group->count, group->count == 1 ? "" : "s");
    if (first->in_deadlock)
        printf(", deadlocked");
    if (thread_row_unreached(first))
        printf(", blocked for ever?");
    printf(":\n");
    for (size_t i = 0; i < group->count && (all || i < SHOWN); i++) {
        const struct thread_row *row = &r->list.rows[order[group->first + i]];
        print_thread(r, row);
        if (all && i + 1 < group->count)
            print_stack(r, row);
    }
    if (!all && group->count > SHOWN)
        printf("  and %zu more\n", group->count - SHOWN);
    print_stack(r, first);
}

static void print_head(const struct report *r)
{
    size_t count = r->list.count, unreached = 0;
    char pause[UNITS_SIZE];
    for (size_t i = 0; i < count; i++)
        unreached += thread_row_unreached(&r->list.rows[i]);
    printf("%d ", (int)r->source.target.pid);
    plain_print(r->source.target.name, stdout);
    printf(": %zu thread%s", count, count == 1 ? "" : "s");
    if (!r->reason[0])
        printf(", stopped for %s",
               units_pause(pause, (double)r->source.snapshot.header.answer.stop_ns));
    putchar('\n');
    if (r->reason[0]) {
        fputs("no stacks: ", stdout);
        plain_print(r->reason, stdout);
        putchar('\n');
    }
    print_deadlocks(r);
    if (unreached)
        printf("%zu thread%s blocked %s\n", unreached, unreached == 1 ? " is" : "s are",
               unreached_text);
}

static bool goes_with(const struct report *r, size_t first, size_t other)
{
    const struct thread_row *rows = r->list.rows;
    return first == other || (!r->options->all && thread_rows_alike(&rows[first], &rows[other]));
}

static void print_text(const struct report *r)
{
    size_t count = r->list.count, *order = calloc(count + 1, sizeof *order), groups = 0, at = 0;
    struct group *group = calloc(count + 1, sizeof *group);
    bool *taken = calloc(count + 1, sizeof *taken);
    print_head(r);
    if (order && group && taken) {
        for (size_t i = 0; i < count; i++) {
            if (taken[i])
                continue;
            group[groups] = (struct group){at, 0, rank(&r->list.rows[i])};
            for (size_t k = i; k < count; k++)
                if (!taken[k] && goes_with(r, i, k)) {
                    taken[k] = true;
                    order[at++] = k;
                    group[groups].count++;
                }
            groups++;
        }
        qsort(group, groups, sizeof *group, compare_groups);
        for (size_t i = 0; i < groups; i++)
            print_group(r, order, &group[i]);
    }
    free(order);
    free(group);
    free(taken);
}

/* ---- JSON ---- */

static json_t *hex(uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "0x%" PRIx64, value);
    return json_string(text);
}

static json_t *text_or_null(const char *text)
{
    return *text ? ndjson_string(text) : json_null();
}

static json_t *tid_or_null(const struct report *r, size_t row)
{
    return row == THREAD_NONE ? json_null() : json_integer(r->list.rows[row].kernel.tid);
}

static json_t *wait_json(const struct report *r, const struct thread_row *row)
{
    const struct thread_wait *wait = &row->wait;
    char text[TEXT_SIZE];
    bool has_descriptor = wait->kind == THREAD_DESCRIPTOR && wait->known;
    json_t *object = json_object();
    wait_text(r, row, text);
    json_object_set_new(object, "kind", json_string(thread_wait_word(wait->kind)));
    json_object_set_new(object, "text", ndjson_string(text));
    json_object_set_new(object, "call", text_or_null(wait->call ? wait->call : ""));
    json_object_set_new(object, "call_number",
                        wait->number < 0 ? json_null() : json_integer(wait->number));
    json_object_set_new(object, "timed", wait->known ? json_boolean(wait->timed) : json_null());
    json_object_set_new(object, "descriptor",
                        has_descriptor ? json_integer((json_int_t)wait->descriptor) : json_null());
    json_object_set_new(object, "address", wait->address ? hex(wait->address) : json_null());
    json_object_set_new(object, "owner_tid", tid_or_null(r, row->owner));
    return object;
}

static json_t *stack_json(const struct thread_row *row)
{
    json_t *array = json_array();
    for (size_t i = 0; i < row->frame_count; i++) {
        const struct thread_frame *f = &row->frames[i];
        json_t *frame = json_object();
        json_object_set_new(frame, "function", text_or_null(f->function));
        json_object_set_new(frame, "file", text_or_null(f->file));
        json_object_set_new(frame, "line", f->line ? json_integer(f->line) : json_null());
        json_object_set_new(frame, "module", text_or_null(f->module));
        json_object_set_new(frame, "address", hex(f->pc));
        json_object_set_new(frame, "module_address", hex(f->address));
        json_array_append_new(array, frame);
    }
    return array;
}

static void print_json(const struct report *r)
{
    static const char *const ends[] = {"lost", "whole", "cut"};
    for (size_t i = 0; i < r->list.count; i++) {
        const struct thread_row *row = &r->list.rows[i];
        const char *missing = r->reason[0]       ? r->reason
                              : row->frame_count ? ""
                                                 : why_no_stack(r, row);
        char state[2] = {row->kernel.state, 0};
        json_t *object = json_object();
        json_object_set_new(object, "version", json_integer(NDJSON_VERSION));
        json_object_set_new(object, "type", json_string("thread"));
        json_object_set_new(object, "pid", json_integer(r->source.target.pid));
        json_object_set_new(object, "program", ndjson_string(r->source.target.name));
        json_object_set_new(object, "tid", json_integer(row->kernel.tid));
        json_object_set_new(object, "name", ndjson_string(row->kernel.name));
        json_object_set_new(object, "state", ndjson_string(state));
        json_object_set_new(object, "not_run_seconds", ndjson_number(idle_seconds(r, row)));
        json_object_set_new(object, "not_run_at_least", json_boolean(row->stopped_by_us));
        json_object_set_new(object, "wait",
                            row->wait.kind == THREAD_RUNS ? json_null() : wait_json(r, row));
        json_object_set_new(object, "deadlock", json_boolean(row->in_deadlock));
        json_object_set_new(object, "blocked_for_ever",
                            row->seen ? json_boolean(thread_row_unreached(row)) : json_null());
        json_object_set_new(object, "stack", stack_json(row));
        json_object_set_new(object, "stack_end",
                            row->seen && row->frame_count && row->seen->stack_end < 3
                                ? json_string(ends[row->seen->stack_end])
                                : json_null());
        json_object_set_new(object, "stack_missing", text_or_null(missing ? missing : ""));
        ndjson_line(stdout, object);
    }
}

/* ---- the command ---- */

/* The kernel's figures first: a stop changes them. */
static int tell(struct report *r)
{
    struct proc_thread *threads;
    char error[VIEW_ERROR_SIZE], root[SOURCE_ROOT_SIZE];
    bool pending = false;
    struct target *target = &r->source.target;
    if (source_poll(&r->source, SNAPSHOT_CYCLES | SNAPSHOT_ANSWER, error)) {
        cli_error("%s", error);
        return EXIT_FAILED;
    }
    int64_t stop_ns = thread_stop_ns(&r->source.snapshot);
    size_t count = proc_threads(target->pid, &threads);
    r->taken_ns = monotonic_ns();
    int result = ask_possible(target, r->reason);
    if (!result)
        result = ask_question(&r->source, "threads", cli_wait(r->options, WAIT_SECONDS), 0,
                              &pending, r->reason);
    if (pending)
        snprintf(r->reason, sizeof r->reason,
                 "pending: it reads the request when one of its threads has allocated or freed 64 "
                 "KiB; ask again then");
    if (!count || r->source.state != SOURCE_LIVE) {
        free(threads);
        cli_error("%d %s has ended meanwhile", (int)target->pid, target->name);
        return EXIT_FAILED;
    }
    struct symbolizer_options symbols = source_symbols(&r->source, root);
    if (!thread_list_make(&r->list, threads, count, &r->source.snapshot, !r->reason[0], stop_ns,
                          &symbols)) {
        cli_error("out of memory");
        return EXIT_FAILED;
    }
    if (r->options->json)
        print_json(r);
    else
        print_text(r);
    int status = cli_flush();
    return status == EXIT_FAILED || result ? EXIT_FAILED : EXIT_DONE;
}

int command_threads(const struct options *options)
{
    struct report report = {.options = options};
    struct target target;
    char error[VIEW_ERROR_SIZE];
    if (options->argument_count == 0) {
        cli_error("threads: a TARGET is wanted; memtop ps lists them");
        return EXIT_USAGE;
    }
    int status = cli_live_target(options->arguments[0], &target);
    if (status != EXIT_DONE)
        return status;
    if (source_open(&report.source, &target, error)) {
        cli_error("%s", error);
        return EXIT_FAILED;
    }
    cli_missing_names();
    status = tell(&report);
    thread_list_fini(&report.list);
    source_close(&report.source);
    return status;
}
