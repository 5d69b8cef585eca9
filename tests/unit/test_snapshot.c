#include "support/tap.h"

#include "base/compiler.h"
#include "fake_segment.h"
#include "view/pprof.h"
#include "view/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

static void test_whole(void)
{
    struct fake_segment s;
    struct snapshot snap;
    char error[VIEW_ERROR_SIZE];
    fake_full(&s);
    is(snapshot_take(&snap, s.bytes, s.size, SNAPSHOT_ALL, error), 0, "a sound segment is read");
    is(snap.torn, 0, "nothing is torn");
    is(snap.header.pid, 812, "header");
    is(snap.cycle_count, 4, "the ring holds its capacity");
    ok(snap.cycles[0].index == 3 && snap.cycles[3].index == 6, "oldest first");
    ok(snap.cycles[3].flags & MD_CYCLE_SKIPPED, "the skip is there");
    is(snap.module_count, 3, "modules");
    is(snap.bucket_count, 4, "buckets");
    is(snap.sample_count, 2, "samples: free slots are left out");
    const struct md_stack *stack = snapshot_stack(&snap, snap.buckets[0].stack);
    ok(stack && stack->depth == 3 && stack->pc[1] == 0x400201, "stack");
    ok(!snapshot_stack(&snap, 0), "stack 0 is unknown");
    ok(!snapshot_stack(&snap, UINT32_MAX), "a stack behind the end");
    ok(snapshot_module(&snap, 0x400200, 1) == &snap.modules[0], "module by pc");
    ok(!snapshot_module(&snap, 0x500000, 1), "the limit is outside");
    ok(snapshot_module(&snap, 0x7f1000000400, 2) == &snap.modules[2], "an epoch before its end");
    ok(!snapshot_module(&snap, 0x7f1000000400, 3), "not after");
    ok(!snapshot_module(&snap, 0x7f1000000400, 0), "nor before its birth");
    snapshot_fini(&snap);
    is(snapshot_take(&snap, s.bytes, s.size, SNAPSHOT_CYCLES, error), 0, "cycles only");
    ok(snap.cycle_count == 4 && !snap.buckets && !snap.samples && !snap.modules,
       "and nothing else");
    is(snap.header.section[MD_SECTION_BUCKETS].count, 4, "counts are there all the same");
    snapshot_fini(&snap);
    free(s.bytes);
}

static void test_refused(void)
{
    struct fake_segment s;
    struct snapshot snap;
    char error[VIEW_ERROR_SIZE];
    fake_full(&s);
    s.header->version = MD_SEGMENT_VERSION + 1; /* and oldest_reader is 0 */
    is(snapshot_take(&snap, s.bytes, s.size, SNAPSHOT_ALL, error), EPROTO, "another version");
    ok(strstr(error, "version 9") != NULL, "says which: %s", error);
    s.header->magic[3] = 'x';
    is(snapshot_take(&snap, s.bytes, s.size, SNAPSHOT_ALL, error), EINVAL, "no magic");
    is(snapshot_take(&snap, s.bytes, 100, SNAPSHOT_ALL, error), EINVAL, "too short");
    is(snapshot_take(&snap, NULL, 0, SNAPSHOT_ALL, NULL), EINVAL, "nothing at all");
    free(s.bytes);
}

/* The same segment as another version writes it: each entry and the header with `more` bytes of
 * 0xee behind what we know (or fewer, where it is negative: cycles alone), and a section more. */
static void rewrite(struct fake_segment *to, const struct fake_segment *from, int more)
{
    *to = (struct fake_segment){.size = 4 * from->size + 4096};
    to->bytes = calloc(1, to->size);
    to->header = (struct md_header *)(void *)to->bytes;
    *to->header = *from->header;
    if (more > 0) {
        to->header->header_size += (uint32_t)more;
        memset(to->bytes + sizeof *to->header, 0xee, (size_t)more);
        to->header->section[to->header->section_count++] =
            (struct md_section){4096, 24, 0, 10, UINT64_MAX};
    }
    uint64_t at = 4096;
    for (unsigned id = 0; id < MD_SECTION_COUNT; id++) {
        struct md_section *t = &to->header->section[id];
        const struct md_section *f = &from->header->section[id];
        if (id != MD_SECTION_STACKS && id != MD_SECTION_ANSWERS &&
            (more > 0 || id == MD_SECTION_CYCLES))
            t->entry_size += (uint32_t)more;
        t->offset = at;
        at += fake_pages(t->capacity * t->entry_size);
        for (uint64_t i = 0; i < t->capacity; i++) {
            uint8_t *entry = to->bytes + t->offset + i * t->entry_size;
            memset(entry, 0xee, t->entry_size);
            memcpy(entry, from->bytes + f->offset + i * f->entry_size,
                   MIN(f->entry_size, t->entry_size));
        }
    }
}

