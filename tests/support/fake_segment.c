/* A process that writes a segment without the library: a made-up heap that grows, is cut back by
 * cycles, and has one site that leaks.  For memtop's tests: what is in the segment is known.
 *
 *   fake_segment [--dir DIR] [--name NAME] [--step-ms N] [--seconds N] [--leak BYTES_A_SECOND]
 *                [--plain] [--no-gc] [--keep] [--empty]
 *
 * Prints the segment's path, then a "ready" line.  --keep leaves the file behind at the end, as a
 * killed process does; --empty writes no bucket. */
#include <memdebug/segment.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { SITES = 6, CAPACITY = 4096, FILE_SIZE = 8 << 20 };

static unsigned char *base;
static struct md_header *header;
static volatile sig_atomic_t stop;

/* Functions whose addresses serve as return addresses: memtop should find their names. */
#define FRAME(name)                                                                                \
    __attribute__((noinline, used)) int name(int x)                                                \
    {                                                                                              \
        return x * 3 + (int)sizeof #name;                                                          \
    }
int create_session(int), session_grow_buffer(int), cache_insert(int), parse_request(int),
    read_config(int), handle_client(int), event_loop(int), xmalloc(int);
FRAME(create_session)
FRAME(session_grow_buffer)
FRAME(cache_insert)
FRAME(parse_request)
FRAME(read_config)
FRAME(handle_client)
FRAME(event_loop)
FRAME(xmalloc)

static int64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static uint64_t own_start_ticks(void)
{
    char text[1024];
    FILE *file = fopen("/proc/self/stat", "r");
    size_t n = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[n] = '\0';
    uint64_t ticks = 0;
    sscanf(strrchr(text, ')') + 1,
           " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %" SCNu64,
           &ticks);
    return ticks;
}

static void *section(enum md_section_id id)
{
    return base + header->section[id].offset;
}

static void make_sections(void)
{
    static const uint32_t sizes[] = MD_SECTION_ENTRY_SIZES;
    uint64_t offset = 4096;
    for (int i = 0; i < MD_SECTION_COUNT; i++) {
        uint64_t capacity = i == MD_SECTION_CYCLES ? 64 : i == MD_SECTION_MODULES ? 64 : CAPACITY;
        header->section[i] =
            (struct md_section){.offset = offset, .entry_size = sizes[i], .capacity = capacity};
        offset += (capacity * sizes[i] + 4095) / 4096 * 4096;
    }
}

static void add_modules(void)
{
    struct md_module *modules = section(MD_SECTION_MODULES);
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[1024];
    uint64_t bias = 0, count = 0;
    while (fgets(line, sizeof line, maps)) {
        uint64_t start, end, offset;
        char flags[8], path[400];
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %" SCNx64 " %*s %*s %399s", &start, &end,
                   flags, &offset, path) != 5 ||
            path[0] != '/')
            continue;
        if (offset == 0)
            bias = start;
        if (flags[2] != 'x' || count == 64)
            continue;
        struct md_module *module = &modules[count++];
        *module = (struct md_module){.start = start, .limit = end, .offset = offset, .bias = bias};
        snprintf(module->path, sizeof module->path, "%s", path);
        module->path_size = (uint32_t)strlen(module->path);
    }
    fclose(maps);
    header->section[MD_SECTION_MODULES].count = count;
}

static uint32_t add_stack(int (*const *functions)(int), uint32_t depth)
{
    uint64_t at = header->section[MD_SECTION_STACKS].count;
    if (at == 0)
        at = 2; /* id 0 is the unknown stack */
    struct md_stack *stack = (struct md_stack *)((uint64_t *)section(MD_SECTION_STACKS) + at);
    stack->depth = depth;
    for (uint32_t i = 0; i < depth; i++)
        stack->pc[i] = (uint64_t)(uintptr_t)functions[i] + 5;
    header->section[MD_SECTION_STACKS].count = at + MD_STACK_HEADER_WORDS + depth;
    return (uint32_t)at;
}

static struct {
    uint64_t size;
    double inuse, step; /* objects */
    double churn;       /* allocated and freed a second */
} site[SITES] = {{64, 1000, 0, 2000}, {4096, 20, 0, 10}, {1024, 4000, 0, 9000},
                 {262144, 8, 0.2, 3}, {512, 300, 0, 50}, {32, 100000, 0, 80000}};

static void add_buckets(void)
{
    static int (*const stacks[SITES][4])(int) = {
        {create_session, handle_client, event_loop, NULL},
        {xmalloc, session_grow_buffer, handle_client, event_loop},
        {cache_insert, parse_request, handle_client, event_loop},
        {xmalloc, cache_insert, parse_request, event_loop},
        {read_config, event_loop, NULL, NULL},
        {parse_request, handle_client, event_loop, NULL}};
    struct md_bucket *bucket = section(MD_SECTION_BUCKETS);
    for (int i = 0; i < SITES; i++) {
        uint32_t depth = 0;
        while (depth < 4 && stacks[i][depth])
            depth++;
        bucket[i].stack = add_stack(stacks[i], depth);
        bucket[i].key = site[i].size;
        bucket[i].kind = MD_BUCKET_HEAP;
    }
    header->section[MD_SECTION_BUCKETS].count = SITES;
}

