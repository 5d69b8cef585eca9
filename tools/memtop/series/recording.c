#include "recording.h"

#include "view/containers.h"

#include <errno.h>
#include <string.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

enum { RECORD_PROCESS = 1, RECORD_TICK, RECORD_STATE, RECORD_SECTION };

#define RECORD_MAX (64u << 20)
#define PAGE 4096u
#define HEADER_WORDS (sizeof(struct md_header) / sizeof(uint64_t))

static const struct {
    unsigned id;  /* enum md_section_id */
    size_t words; /* of an entry */
} sections[RECORDING_SECTIONS] = {
    [RECORDING_CYCLES] = {MD_SECTION_CYCLES, sizeof(struct md_cycle) / 8},
    [RECORDING_MODULES] = {MD_SECTION_MODULES, sizeof(struct md_module) / 8},
    [RECORDING_STACKS] = {MD_SECTION_STACKS, 1},
    [RECORDING_BUCKETS] = {MD_SECTION_BUCKETS, sizeof(struct md_bucket) / 8},
    [RECORDING_SAMPLES] = {MD_SECTION_SAMPLES, sizeof(struct md_sample) / 8},
    [RECORDING_UNSAMPLED] = {MD_SECTION_UNSAMPLED, sizeof(struct md_unsampled) / 8},
};

static bool words_resize(struct recording_words *w, size_t count)
{
    if (!array_reserve(&w->word, &w->room, count ? count : 1, sizeof *w->word))
        return false;
    if (count > w->count)
        memset(w->word + w->count, 0, (count - w->count) * sizeof *w->word);
    w->count = count;
    return true;
}

static void process_fini(struct recording_process *p)
{
    for (int i = 0; i < RECORDING_SECTIONS; i++)
        free(p->section[i].word);
}

/* ---- writing ---- */

void recorder_init(struct recorder *r, FILE *file)
{
    *r = (struct recorder){.file = file};
}

void recorder_fini(struct recorder *r)
{
    for (size_t i = 0; i < r->count; i++)
        process_fini(&r->process[i]);
    free(r->process);
    free(r->bytes);
    *r = (struct recorder){0};
}

static void put_bytes(struct recorder *r, const void *bytes, size_t size)
{
    if (!array_reserve(&r->bytes, &r->bytes_room, r->size + size, 1)) {
        r->failed = true;
        return;
    }
    memcpy(r->bytes + r->size, bytes, size);
    r->size += size;
}

static size_t varint(uint8_t out[10], uint64_t value)
{
    size_t n = 0;
    for (; value >= 0x80; value >>= 7)
        out[n++] = (uint8_t)(value | 0x80);
    out[n++] = (uint8_t)value;
    return n;
}

static void put(struct recorder *r, uint64_t value)
{
    uint8_t bytes[10];
    put_bytes(r, bytes, varint(bytes, value));
}

