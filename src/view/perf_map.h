/* The table in which a JIT compiler tells perf the names of its code, /tmp/perf-PID.map: lines
 * `START SIZE NAME`, numbers in hexadecimal, in the order in which the code was made.  Where lines
 * overlap, the later one holds: memory of code that was given up is used again.
 *
 * The file is the watched program's.  Whatever is in it, reading ends and takes bounded memory, and
 * a line that makes no sense is passed over.  Memory: malloc. */
#ifndef VIEW_PERF_MAP_H
#define VIEW_PERF_MAP_H

#include <stddef.h>
#include <stdint.h>

#define PERF_MAP_BYTES_MAX (UINT64_C(64) << 20)
#define PERF_MAP_LINES_MAX (1u << 21) /* the rest is passed over */

struct perf_map {
    char *text;
    struct perf_map_line *lines;
    uint64_t *edges; /* ascending: addresses where the code of a line begins or ends */
    uint32_t *owner; /* by edge: the line that holds from there to the next edge */
    size_t line_count, edge_count;
};

/* Reads a regular file, from its start.  0 or an errno value (EINVAL: no regular file; EFBIG: over
 * PERF_MAP_BYTES_MAX).  perf_map_fini may follow either way, and must before another reading. */
int perf_map_read(struct perf_map *map, int fd);
void perf_map_fini(struct perf_map *map); /* a zeroed struct is an empty map */

/* The name of the code at `address`, *length bytes within the map's text; NULL: there is none. */
const char *perf_map_find(const struct perf_map *map, uint64_t address, size_t *length);

#endif
