#include "view/perf_map.h"

#include "view/containers.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NO_LINE UINT32_MAX

struct perf_map_line {
    uint64_t start, limit;
    uint32_t name, length; /* in the text */
};

/* Takes a number and the blank behind it; false: there is none, or more than 64 bits. */
static bool take_number(const char **at, const char *end, uint64_t *number)
{
    const char *p = *at;
    if (end - p > 2 && p[0] == '0' && (p[1] == 'x' || p[1] == 'X'))
        p += 2; /* java's */
    const char *first = p;
    for (*number = 0; p < end && *p != ' '; p++) {
        unsigned digit = *p >= '0' && *p <= '9'   ? (unsigned)(*p - '0')
                         : *p >= 'a' && *p <= 'f' ? (unsigned)(*p - 'a') + 10
                         : *p >= 'A' && *p <= 'F' ? (unsigned)(*p - 'A') + 10
                                                  : 16;
        if (digit == 16 || *number >> 60)
            return false;
        *number = *number << 4 | digit;
    }
    if (p == first || p == end)
        return false;
    while (p < end && *p == ' ')
        p++;
    *at = p;
    return true;
}

/* False: no memory. */
static bool take_lines(struct perf_map *map, size_t size)
{
    size_t room = 0;
    const char *end = map->text + size;
    for (const char *at = map->text, *next; at < end && map->line_count < PERF_MAP_LINES_MAX;
         at = next) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        uint64_t start, bytes;
        if (!stop)
            stop = end;
        next = stop + 1;
        if (!take_number(&at, stop, &start) || !take_number(&at, stop, &bytes) || at == stop ||
            !bytes || start + bytes < start)
            continue;
        if (!array_reserve(&map->lines, &room, map->line_count + 1, sizeof *map->lines))
            return false;
        map->lines[map->line_count++] = (struct perf_map_line){
            start, start + bytes, (uint32_t)(at - map->text), (uint32_t)(stop - at)};
    }
    return true;
}

static int ascending(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* The last edge that is not above `address`; there is one. */
static size_t edge_below(const struct perf_map *map, uint64_t address)
{
    size_t low = 0, high = map->edge_count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (map->edges[middle] <= address)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* The first edge from `at` on without an owner.  next[i] is i for such a one and beyond i for
 * others, so the walk ends; the last edge gets no owner, as nothing begins there.  What has been
 * walked is shortened by half (as in union-find), which makes many walks cheap. */
static uint32_t next_free(uint32_t *next, uint32_t at)
{
    while (next[at] != at)
        at = next[at] = next[next[at]];
    return at;
}

/* Gives each piece between two edges to the last line that holds it: from the last line to the
 * first, each takes what has no owner yet.  Pieces that have one are stepped over, so however the
 * lines lie, the whole costs little more than sorting.  False: no memory. */
static bool index_lines(struct perf_map *map)
{
    size_t n = map->line_count, count = 0;
    uint32_t *next = NULL;
    if (!n)
        return true;
    map->edges = reallocarray(NULL, 2 * n, sizeof *map->edges);
    map->owner = reallocarray(NULL, 2 * n, sizeof *map->owner);
    next = reallocarray(NULL, 2 * n, sizeof *next);
    if (!map->edges || !map->owner || !next) {
        free(next);
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        map->edges[2 * i] = map->lines[i].start;
        map->edges[2 * i + 1] = map->lines[i].limit;
    }
    qsort(map->edges, 2 * n, sizeof *map->edges, ascending);
    for (size_t i = 0; i < 2 * n; i++)
        if (!count || map->edges[i] != map->edges[count - 1])
            map->edges[count++] = map->edges[i];
    map->edge_count = count;
    for (size_t i = 0; i < count; i++) {
        map->owner[i] = NO_LINE;
        next[i] = (uint32_t)i;
    }
    for (size_t i = n; i--;) {
        uint32_t limit = (uint32_t)edge_below(map, map->lines[i].limit);
        uint32_t at = next_free(next, (uint32_t)edge_below(map, map->lines[i].start));
        while (at < limit) {
            map->owner[at] = (uint32_t)i;
            next[at] = at + 1;
            at = next_free(next, at);
        }
    }
    free(next);
    return true;
}

int perf_map_read(struct perf_map *map, int fd)
{
    struct stat st;
    *map = (struct perf_map){0};
    if (fstat(fd, &st) != 0)
        return errno;
    if (!S_ISREG(st.st_mode))
        return EINVAL;
    if ((uint64_t)st.st_size > PERF_MAP_BYTES_MAX)
        return EFBIG;
    size_t size = (size_t)st.st_size, length = 0;
    map->text = malloc(size + 1);
    if (!map->text)
        return ENOMEM;
    while (length < size) {
        ssize_t n = pread(fd, map->text + length, size - length, (off_t)length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        if (n == 0)
            break;
        length += (size_t)n;
    }
    return take_lines(map, length) && index_lines(map) ? 0 : ENOMEM;
}

void perf_map_fini(struct perf_map *map)
{
    free(map->text);
    free(map->lines);
    free(map->edges);
    free(map->owner);
    *map = (struct perf_map){0};
}

const char *perf_map_find(const struct perf_map *map, uint64_t address, size_t *length)
{
    if (!map->edge_count || address < map->edges[0])
        return NULL;
    uint32_t owner = map->owner[edge_below(map, address)];
    if (owner == NO_LINE)
        return NULL;
    *length = map->lines[owner].length;
    return map->text + map->lines[owner].name;
}
