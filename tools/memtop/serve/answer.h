/* What serve answers to a request that has been let in: pages, metrics, profiles.
 *
 * Any number of threads.  A call may take as long as the profile does: seconds where names of a big
 * program are looked up, and what `seconds` asks for. */
#ifndef MEMTOP_ANSWER_H
#define MEMTOP_ANSWER_H

#include "reply.h"
#include "route.h"
#include "target/discover.h"

struct answers;

/* Who makes JSON of a process: the same as memtop's other commands, which serve does not know.  Any
 * thread.  What they return is malloc'ed, one line without its end; NULL: no memory, or a line in
 * `error`. */
struct json_makers {
    char *(*summary)(const struct target *target); /* as ps --json */
    /* As -b --json: one process that is watched.  `next` is its next line; *last: it has ended.  A
     * watch is for one thread at a time. */
    void *(*open)(const struct target *target, char error[VIEW_ERROR_SIZE]);
    char *(*next)(void *watch, bool *last, char error[VIEW_ERROR_SIZE]);
    void (*close)(void *watch);
};

/* `makers` must outlive it.  NULL: no memory. */
struct answers *answers_create(const struct json_makers *makers);
void answers_destroy(struct answers *answers); /* accepts NULL; when nobody uses it */

struct question {
    const struct route *route;
    bool all;     /* processes of all users are shown, not only those of our own */
    bool may_act; /* a process may be asked to do something */
    bool post;
    const char *accept; /* header; NULL: none */
    const char *host;   /* header; NULL: none */
    const char *body;   /* of a POST */
    /* Of /events, whose answer goes on: sends malloc'ed text, which it frees; false: its client has
     * gone.  After the first time there is no reply to fill, and the question has its copy alone.
     */
    bool (*send)(void *closure, char *text, size_t size);
    /* Waits; false: nobody wants the answer any more. */
    bool (*wait)(void *closure, double seconds);
    void *closure;
};

/* Fills the reply. */
void answer_question(struct answers *answers, const struct question *question, struct reply *reply);

#endif
