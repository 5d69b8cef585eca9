/* The kernel's side of the identity: smaps, divided up by owner. */
#include "base/machine.h"
#include "view/containers.h"
#include "view/rss.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A range that somebody is known to have mapped. */
struct claim {
    uint64_t start, limit;
    enum rss_owner owner;
    uint32_t bucket; /* of RSS_BY_ANONYMOUS */
};

/* Sorted, without overlaps. */
struct claims {
    struct claim *at;
    size_t count, room;
};

#define NO_BUCKET UINT32_MAX
/* More than the bss of a module comes to, where nobody says what follows it. */
#define BSS_MAX (UINT64_C(8) << 20)

/* The first claim that ends behind `address`. */
static size_t find(const struct claims *claims, uint64_t address)
{
    size_t low = 0, high = claims->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (claims->at[middle].limit > address)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* What others have claimed before stays theirs.  False: no memory. */
static bool claim(struct claims *claims, struct claim fresh)
{
    for (size_t i = find(claims, fresh.start); fresh.start < fresh.limit; i++) {
        uint64_t next = i < claims->count ? claims->at[i].start : UINT64_MAX;
        struct claim piece = fresh;
        piece.limit = fresh.limit < next ? fresh.limit : next;
        if (i < claims->count)
            fresh.start = claims->at[i].limit > fresh.start ? claims->at[i].limit : fresh.start;
        else
            fresh.start = fresh.limit;
        if (piece.start >= piece.limit)
            continue;
        if (!array_reserve(&claims->at, &claims->room, claims->count + 1, sizeof *claims->at))
            return false;
        memmove(claims->at + i + 1, claims->at + i, (claims->count - i) * sizeof *claims->at);
        claims->at[i++] = piece;
        claims->count++;
    }
    return true;
}

static bool claim_ranges(struct claims *claims, const struct snapshot *snap,
                         enum md_range_kind kind, enum rss_owner owner)
{
    for (size_t i = 0; i < snap->range_count; i++) {
        const struct md_range *r = &snap->ranges[i];
        if (r->kind == kind && !claim(claims, (struct claim){r->start, r->limit, owner, NO_BUCKET}))
            return false;
    }
    return true;
}

static bool claim_mappings(struct claims *claims, const struct snapshot *snap)
{
    for (size_t i = 0; i < snap->mapping_count; i++) {
        const struct md_mapping *m = &snap->mappings[i];
        uint64_t label = snap->buckets[m->bucket].label;
        enum rss_owner owner = label == MD_LABEL_MMAP_STACK ? RSS_BY_STACKS : RSS_BY_ANONYMOUS;
        if (label != MD_LABEL_MMAP_FILE &&
            !claim(claims, (struct claim){m->start, m->limit, owner, m->bucket}))
            return false;
    }
    return true;
}

/* One entry of smaps. */
struct area {
    uint64_t start, limit;
    bool shared;
    char name[256]; /* cut; "": anonymous */
    int64_t rss;
};

struct reading {
    struct rss_kernel *kernel;
    const struct snapshot *snap;
    struct claims claims;
    struct rss_presence presence;
    int64_t *by_bucket;
    uint64_t file_limit; /* end of the last area that was a file's, or of a bss behind it */
};

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static bool is_file(const char *name)
{
    return name[0] == '/' && !begins(name, "/dev/zero");
}

/* Whose a piece of an area is that nobody claims. */
static enum rss_owner owner_of_rest(const struct reading *r, const struct area *area)
{
    static const char *const not_on_disk[] = {"/dev/shm/", "/memfd:",        "/SYSV",
                                              "/dev/zero", "/anon_hugepage", "[anon_shmem"};
    if (area->shared) {
        for (size_t i = 0; i < sizeof not_on_disk / sizeof not_on_disk[0]; i++)
            if (begins(area->name, not_on_disk[i]))
                return RSS_BY_SHARED;
        return is_file(area->name) ? RSS_BY_FILES : RSS_BY_SHARED;
    }
    if (begins(area->name, "[stack"))
        return RSS_BY_STACKS;
    if (begins(area->name, "[heap") || begins(area->name, "[anon"))
        return RSS_BY_ANONYMOUS;
    if (area->name[0] != '\0')
        return begins(area->name, "/dev/zero") ? RSS_BY_ANONYMOUS : RSS_BY_FILES;
    return r->snap->header.allocator.flags & MD_ALLOCATOR_RANGES ? RSS_BY_ANONYMOUS : RSS_BY_NOBODY;
}

/* The rest of a module's data that no file is behind. */
static bool is_bss(const struct reading *r, const struct area *area, uint64_t start, uint64_t limit)
{
    bool ranges = r->snap->header.allocator.flags & MD_ALLOCATOR_RANGES;
    return area->name[0] == '\0' && !area->shared && start == r->file_limit &&
           (ranges || limit - start <= BSS_MAX);
}

static void charge(struct reading *r, enum rss_owner owner, uint32_t bucket, int64_t bytes)
{
    r->kernel->by[owner] += bytes;
    if (r->by_bucket && owner == RSS_BY_ANONYMOUS && bucket != NO_BUCKET)
        r->by_bucket[bucket] += bytes;
}

/* The next piece of an area from `start` on, which is one owner's. */
static struct claim piece_at(const struct reading *r, const struct area *area, uint64_t start,
                             size_t at)
{
    struct claim piece = {start, area->limit, owner_of_rest(r, area), NO_BUCKET};
    const struct claim *next = at < r->claims.count ? &r->claims.at[at] : NULL;
    if (next && next->start <= start) {
        piece.limit = next->limit < area->limit ? next->limit : area->limit;
        /* Over a file's own name goes only what is ours: the segment. */
        if (area->name[0] == '\0' || begins(area->name, "[anon") || begins(area->name, "[heap") ||
            next->owner == RSS_BY_OWN) {
            piece.owner = next->owner;
            piece.bucket = next->bucket;
        }
    } else if (next && next->start < area->limit) {
        piece.limit = next->start;
    }
    if (!(next && next->start <= start) && is_bss(r, area, start, piece.limit))
        piece.owner = RSS_BY_FILES;
    return piece;
}

/* Shares out what is resident of an area: by what is present of each owner's piece, scaled, as
 * pages of zeros that were only read are present and count for nothing. */
static int divide(struct reading *r, const struct area *area)
{
    size_t first = find(&r->claims, area->start), at = first, pieces = 0;
    struct claim piece = piece_at(r, area, area->start, at);
    if (piece.limit == area->limit) {
        charge(r, piece.owner, piece.bucket, area->rss);
        return 0;
    }
    int64_t total = 0, shared_out = 0, before = 0;
    int64_t *present = NULL;
    size_t room = 0;
    for (uint64_t start = area->start; start < area->limit; start = piece.limit) {
        piece = piece_at(r, area, start, at);
        at += at < r->claims.count && r->claims.at[at].limit <= piece.limit;
        if (!array_reserve(&present, &room, pieces + 1, sizeof *present)) {
            free(present);
            return ENOMEM;
        }
        present[pieces] = r->presence.pages(r->presence.closure, piece.start, piece.limit);
        total += present[pieces++];
    }
    at = first;
    pieces = 0;
    for (uint64_t start = area->start; total > 0 && start < area->limit; start = piece.limit) {
        piece = piece_at(r, area, start, at);
        at += at < r->claims.count && r->claims.at[at].limit <= piece.limit;
        before += present[pieces++];
        int64_t upto = (int64_t)((__int128)area->rss * before / total);
        charge(r, piece.owner, piece.bucket, upto - shared_out);
        shared_out = upto;
    }
    if (total == 0) /* gone meanwhile, or pagemap cannot be read */
        charge(r, owner_of_rest(r, area), NO_BUCKET, area->rss);
    free(present);
    return 0;
}

static int end_area(struct reading *r, const struct area *area)
{
    int result = 0;
    if (area->limit == 0)
        return 0;
    if (area->rss > 0)
        result = divide(r, area);
    r->kernel->rss += area->rss;
    if (is_file(area->name) && !area->shared)
        r->file_limit = area->limit;
    return result;
}

/* The first line of an entry.  False: it is another. */
static bool begin_area(struct area *area, const char *line)
{
    uint64_t start, limit;
    char access[5];
    int at = 0;
    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %*x %*x:%*x %*u %n", &start, &limit, access,
               &at) < 3 ||
        at == 0)
        return false;
    *area = (struct area){.start = start, .limit = limit, .shared = access[3] == 's'};
    snprintf(area->name, sizeof area->name, "%s", line + at);
    area->name[strcspn(area->name, "\n")] = '\0';
    return true;
}