static void check_same(const struct fake_segment *s, const char *what)
{
    struct snapshot snap;
    char error[VIEW_ERROR_SIZE];
    is(snapshot_take(&snap, s->bytes, s->size, SNAPSHOT_ALL | SNAPSHOT_LEAKS | SNAPSHOT_MAPPINGS,
                     error),
       0, "%s: %s", what, error);
    ok(snap.torn == 0 && snap.cycle_count == 4 && snap.module_count == 3 &&
           snap.bucket_count == 4 && snap.sample_count == 2,
       "%s: all of it", what);
    ok(snap.cycle_count == 4 && snap.cycles[2].start_ns == UINT64_C(5000000000) &&
           !strcmp(snap.cycles[3].reason, "threads did not stop, 2 of 3") &&
           snap.cycles[3].unseen_threads == 0,
       "%s: its cycles' first and last fields", what);
    ok(snap.bucket_count == 4 && snap.buckets[1].key == 4096 && snap.buckets[3].samples == 3,
       "%s: its buckets", what);
    bool has = snapshot_has(&snap, MD_SECTION_MAPPINGS);
    ok(has ? snap.mapping_count == 2 && snap.mappings[0].start == 0x7f1f00000000 &&
                 snap.mappings[1].limit == 0x7f2000003000 && snap.mappings[1].bucket == 1
           : snap.mapping_count == 0,
       "%s: its mappings by address, none of a bucket that was not taken", what);
    snapshot_fini(&snap);
    is(snapshot_take(&snap, s->bytes, s->size, SNAPSHOT_PAST, error), 0, "%s: %s", what, error);
    ok(snapshot_has(&snap, MD_SECTION_PAST)
           ? snap.past_count == 3 && snap.past[0].alloc_bytes == 1000 &&
                 snap.past[1].alloc_bytes == 2000 && snap.past[2].alloc_bytes == 3000 &&
                 snap.torn == 1
           : snap.past_count == 0 && snap.torn == 0,
       "%s: its past by time, none twice, none that is being written", what);
    snapshot_fini(&snap);
}

static void test_versions(void)
{
    struct fake_segment s, other;
    struct snapshot snap;
    char error[VIEW_ERROR_SIZE];
    fake_full(&s);
    rewrite(&other, &s, 40);
    other.header->version = MD_SEGMENT_VERSION + 5;
    other.header->oldest_reader = MD_SEGMENT_VERSION;
    check_same(&other, "a newer version that only adds");
    is(snapshot_take(&snap, other.bytes, other.size, 0, error), 0, "its header: %s", error);
    is(snap.header.section[MD_SECTION_COUNT].count, 0, "a section of an unknown kind is not told");
    snapshot_fini(&snap);
    other.header->oldest_reader++;
    is(snapshot_take(&snap, other.bytes, other.size, 0, error), EPROTO, "one that does more: %s",
       error);
    free(other.bytes);

    rewrite(&other, &s, -8);
    other.header->version = 1;
    check_same(&other, "version 1");
    other.header->section_count = MD_SECTION_UNSAMPLED;
    check_same(&other, "one that has not all sections");
    is(snapshot_take(&snap, other.bytes, other.size, SNAPSHOT_ALL, error), 0, "is read: %s", error);
    ok(snapshot_has(&snap, MD_SECTION_SAMPLES) && !snapshot_has(&snap, MD_SECTION_UNSAMPLED),
       "which is told");
    snapshot_fini(&snap);
    free(other.bytes);

    rewrite(&other, &s, -16);
    is(snapshot_take(&snap, other.bytes, other.size, SNAPSHOT_ALL, error), 0,
       "entries that are too small: %s", error);
    ok(snap.cycle_count == 0 && snap.torn == 4, "are left out, and counted");
    snapshot_fini(&snap);
    for (unsigned i = 0; i < 3; i++) {
        other.header->header_size =
            (const uint32_t[]){offsetof(struct md_header, allocator) - 8, 8192, 3571}[i];
        is(snapshot_take(&snap, other.bytes, other.size, SNAPSHOT_ALL, error), EINVAL,
           "a header of %u bytes: %s", other.header->header_size, error);
    }
    free(other.bytes);
    free(s.bytes);
}