static uint64_t zigzag(int64_t value)
{
    return (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
}

static int64_t unzigzag(uint64_t value)
{
    return (int64_t)(value >> 1 ^ (0 - (value & 1)));
}

/* A record's length stands before it, so its place is kept free: five bytes that are a number
 * whatever it is. */
static size_t begin_record(struct recorder *r, unsigned kind)
{
    put(r, kind);
    put_bytes(r, (uint8_t[5]){0}, 5);
    return r->size;
}

static void end_record(struct recorder *r, size_t start)
{
    size_t length = r->size - start;
    if (r->failed)
        return;
    for (int i = 0; i < 5; i++)
        r->bytes[start - 5 + (size_t)i] =
            (uint8_t)((length >> (7 * i) & 0x7f) | (i < 4 ? 0x80 : 0));
}

size_t recorder_add(struct recorder *r, uint32_t pid, uint32_t uid, uint64_t start_ticks,
                    const char *name)
{
    if (!array_reserve(&r->process, &r->room, r->count + 1, sizeof *r->process)) {
        r->failed = true;
        return SIZE_MAX;
    }
    struct recording_process *p = &r->process[r->count];
    *p = (struct recording_process){.pid = pid, .state = RECORDING_STATES};
    size_t start = begin_record(r, RECORD_PROCESS);
    put(r, r->count);
    put(r, pid);
    put(r, uid);
    put(r, start_ticks);
    put_bytes(r, name, strlen(name));
    end_record(r, start);
    return r->count++;
}

void recorder_tick(struct recorder *r, int64_t time_ns, int64_t realtime_ns)
{
    size_t start = begin_record(r, RECORD_TICK);
    put(r, zigzag(time_ns - r->time_ns));
    put(r, zigzag(realtime_ns - r->realtime_ns));
    end_record(r, start);
    r->time_ns = time_ns;
    r->realtime_ns = realtime_ns;
}

static void put_section(struct recorder *r, size_t number, enum recording_section section,
                        const void *from, size_t count)
{
    struct recording_words *before = &r->process[number].section[section];
    const uint64_t *now = from;
    size_t last = 0, start = 0;
    bool any = before->count != count;
    if (!any && (!count || memcmp(before->word, now, count * sizeof *now) == 0))
        return;
    if (!words_resize(before, count)) {
        r->failed = true;
        return;
    }
    start = begin_record(r, RECORD_SECTION);
    put(r, number);
    put(r, section);
    put(r, count);
    for (size_t i = 0; i < count; i++) {
        if (before->word[i] == now[i])
            continue;
        put(r, i - last);
        put(r, zigzag((int64_t)(now[i] - before->word[i])));
        before->word[i] = now[i];
        last = i;
    }
    end_record(r, start);
}

/* The header without what is no reading.  Times of publication and costs are kept to a millisecond
 * and a sixteenth of one, so that their noise takes no room. */
static void put_header(struct recorder *r, size_t number, const struct md_header *header)
{
    static struct md_header h;
    h = *header;
    h.counters.publish_ns &= ~UINT64_C(0xfffff);
    h.counters.sample_cost_ns &= ~UINT64_C(0xffff);
    memset(&h.control, 0, sizeof h.control);
    memset(&h.allocator, 0, sizeof h.allocator);
    memset(&h.answer, 0, sizeof h.answer);
    memset(h.section, 0, sizeof h.section);
    h.header_size = sizeof h;
    h.file_size = 0;
    put_section(r, number, RECORDING_HEADER, &h, HEADER_WORDS);
}

static void put_cycles(struct recorder *r, size_t number, const struct snapshot *snapshot)
{
    static struct md_cycle ring[RECORDING_CYCLES_KEPT];
    size_t count = snapshot->cycle_count, used = 0;
    memset(ring, 0, sizeof ring);
    size_t first = count > RECORDING_CYCLES_KEPT ? count - RECORDING_CYCLES_KEPT : 0;
    for (size_t i = first; i < count; i++) {
        size_t place = snapshot->cycles[i].index % RECORDING_CYCLES_KEPT;
        ring[place] = snapshot->cycles[i];
        ring[place].seq = 0;
        used = place + 1 > used ? place + 1 : used;
    }
    put_section(r, number, RECORDING_CYCLES, ring, used * sections[RECORDING_CYCLES].words);
}

static void put_sites(struct recorder *r, size_t number, const struct snapshot *snapshot)
{
    put_section(r, number, RECORDING_MODULES, snapshot->modules,
                snapshot->module_count * sections[RECORDING_MODULES].words);
    put_section(r, number, RECORDING_STACKS, snapshot->stack_words, snapshot->stack_word_count);
    put_section(r, number, RECORDING_BUCKETS, snapshot->buckets,
                snapshot->bucket_count * sections[RECORDING_BUCKETS].words);
    put_section(r, number, RECORDING_SAMPLES, snapshot->samples,
                snapshot->sample_count * sections[RECORDING_SAMPLES].words);
    put_section(r, number, RECORDING_UNSAMPLED, snapshot->unsampled,
                snapshot->unsampled_count * sections[RECORDING_UNSAMPLED].words);
}

void recorder_read(struct recorder *r, size_t number, const struct recording_reading *reading)
{
    struct recording_process *p = &r->process[number];
    if (p->state != reading->state || p->threads != reading->threads ||
        p->rss_known != reading->rss_known || p->rss_bytes != reading->rss_bytes) {
        size_t start = begin_record(r, RECORD_STATE);
        put(r, number);
        put(r, reading->state);
        put(r, reading->threads);
        put(r, reading->rss_known ? reading->rss_bytes + 1 : 0);
        end_record(r, start);
        p->state = reading->state;
        p->threads = reading->threads;
        p->rss_known = reading->rss_known;
        p->rss_bytes = reading->rss_bytes;
    }
    put_header(r, number, &reading->snapshot->header);
    put_cycles(r, number, reading->snapshot);
    if (reading->sites)
        put_sites(r, number, reading->snapshot);
}

bool recorder_flush(struct recorder *r)
{
    z_stream z = {0};
    bool first = ftello(r->file) <= 0;
    if (r->failed) {
        errno = ENOMEM;
        return false;
    }
    if (r->size > UINT32_MAX / 2 || deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 9, 0) != Z_OK) {
        errno = ENOMEM;
        return false;
    }
    size_t bound = deflateBound(&z, (uLong)r->size + sizeof RECORDING_MAGIC);
    uint8_t *out = malloc(bound);
    bool done = out != NULL;
    if (done) {
        z.next_out = out;
        z.avail_out = (unsigned)bound;
        z.next_in = (uint8_t *)(uintptr_t)RECORDING_MAGIC;
        z.avail_in = first ? sizeof RECORDING_MAGIC - 1 : 0;
        done = deflate(&z, Z_NO_FLUSH) != Z_STREAM_ERROR;
        z.next_in = r->bytes;
        z.avail_in = (unsigned)r->size;
        done = done && deflate(&z, Z_FINISH) == Z_STREAM_END;
    }
    size_t size = bound - z.avail_out;
    deflateEnd(&z);
    errno = done ? 0 : ENOMEM;
    done = done && fwrite(out, 1, size, r->file) == size && fflush(r->file) == 0;
    free(out);
    r->size = 0;
    return done;
}

