#include "answer.h"

#include "collect.h"
#include "fleet.h"
#include "legacy.h"
#include "metrics.h"
#include "pages.h"
#include "rss_round.h"
#include "target/ask.h"
#include "view/gctrace.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CYCLE_EVERY_NS (INT64_C(10) * 1000000000) /* that are asked of one process */
#define CYCLE_SECONDS 10                          /* to wait for one */
#define CYCLE_IDLE_SECONDS 2                      /* where there is no thread of ours */
#define SECONDS_MAX 600                           /* of a delta profile */
#define CMDLINE_BYTES 65536                       /* of a command line that are told */
#define ASKED_MAX 1024 /* processes asked for a cycle in CYCLE_EVERY_NS */

struct answers {
    const struct json_makers *makers;
    struct fleet *fleet;
    struct symbols *symbols;
    struct rss_round *round;
    pthread_mutex_t lock; /* guards what follows */
    struct {
        pid_t pid;
        int64_t asked_ns; /* 0: unused */
    } asked[ASKED_MAX];
};

struct answers *answers_create(const struct json_makers *makers)
{
    struct answers *answers = calloc(1, sizeof *answers);
    if (!answers)
        return NULL;
    pthread_mutex_init(&answers->lock, NULL);
    answers->makers = makers;
    answers->fleet = fleet_open();
    answers->symbols = symbols_create();
    answers->round = rss_round_create(answers->fleet);
    if (!answers->fleet || !answers->symbols || !answers->round) {
        answers_destroy(answers);
        return NULL;
    }
    return answers;
}

void answers_destroy(struct answers *answers)
{
    if (!answers)
        return;
    rss_round_destroy(answers->round);
    fleet_close(answers->fleet);
    symbols_destroy(answers->symbols);
    pthread_mutex_destroy(&answers->lock);
    free(answers);
}

/* ------------------------------------------------------------------------------ whose it is */

static bool find_pid(struct answers *answers, const struct question *q, struct target **targets,
                     struct reply *reply)
{
    pid_t pid = q->route->pid;
    *targets = calloc(1, sizeof **targets);
    int result = *targets ? fleet_find(answers->fleet, pid, q->all, *targets) : ENOMEM;
    if (result == ENOENT)
        reply_error(reply, 404, "no process %d on memdebug: /json/ps and /debug/pprof/ list them",
                    (int)pid);
    else if (result == EACCES)
        reply_error(reply, 403, "process %d is another user's: serve shows those with --token-file",
                    (int)pid);
    else if (result)
        reply_error(reply, 500, "out of memory");
    return result == 0;
}

/* Several processes, and the path does not say which. */
static void which(const struct question *q, const struct target *targets, size_t count,
                  struct reply *reply)
{
    char text[900] = "";
    for (size_t i = 0; i < count && strlen(text) + 128 < sizeof text; i++) {
        size_t length = strlen(text);
        snprintf(text + length, sizeof text - length, "\n/pid/%d/debug/pprof/%s  %s",
                 (int)targets[i].pid, q->route->profile, targets[i].name);
    }
    reply_error(reply, 400, "%zu processes are on memdebug: ask for one of them%s", count, text);
}

/* The processes that the path means, in *targets for the caller to free; how many.  0: the reply
 * says why. */
static size_t find_targets(struct answers *answers, const struct question *q,
                           struct target **targets, struct reply *reply)
{
    const struct route *route = q->route;
    if (route->scope == ROUTE_PID)
        return find_pid(answers, q, targets, reply);
    bool named = route->scope == ROUTE_NAME;
    size_t count = fleet_list(answers->fleet, named ? route->name : NULL, q->all, targets);
    if (count == 0 && named)
        reply_error(reply, 404, "no program of this name on memdebug: /json/ps lists them");
    else if (count == 0)
        reply_error(reply, 404,
                    "no program%s runs on memdebug: start one with memtop run -- PROGRAM",
                    q->all ? "" : " of this user");
    else if (count > 1 && !named) {
        which(q, *targets, count, reply);
        count = 0;
    }
    return count;
}

/* ------------------------------------------------------------------------------- cycles, purge */

/* Whether a process has been asked for a cycle within the last 10 s; if not, it is noted that it is
 * now.  Where too many have been, it counts as asked. */