/* Whatever is taken must be usable; ASan sees what is not. */
static bool use(const void *bytes, size_t size)
{
    struct snapshot snap;
    struct profile profile;
    char error[VIEW_ERROR_SIZE];
    if (snapshot_take(&snap, bytes, size,
                      SNAPSHOT_ALL | SNAPSHOT_MAPPINGS | SNAPSHOT_RANGES | SNAPSHOT_ANSWER,
                      error) != 0)
        return error[0] != 0;
    bool done = true;
    for (int kind = MD_BUCKET_HEAP; kind < MD_BUCKET_KINDS; kind++) {
        const struct profile_options options = {.kind = (enum md_bucket_kind)kind};
        done = profile_from_snapshot(&profile, &snap, &options, error) == 0 && done;
        profile_fini(&profile);
    }
    for (size_t i = 0; i < snap.mapping_count; i++)
        done = done && snap.mappings[i].bucket < snap.bucket_count &&
               snap.mappings[i].start < snap.mappings[i].limit;
    snapshot_fini(&snap);
    return done;
}

static void test_cut_short(void)
{
    struct fake_segment s;
    unsigned wrong = 0;
    fake_full(&s);
    for (size_t size = 0; size <= s.size; size++) {
        uint8_t *copy = malloc(size + !size);
        memcpy(copy, s.bytes, size);
        wrong += !use(copy, size);
        free(copy);
    }
    is(wrong, 0, "cut at each of %zu bytes it is read or refused", s.size);
    struct snapshot snap;
    size_t size = s.header->section[MD_SECTION_BUCKETS].offset + 100;
    snapshot_take(&snap, s.bytes, size, SNAPSHOT_ALL, NULL);
    is(snap.bucket_count, 1, "whole records before the cut are kept");
    ok(snap.torn >= 3, "what is cut off is counted");
    snapshot_fini(&snap);
    free(s.bytes);
}

static void test_hostile(void)
{
    struct fake_segment s;
    unsigned wrong = 0;
    uint64_t x = 88172645463325252u;
    fake_full(&s);
    uint8_t *copy = malloc(s.size);
    static const uint64_t nasty[] = {0, 1, 4096, INT64_MAX, UINT64_MAX, UINT64_C(1) << 32};
    for (unsigned round = 0; round < 20000; round++) {
        memcpy(copy, s.bytes, s.size);
        for (unsigned k = 0; k < 4; k++) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            size_t at = (x >> 8) % (round % 2 ? s.size : sizeof(struct md_header)) / 8 * 8;
            uint64_t value = x & 64 ? x : nasty[x % 6];
            if (at >= 16)
                memcpy(copy + at, &value, 8);
        }
        wrong += !use(copy, s.size);
    }
    is(wrong, 0, "damaged segments are read or refused");
    for (unsigned section = 0; section < MD_SECTION_COUNT; section++)
        for (unsigned i = 0; i < 6; i++) {
            memcpy(copy, s.bytes, s.size);
            struct md_section *t = &((struct md_header *)(void *)copy)->section[section];
            t->capacity = t->count = nasty[i];
            wrong += !use(copy, s.size);
            t->offset = nasty[5 - i];
            wrong += !use(copy, s.size);
        }
    is(wrong, 0, "so are sections of impossible extent");
    free(copy);

    struct snapshot snap;
    struct md_bucket *b = fake_entry(&s, MD_SECTION_BUCKETS, 0);
    b->stack = 60;
    struct md_sample *sample = fake_entry(&s, MD_SECTION_SAMPLES, 0);
    sample->bucket = 77;
    strcpy(s.header->name, "x\033[2J");
    snapshot_take(&snap, s.bytes, s.size, SNAPSHOT_ALL, NULL);
    is(snap.buckets[0].stack, 0, "a stack that is not there becomes the unknown one");
    is(snap.sample_count, 1, "a sample of a bucket that is not there is left out");
    is(snap.torn, 2, "both count");
    ok(strcmp(snap.header.name, "x?[2J") == 0, "no control characters in names");
    snapshot_fini(&snap);
    free(s.bytes);
}

/* A writer that rewrites its records all the time: nothing may be read half. */
struct live {
    struct fake_segment s;
    bool stop;
};

