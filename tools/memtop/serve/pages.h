/* serve's pages of links, and the list of targets for Prometheus.  Each is malloc'ed text of *size
 * bytes; NULL: no memory.  Pure; any thread. */
#ifndef MEMTOP_PAGES_H
#define MEMTOP_PAGES_H

#include "target/discover.h"

/* All processes, with links to the profiles of each; `home`: to what else there is, too. */
char *pages_index(const struct target *targets, size_t count, bool home, size_t *size);
/* The profiles of one process, or of all of one program, with links below the page's own path. */
char *pages_profiles(const struct target *targets, size_t count, size_t *size);
/* For http_sd: one group for each process, whose address is `host` (NULL: localhost). */
char *pages_targets(const struct target *targets, size_t count, const char *host, size_t *size);

#endif
