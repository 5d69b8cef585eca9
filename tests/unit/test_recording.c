/* tools/memtop/series/recording.c: what is written is read back, whole or cut at any byte. */
#include "support/tap.h"
#include "series/recording.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { TICKS = 40, STACKS = 300, BUCKETS = 50 };

/* A process whose figures are the tick's, and what a snapshot of it has. */
struct made {
    struct snapshot snapshot;
    struct md_cycle cycles[100];
    struct md_module module;
    uint64_t stacks[STACKS];
    struct md_bucket buckets[BUCKETS];
};

static void make(struct made *m, unsigned tick)
{
    struct md_header *h = &m->snapshot.header;
    memset(m, 0, sizeof *m);
    memcpy(h->magic, MD_SEGMENT_MAGIC, sizeof h->magic);
    h->version = MD_SEGMENT_VERSION;
    h->section_count = MD_SECTION_COUNT;
    h->pid = 812;
    snprintf(h->name, sizeof h->name, "sessions");
    h->counters.alloc_bytes = 1000000 + tick * UINT64_C(123457);
    h->counters.free_bytes = tick % 3 ? tick : UINT64_MAX - tick; /* up and down */
    for (unsigned i = 0; i < tick * 2; i++)
        m->cycles[i] = (struct md_cycle){.index = i, .number = i + 1, .heap_live_bytes = i * 7};
    m->module = (struct md_module){.start = 0x1000, .limit = 0x2000, .path_size = 2, .path = "/m"};
    for (unsigned i = 0; i < STACKS; i++)
        m->stacks[i] = i * UINT64_C(0x9e3779b97f4a7c15);
    for (unsigned i = 0; i < BUCKETS; i++)
        m->buckets[i] =
            (struct md_bucket){.kind = MD_BUCKET_HEAP, .key = i + 1, .value = {i * tick}};
    m->snapshot.cycles = m->cycles;
    m->snapshot.cycle_count = tick * 2;
    m->snapshot.modules = &m->module;
    m->snapshot.module_count = 1;
    m->snapshot.stack_words = m->stacks;
    m->snapshot.stack_word_count = tick < 5 ? 10 : STACKS;
    m->snapshot.buckets = m->buckets;
    m->snapshot.bucket_count = tick < 10 ? 5 : BUCKETS;
}

static uint8_t *written(size_t *size)
{
    static struct made m;
    char *bytes;
    FILE *file = open_memstream(&bytes, size);
    struct recorder recorder;
    bool flushed = true;
    recorder_init(&recorder, file);
    size_t one = recorder_add(&recorder, 812, 1000, 77, "sessions"), two = SIZE_MAX;
    for (unsigned tick = 0; tick < TICKS; tick++) {
        make(&m, tick);
        recorder_tick(&recorder, 5000000000 + (int64_t)tick * 1000000000,
                      (int64_t)tick * 1000000000);
        struct recording_reading reading = {.state =
                                                tick % 7 == 3 ? RECORDING_STOPPED : RECORDING_LIVE,
                                            .threads = 3,
                                            .rss_known = tick != 2,
                                            .rss_bytes = tick * 4096,
                                            .snapshot = &m.snapshot,
                                            .sites = tick % 10 == 0};
        recorder_read(&recorder, one, &reading);
        if (tick == 20)
            two = recorder_add(&recorder, 813, 0, 78, "another");
        if (tick >= 20)
            recorder_read(&recorder, two, &reading);
        if (tick % 10 == 9)
            flushed = flushed && recorder_flush(&recorder);
    }
    ok(flushed && one == 0 && two == 1, "40 ticks of a process and of another are written");
    recorder_fini(&recorder);
    fclose(file);
    return (uint8_t *)bytes;
}

static int opened(struct recording *r, const uint8_t *bytes, size_t size, char *error)
{
    int fd = memfd_create("recording", MFD_CLOEXEC);
    if (fd < 0 || write(fd, bytes, size) != (ssize_t)size || lseek(fd, 0, SEEK_SET) != 0)
        abort();
    return recording_open(r, fd, "made", error);
}