static void *write_all_the_time(void *arg)
{
    struct live *live = arg;
    struct md_section *cycles = &live->s.header->section[MD_SECTION_CYCLES];
    struct md_sample *sample = fake_entry(&live->s, MD_SECTION_SAMPLES, 0);
    for (uint64_t n = cycles->count; !__atomic_load_n(&live->stop, __ATOMIC_RELAXED); n++) {
        struct md_cycle *c = fake_entry(&live->s, MD_SECTION_CYCLES, n % cycles->capacity);
        uint32_t seq = c->seq;
        __atomic_store_n(&c->seq, seq + 1, __ATOMIC_RELAXED);
        __atomic_thread_fence(__ATOMIC_RELEASE);
        __atomic_store_n(&c->index, n, __ATOMIC_RELAXED);
        __atomic_store_n(&c->number, n + 1, __ATOMIC_RELAXED);
        __atomic_store_n(&c->mark_ns, n * 3, __ATOMIC_RELAXED);
        __atomic_store_n(&c->unreachable_bytes, n * 7, __ATOMIC_RELAXED);
        __atomic_store_n(&c->seq, seq + 2, __ATOMIC_RELEASE);
        __atomic_store_n(&cycles->count, n + 1, __ATOMIC_RELEASE);
        __atomic_store_n(&sample->addr, 0, __ATOMIC_RELAXED);
        __atomic_thread_fence(__ATOMIC_RELEASE);
        __atomic_store_n(&sample->generation, sample->generation + 1, __ATOMIC_RELAXED);
        __atomic_store_n(&sample->weight, n * 16, __ATOMIC_RELAXED);
        __atomic_store_n(&sample->addr, n * 16, __ATOMIC_RELEASE);
    }
    return NULL;
}

static void test_live(void)
{
    struct live live = {0};
    pthread_t thread;
    unsigned mixed = 0, seen = 0;
    fake_full(&live.s);
    pthread_create(&thread, NULL, write_all_the_time, &live);
    struct timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        struct snapshot snap;
        if (snapshot_take(&snap, live.s.bytes, live.s.size, SNAPSHOT_ALL, NULL) != 0) {
            mixed++;
            break;
        }
        for (size_t i = 0; i < snap.cycle_count; i++) {
            const struct md_cycle *c = &snap.cycles[i];
            if (!c->mark_ns)
                continue; /* from before */
            seen++;
            mixed += c->number != c->index + 1 || c->mark_ns != c->index * 3 ||
                     c->unreachable_bytes != c->index * 7 ||
                     (i && snap.cycles[i - 1].index >= c->index);
        }
        for (size_t i = 0; i < snap.sample_count; i++)
            if (snap.samples[i].bucket == 0 && snap.samples[i].generation)
                mixed += snap.samples[i].addr != snap.samples[i].weight;
        snapshot_fini(&snap);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (now.tv_sec - start.tv_sec < 2);
    __atomic_store_n(&live.stop, true, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    ok(seen > 0, "cycles of a live writer are read: %u", seen);
    is(mixed, 0, "none is half old and half new");
    free(live.s.bytes);
}

static void write_file(const char *path, const struct fake_segment *s)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, s->bytes, s->size) != (ssize_t)s->size)
        abort();
    close(fd);
}

