/* What is answered to a request: a status, a body, a few headers.  One thread at a time. */
#ifndef MEMTOP_REPLY_H
#define MEMTOP_REPLY_H

#include <stddef.h>

struct reply {
    unsigned status;  /* of HTTP; 0: there is no answer yet */
    const char *type; /* static */
    char *bytes;      /* malloc'ed; NULL: none */
    size_t size;
    char disposition[64];   /* the name of the file that it is saved as; "": none */
    const char *allow;      /* static; of a 405 */
    unsigned pprof_error;   /* 1: an error as net/http/pprof tells it, which go tool pprof shows */
    unsigned retry_seconds; /* of a 503, 429; 0: none */
};

#define REPLY_TEXT "text/plain; charset=utf-8"
#define REPLY_HTML "text/html; charset=utf-8"
#define REPLY_JSON "application/json"
#define REPLY_EVENTS "text/event-stream"
#define REPLY_NDJSON "application/x-ndjson"
#define REPLY_BYTES "application/octet-stream"

/* A line of text. */
void reply_line(struct reply *reply, unsigned status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same as an error that go tool pprof shows. */
void reply_error(struct reply *reply, unsigned status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A body, which is the reply's from now on; NULL: there was no memory for it, which is told. */
void reply_body(struct reply *reply, const char *type, char *bytes, size_t size);

#endif