static bool same_segment(const struct recording_process *p, const struct made *m, unsigned sites_of)
{
    static uint64_t *segment;
    static size_t room;
    static struct made then;
    struct snapshot s;
    size_t size = recording_segment(p, &segment, &room);
    make(&then, sites_of);
    if (!size || snapshot_take(&s, segment, size, SNAPSHOT_ALL, NULL))
        return false;
    size_t kept = m->snapshot.cycle_count < 64 ? m->snapshot.cycle_count : 64;
    bool same =
        s.header.counters.alloc_bytes == m->snapshot.header.counters.alloc_bytes &&
        s.header.counters.free_bytes == m->snapshot.header.counters.free_bytes &&
        strcmp(s.header.name, "sessions") == 0 && s.torn == 0 && s.cycle_count == kept &&
        (!kept || s.cycles[kept - 1].number == m->snapshot.cycle_count) &&
        s.stack_word_count == then.snapshot.stack_word_count &&
        memcmp(s.stack_words, then.stacks, s.stack_word_count * 8) == 0 &&
        s.bucket_count == then.snapshot.bucket_count &&
        s.buckets[s.bucket_count - 1].value[0] == then.buckets[s.bucket_count - 1].value[0] &&
        s.module_count == 1 && s.modules[0].start == 0x1000;
    snapshot_fini(&s);
    return same;
}

static void test_round_trip(const uint8_t *bytes, size_t size)
{
    static struct made m;
    struct recording r;
    char error[VIEW_ERROR_SIZE];
    unsigned tick = 0, wrong = 0;
    is(opened(&r, bytes, size, error), 0, "it is a recording");
    for (; recording_next(&r); tick++) {
        make(&m, tick);
        const struct recording_process *p = &r.process[0];
        wrong += r.time_ns != 5000000000 + (int64_t)tick * 1000000000 ||
                 r.realtime_ns != (int64_t)tick * 1000000000 || r.count != (tick < 20 ? 1 : 2) ||
                 p->pid != 812 || p->uid != 1000 || p->start_ticks != 77 || p->threads != 3 ||
                 p->state != (tick % 7 == 3 ? RECORDING_STOPPED : RECORDING_LIVE) ||
                 p->rss_known != (tick != 2) || (p->rss_known && p->rss_bytes != tick * 4096) ||
                 !same_segment(p, &m, tick / 10 * 10) ||
                 (tick >= 20 && strcmp(r.process[1].name, "another") != 0);
    }
    ok(tick == TICKS && wrong == 0 && !r.cut, "%u ticks are read as they were written", tick);
    recording_close(&r);
}

static void test_truncation(const uint8_t *bytes, size_t size)
{
    static struct made m;
    unsigned refused = 0, wrong = 0, last = 0, whole = 0;
    for (size_t length = 0; length <= size; length++) {
        struct recording r;
        char error[VIEW_ERROR_SIZE];
        unsigned tick = 0;
        if (opened(&r, bytes, length, error)) {
            refused++;
            recording_close(&r);
            continue;
        }
        for (; recording_next(&r); tick++) {
            make(&m, tick);
            /* The last tick may lack what comes behind the cut. */
            wrong += r.time_ns != 5000000000 + (int64_t)tick * 1000000000;
        }
        wrong += tick < last; /* more of the file never has less */
        wrong += length < size && tick == TICKS && !r.cut && length + 20 < size;
        whole += tick == TICKS;
        last = tick;
        recording_close(&r);
    }
    ok(refused > 0 && refused < size / 10 && wrong == 0 && whole > 0 && last == TICKS,
       "cut at each of %zu bytes: what stands before is read", size);
}

static void test_hostile(uint8_t *bytes, size_t size)
{
    static const char *const texts[] = {"", "x", "MDREC\n2\n", "\x1f\x8b",
                                        RECORDING_MAGIC "\x04\xff\xff\xff\xff\x7f"};
    struct recording r;
    char error[VIEW_ERROR_SIZE];
    unsigned taken = 0;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        taken += opened(&r, (const uint8_t *)texts[i], strlen(texts[i]), error) == 0;
        if (i == 4)
            ok(!recording_next(&r) && r.cut, "a record of 32 GB ends it");
        recording_close(&r);
    }
    is(taken, 1, "what has not the magic is refused");
    for (size_t at = 0; at < size; at += 7) {
        bytes[at] ^= 0x55;
        if (opened(&r, bytes, size, error) == 0)
            while (recording_next(&r))
                continue;
        recording_close(&r);
        bytes[at] ^= 0x55;
    }
    ok(true, "damaged bytes do no harm");
}

int main(void)
{
    size_t size;
    uint8_t *bytes = written(&size);
    test_round_trip(bytes, size);
    test_truncation(bytes, size);
    test_hostile(bytes, size);
    free(bytes);
    return tap_done();
}