static void add_sample(uint32_t index, int64_t age_ns)
{
    struct md_section *samples = &header->section[MD_SECTION_SAMPLES];
    if (samples->count == samples->capacity)
        return;
    struct md_sample *sample = (struct md_sample *)section(MD_SECTION_SAMPLES) + samples->count++;
    sample->weight = MD_WEIGHT_ONE;
    sample->bucket = index;
    sample->born_ds = (uint32_t)(age_ns / 100000000);
    sample->addr = 0x7f0000000000 + samples->count * 4096;
}

static void add_cycle(int64_t age_ns, uint64_t heap, uint32_t flags)
{
    struct md_section *cycles = &header->section[MD_SECTION_CYCLES];
    /* What the site that leaks still has: unreached, and the second time a leak. */
    struct md_sample *samples = section(MD_SECTION_SAMPLES);
    uint64_t unreached = 0, leaked = 0;
    for (uint64_t i = 0; i < header->section[MD_SECTION_SAMPLES].count; i++)
        if (samples[i].bucket == 3) {
            leaked += samples[i].flags & MD_SAMPLE_UNREACHED ? 1 : 0;
            samples[i].flags =
                MD_SAMPLE_UNREACHED | (samples[i].flags & MD_SAMPLE_UNREACHED ? MD_SAMPLE_LEAK : 0);
            unreached++;
        }
    struct md_cycle *cycle =
        (struct md_cycle *)section(MD_SECTION_CYCLES) + cycles->count % cycles->capacity;
    uint64_t number = ++header->counters.cycles;
    cycle->seq |= 1;
    atomic_thread_fence(memory_order_seq_cst);
    uint32_t seq = cycle->seq;
    *cycle = (struct md_cycle){.seq = seq,
                               .flags = flags | MD_CYCLE_UNSEEN | (number > 1 ? MD_CYCLE_LEAKS : 0),
                               .number = number,
                               .index = cycles->count,
                               .start_ns = (uint64_t)age_ns,
                               .stop1_ns = 300000 + number % 7 * 150000,
                               .mark_ns = 4200000,
                               .stop1_cpu_ns = 280000,
                               .mark_cpu_ns = 4100000,
                               .total_cpu_ns = number * 4400000,
                               .cpus = 2,
                               .heap_start_bytes = heap,
                               .heap_end_bytes = heap + 65536,
                               .heap_live_bytes = heap / 10 * 9,
                               .goal_bytes = header->heap_goal_bytes,
                               .stack_bytes = 1 << 20,
                               .globals_bytes = 2 << 20,
                               .live_objects = 100000,
                               .unreachable_objects = unreached,
                               .unreachable_bytes = unreached * site[3].size,
                               .leaked_objects = leaked,
                               .leaked_bytes = leaked * site[3].size,
                               .threads = 3,
                               .attempts = 1,
                               .engine = MD_ENGINE_CLONE};
    header->heap_goal_bytes = heap / 10 * 18;
    atomic_thread_fence(memory_order_seq_cst);
    cycle->seq++;
    cycles->count++;
}

static void step(double seconds, double leak, int64_t age_ns, bool tracked)
{
    struct md_bucket *bucket = section(MD_SECTION_BUCKETS);
    struct md_counters *counters = &header->counters;
    for (int i = 0; i < SITES && header->section[MD_SECTION_BUCKETS].count > 0; i++) {
        double grow = i == 3 ? leak / (double)site[i].size * seconds : 0;
        double churn = site[i].churn * seconds + (counters->alloc_bytes ? 0 : site[i].inuse);
        double alloc = grow + churn,
               freed = counters->alloc_bytes || i ? site[i].churn * seconds : 0;
        if (bucket[i].samples == 0)
            freed = site[i].churn * seconds, alloc = site[i].inuse + freed;
        bucket[i].value[MD_HEAP_ALLOC_OBJECTS] += (uint64_t)(alloc * MD_WEIGHT_ONE);
        bucket[i].value[MD_HEAP_ALLOC_BYTES] += (uint64_t)(alloc * (double)site[i].size);
        bucket[i].value[MD_HEAP_FREE_OBJECTS] += (uint64_t)(freed * MD_WEIGHT_ONE);
        bucket[i].value[MD_HEAP_FREE_BYTES] += (uint64_t)(freed * (double)site[i].size);
        bucket[i].samples += 1;
        counters->samples++;
        counters->alloc_bytes += (uint64_t)(alloc * (double)site[i].size);
        counters->free_bytes += (uint64_t)(freed * (double)site[i].size);
        if (tracked) {
            counters->alloc_objects += (uint64_t)alloc;
            counters->free_objects += (uint64_t)freed;
        }
        if (i == 3 || bucket[i].samples == 1)
            add_sample((uint32_t)i, age_ns);
    }
    uint64_t inuse = counters->alloc_bytes - counters->free_bytes;
    if (inuse > counters->peak_bytes)
        counters->peak_bytes = inuse;
    counters->own_bytes = 1 << 20;
    counters->publish_ns = (uint64_t)now_ns();
}

