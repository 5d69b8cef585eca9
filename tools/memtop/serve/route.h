/* What a request asks for, read from its URI as it came: the path with the process that it is of,
 * and Go's parameters.  Pure: no allocation, any thread, any bytes. */
#ifndef MEMTOP_ROUTE_H
#define MEMTOP_ROUTE_H

#include <memdebug/segment.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define ROUTE_URI_MAX 2048 /* bytes of a URI that is read; a longer one is refused */

enum route_page {
    ROUTE_HOME,    /* / */
    ROUTE_HEALTH,  /* /healthz */
    ROUTE_METRICS, /* /metrics, /pid/N/metrics */
    ROUTE_TARGETS, /* /targets */
    ROUTE_PS,      /* /json/ps */
    ROUTE_TARGET,  /* /json/pid/N */
    ROUTE_EVENTS,  /* /events/pid/N */
    ROUTE_INDEX,   /* …/debug/pprof/ */
    ROUTE_PROFILE, /* …/debug/pprof/KIND */
    ROUTE_CMDLINE, /* …/debug/pprof/cmdline */
    ROUTE_SYMBOL,  /* …/debug/pprof/symbol */
    ROUTE_GC,      /* /pid/N/gc */
    ROUTE_PURGE    /* /pid/N/purge */
};

/* Whose: of all that are shown, of one process, of all processes of one program. */
enum route_scope { ROUTE_ALL, ROUTE_PID, ROUTE_NAME };

struct route {
    enum route_page page;
    enum route_scope scope;
    pid_t pid;     /* ROUTE_PID */
    char name[64]; /* ROUTE_NAME: the program's, decoded; any bytes but NUL and controls */
    /* ROUTE_PROFILE: of the kind, with this name as Go calls it; UNUSED: there is none such. */
    enum md_bucket_kind kind;
    char profile[32];
    bool allocs;           /* the kind is the heap, and what was allocated is meant */
    const char *raw_query; /* borrowed from the URI; "": none */
    bool seconds_given;    /* the parameter is there, and not empty */
    long seconds;          /* 0: it is no positive number */
    long debug, gc;        /* 0: not given, or no number, as Go takes it */
};

/* 0, or the HTTP status of the refusal with its text in *why (static). */
unsigned route_parse(const char *uri, struct route *route, const char **why);
/* The last word of the path of a page that belongs to a process, for links; the kinds of profile,
 * `index` from 0 on; NULL: there are no more. */
const char *route_profile_name(size_t index);

#endif
