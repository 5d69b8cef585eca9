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
    char *(*summary)(const struct target *target);                            /* as ps --json */
    char *(*whole)(const struct target *target, char error[VIEW_ERROR_SIZE]); /* as -b --json */
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
    /* Waits; false: nobody wants the answer any more. */
    bool (*wait)(void *closure, double seconds);
    void *closure;
};

/* Fills the reply. */
void answer_question(struct answers *answers, const struct question *question, struct reply *reply);

#endif
