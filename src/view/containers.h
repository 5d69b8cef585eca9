/* Containers that reading a profile needs everywhere: a map from a pair of words to an index, a
 * pool that keeps one copy of each string, so that equal strings are equal pointers, and arrays
 * that grow.
 *
 * All grow by malloc.  NULL or false means that there is no memory, and that nothing has changed.
 * Each object is used by one thread at a time. */
#ifndef VIEW_CONTAINERS_H
#define VIEW_CONTAINERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* (a, b) -> value.  Open addressing; single pairs are never removed. */
struct pair_map {
    struct pair_map_slot *slots;
    size_t capacity; /* power of two, or 0 */
    size_t count;
};
#define PAIR_MAP_NONE UINT32_MAX

/* A zeroed struct is an empty map; _fini leaves one.  _clear empties it and keeps its memory. */
void pair_map_fini(struct pair_map *map);
void pair_map_clear(struct pair_map *map);
/* The value, or PAIR_MAP_NONE. */
uint32_t pair_map_get(const struct pair_map *map, uint64_t a, uint64_t b);
/* Where the value of (a, b) is kept, for the caller to write; PAIR_MAP_NONE if the pair is new.
 * Valid until the next call. */
uint32_t *pair_map_put(struct pair_map *map, uint64_t a, uint64_t b);

/* Strings live until string_pool_fini. */
struct string_pool {
    struct string_chunk *chunks;
    const char **slots;
    size_t capacity, count;
};

/* A zeroed struct is an empty pool; _fini leaves one. */
void string_pool_fini(struct string_pool *pool);
/* The pool's copy of the string, NUL-terminated.  Bytes with a NUL among them end there. */
const char *string_pool_add(struct string_pool *pool, const char *text);
const char *string_pool_add_bytes(struct string_pool *pool, const char *bytes, size_t length);

/* Makes the array hold at least `need` elements of `element` bytes.  `array` is the address of the
 * pointer to it, NULL at first, and *capacity the elements that it holds.  New elements are not
 * cleared. */
bool array_reserve(void *array, size_t *capacity, size_t need, size_t element);

#endif
