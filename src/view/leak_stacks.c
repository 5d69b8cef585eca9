#include "view/leak_stacks.h"

#include "view/plumbing.h"
#include "view/simple_name.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The number for leak_frame.identity.  PAIR_MAP_NONE: no memory. */
static uint32_t identify(struct leak_stacks *s, const char *name, uint64_t pc)
{
    /* The symbolizer's strings are pooled: the same name is the same pointer. */
    uint32_t *slot =
        pair_map_put(&s->identity_index, *name ? (uint64_t)(uintptr_t)name : pc, !*name);
    if (!slot)
        return PAIR_MAP_NONE;
    if (*slot == PAIR_MAP_NONE)
        *slot = (uint32_t)s->identity_count++;
    return *slot;
}

static const char *short_name(struct leak_stacks *s, const char *function)
{
    char name[1024];
    size_t length = strlen(function);
    if (length >= sizeof name || !strpbrk(function, "(<:"))
        return function;
    memcpy(name, function, length + 1);
    simple_name(name);
    return string_pool_add(&s->strings, name);
}

static bool add_frames(struct leak_stacks *s, uint64_t address, const struct md_module *module,
                       const struct symbol_frame *found, size_t count)
{
    static const struct symbol_frame unnamed = {"", "", "", 0, 0};
    if (!count) {
        found = &unnamed;
        count = 1;
    }
    if (!array_reserve(&s->frames, &s->frame_room, s->frame_count + count, sizeof *s->frames))
        return false;
    for (size_t i = 0; i < count; i++) {
        struct leak_frame frame = {
            .function = module ? short_name(s, found[i].function) : found[i].function,
            .full_name = found[i].function,
            .system_name = found[i].system_name,
            .file = found[i].file,
            .module = module ? module->path : "",
            .pc = address,
            .address = module ? address - module->bias : address,
            .offset = module ? address - module->start + module->offset : address,
            .line = found[i].line,
            .identity = identify(s, found[i].function, address),
            .nameless = !module && symbol_frame_nameless(&found[i]),
        };
        if (!frame.function || frame.identity == PAIR_MAP_NONE)
            return false;
        s->frames[s->frame_count++] = frame;
    }
    return true;
}

/* ---- what is left out ---- */

/* An exclude matches a whole name, where a suppression matches any part of one. */
static bool is_excluded(const struct leak_stacks *s, const struct leak_frame *f)
{
    for (size_t i = 0; i < s->exclude_count; i++) {
        char pattern[512];
        if (snprintf(pattern, sizeof pattern, "^%s$", s->excludes[i]) >= (int)sizeof pattern)
            continue;
        if (suppressions_match(pattern, f->function) || suppressions_match(pattern, f->full_name) ||
            suppressions_match(pattern, f->system_name))
            return true;
    }
    return false;
}

/* Looks frame by frame, the innermost first, and in each at its function, file and module, as
 * LeakSanitizer does. */
static void judge(struct leak_stacks *s, struct leak_location *location)
{
    location->rule = SUPPRESSIONS_NONE;
    for (uint32_t i = 0; i < location->frame_count; i++) {
        const struct leak_frame *f = &s->frames[location->frame_first + i];
        const char *const texts[] = {f->full_name, f->function, f->system_name, f->file, f->module};
        location->excluded |= is_excluded(s, f);
        for (size_t k = 0; s->rules && k < sizeof texts / sizeof texts[0]; k++)
            if (location->rule == SUPPRESSIONS_NONE)
                location->rule = suppressions_find(s->rules, texts[k]);
    }
}

/* ---- locations ---- */

/* PAIR_MAP_NONE: no memory. */
static uint32_t add_location(struct leak_stacks *s, uint64_t address,
                             const struct md_module *module, const struct symbol_frame *found,
                             size_t count)
{
    if (!array_reserve(&s->locations, &s->location_room, s->location_count + 1,
                       sizeof *s->locations))
        return PAIR_MAP_NONE;
    struct leak_location *location = &s->locations[s->location_count];
    *location = (struct leak_location){.frame_first = (uint32_t)s->frame_count};
    if (!add_frames(s, address, module, found, count))
        return PAIR_MAP_NONE;
    location->frame_count = (uint32_t)s->frame_count - location->frame_first;
    judge(s, location);
    return (uint32_t)s->location_count++;
}

