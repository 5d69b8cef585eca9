#include "view/containers.h"

#include <stdlib.h>
#include <string.h>

struct pair_map_slot {
    uint64_t a, b;
    uint32_t value;
    uint32_t used;
};

static inline uint64_t mix(uint64_t h)
{
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93u;
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93u;
    return h ^ h >> 32;
}

static inline size_t pair_start(const struct pair_map *map, uint64_t a, uint64_t b)
{
    return mix(a + 0x9e3779b97f4a7c15u * b) & (map->capacity - 1);
}

void pair_map_fini(struct pair_map *map)
{
    free(map->slots);
    *map = (struct pair_map){0};
}

void pair_map_clear(struct pair_map *map)
{
    if (map->slots)
        memset(map->slots, 0, map->capacity * sizeof *map->slots);
    map->count = 0;
}

uint32_t pair_map_get(const struct pair_map *map, uint64_t a, uint64_t b)
{
    if (!map->capacity)
        return PAIR_MAP_NONE;
    for (size_t i = pair_start(map, a, b);; i = (i + 1) & (map->capacity - 1)) {
        const struct pair_map_slot *slot = &map->slots[i];
        if (!slot->used)
            return PAIR_MAP_NONE;
        if (slot->a == a && slot->b == b)
            return slot->value;
    }
}

static bool pair_map_grow(struct pair_map *map)
{
    struct pair_map bigger = {NULL, map->capacity ? map->capacity * 2 : 64, map->count};
    bigger.slots = calloc(bigger.capacity, sizeof *bigger.slots);
    if (!bigger.slots)
        return false;
    for (size_t i = 0; i < map->capacity; i++) {
        const struct pair_map_slot *slot = &map->slots[i];
        if (!slot->used)
            continue;
        size_t j = pair_start(&bigger, slot->a, slot->b);
        while (bigger.slots[j].used)
            j = (j + 1) & (bigger.capacity - 1);
        bigger.slots[j] = *slot;
    }
    free(map->slots);
    *map = bigger;
    return true;
}

uint32_t *pair_map_put(struct pair_map *map, uint64_t a, uint64_t b)
{
    if (map->count * 4 >= map->capacity * 3 && !pair_map_grow(map))
        return NULL;
    for (size_t i = pair_start(map, a, b);; i = (i + 1) & (map->capacity - 1)) {
        struct pair_map_slot *slot = &map->slots[i];
        if (slot->used) {
            if (slot->a == a && slot->b == b)
                return &slot->value;
            continue;
        }
        *slot = (struct pair_map_slot){a, b, PAIR_MAP_NONE, 1};
        map->count++;
        return &slot->value;
    }
}

#define STRING_CHUNK_SIZE 32768

struct string_chunk {
    struct string_chunk *next;
    size_t used, size;
    char bytes[];
};

static inline uint64_t hash_bytes(const char *bytes, size_t length)
{
    uint64_t h = length;
    uint64_t word;
    for (; length >= sizeof word; bytes += sizeof word, length -= sizeof word) {
        memcpy(&word, bytes, sizeof word);
        h = mix(h ^ word);
    }
    word = 0;
    memcpy(&word, bytes, length);
    return mix(h ^ word);
}

void string_pool_fini(struct string_pool *pool)
{
    while (pool->chunks) {
        struct string_chunk *chunk = pool->chunks;
        pool->chunks = chunk->next;
        free(chunk);
    }
    free(pool->slots);
    *pool = (struct string_pool){0};
}

static bool string_pool_grow(struct string_pool *pool)
{
    size_t capacity = pool->capacity ? pool->capacity * 2 : 256;
    const char **slots = calloc(capacity, sizeof *slots);
    if (!slots)
        return false;
    for (size_t i = 0; i < pool->capacity; i++) {
        if (!pool->slots[i])
            continue;
        size_t j = hash_bytes(pool->slots[i], strlen(pool->slots[i])) & (capacity - 1);
        while (slots[j])
            j = (j + 1) & (capacity - 1);
        slots[j] = pool->slots[i];
    }
    free(pool->slots);
    pool->slots = slots;
    pool->capacity = capacity;
    return true;
}

static char *string_pool_alloc(struct string_pool *pool, size_t size)
{
    struct string_chunk *chunk = pool->chunks;
    if (!chunk || chunk->size - chunk->used < size) {
        size_t room = size > STRING_CHUNK_SIZE / 4 ? size : STRING_CHUNK_SIZE;
        chunk = malloc(sizeof *chunk + room);
        if (!chunk)
            return NULL;
        chunk->used = 0;
        chunk->size = room;
        if (room == size && pool->chunks) { /* a long one: keep filling the chunk in front */
            chunk->next = pool->chunks->next;
            pool->chunks->next = chunk;
        } else {
            chunk->next = pool->chunks;
            pool->chunks = chunk;
        }
    }
    char *room = chunk->bytes + chunk->used;
    chunk->used += size;
    return room;
}

const char *string_pool_add_bytes(struct string_pool *pool, const char *bytes, size_t length)
{
    length = strnlen(bytes, length);
    if (pool->count * 2 >= pool->capacity && !string_pool_grow(pool))
        return NULL;
    size_t i = hash_bytes(bytes, length) & (pool->capacity - 1);
    for (; pool->slots[i]; i = (i + 1) & (pool->capacity - 1))
        if (strncmp(pool->slots[i], bytes, length) == 0 && !pool->slots[i][length])
            return pool->slots[i];
    char *copy = string_pool_alloc(pool, length + 1);
    if (!copy)
        return NULL;
    memcpy(copy, bytes, length);
    copy[length] = 0;
    pool->slots[i] = copy;
    pool->count++;
    return copy;
}

const char *string_pool_add(struct string_pool *pool, const char *text)
{
    return string_pool_add_bytes(pool, text, strlen(text));
}

bool array_reserve(void *array, size_t *capacity, size_t need, size_t element)
{
    if (need <= *capacity)
        return true;
    size_t bigger = *capacity + *capacity / 2;
    if (bigger < need)
        bigger = need;
    if (bigger < 16)
        bigger = 16;
    void *old, *fresh;
    memcpy(&old, array, sizeof old);
    fresh = reallocarray(old, bigger, element);
    if (!fresh)
        return false;
    memcpy(array, &fresh, sizeof fresh);
    *capacity = bigger;
    return true;
}
