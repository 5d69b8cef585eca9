#include "collect.h"

#include "target/mapped.h"
#include "target/pins.h"
#include "view/profile_merge.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PINS_SECONDS 2 /* in which a process tells who pins its slabs, if it is not idle */

static int fail(char *error, int code, const char *what)
{
    snprintf(error, VIEW_ERROR_SIZE, "%s", what);
    return code;
}

static int read_one(struct source *source, const struct target *target, enum md_bucket_kind kind,
                    bool ask, char *error)
{
    int result = source_open(source, target, error);
    if (result)
        return result;
    unsigned what = snapshot_of_profile(source->file.base, source->file.size);
    if (kind == MD_BUCKET_MMAP)
        what |= SNAPSHOT_MAPPINGS;
    result = kind == MD_BUCKET_PINNED && ask ? pins_fetch(source, what, PINS_SECONDS, error)
                                             : source_poll(source, what, error);
    if (result == 0 && source->state != SOURCE_LIVE) {
        snprintf(error, VIEW_ERROR_SIZE, "process %d %s has ended", (int)target->pid, target->name);
        result = ESRCH;
    }
    if (result == 0 && kind == MD_BUCKET_MMAP)
        mapped_correct(source);
    if (result)
        source_close(source);
    return result;
}

int collection_read(struct collection *collection, const struct target *targets, size_t count,
                    enum md_bucket_kind kind, bool ask, char error[VIEW_ERROR_SIZE])
{
    struct timespec now;
    int result = ESRCH;
    clock_gettime(CLOCK_REALTIME, &now);
    *collection = (struct collection){.sources = calloc(count + 1, sizeof *collection->sources),
                                      .time_nanos = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec};
    if (!collection->sources)
        return fail(error, ENOMEM, "out of memory");
    for (size_t i = 0; i < count; i++) {
        int one = read_one(&collection->sources[collection->count], &targets[i], kind, ask, error);
        if (one == 0)
            collection->count++;
        else
            result = one;
    }
    if (collection->count)
        return 0;
    collection_fini(collection);
    return result;
}

void collection_fini(struct collection *collection)
{
    for (size_t i = 0; i < collection->count; i++)
        source_close(&collection->sources[i]);
    free(collection->sources);
    *collection = (struct collection){0};
}

static bool has_kind(const struct snapshot *snap, enum md_bucket_kind kind)
{
    for (size_t i = 0; i < snap->bucket_count; i++)
        if (snap->buckets[i].kind == (uint32_t)kind)
            return true;
    return false;
}

const char *collection_lacks(const struct collection *collection, enum md_bucket_kind kind)
{
    const char *why = NULL;
    for (size_t i = 0; i < collection->count; i++) {
        const struct snapshot *snap = &collection->sources[i].snapshot;
        if (has_kind(snap, kind))
            return NULL;
        why = kind == MD_BUCKET_PEAK     ? "it is kept with MEMDEBUG=heapprofilepeak=SIZE"
              : kind == MD_BUCKET_MMAP   ? mapped_why_none(snap)
              : kind == MD_BUCKET_PINNED ? pins_why_none(snap)
                                         : NULL;
    }
    return why;
}

static int build_one(const struct source *source, enum md_bucket_kind kind, const char *type,
                     int64_t time_nanos, struct symbols *symbols, struct profile *profile,
                     char *error)
{
    struct symbols_use *use = symbols_acquire(symbols, source);
    if (!use)
        return fail(error, ENOMEM, "out of memory");
    struct profile_options options = {.kind = kind,
                                      .symbolizer = symbols_of(use),
                                      .default_sample_type = type,
                                      .time_nanos = time_nanos};
    int result = profile_from_snapshot(profile, &source->snapshot, &options, error);
    symbols_release(symbols, use);
    return result;
}

int collection_build(const struct collection *collection, enum md_bucket_kind kind,
                     const char *type, struct symbols *symbols, struct profile *profile,
                     char error[VIEW_ERROR_SIZE])
{
    size_t count = collection->count, built = 0;
    if (count == 1)
        return build_one(&collection->sources[0], kind, type, collection->time_nanos, symbols,
                         profile, error);
    struct profile *parts = calloc(count + 1, sizeof *parts);
    struct profile_term *terms = calloc(count + 1, sizeof *terms);
    int result = parts && terms ? 0 : fail(error, ENOMEM, "out of memory");
    for (; result == 0 && built < count; built += result == 0) {
        terms[built] = (struct profile_term){&parts[built], 1};
        result = build_one(&collection->sources[built], kind, type, collection->time_nanos, symbols,
                           &parts[built], error);
    }
    if (result == 0 && !profile_merge(profile, terms, built))
        result = fail(error, ENOMEM, "the profiles could not be added up");
    for (size_t i = 0; i < built; i++)
        profile_fini(&parts[i]);
    free(parts);
    free(terms);
    return result;
}

int collection_delta(const struct collection *before, const struct collection *after,
                     enum md_bucket_kind kind, const char *type, struct symbols *symbols,
                     struct profile *profile, char error[VIEW_ERROR_SIZE])
{
    struct profile old, new;
    int result = collection_build(before, kind, type, symbols, &old, error);
    if (result)
        return result;
    result = collection_build(after, kind, type, symbols, &new, error);
    if (result == 0) {
        const struct profile_term terms[] = {{&old, -1}, {&new, 1}};
        if (!profile_merge(profile, terms, 2))
            result = fail(error, ENOMEM, "failed to compute delta");
        else
            profile->duration_nanos = after->time_nanos - before->time_nanos;
        profile_fini(&new);
    }
    profile_fini(&old);
    return result;
}

int collection_symbols(const struct collection *collection, const char *query,
                       struct symbols *symbols, FILE *out, char error[VIEW_ERROR_SIZE])
{
    const struct source *source = &collection->sources[0];
    struct symbols_use *use = symbols_acquire(symbols, source);
    if (!use)
        return fail(error, ENOMEM, "out of memory");
    fputs("num_symbols: 1\n", out);
    for (const char *at = query; *at; at += strcspn(at, "+"), at += *at == '+') {
        char *end;
        errno = 0;
        uint64_t pc = strtoull(at, &end, 0);
        const struct symbol_frame *frames;
        if (pc == 0 || errno || end != at + strcspn(at, "+"))
            continue;
        const struct md_module *module = snapshot_module(&source->snapshot, pc, UINT32_MAX);
        size_t count = module ? symbolizer_find(symbols_of(use), module, pc, &frames) : 0;
        if (count)
            fprintf(out, "0x%" PRIx64 " %s\n", pc, frames[count - 1].function);
    }
    symbols_release(symbols, use);
    return 0;
}
