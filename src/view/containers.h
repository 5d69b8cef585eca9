/* Two containers that reading a profile needs everywhere: a pool that keeps one copy of each
 * string, so that equal strings are equal pointers, and a map from a pair of words to an index.
 *
 * Both grow by malloc and report ENOMEM by their result; neither is thread-safe. */
#ifndef VIEW_CONTAINERS_H
#define VIEW_CONTAINERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* (a, b) -> value.  Open addressing; nothing is ever removed but by pair_map_clear. */
struct pair_map {
    struct pair_map_slot *slots;
    size_t capacity; /* power of two, or 0 */
    size_t count;
};
#define PAIR_MAP_NONE UINT32_MAX

/* A zeroed struct is an empty map. */
void pair_map_fini(struct pair_map *map);
void pair_map_clear(struct pair_map *map);
/* The value, or PAIR_MAP_NONE. */
uint32_t pair_map_get(const struct pair_map *map, uint64_t a, uint64_t b);
/* The place of the value for (a, b), made with PAIR_MAP_NONE in it if there is none.  Valid until
 * the next call.  NULL: no memory. */
uint32_t *pair_map_put(struct pair_map *map, uint64_t a, uint64_t b);

/* Strings live until string_pool_fini, wherever they came from. */
struct string_pool {
    struct string_chunk *chunks;
    const char **slots;
    size_t capacity, count;
};

/* A zeroed struct is an empty pool. */
void string_pool_fini(struct string_pool *pool);
/* The pool's copy of the string, NUL-terminated.  NULL: no memory.  A string with a NUL inside
 * ends there. */
const char *string_pool_add(struct string_pool *pool, const char *text);
const char *string_pool_add_bytes(struct string_pool *pool, const char *bytes, size_t length);

/* Makes room for `need` elements of `element` bytes in *array; *capacity is what there is.
 * New room is not cleared. */
bool array_reserve(void *array, size_t *capacity, size_t need, size_t element);

#endif
