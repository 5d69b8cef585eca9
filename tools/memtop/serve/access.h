/* Who may ask what: the token, the Host that a request names, where a browser sends it from.
 *
 * Everyone on this machine can reach a port on loopback, and a browser can be made to ask it by any
 * page (DNS rebinding).  So a request must name a host that is really this one, and without a token
 * nobody sees more than the processes of serve's own user.  Nothing here changes once it has been
 * set up; the checks may be made by any thread. */
#ifndef MEMTOP_ACCESS_H
#define MEMTOP_ACCESS_H

#include "view/snapshot.h"

#include <stdbool.h>
#include <stddef.h>

#define ACCESS_TOKEN_LEAST 16
#define ACCESS_TOKEN_SIZE 257

struct access {
    char token[ACCESS_TOKEN_SIZE]; /* "": none is asked for; the rest is zeros */
    char own_name[256];            /* of this machine */
    const char *const *hosts;      /* further names, borrowed */
    size_t host_count;
    bool actions; /* requests that have a process do something are taken, with the token */
};

/* Reads the token, the first line of a file of mode 0600 that is this user's or root's.  0, or an
 * errno value with one line in `error`. */
int access_read_token(struct access *access, const char *path, char error[VIEW_ERROR_SIZE]);
/* Whether this is the token, in a time that does not depend on where they differ.  NULL: no. */
bool access_is_token(const struct access *access, const char *given);
/* Whether a Host header names this machine: an address, localhost, its own name or one that was
 * allowed, with a port or without.  NULL (HTTP/1.0 has none): yes, no browser sends that. */
bool access_host(const struct access *access, const char *host);
/* Whether a browser says (Origin, Sec-Fetch-Site; NULL: not sent) that another site has made it
 * ask.
 */
bool access_cross_site(const char *origin, const char *fetch_site, const char *host);

#endif