static bool asked_lately(struct answers *answers, pid_t pid)
{
    int64_t now = monotonic_ns();
    size_t unused = ASKED_MAX;
    bool lately = false;
    pthread_mutex_lock(&answers->lock);
    for (size_t i = 0; i < ASKED_MAX && !lately; i++) {
        bool old = !answers->asked[i].asked_ns || now - answers->asked[i].asked_ns > CYCLE_EVERY_NS;
        if (old)
            unused = i;
        lately = !old && answers->asked[i].pid == pid;
    }
    if (!lately && unused < ASKED_MAX) {
        answers->asked[unused].pid = pid;
        answers->asked[unused].asked_ns = now;
    }
    pthread_mutex_unlock(&answers->lock);
    return lately || unused == ASKED_MAX;
}

static bool refuse_action(const struct question *q, struct reply *reply)
{
    if (q->may_act)
        return false;
    reply_error(reply, 403,
                "this has a process do something: memtop serve must be started with "
                "--allow-actions and --token-file");
    return true;
}

/* Has the process do a cycle.  False: the reply says why there was none. */
static bool do_cycle(struct answers *answers, const struct question *q, const struct target *target,
                     struct md_cycle *cycle, struct reply *reply)
{
    struct source source;
    char error[VIEW_ERROR_SIZE];
    bool pending = false;
    if (refuse_action(q, reply))
        return false;
    if (ask_possible(target, error)) {
        reply_error(reply, 409, "%s", error);
        return false;
    }
    if (asked_lately(answers, target->pid)) {
        reply_error(reply, 429, "process %d has been asked for a cycle less than 10 s ago",
                    (int)target->pid);
        reply->retry_seconds = 10;
        return false;
    }
    int result = source_open(&source, target, error);
    if (result == 0) {
        struct ask_wait wait = {CYCLE_SECONDS, CYCLE_IDLE_SECONDS};
        result = ask_cycle(&source, wait, cycle, &pending, error);
        source_close(&source);
    }
    if (result)
        reply_error(reply, result == ETIMEDOUT ? 504 : 500, "%s", error);
    else if (pending)
        reply_error(reply, 504,
                    "pending: process %d is idle, and does it when one of its threads has next "
                    "allocated or freed 64 KiB",
                    (int)target->pid);
    return result == 0 && !pending;
}

static void answer_gc(struct answers *answers, const struct question *q,
                      const struct target *target, struct reply *reply)
{
    struct md_cycle cycle;
    char line[GCTRACE_JSON_SIZE];
    if (!do_cycle(answers, q, target, &cycle, reply))
        return;
    size_t length = gctrace_format_json(GCTRACE_EXACT, &cycle, (uint32_t)target->pid, target->name,
                                        line, sizeof line);
    reply_body(reply, REPLY_JSON, strndup(line, length), length);
    if (cycle.flags & MD_CYCLE_SKIPPED)
        reply->status = 409;
}

static void answer_purge(const struct question *q, const struct target *target, struct reply *reply)
{
    struct source source;
    char error[VIEW_ERROR_SIZE];
    bool pending = false;
    if (refuse_action(q, reply))
        return;
    int result = source_open(&source, target, error);
    if (result == 0) {
        struct ask_wait wait = {CYCLE_SECONDS, CYCLE_IDLE_SECONDS};
        result = ask_purge(&source, wait, &pending, error);
        source_close(&source);
    }
    if (result)
        reply_error(reply, result == ETIMEDOUT ? 504 : 409, "%s", error);
    else
        reply_line(reply, pending ? 202 : 200, pending ? "pending" : "done");
}

/* ------------------------------------------------------------------------------------ profiles */

static void send_profile(const struct question *q, const struct profile *profile,
                         struct reply *reply)
{
    const struct route *route = q->route;
    char error[VIEW_ERROR_SIZE], *text = NULL;
    uint8_t *bytes = NULL;
    size_t size = 0;
    if (route->debug) {
        FILE *out = open_memstream(&text, &size);
        bool good = out && legacy_write(profile, route->allocs ? "heap" : route->profile, out);
        if (out && fclose(out) != 0)
            good = false;
        if (!good) {
            free(text);
            text = NULL;
        }
        reply_body(reply, REPLY_TEXT, text, size);
        return;
    }
    if (pprof_encode(profile, &bytes, &size, error)) {
        reply_error(reply, 500, "%s", error);
        return;
    }
    reply_body(reply, REPLY_BYTES, (char *)bytes, size);
    snprintf(reply->disposition, sizeof reply->disposition, "%s%s", route->profile,
             route->seconds_given ? "-delta" : "");
}

