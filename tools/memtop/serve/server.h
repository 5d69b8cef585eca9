/* The HTTP server of memtop serve: libmicrohttpd has the connections, one thread of its own looks
 * after all of them; whatever takes longer than a look is done by a thread for that request, while
 * its connection is suspended.  So connections that say nothing cost a descriptor, and a slow
 * profile holds up nobody else.
 *
 * Bounds: SERVER_CONNECTIONS connections; 30 s for a request to come, 5 minutes for an answer to be
 * taken; 16 KiB for its headers, 64 KiB for a body; SERVER_JOBS requests that are worked at at a
 * time, of them SERVER_JOBS_OF_ONE of one process: others wait, so no process's flood keeps
 * another's from its turn. */
#ifndef MEMTOP_SERVER_H
#define MEMTOP_SERVER_H

#include "access.h"
#include "answer.h"

#define SERVER_CONNECTIONS 512
#define SERVER_JOBS 64
#define SERVER_JOBS_OF_ONE 8

struct server_options {
    const char *listen; /* "127.0.0.1:6061", "[::1]:0", ":6061" */
    struct access access;
    const char *tls_certificate, *tls_key; /* files in PEM; NULL: plain HTTP */
    struct json_makers makers;
};

#define SERVER_LISTEN_DEFAULT "127.0.0.1:6061"

/* Serves until SIGTERM or SIGINT, of which it takes care itself; before that it prints its address
 * as a URL on standard output.  0, or an errno value with one line in `error`.  Requests that are
 * still worked at after 5 s are given up: *given_up; then the process must end by _exit. */
int server_run(const struct server_options *options, bool *given_up, char error[VIEW_ERROR_SIZE]);

#endif