/* ---- reading ---- */

int recording_open(struct recording *r, int fd, const char *name, char *error)
{
    char magic[sizeof RECORDING_MAGIC - 1];
    *r = (struct recording){0};
    r->file = gzdopen(fd, "rb");
    if (!r->file) {
        close(fd);
        snprintf(error, VIEW_ERROR_SIZE, "out of memory");
        return ENOMEM;
    }
    if (gzread(r->file, magic, sizeof magic) == (int)sizeof magic &&
        memcmp(magic, RECORDING_MAGIC, sizeof magic) == 0)
        return 0;
    snprintf(error, VIEW_ERROR_SIZE, "%.200s is no recording of memtop record's", name);
    return EINVAL;
}

void recording_close(struct recording *r)
{
    for (size_t i = 0; i < r->count; i++)
        process_fini(&r->process[i]);
    free(r->process);
    free(r->record);
    if (r->file)
        gzclose(r->file);
    *r = (struct recording){0};
}

struct bytes {
    const uint8_t *at, *end;
};

static bool get(struct bytes *b, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64 && b->at < b->end; shift += 7) {
        uint8_t byte = *b->at++;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return true;
    }
    return false;
}

/* 1: a number; 0: the file ends; -1: in its middle. */
static int read_number(struct recording *r, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        int byte = gzgetc((gzFile)r->file);
        if (byte < 0) {
            int status;
            gzerror(r->file, &status);
            return shift || status != Z_OK ? -1 : 0;
        }
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return 1;
    }
    return -1;
}

static bool take_process(struct recording *r, struct bytes b)
{
    uint64_t number, pid, uid, start;
    if (!get(&b, &number) || !get(&b, &pid) || !get(&b, &uid) || !get(&b, &start) ||
        number != r->count || number >= RECORDING_PROCESSES_MAX || pid > INT32_MAX ||
        uid > UINT32_MAX || !array_reserve(&r->process, &r->room, r->count + 1, sizeof *r->process))
        return false;
    struct recording_process *p = &r->process[r->count++];
    *p = (struct recording_process){.pid = (uint32_t)pid,
                                    .uid = (uint32_t)uid,
                                    .start_ticks = start,
                                    .state = RECORDING_STATES};
    size_t length = (size_t)(b.end - b.at);
    memcpy(p->name, b.at, length < sizeof p->name ? length : sizeof p->name - 1);
    return true;
}

static struct recording_process *process_of(struct recording *r, struct bytes *b)
{
    uint64_t number;
    return get(b, &number) && number < r->count ? &r->process[number] : NULL;
}

static bool take_state(struct recording *r, struct bytes b)
{
    struct recording_process *p = process_of(r, &b);
    uint64_t state, threads, rss;
    if (!p || !get(&b, &state) || !get(&b, &threads) || !get(&b, &rss) ||
        state >= RECORDING_STATES || threads > INT32_MAX)
        return false;
    p->state = (enum recording_state)state;
    p->threads = threads;
    p->rss_known = rss > 0;
    p->rss_bytes = rss ? rss - 1 : 0;
    return true;
}