static void answer(int64_t age_ns)
{
    uint32_t request = __atomic_exchange_n(&header->control.request, 0, __ATOMIC_ACQ_REL);
    if (request == 0)
        return;
    if (request & MD_REQUEST_GC)
        add_cycle(age_ns, header->counters.alloc_bytes - header->counters.free_bytes,
                  MD_CYCLE_FORCED);
    header->control.result = 0;
    __atomic_add_fetch(&header->control.served, 1, __ATOMIC_RELEASE);
    syscall(SYS_futex, &header->control.served, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

static void on_signal(int number)
{
    (void)number;
    stop = 1;
}

int main(int argc, char **argv)
{
    const char *name = "fake";
    char dir[256], path[512];
    snprintf(dir, sizeof dir, "/dev/shm/memdebug-%u", (unsigned)geteuid());
    double step_seconds = 0.1, seconds = 3600, leak = 1 << 20;
    bool tracked = true, gc = true, keep = false, empty = false;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--plain") == 0)
            tracked = gc = false;
        else if (strcmp(argv[i], "--no-gc") == 0)
            gc = false;
        else if (strcmp(argv[i], "--keep") == 0)
            keep = true;
        else if (strcmp(argv[i], "--empty") == 0)
            empty = true;
        else if (strcmp(argv[i], "--dir") == 0)
            snprintf(dir, sizeof dir, "%s", value), i++;
        else if (strcmp(argv[i], "--name") == 0)
            name = value, i++;
        else if (strcmp(argv[i], "--step-ms") == 0)
            step_seconds = atof(value) / 1000, i++;
        else if (strcmp(argv[i], "--seconds") == 0)
            seconds = atof(value), i++;
        else if (strcmp(argv[i], "--leak") == 0)
            leak = atof(value), i++;
        else
            return fprintf(stderr, "fake_segment: unknown option %s\n", argv[i]), 2;
    }
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return perror(dir), 1;
    uint64_t ticks = own_start_ticks();
    snprintf(path, sizeof path, "%s/%d-%" PRIu64 MD_SEGMENT_SUFFIX, dir, (int)getpid(), ticks);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, FILE_SIZE) != 0)
        return perror(path), 1;
    base = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (base == MAP_FAILED)
        return perror("mmap"), 1;
    header = (struct md_header *)base;
    header->version = MD_SEGMENT_VERSION;
    header->header_size = sizeof *header;
    header->file_size = FILE_SIZE;
    header->pid = (uint32_t)getpid();
    header->parent_pid = (uint32_t)getppid();
    header->start_ticks = ticks;
    header->uid = geteuid();
    header->start_ns = (uint64_t)now_ns();
    header->flags = (tracked ? MD_FLAG_TRACKED : 0) | (gc ? MD_FLAG_GC | MD_FLAG_THREAD : 0);
    header->cpus = 2;
    header->page_size = 4096;
    header->section_count = MD_SECTION_COUNT;
    header->memprofilerate = 524288;
    header->gcpercent = 100;
    header->heap_goal_bytes = gc ? 4 << 20 : 0;
    snprintf(header->name, sizeof header->name, "%s", name);
    snprintf(header->exe, sizeof header->exe, "/usr/bin/%s", name);
    snprintf(header->cmdline, sizeof header->cmdline, "/usr/bin/%s --port 6379", name);
    snprintf(header->options, sizeof header->options, "%s", gc ? "gc=observe" : "");
    make_sections();
    add_modules();
    if (!empty)
        add_buckets();
    memcpy(header->magic, MD_SEGMENT_MAGIC, sizeof header->magic);
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    printf("%s\nready\n", path);
    fflush(stdout);
    int64_t start = now_ns(), last_cycle = 0;
    for (int64_t age = 0; !stop && age < (int64_t)(seconds * 1e9); age = now_ns() - start) {
        step(step_seconds, leak, age, tracked);
        if (gc && age - last_cycle > 3000000000) {
            add_cycle(age, header->counters.alloc_bytes - header->counters.free_bytes, 0);
            last_cycle = age;
        }
        if (gc)
            answer(age);
        struct timespec pause = {(time_t)step_seconds,
                                 (long)((step_seconds - (double)(time_t)step_seconds) * 1e9)};
        nanosleep(&pause, NULL);
    }
    if (!keep)
        unlink(path);
    return 0;
}