/* Go's answers to `seconds`; true: one of them has been given. */
static bool refuse_seconds(const struct route *route, struct reply *reply)
{
    if (!route->seconds_given)
        return false;
    if (route->seconds <= 0)
        reply_error(reply, 400, "invalid value for \"seconds\" - must be a positive integer");
    else if (route->kind != MD_BUCKET_HEAP && route->kind != MD_BUCKET_MMAP)
        reply_error(reply, 400, "\"seconds\" parameter is not supported for this profile type");
    else if (route->seconds > SECONDS_MAX)
        reply_error(reply, 400, "profile duration exceeds server's WriteTimeout");
    else if (route->debug)
        reply_error(reply, 400, "seconds and debug params are incompatible");
    else
        return false;
    return true;
}

static void fail_collect(int result, const char *error, struct reply *reply)
{
    reply_error(reply, result == ESRCH || result == ENOENT ? 404 : 500,
                "failed to collect profile: %s", error);
}

static void answer_profile(struct answers *answers, const struct question *q,
                           const struct target *targets, size_t count, struct reply *reply)
{
    const struct route *route = q->route;
    const char *type = route->allocs ? "alloc_space" : NULL;
    struct collection before, after;
    struct profile profile;
    struct md_cycle cycle;
    char error[VIEW_ERROR_SIZE];
    bool ask = route->kind == MD_BUCKET_PINNED && q->may_act;
    if (refuse_seconds(route, reply))
        return;
    if (route->gc > 0 && route->kind == MD_BUCKET_HEAP && !route->allocs && !route->seconds_given) {
        if (count > 1)
            reply_error(reply, 400, "gc=1 is for one process: /pid/N/debug/pprof/heap?gc=1");
        if (count > 1 || !do_cycle(answers, q, &targets[0], &cycle, reply))
            return;
    }
    int result = collection_read(&after, targets, count, route->kind, ask, error);
    if (result) {
        fail_collect(result, error, reply);
        return;
    }
    const char *lacks = collection_lacks(&after, route->kind);
    if (lacks) {
        reply_error(reply, 404, "no profile of this kind: %s", lacks);
    } else if (!route->seconds_given) {
        result = collection_build(&after, route->kind, type, answers->symbols, &profile, error);
    } else {
        before = after;
        after = (struct collection){0};
        if (!q->wait(q->closure, (double)route->seconds))
            reply_error(reply, 500, "context canceled");
        else if ((result = collection_read(&after, targets, count, route->kind, ask, error)) == 0)
            result = collection_delta(&before, &after, route->kind, type, answers->symbols,
                                      &profile, error);
        collection_fini(&before);
    }
    collection_fini(&after);
    if (result) {
        fail_collect(result, error, reply);
    } else if (!reply->status) {
        send_profile(q, &profile, reply);
        profile_fini(&profile);
    }
}

static void answer_symbol(struct answers *answers, const struct question *q,
                          const struct target *targets, struct reply *reply)
{
    struct collection collection;
    char error[VIEW_ERROR_SIZE], *text = NULL;
    size_t size = 0;
    int result = collection_read(&collection, targets, 1, MD_BUCKET_HEAP, false, error);
    if (result) {
        fail_collect(result, error, reply);
        return;
    }
    FILE *out = open_memstream(&text, &size);
    result = !out ? ENOMEM
                  : collection_symbols(&collection, q->post ? q->body : q->route->raw_query,
                                       answers->symbols, out, error);
    if (out && fclose(out) != 0)
        result = ENOMEM;
    if (result) {
        free(text);
        text = NULL;
    }
    reply_body(reply, REPLY_TEXT, text, size);
    collection_fini(&collection);
}

/* As Go's: arguments with a NUL between them. */
static void answer_cmdline(const struct target *target, struct reply *reply)
{
    char *text = malloc(CMDLINE_BYTES);
    size_t size = text ? proc_arguments(target->pid, text, CMDLINE_BYTES) : 0;
    while (size > 0 && text[size - 1] == '\0')
        size--;
    reply_body(reply, REPLY_TEXT, text, size);
}

/* ----------------------------------------------------------------------------------- the rest */

static void answer_metrics(struct answers *answers, const struct question *q, struct reply *reply)
{
    struct reading *readings;
    size_t size = 0;
    rss_round_want(answers->round);
    bool open = metrics_wants_openmetrics(q->accept);
    size_t count = fleet_read(answers->fleet, q->route->pid, q->all, &readings);
    char *text = readings ? metrics_text(readings, count, open, &size) : NULL;
    reply_body(reply, open ? METRICS_TYPE_OPENMETRICS : METRICS_TYPE_PROMETHEUS, text, size);
    free(readings);
}