static bool take_section(struct recording *r, struct bytes b)
{
    struct recording_process *p = process_of(r, &b);
    uint64_t section, count, gap, change, at = 0;
    if (!p || !get(&b, &section) || !get(&b, &count) || section >= RECORDING_SECTIONS ||
        count > RECORDING_BYTES_MAX / sizeof(uint64_t))
        return false;
    struct recording_words *words = &p->section[section];
    uint64_t used = r->used - words->count * sizeof(uint64_t) + count * sizeof(uint64_t);
    if (used > RECORDING_BYTES_MAX || !words_resize(words, count))
        return false;
    r->used = used;
    while (b.at < b.end) {
        if (!get(&b, &gap) || !get(&b, &change) || gap >= count || (at += gap) >= count)
            return false;
        words->word[at] += (uint64_t)unzigzag(change);
    }
    return true;
}

/* A TICK, which begins the next tick. */
static bool take_tick(struct recording *r, struct bytes b)
{
    uint64_t time, realtime;
    if (!get(&b, &time) || !get(&b, &realtime))
        return false;
    r->next_time_ns = (int64_t)((uint64_t)r->time_ns + (uint64_t)unzigzag(time));
    r->next_realtime_ns = (int64_t)((uint64_t)r->realtime_ns + (uint64_t)unzigzag(realtime));
    r->pending = true;
    return true;
}

/* Reads and takes in one record.  False: there is none, or it makes no sense, which is `cut`. */
static bool take_record(struct recording *r)
{
    uint64_t kind, length;
    int found = read_number(r, &kind);
    if (found == 0)
        return false;
    r->cut = true;
    if (found < 0 || read_number(r, &length) != 1 || length > RECORD_MAX ||
        !array_reserve(&r->record, &r->record_room, length + 1, 1) ||
        gzread(r->file, r->record, (unsigned)length) != (int)length)
        return false;
    struct bytes b = {r->record, r->record + length};
    bool sound = kind == RECORD_PROCESS   ? take_process(r, b)
                 : kind == RECORD_TICK    ? take_tick(r, b)
                 : kind == RECORD_STATE   ? take_state(r, b)
                 : kind == RECORD_SECTION ? take_section(r, b)
                                          : true;
    r->cut = !sound;
    return sound;
}

bool recording_next(struct recording *r)
{
    while (!r->cut && !r->pending && take_record(r))
        continue;
    if (!r->pending)
        return false;
    r->time_ns = r->next_time_ns;
    r->realtime_ns = r->next_realtime_ns;
    r->pending = false;
    r->ticks++;
    while (!r->pending && take_record(r))
        continue;
    return true;
}

size_t recording_segment(const struct recording_process *p, uint64_t **bytes, size_t *room)
{
    const struct recording_words *h = &p->section[RECORDING_HEADER];
    size_t size = PAGE;
    if (h->count != HEADER_WORDS)
        return 0;
    for (int i = RECORDING_CYCLES; i < RECORDING_SECTIONS; i++)
        size += (p->section[i].count * sizeof(uint64_t) + PAGE - 1) / PAGE * PAGE;
    size_t words = *room;
    if (!array_reserve(bytes, &words, size / sizeof(uint64_t), sizeof(uint64_t)))
        return 0;
    *room = words;
    memset(*bytes, 0, size);
    memcpy(*bytes, h->word, HEADER_WORDS * sizeof(uint64_t));
    struct md_header *header = (struct md_header *)*bytes;
    memset(header->section, 0, sizeof header->section);
    size_t at = PAGE;
    for (int i = RECORDING_CYCLES; i < RECORDING_SECTIONS; i++) {
        const struct recording_words *w = &p->section[i];
        struct md_section *section = &header->section[sections[i].id];
        uint64_t count = w->count / sections[i].words;
        *section = (struct md_section){.offset = at,
                                       .entry_size = (uint32_t)(sections[i].words * 8),
                                       .capacity = count,
                                       .count = count};
        if (i == RECORDING_CYCLES && count) {
            /* All that ever were: of those that are here the youngest and one. */
            const struct md_cycle *cycle = (const struct md_cycle *)w->word;
            section->capacity = RECORDING_CYCLES_KEPT;
            for (uint64_t k = 0; k < count; k++)
                if (cycle[k].index >= section->count)
                    section->count = cycle[k].index + 1;
        }
        if (w->count)
            memcpy((uint8_t *)*bytes + at, w->word, w->count * sizeof(uint64_t));
        at += (w->count * sizeof(uint64_t) + PAGE - 1) / PAGE * PAGE;
    }
    return size;
}