static void test_files(void)
{
    struct fake_segment s;
    struct segment_file file;
    struct snapshot snap;
    char error[VIEW_ERROR_SIZE], shm[64], copy[] = "./test_snapshot.XXXXXX";
    fake_full(&s);
    snprintf(shm, sizeof shm, "/dev/shm/test_snapshot.%d", (int)getpid());
    write_file(shm, &s);
    int fd = mkstemp(copy);
    close(fd);
    write_file(copy, &s);
    is(truncate(copy, (off_t)s.size + (1 << 30)), 0, "a sparse copy");

    is(segment_file_open(&file, shm, true, error), 0, "a segment on tmpfs opens for writing");
    is(file.size, s.size, "its size is the file's");
    ((struct md_header *)(uintptr_t)file.base)->control.request = MD_REQUEST_GC;
    segment_file_close(&file);
    is(segment_file_open(&file, shm, false, error), 0, "and for reading");
    is(snapshot_take(&snap, file.base, file.size, SNAPSHOT_ALL, error), 0, "it is read");
    is(snap.header.control.request, MD_REQUEST_GC, "what was written is there");
    snapshot_fini(&snap);
    /* What a load from the mapping would answer with SIGBUS. */
    if (!tap_emulated("the file is cut under the mapping", "MADV_POPULATE_READ")) {
        is(truncate(shm, 4096), 0, "the file is cut under the mapping");
        is(snapshot_take(&snap, file.base, file.size, SNAPSHOT_ALL, error), 0, "still no signal");
        ok(snap.torn > 0 && snap.bucket_count == 0, "what is missing is counted");
        snapshot_fini(&snap);
        is(truncate(shm, 0), 0, "and cut to nothing");
        is(snapshot_take(&snap, file.base, file.size, SNAPSHOT_ALL, error), EINVAL, "is refused");
    }
    segment_file_close(&file);

    int disk = segment_file_open(&file, copy, true, error);
    if (disk == 0)
        tap_skip("a copy on a disk", "this directory is a tmpfs");
    else {
        is(disk, EROFS, "a copy on a disk is not to be written: %s", error);
        is(segment_file_open(&file, copy, false, error), 0, "but read");
        is(snapshot_take(&snap, file.base, file.size, SNAPSHOT_ALL, error), 0, "whole");
        is(snap.bucket_count, 4, "with its buckets");
        snapshot_fini(&snap);
    }
    segment_file_close(&file);

    char link[64];
    int memfd = memfd_create("segment", MFD_CLOEXEC);
    if (memfd < 0 || write(memfd, s.bytes, s.size) != (ssize_t)s.size)
        abort();
    snprintf(link, sizeof link, "/proc/self/fd/%d", memfd);
    is(segment_file_open(&file, link, true, error), 0, "a memfd through /proc");
    is(snapshot_take(&snap, file.base, file.size, SNAPSHOT_ALL, error), 0, "is read");
    snapshot_fini(&snap);
    segment_file_close(&file);
    close(memfd);

    is(segment_file_open(&file, "/dev/null", false, error), EINVAL, "not a file: %s", error);
    is(segment_file_open(&file, "/nowhere", false, error), ENOENT, "no file: %s", error);
    unlink(shm);
    is(symlink(copy, shm), 0, "a link");
    is(segment_file_open(&file, shm, false, error), ELOOP, "is not followed");
    unlink(shm);
    is(mkfifo(shm, 0600), 0, "a pipe");
    is(segment_file_open(&file, shm, false, error), EINVAL, "is not waited for");
    unlink(shm);
    unlink(copy);
    free(s.bytes);
}

static void test_answer(void)
{
    struct fake_segment s;
    struct snapshot snap;
    char error[VIEW_ERROR_SIZE];
    fake_full(&s);
    memset(s.header->answer.reason, '\033', sizeof s.header->answer.reason);
    size_t at = 0, size = sizeof(struct md_answer_path);
    is(snapshot_take(&snap, s.bytes, s.size, SNAPSHOT_ANSWER, error), 0, "an answer: %s", error);
    const struct md_answer_record *record = snapshot_record(&snap, &at, MD_ANSWER_PATH, size);
    ok(record && ((const struct md_answer_path *)record)->step[0].block == 0x10000,
       "its record, past one that is too short");
    ok(!snapshot_record(&snap, &at, MD_ANSWER_PATH, size), "and there are no more");
    ok(!strchr(snap.header.answer.reason, '\033') &&
           strlen(snap.header.answer.reason) < sizeof snap.header.answer.reason,
       "its reason is clean text");
    snapshot_fini(&snap);
    struct md_answer_record *first = fake_entry(&s, MD_SECTION_ANSWERS, 0);
    for (unsigned i = 0; i < 3; i++) {
        first->words = (const uint32_t[]){0, 1000, UINT32_MAX}[i];
        s.header->answer.words = i ? UINT64_MAX : 40;
        at = 0;
        snapshot_take(&snap, s.bytes, s.size, SNAPSHOT_ANSWER, error);
        ok(!snapshot_record(&snap, &at, MD_ANSWER_PATH, size),
           "of a record of %u words nothing is read", first->words);
        snapshot_fini(&snap);
    }
    s.header->answer.seq = 1;
    is(snapshot_take(&snap, s.bytes, s.size, SNAPSHOT_ANSWER, error), 0, "one being written: %s",
       error);
    ok(!snap.answer_word_count && !snap.header.answer.number, "is none");
    snapshot_fini(&snap);
    free(s.bytes);
}

int main(void)
{
    test_whole();
    test_answer();
    test_refused();
    test_versions();
    test_cut_short();
    test_hostile();
    test_live();
    test_files();
    return tap_done();
}