static void answer_list(struct answers *answers, const struct question *q, struct reply *reply)
{
    struct target *targets;
    size_t size = 0, count = fleet_list(answers->fleet, NULL, q->all, &targets);
    bool json = q->route->page == ROUTE_TARGETS;
    char *text = !targets ? NULL
                 : json   ? pages_targets(targets, count, q->host, &size)
                          : pages_index(targets, count, q->route->page == ROUTE_HOME, &size);
    reply_body(reply, json ? REPLY_JSON : REPLY_HTML, text, size);
    free(targets);
}

/* A line for each process, the dead too, as ps --json. */
static void answer_ps(struct answers *answers, const struct question *q, struct reply *reply)
{
    struct targets targets;
    char *text = NULL;
    size_t size = 0;
    FILE *out = targets_scan(&targets) == 0 ? open_memstream(&text, &size) : NULL;
    bool good = out != NULL;
    for (size_t i = 0; i < targets.count && good; i++) {
        if (!q->all && targets.target[i].uid != geteuid())
            continue;
        char *line = answers->makers->summary(&targets.target[i]);
        good = line && fprintf(out, "%s\n", line) > 0;
        free(line);
    }
    if (out && fclose(out) != 0)
        good = false;
    if (!good) {
        free(text);
        text = NULL;
    }
    reply_body(reply, REPLY_NDJSON, text, size);
    targets_fini(&targets);
}

/* One process as memtop -b --json has it: at first, or each second as an event. */
static void answer_json(struct answers *answers, const struct question *q,
                        const struct target *target, struct reply *reply)
{
    const struct json_makers *makers = answers->makers;
    char error[VIEW_ERROR_SIZE] = "out of memory";
    bool events = q->route->page == ROUTE_EVENTS, last = !events, sent = false;
    void *watch = makers->open(target, error);
    char *text = watch ? makers->next(watch, &last, error) : NULL;
    if (!text) {
        reply_error(reply, 500, "%s", error);
    } else if (!events) {
        reply_body(reply, REPLY_JSON, text, strlen(text));
    } else {
        do {
            char *event = NULL;
            int size = asprintf(&event, "data: %s\n\n", text);
            free(text);
            text = NULL;
            sent = size > 0 && q->send(q->closure, event, (size_t)size);
        } while (sent && !last && q->wait(q->closure, 1) &&
                 (text = makers->next(watch, &last, error)));
        free(text);
    }
    if (watch)
        makers->close(watch);
}

/* Pages of one process, or of a program's. */
static void answer_of_process(struct answers *answers, const struct question *q,
                              struct reply *reply)
{
    const struct route *route = q->route;
    struct target *targets = NULL;
    char *text;
    size_t size = 0, count = find_targets(answers, q, &targets, reply);
    if (count > 1 && (route->page == ROUTE_CMDLINE || route->page == ROUTE_SYMBOL)) {
        which(q, targets, count, reply);
        count = 0;
    }
    if (count > 0) {
        switch (route->page) {
        case ROUTE_METRICS:
            answer_metrics(answers, q, reply);
            break;
        case ROUTE_INDEX:
            text = pages_profiles(targets, count, &size);
            reply_body(reply, REPLY_HTML, text, size);
            break;
        case ROUTE_TARGET:
        case ROUTE_EVENTS:
            answer_json(answers, q, &targets[0], reply);
            break;
        case ROUTE_CMDLINE:
            answer_cmdline(&targets[0], reply);
            break;
        case ROUTE_SYMBOL:
            answer_symbol(answers, q, targets, reply);
            break;
        case ROUTE_GC:
            answer_gc(answers, q, &targets[0], reply);
            break;
        case ROUTE_PURGE:
            answer_purge(q, &targets[0], reply);
            break;
        case ROUTE_PROFILE:
            answer_profile(answers, q, targets, count, reply);
            break;
        default:
            reply_line(reply, 404, "404 page not found");
            break;
        }
    }
    free(targets);
}

void answer_question(struct answers *answers, const struct question *q, struct reply *reply)
{
    const struct route *route = q->route;
    if (route->page == ROUTE_HEALTH)
        reply_line(reply, 200, "ok");
    else if (route->page == ROUTE_PROFILE && route->kind == MD_BUCKET_UNUSED)
        reply_error(reply, 404, "Unknown profile");
    else if (route->page == ROUTE_HOME || route->page == ROUTE_TARGETS ||
             (route->page == ROUTE_INDEX && route->scope == ROUTE_ALL))
        answer_list(answers, q, reply);
    else if (route->page == ROUTE_PS)
        answer_ps(answers, q, reply);
    else if (route->page == ROUTE_METRICS && route->scope == ROUTE_ALL)
        answer_metrics(answers, q, reply);
    else
        answer_of_process(answers, q, reply);
}