/* The location of a return address.  PAIR_MAP_NONE: no memory. */
static uint32_t find_location(struct leak_stacks *s, uint64_t pc, uint32_t epoch)
{
    uint32_t *slot = pair_map_put(&s->location_index, pc, epoch);
    if (!slot)
        return PAIR_MAP_NONE;
    if (*slot != PAIR_MAP_NONE)
        return *slot;
    const struct md_module *module = snapshot_module(s->snap, pc - 1, epoch);
    const struct symbol_frame *found = NULL;
    size_t count = s->symbolizer ? symbolizer_find(s->symbolizer, module, pc - 1, &found) : 0;
    if (module || !count || !symbol_frame_nameless(found))
        return *slot = add_location(s, pc - 1, module, found, count);
    /* The key is the address of the name's text, where no code can lie. */
    uint32_t *shared = pair_map_put(&s->location_index, (uint64_t)(uintptr_t)found->function, 0);
    if (shared && *shared == PAIR_MAP_NONE)
        *shared = add_location(s, 0, NULL, found, count);
    uint32_t number = shared ? *shared : PAIR_MAP_NONE;
    if (number != PAIR_MAP_NONE && (slot = pair_map_put(&s->location_index, pc, epoch)))
        *slot = number;
    return number;
}

static bool is_nameless(const struct leak_stacks *s, uint32_t location)
{
    return s->frames[s->locations[location].frame_first].nameless;
}

const uint32_t *leak_stacks_walk(struct leak_stacks *s, uint32_t id, size_t *count)
{
    const struct md_stack *stack = snapshot_stack(s->snap, id);
    uint32_t depth = stack ? stack->depth : 0;
    size_t leaf = 0, n = 0;
    *count = 0;
    if (!array_reserve(&s->walk, &s->walk_room, depth + 1u, sizeof *s->walk))
        return NULL;
    for (uint32_t i = 0; i < depth; i++) {
        if (!stack->pc[i])
            continue;
        uint32_t location = find_location(s, stack->pc[i], stack->epoch);
        if (location == PAIR_MAP_NONE)
            return NULL;
        if (n && location == s->walk[n - 1] && is_nameless(s, location))
            continue;
        s->walk[n++] = location;
    }
    while (leaf < n && plumbing_is_own(s->frames[s->locations[s->walk[leaf]].frame_first].module))
        leaf++;
    if (leaf == n)
        leaf = 0; /* all frames are ours: better these than none */
    *count = n - leaf;
    return s->walk + leaf;
}

const uint32_t *leak_stacks_fold(struct leak_stacks *s, uint32_t stack, size_t *count,
                                 bool *recursive)
{
    size_t locations, n = 0;
    const uint32_t *walk = leak_stacks_walk(s, stack, &locations);
    *count = 0;
    *recursive = false;
    size_t before = s->position_room;
    if (!walk || !array_reserve(&s->folded, &s->folded_room, 1, sizeof(uint32_t)) ||
        !array_reserve(&s->position, &s->position_room, s->identity_count + 1, sizeof(uint32_t)))
        return NULL;
    if (s->position_room > before)
        memset(s->position + before, 0, (s->position_room - before) * sizeof(uint32_t));
    for (size_t i = 0; i < locations; i++) {
        const struct leak_location *location = &s->locations[walk[i]];
        if (!array_reserve(&s->folded, &s->folded_room, n + location->frame_count,
                           sizeof(uint32_t)))
            return NULL;
        for (uint32_t k = 0; k < location->frame_count; k++) {
            uint32_t frame = location->frame_first + k, *at;
            if (s->frames[frame].nameless) { /* not one function: no recursion */
                s->folded[n++] = frame;
                continue;
            }
            at = &s->position[s->frames[frame].identity];
            if (!*at) {
                s->folded[n++] = frame;
                *at = (uint32_t)n;
                continue;
            }
            /* It stands further in: all from there on goes. */
            *recursive = true;
            while (n > *at)
                s->position[s->frames[s->folded[--n]].identity] = 0;
        }
    }
    for (size_t i = 0; i < n; i++)
        s->position[s->frames[s->folded[i]].identity] = 0;
    *count = n;
    return s->folded;
}

void leak_stacks_fini(struct leak_stacks *s)
{
    free(s->locations);
    free(s->frames);
    free(s->walk);
    free(s->folded);
    free(s->position);
    pair_map_fini(&s->location_index);
    pair_map_fini(&s->identity_index);
    string_pool_fini(&s->strings);
    *s = (struct leak_stacks){0};
}