int rss_kernel_parse(struct rss_kernel *kernel, FILE *smaps, struct rss_presence presence,
                     const struct snapshot *snap, int64_t *by_bucket)
{
    struct reading r = {
        .kernel = kernel, .snap = snap, .presence = presence, .by_bucket = by_bucket};
    struct area area = {0};
    char *line = NULL;
    size_t size = 0;
    int64_t kib;
    int result = ENOMEM;
    kernel->rss = 0;
    memset(kernel->by, 0, sizeof kernel->by);
    if (claim_ranges(&r.claims, snap, MD_RANGE_OWN, RSS_BY_OWN) &&
        claim_ranges(&r.claims, snap, MD_RANGE_METADATA, RSS_BY_METADATA) &&
        claim_ranges(&r.claims, snap, MD_RANGE_HEAP, RSS_BY_HEAP) &&
        claim_mappings(&r.claims, snap)) {
        result = 0;
        while (!result && getline(&line, &size, smaps) > 0) {
            struct area next;
            if (sscanf(line, "Rss: %" SCNd64 " kB", &kib) == 1) {
                area.rss = kib * 1024;
            } else if (line[0] < 'A' || line[0] > 'Z') {
                if (!begin_area(&next, line))
                    continue;
                result = end_area(&r, &area);
                area = next;
            }
        }
        if (!result)
            result = area.limit ? end_area(&r, &area) : ESRCH;
    }
    free(line);
    free(r.claims.at);
    return result;
}

