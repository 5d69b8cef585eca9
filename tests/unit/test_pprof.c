/* Profiles against their reader: what we write, `go tool pprof` must read, and what top.c adds up,
 * it must add up to the same numbers. */
#include "support/tap.h"

#include "fake_segment.h"
#include "view/pprof.h"
#include "view/top.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <sys/stat.h>
#include <time.h>
#include <zlib.h>

static char directory[] = "./test_pprof.XXXXXX";
static bool have_pprof;

/* The output of a shell command, to be freed. */
static char *run(const char *format, ...)
{
    char command[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(command, sizeof command, format, arguments);
    va_end(arguments);
    FILE *pipe = popen(command, "r");
    size_t size = 0, n;
    char *text = malloc(1 << 22);
    while (pipe && (n = fread(text + size, 1, (1 << 22) - 1 - size, pipe)) > 0)
        size += n;
    text[size] = 0;
    int status = pipe ? pclose(pipe) : -1;
    if (status != 0)
        text[0] = 0;
    return text;
}

static void write_profile(const struct profile *p, const char *path)
{
    char error[VIEW_ERROR_SIZE];
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (pprof_write(p, fd, error) != 0)
        tap_print("# %s", error);
    close(fd);
}

static uint64_t random_state = 88172645463325252u;
static uint64_t draw(uint64_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % below;
}

static uint32_t add_function(struct profile *p, const char *name, const char *file)
{
    struct profile_function f = {string_pool_add(&p->strings, name),
                                 string_pool_add(&p->strings, name),
                                 string_pool_add(&p->strings, file), 0};
    profile_add_function(p, &f);
    return (uint32_t)p->function_count - 1;
}

/* A profile with recursion, inlining, locations without names and, if asked, negative values. */
static void random_profile(struct profile *p, unsigned samples, uint64_t scale, bool negative)
{
    static const char *const names[] = {
        "main",         "parse",     "std::vector<int>::push_back(int&&)",
        "operator new", "read_line", "",
        "hash",         "insert",    "grow",
        "loop",         "visit",     "json::Value::~Value()"};
    profile_init(p);
    profile_add_type(p, (struct profile_value_type){"alloc_objects", "count"});
    profile_add_type(p, (struct profile_value_type){"alloc_space", "bytes"});
    profile_add_type(p, (struct profile_value_type){"inuse_objects", "count"});
    profile_add_type(p, (struct profile_value_type){"inuse_space", "bytes"});
    p->period_type = (struct profile_value_type){"space", "bytes"};
    p->period = 524288;
    p->time_nanos = INT64_C(1700000000123456789);
    for (unsigned i = 0; i < 3; i++) {
        char file[64];
        snprintf(file, sizeof file, i ? "/usr/lib/lib%u.so" : "/usr/bin/prog", i);
        struct profile_mapping m = {.start = 0x100000 * (i + 1),
                                    .limit = 0x100000 * (i + 2),
                                    .offset = 0,
                                    .file = string_pool_add(&p->strings, file),
                                    .build_id = string_pool_add(&p->strings, i ? "" : "abcd0123")};
        m.has_functions = true;
        profile_add_mapping(p, &m);
    }
    for (unsigned i = 0; i < 60; i++) {
        char name[64], file[32];
        unsigned kind = (unsigned)draw(12);
        if (i < 12)
            snprintf(name, sizeof name, "%s", names[i]);
        else
            snprintf(name, sizeof name, "%s_%u", names[kind], (unsigned)draw(20));
        snprintf(file, sizeof file, "src/%u.c", (unsigned)draw(5));
        add_function(p, name, file);
    }
    for (unsigned i = 0; i < 150; i++) {
        struct profile_location l = {.mapping = (uint32_t)draw(4)};
        if (l.mapping == 3)
            l.mapping = PROFILE_NONE;
        l.address = 0x100000 * (uint64_t)(l.mapping + 1) + i * 16;
        l.line_first = (uint32_t)p->line_count;
        l.line_count = (uint32_t)draw(4);
        for (unsigned k = 0; k < l.line_count; k++)
            profile_add_line(p, (uint32_t)draw(60), (int64_t)draw(1000));
        profile_add_location(p, &l);
    }
    for (unsigned i = 0; i < samples; i++) {
        struct profile_sample s = {.location_first = (uint32_t)p->location_id_count};
        s.location_count = (uint32_t)draw(20) + (draw(20) != 0);
        for (unsigned k = 0; k < s.location_count; k++)
            profile_add_location_id(p, (uint32_t)(draw(3) ? draw(150) : draw(10)));
        s.label_first = (uint32_t)p->label_count;
        s.label_count = 1;
        struct profile_label label = {string_pool_add(&p->strings, "bytes"), "",
                                      (int64_t)(16 << draw(12)), ""};
        profile_add_label(p, &label);
        int64_t v[4];
        for (unsigned k = 0; k < 4; k++)
            v[k] = (int64_t)draw(draw(scale) + 1) * (negative && draw(3) == 0 ? -1 : 1);
        profile_add_sample(p, &s, v);
    }
}

/* Before Go 1.24 pprof wrote the time as "Jan 2, 2006 at 3:04pm (MST)": ours in that layout, where
 * `expected` has it. */
static char *in_layout_of(const char *expected, char *got)
{
    const char *theirs = strstr(expected, "Time: ");
    char *ours = strstr(got, "Time: "), *rest, older[64], *text = NULL;
    struct tm tm = {0};
    if (!theirs || !ours || !isalpha((unsigned char)theirs[6]) ||
        !(rest = strptime(ours, "Time: %Y-%m-%d %H:%M:%S UTC", &tm)))
        return got;
    strftime(older, sizeof older, "Time: %b %-d, %Y at %-I:%M%P (UTC)", &tm);
    if (asprintf(&text, "%.*s%s%s", (int)(ours - got), got, older, rest) < 0)
        abort();
    free(got);
    return text;
}

/* Our table and pprof's, byte for byte, from the header on. */
static void compare_top(const struct profile *p, const char *what, const char *type,
                        struct top_options options, const char *flags)
{
    char path[128], *expected, *got = NULL;
    size_t size = 0;
    struct top top;
    snprintf(path, sizeof path, "%s/p.pb.gz", directory);
    write_profile(p, path);
    expected = run("TZ=UTC go tool pprof -top -symbolize=none -sample_index=%s %s %s 2>/dev/null",
                   type, flags, path);
    top_build(&top, p, profile_sample_index(p, type), &options);
    FILE *out = open_memstream(&got, &size);
    top_print(&top, p, true, out);
    fclose(out);
    got = in_layout_of(expected, got);
    if (!ok(*expected && strcmp(expected, got) == 0, "%s: %s %s, %zu rows as pprof's", what, type,
            flags, top.row_count)) {
        snprintf(path, sizeof path, "%s/got", directory);
        FILE *f = fopen(path, "w");
        fputs(got, f);
        fclose(f);
        snprintf(path, sizeof path, "%s/expected", directory);
        f = fopen(path, "w");
        fputs(expected, f);
        fclose(f);
        char *diff =
            run("diff %s/expected %s/got | head -20 | sed 's/^/# /'; true", directory, directory);
        tap_print("%.900s", diff);
        free(diff);
    }
    top_fini(&top);
    free(expected);
    free(got);
}

static void test_top(void)
{
    struct profile p;
    struct top_options all = {0, 0, 0, false};
    random_profile(&p, 400, 1 << 20, false);
    compare_top(&p, "random", "inuse_space", TOP_OPTIONS_PPROF, "");
    compare_top(&p, "random", "alloc_objects", TOP_OPTIONS_PPROF, "");
    compare_top(&p, "random", "alloc_space", all, "-nodefraction=0 -edgefraction=0");
    compare_top(&p, "random", "inuse_space", (struct top_options){0.005, 0.001, 10, false},
                "-nodecount=10");
    compare_top(&p, "random", "inuse_space", (struct top_options){0.005, 0.001, 7, true},
                "-cum -nodecount=7");
    compare_top(&p, "random", "inuse_space", (struct top_options){0.3, 0.1, 0, false},
                "-nodefraction=0.3 -edgefraction=0.1");
    profile_fini(&p);
    random_profile(&p, 300, UINT64_C(1) << 40, false);
    compare_top(&p, "terabytes", "inuse_space", TOP_OPTIONS_PPROF, "");
    profile_fini(&p);
    random_profile(&p, 300, 3, false);
    compare_top(&p, "few bytes", "inuse_space", TOP_OPTIONS_PPROF, "");
    compare_top(&p, "few objects", "inuse_objects", all, "-nodefraction=0 -edgefraction=0");
    profile_fini(&p);
    random_profile(&p, 300, 1 << 24, true);
    compare_top(&p, "a difference", "inuse_space", TOP_OPTIONS_PPROF, "");
    compare_top(&p, "a difference", "inuse_space", (struct top_options){0.02, 0.01, 12, true},
                "-nodefraction=0.02 -edgefraction=0.01 -cum -nodecount=12");
    profile_fini(&p);
    random_profile(&p, 0, 1, false);
    compare_top(&p, "nothing", "inuse_space", TOP_OPTIONS_PPROF, "");
    profile_fini(&p);
    random_profile(&p, 200, 1 << 16, false);
    p.types[3] = (struct profile_value_type){"cpu", "nanoseconds"};
    p.duration_nanos = 12345678;
    compare_top(&p, "times", "cpu", TOP_OPTIONS_PPROF, "");
    p.types[3] = (struct profile_value_type){"hops", "hops"};
    p.duration_nanos = 0;
    compare_top(&p, "a unit that pprof does not know", "hops", TOP_OPTIONS_PPROF, "");
    if (setlocale(LC_NUMERIC, "de_DE.UTF-8") || setlocale(LC_NUMERIC, "fr_FR.UTF-8")) {
        compare_top(&p, "decimal commas", "inuse_objects", TOP_OPTIONS_PPROF, "");
        setlocale(LC_NUMERIC, "C");
    }
    profile_fini(&p);
}

/* Lines that `text` must hold, each a whole word sequence; blanks count as one. */
static void has(const char *text, const char *what)
{
    char *flat = strdup(text);
    size_t n = 0;
    for (const char *c = text; *c; c++)
        if (!(*c == ' ' && n && flat[n - 1] == ' '))
            flat[n++] = *c;
    flat[n] = 0;
    if (!ok(strstr(flat, what) != NULL, "pprof says: %.*s", (int)strcspn(what, "\n"), what))
        tap_print("# in:\n%.900s", flat);
    free(flat);
}

static void take_fake(struct fake_segment *s, struct snapshot *snap)
{
    char error[VIEW_ERROR_SIZE];
    fake_full(s);
    s->header->counters.lost_samples = 7;
    is(snapshot_take(snap, s->bytes, s->size, SNAPSHOT_ALL, error), 0, "a snapshot");
}

static void test_model(void)
{
    struct fake_segment s;
    struct snapshot snap;
    struct profile p;
    char error[VIEW_ERROR_SIZE];
    take_fake(&s, &snap);
    /* A fourth of a percent of four seconds. */
    snap.header.start_ns = (uint64_t)snap.taken_ns - UINT64_C(4000000000);
    snap.header.counters.sample_rate_bytes = 524288;
    snap.header.counters.sample_cost_ns = 10000000;
    struct profile_options options = {.kind = MD_BUCKET_HEAP};
    is(profile_from_snapshot(&p, &snap, &options, error), 0, "a profile");
    is(p.sample_count, 3, "buckets of one stack and size are one sample");
    is(p.type_count, 4, "four values");
    is(profile_sample_index(&p, NULL), 3, "the last is the default");
    is(profile_sample_index(&p, "alloc_space"), 1, "by name");
    is(profile_sample_index(&p, "2"), 2, "by number");
    is(profile_sample_index(&p, "4"), -1, "there is no fourth");
    is(profile_sample_index(&p, "cpu"), -1, "nor such a name");
    const struct profile_sample *lost = &p.samples[0], *a = &p.samples[1];
    ok(p.locations[p.location_ids[lost->location_first]].line_count == 1 &&
           lost->location_count == 1,
       "a lost stack has a name to be seen by");
    is(p.values[0 * 4 + 2], 2, "objects in use of the lost stack");
    is(a->location_count, 2, "our own library's frame at the leaf is gone");
    is(p.locations[p.location_ids[a->location_first]].address, 0x400200, "the caller is the leaf");
    is(p.values[1 * 4 + 0], 105, "alloc_objects");
    is(p.values[1 * 4 + 1], 105 * 64, "alloc_space");
    is(p.values[1 * 4 + 2], 65, "inuse_objects");
    is(p.values[1 * 4 + 3], 65 * 64, "inuse_space");
    is(p.labels[a->label_first].number, 64, "label bytes");
    is(p.values[2 * 4 + 0], 10, "what is freed is still allocated once");
    is(p.values[2 * 4 + 3], 0, "and not in use");
    is(p.period, 524288, "period");
    ok(strcmp(p.mappings[0].file, "/usr/bin/redis-server") == 0, "the main binary comes first");
    is(p.comment_count, 3, "version, losses and sampling");
    ok(strcmp(p.comments[1], "memdebug lost_samples=7") == 0, "losses");
    ok(strcmp(p.comments[2], "memdebug sample_rate_bytes=524288 sampling_cpu_percent=0.2500") == 0,
       "how samples were taken, and what for: %s", p.comments[2]);
    profile_fini(&p);
    snap.header.counters.leak_rate_bytes = 1024;
    is(profile_from_snapshot(&p, &snap, &options, error), 0, "one with leaks that had no names");
    ok(strcmp(p.comments[2], "memdebug sample_rate_bytes=524288 leak_rate_bytes=1024 "
                             "sampling_cpu_percent=0.2500") == 0,
       "says so too: %s", p.comments[2]);
    profile_fini(&p);
    snap.header.counters.leak_rate_bytes = 0;
    snap.header.version = 2;
    is(profile_from_snapshot(&p, &snap, &options, error), 0, "a profile of an older segment");
    is(p.comment_count, 3, "version, losses");
    ok(strcmp(p.comments[2], "memdebug lost_mappings=unknown") == 0,
       "and what its writer did not count");
    snap.header.version = MD_SEGMENT_VERSION;
    profile_fini(&p);

    /* A writer between its two additions. */
    struct md_bucket *b = &snap.buckets[0];
    b->value[MD_HEAP_FREE_BYTES] = b->value[MD_HEAP_ALLOC_BYTES] + 1000;
    b->value[MD_HEAP_ALLOC_OBJECTS] = 1536;
    b->value[MD_HEAP_FREE_OBJECTS] = 0;
    snap.buckets[2].kind = MD_BUCKET_UNUSED;
    is(profile_from_snapshot(&p, &snap, &options, error), 0, "a profile");
    is(p.values[1 * 4 + 3], 0, "never below zero");
    is(p.values[1 * 4 + 0], 2, "1.5 objects are 2");
    profile_fini(&p);

    /* Only our own frames: better than none. */
    struct md_stack *stack = (struct md_stack *)(void *)&snap.stack_words[snap.buckets[0].stack];
    stack->depth = 1;
    is(profile_from_snapshot(&p, &snap, &options, error), 0, "a profile");
    is(p.locations[p.location_ids[p.samples[1].location_first]].address, 0x7f0000000100,
       "a stack of nothing but ours stays");
    profile_fini(&p);
    snapshot_fini(&snap);
    free(s.bytes);
}

/* Leaks come of live samples, and only once a cycle has looked at them. */
static void test_leak_types(void)
{
    struct fake_segment s;
    struct snapshot snap;
    struct profile p;
    char error[VIEW_ERROR_SIZE], path[128];
    fake_full(&s);
    struct md_sample *first = fake_entry(&s, MD_SECTION_SAMPLES, 0);
    first->flags = MD_SAMPLE_UNREACHED | MD_SAMPLE_LEAK;
    first->weight = 1536; /* 1.5 objects of 64 bytes */
    struct md_sample *last = fake_entry(&s, MD_SECTION_SAMPLES, 2);
    last->flags = MD_SAMPLE_UNREACHED; /* once is not a leak */
    struct profile_options options = {.kind = MD_BUCKET_HEAP};
    is(snapshot_of_profile(s.bytes, s.size), SNAPSHOT_PROFILE, "no cycle: samples are not wanted");
    snapshot_take(&snap, s.bytes, s.size, SNAPSHOT_ALL, error);
    is(profile_from_snapshot(&p, &snap, &options, error), 0, "a profile");
    is(p.type_count, 4, "no cycle: Go's types and no others");
    profile_fini(&p);
    snapshot_fini(&snap);

    s.header->counters.cycles = 2;
    is(snapshot_of_profile(s.bytes, s.size), SNAPSHOT_PROFILE | SNAPSHOT_LEAKS,
       "a cycle: samples are wanted");
    snapshot_take(&snap, s.bytes, s.size, SNAPSHOT_PROFILE, error);
    is(profile_from_snapshot(&p, &snap, &options, error), 0, "a profile");
    is(p.type_count, 4, "a snapshot without samples cannot tell");
    profile_fini(&p);
    snapshot_fini(&snap);

    snapshot_take(&snap, s.bytes, s.size, snapshot_of_profile(s.bytes, s.size), error);
    is(profile_from_snapshot(&p, &snap, &options, error), 0, "a profile");
    is(p.type_count, 6, "two more types");
    is(profile_sample_index(&p, NULL), 3, "inuse_space stays the default");
    is(profile_sample_index(&p, "leak_space"), 5, "leak_space");
    is(p.values[1 * 6 + 4], 2, "leak_objects: 1.5 are 2");
    is(p.values[1 * 6 + 5], 96, "leak_space");
    is(p.values[1 * 6 + 3], 65 * 64, "the other values are as before");
    is(p.values[0 * 6 + 4], 0, "unreachable in one cycle is not a leak");
    snprintf(path, sizeof path, "%s/leaks.pb.gz", directory);
    write_profile(&p, path);
    char *raw = run("go tool pprof -raw -symbolize=none %s 2>&1", path);
    has(raw, "inuse_space/bytes[dflt] leak_objects/count leak_space/bytes\n");
    has(raw, " 105 6720 65 4160 2 96: ");
    free(raw);
    raw = run("go tool pprof -top -symbolize=none -sample_index=leak_space %s 2>&1", path);
    has(raw, "Type: leak_space");
    has(raw, "96B, 100% of 96B total");
    free(raw);
    profile_fini(&p);
    snapshot_fini(&snap);
    free(s.bytes);
}

static void test_raw(void)
{
    struct fake_segment s;
    struct snapshot snap;
    struct profile p;
    char error[VIEW_ERROR_SIZE], path[128];
    take_fake(&s, &snap);
    struct profile_options options = {.kind = MD_BUCKET_HEAP,
                                      .time_nanos = INT64_C(1700000000000000000)};
    is(profile_from_snapshot(&p, &snap, &options, error), 0, "a profile");
    snprintf(path, sizeof path, "%s/raw.pb.gz", directory);
    write_profile(&p, path);
    char *raw = run("TZ=UTC go tool pprof -raw -symbolize=none %s 2>&1", path);
    has(raw, "PeriodType: space bytes\nPeriod: 524288\nTime: 2023-11-14 22:13:20 +0000 UTC\n");
    has(raw, "alloc_objects/count alloc_space/bytes inuse_objects/count inuse_space/bytes\n");
    has(raw, " 105 6720 65 4160: ");
    has(raw, " bytes:[64]\n");
    has(raw, " 3 384 2 256: ");
    has(raw, " bytes:[128]\n");
    has(raw, "0x400200 M=1");
    has(raw, "[unknown stack]");
    has(raw, "1: 0x400000/0x500000/0x0 /usr/bin/redis-server "
             "000d1a2734414e5b6875828f9ca9b6c3d0ddeaf7");
    ok(!strstr(raw, "[dflt]"), "no default sample type");
    free(raw);
    char *comments = run("go tool pprof -comments %s 2>&1", path);
    has(comments, "memdebug " MEMDEBUG_VERSION "\nmemdebug lost_samples=7\n");
    free(comments);
    profile_fini(&p);
    options.default_sample_type = "alloc_space";
    is(profile_from_snapshot(&p, &snap, &options, error), 0, "allocs");
    write_profile(&p, path);
    raw = run("go tool pprof -raw -symbolize=none %s 2>&1", path);
    has(raw, "alloc_objects/count alloc_space/bytes[dflt] inuse_objects/count inuse_space/bytes\n");
    free(raw);
    profile_fini(&p);
    snapshot_fini(&snap);
    free(s.bytes);
}

static bool same_text(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

static bool same_profile(const struct profile *a, const struct profile *b)
{
    if (a->type_count != b->type_count || a->sample_count != b->sample_count ||
        a->location_count != b->location_count || a->function_count != b->function_count ||
        a->mapping_count != b->mapping_count || a->comment_count != b->comment_count ||
        a->period != b->period || a->time_nanos != b->time_nanos ||
        !same_text(a->default_sample_type, b->default_sample_type))
        return false;
    for (size_t i = 0; i < a->sample_count; i++) {
        const struct profile_sample *x = &a->samples[i], *y = &b->samples[i];
        if (x->location_count != y->location_count || x->label_count != y->label_count)
            return false;
        for (uint32_t k = 0; k < x->location_count; k++)
            if (a->location_ids[x->location_first + k] != b->location_ids[y->location_first + k])
                return false;
        for (uint32_t k = 0; k < x->label_count; k++)
            if (a->labels[x->label_first + k].number != b->labels[y->label_first + k].number ||
                !same_text(a->labels[x->label_first + k].key, b->labels[y->label_first + k].key))
                return false;
    }
    for (size_t i = 0; i < a->sample_count * a->type_count; i++)
        if (a->values[i] != b->values[i])
            return false;
    for (size_t i = 0; i < a->location_count; i++) {
        const struct profile_location *x = &a->locations[i], *y = &b->locations[i];
        if (x->address != y->address || x->mapping != y->mapping || x->line_count != y->line_count)
            return false;
        for (uint32_t k = 0; k < x->line_count; k++)
            if (a->lines[x->line_first + k].function != b->lines[y->line_first + k].function ||
                a->lines[x->line_first + k].line != b->lines[y->line_first + k].line)
                return false;
    }
    for (size_t i = 0; i < a->function_count; i++)
        if (!same_text(a->functions[i].name, b->functions[i].name) ||
            !same_text(a->functions[i].file, b->functions[i].file))
            return false;
    for (size_t i = 0; i < a->mapping_count; i++)
        if (a->mappings[i].start != b->mappings[i].start ||
            !same_text(a->mappings[i].build_id, b->mappings[i].build_id))
            return false;
    return true;
}

static void test_round_trip(void)
{
    struct profile p, back;
    uint8_t *bytes;
    size_t size;
    char error[VIEW_ERROR_SIZE];
    random_profile(&p, 3000, 1 << 20, true);
    profile_add_comment(&p, "hello");
    is(pprof_encode(&p, &bytes, &size, error), 0, "encodes");
    ok(size > 10 && bytes[0] == 0x1f && bytes[1] == 0x8b, "gzip");
    is(pprof_decode(&back, bytes, size, PPROF_LIMIT, error), 0, "decodes");
    ok(same_profile(&p, &back), "to the same");
    profile_fini(&back);
    is(pprof_decode(&back, bytes, size, 1000, error), EFBIG, "more than the limit: %s", error);

    unsigned wrong = 0;
    for (size_t n = 0; n < size; n += n < 2000 ? 1 : 97) {
        uint8_t *copy = malloc(n + !n);
        memcpy(copy, bytes, n);
        wrong += pprof_decode(&back, copy, n, PPROF_LIMIT, error) == 0;
        profile_fini(&back);
        free(copy);
    }
    is(wrong, 0, "cut short it is refused");

    size_t plain_size = 0;
    static uint8_t plain[8 << 20];
    z_stream z = {
        .next_in = bytes, .avail_in = (unsigned)size, .next_out = plain, .avail_out = sizeof plain};
    inflateInit2(&z, 31);
    inflate(&z, Z_FINISH);
    plain_size = sizeof plain - z.avail_out;
    inflateEnd(&z);
    is(pprof_decode(&back, plain, plain_size, PPROF_LIMIT, error), 0, "not compressed");
    ok(same_profile(&p, &back), "the same");
    profile_fini(&back);
    for (unsigned round = 0; round < 2000; round++) {
        uint8_t *copy = malloc(plain_size);
        memcpy(copy, plain, plain_size);
        for (unsigned k = 0; k < 3; k++)
            copy[draw(round % 2 ? plain_size : 4000)] = (uint8_t)draw(256);
        if (pprof_decode(&back, copy, plain_size, PPROF_LIMIT, error) == 0) {
            struct top top;
            top_build(&top, &back, 0, &TOP_OPTIONS_PPROF);
            top_fini(&top);
        }
        profile_fini(&back);
        free(copy);
    }
    ok(true, "damaged profiles are read or refused");
    profile_fini(&p);
    free(bytes);
}

/* The table of the type with its errors, where they are asked for. */
static char *table_of(const struct profile *p, const char *type, bool errors)
{
    struct top top;
    struct top_options how = TOP_OPTIONS_PPROF;
    char *text = NULL;
    size_t size;
    how.errors = errors;
    top_build(&top, p, profile_sample_index(p, type), &how);
    FILE *out = open_memstream(&text, &size);
    top_print(&top, p, false, out);
    fclose(out);
    top_fini(&top);
    return text;
}

static void table_has(const struct profile *p, const char *type, bool errors, const char *row)
{
    char *text = table_of(p, type, errors);
    if (!ok(strstr(text, row) != NULL, "%s: %s", type, row))
        tap_print("# in:\n%.900s", text);
    free(text);
}

/* 8192 objects of 1 KiB, of which every 512th was sampled: 16 samples, an error of a quarter.  And
 * one of 64 MiB, which is sampled for certain. */
static void test_top_errors(void)
{
    struct profile p;
    profile_init(&p);
    profile_add_type(&p, (struct profile_value_type){"inuse_objects", "count"});
    profile_add_type(&p, (struct profile_value_type){"inuse_space", "bytes"});
    profile_add_type(&p, (struct profile_value_type){"lone_space", "bytes"});
    p.period_type = (struct profile_value_type){"space", "bytes"};
    p.period = 524288;
    for (uint32_t i = 0; i < 3; i++) {
        static const char *const names[] = {"small", "large", "main"};
        struct profile_location l = {
            .mapping = PROFILE_NONE, .address = 16 + i, .line_first = i, .line_count = 1};
        profile_add_line(&p, add_function(&p, names[i], ""), 1);
        profile_add_location(&p, &l);
    }
    for (uint32_t i = 0; i < 2; i++) {
        struct profile_sample s = {.location_first = i * 2, .location_count = 2};
        const int64_t values[2][3] = {{8192, 8192 * 1024, 5}, {1, 64 << 20, 5}};
        profile_add_location_id(&p, i);
        profile_add_location_id(&p, 2);
        profile_add_sample(&p, &s, values[i]);
    }
    table_has(&p, "inuse_space", true, "      flat error  flat%   sum%        cum error   cum%\n");
    table_has(&p, "inuse_space", true,
              "       8MB   25% 11.11%   100%        8MB   25% 11.11%  small\n");
    table_has(&p, "inuse_space", true,
              "      64MB    0% 88.89% 88.89%       64MB    0% 88.89%  large\n");
    table_has(&p, "inuse_space", true,
              "         0     -     0%   100%       72MB    3%   100%  main\n");
    table_has(&p, "inuse_objects", true,
              "      8192   25%   100%   100%       8192   25%   100%  small\n");
    table_has(&p, "inuse_space", false, "       8MB 11.11%   100%        8MB 11.11%  small\n");
    table_has(&p, "lone_space", true, "cum   cum%\n        5B");
    p.period = 1;
    table_has(&p, "inuse_space", true, "       8MB 11.11%   100%        8MB 11.11%  small\n");
    profile_fini(&p);
}

/* 256 MiB of nothing in 260 kB, and messages that are much larger in memory than on the wire. */
static void test_bombs(void)
{
    struct profile p;
    char error[VIEW_ERROR_SIZE];
    size_t zeros = 64 << 20;
    uint8_t *plain = calloc(1, zeros), *packed = malloc(zeros);
    for (unsigned kind = 0; kind < 2; kind++) {
        for (size_t i = 0; kind && i < zeros; i += 2)
            plain[i] = 0x12, plain[i + 1] = 0; /* an empty Sample */
        z_stream z = {.next_in = plain,
                      .avail_in = (unsigned)zeros,
                      .next_out = packed,
                      .avail_out = (unsigned)zeros};
        deflateInit2(&z, 9, Z_DEFLATED, 31, 8, 0);
        deflate(&z, Z_FINISH);
        size_t n = zeros - z.avail_out;
        deflateEnd(&z);
        is(pprof_decode(&p, packed, n, 16 << 20, error), EFBIG,
           "%zu bytes that inflate to 64 MiB: %s", n, error);
        is(pprof_decode(&p, packed, n, PPROF_LIMIT / 4, error), EINVAL, "within the limit: %s",
           error);
    }
    free(plain);
    free(packed);
}

/* A profile that Go's runtime wrote. */
static void test_go_profile(void)
{
    char path[128], error[VIEW_ERROR_SIZE];
    struct profile p;
    snprintf(path, sizeof path, "%s/heap.go", directory);
    FILE *f = fopen(path, "w");
    fputs("package main\n"
          "import (\"os\"; \"runtime\"; \"runtime/pprof\")\n"
          "var keep [][]byte\n"
          "//go:noinline\nfunc grow(n int) { keep = append(keep, make([]byte, n)) }\n"
          "func main() { runtime.MemProfileRate = 1; for i := 0; i < 100; i++ { grow(1000 + i) }\n"
          "runtime.GC(); f, _ := os.Create(os.Args[1]); pprof.Lookup(\"heap\").WriteTo(f, 0); "
          "f.Close() }\n",
          f);
    fclose(f);
    char *out =
        run("cd %s && HOME=${HOME:-$PWD} go run heap.go go.pb.gz 2>&1 && echo done", directory);
    if (!strstr(out, "done")) {
        tap_skip("a profile of Go's runtime", "no Go compiler");
        free(out);
        return;
    }
    free(out);
    snprintf(path, sizeof path, "%s/go.pb.gz", directory);
    is(pprof_read(&p, path, PPROF_LIMIT, error), 0, "Go's profile is read %s", error);
    is(p.type_count, 4, "its types");
    ok(p.type_count == 4 && strcmp(p.types[3].type, "inuse_space") == 0, "in Go's order");
    compare_top(&p, "Go's", "inuse_space", TOP_OPTIONS_PPROF, "");
    compare_top(&p, "Go's", "alloc_objects", TOP_OPTIONS_PPROF, "");
    profile_fini(&p);
}

int main(void)
{
    if (!mkdtemp(directory))
        return 1;
    setenv("TZ", "UTC", 1);
    test_model();
    test_round_trip();
    test_top_errors();
    test_bombs();
    char *help = run("go tool pprof -h 2>&1; true");
    have_pprof = strstr(help, "pprof <format>") != NULL;
    free(help);
    if (have_pprof) {
        test_leak_types();
        test_raw();
        test_top();
        test_go_profile();
    } else {
        tap_skip("profiles read by pprof", "no go tool pprof");
    }
    char error[VIEW_ERROR_SIZE];
    struct profile p;
    is(pprof_read(&p, "/nowhere", PPROF_LIMIT, error), ENOENT, "no file: %s", error);
    is(pprof_read(&p, "/dev/null", PPROF_LIMIT, error), EINVAL, "an empty one: %s", error);
    free(run("chmod -R u+w %s; rm -rf %s", directory, directory));
    return tap_done();
}