/* Pages of [start, limit) that are in memory, by /proc/PID/pagemap. */
static int64_t pages_present(void *closure, uint64_t start, uint64_t limit)
{
    int fd = *(int *)closure;
    uint64_t words[1024], page = OS_PAGE, first = start / page, end = limit / page;
    int64_t count = 0;
    while (fd >= 0 && first < end) {
        uint64_t want = end - first < 1024 ? end - first : 1024;
        ssize_t got = pread(fd, words, want * sizeof words[0], (off_t)(first * sizeof words[0]));
        if (got <= 0)
            break;
        for (size_t i = 0; i < (size_t)got / sizeof words[0]; i++)
            count += (int64_t)(words[i] >> 63);
        first += (uint64_t)got / sizeof words[0];
    }
    return count;
}

static int64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

int rss_kernel_read(struct rss_kernel *kernel, const char *process, const struct snapshot *snap,
                    int64_t *by_bucket)
{
    char path[128];
    int64_t start_ns = now_ns();
    snprintf(path, sizeof path, "%s/smaps", process);
    FILE *smaps = fopen(path, "re");
    if (!smaps)
        return errno;
    snprintf(path, sizeof path, "%s/pagemap", process);
    int pagemap = open(path, O_RDONLY | O_CLOEXEC);
    int result = rss_kernel_parse(kernel, smaps, (struct rss_presence){pages_present, &pagemap},
                                  snap, by_bucket);
    if (pagemap >= 0)
        close(pagemap);
    fclose(smaps);
    kernel->taken_ns = now_ns();
    kernel->lasted_ns = kernel->taken_ns - start_ns;
    return result;
}
