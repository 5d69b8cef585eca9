/* Hide and seek with a marker that runs beside the program: everything is reachable at every moment
 * but KNOWN lists that were lost at the start, while the only pointers to things move about.  All
 * but "move", which always has something that is not found at once, lose one more before each
 * cycle.
 *
 *   seek move THREADS CYCLES US  pointers move between heap, globals, mappings, stacks; blocks are
 *                                freed, made and resized; after each 256 moves a rest
 *   seek harm CYCLES             mappings come, go, lose their access, move; forks; MADV_DONTNEED
 *   seek gap CYCLES MEGABYTES    a thread looks at the clock all the time: its longest gap in each
 *                                cycle, in us, and without waiting for a CPU
 *   seek known CYCLES [ENGINE]   a list is lost; one goes out of sight for a cycle, into a register
 *                                for another, and is found again; cycles with nothing new between;
 *                                22 of these, one by that engine, three more; three in a child
 *   seek uffd CYCLES             memory under a userfaultfd of the program's own, and such whose
 *                                writes it tracks
 *   seek code CYCLES             data becomes code half-way, in which alone a pointer is
 *
 * Each cycle is asked for by md_gc; "lost OBJECTS BYTES" is printed first, and whenever there may
 * be more. */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define THREADS_MAX 16
#define SLOTS 4096
#define KNOWN 50

struct node {
    struct node *next;
    uint64_t payload[5];
};

static struct node *in_globals[THREADS_MAX][SLOTS];
static volatile int stop;
static int (*gc)(void);

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

static struct node *list(int length)
{
    struct node *first = NULL;
    for (int i = 0; i < length; i++) {
        struct node *node = calloc(1, sizeof *node);
        node->next = first;
        first = node;
    }
    return first;
}

static void free_list(struct node *node)
{
    while (node) {
        struct node *next = node->next;
        free(node);
        node = next;
    }
}

/* The first block of a slab: a thread that is stopped within the allocator may hold the slab's
 * address, and does not mean the block. */
static int begins_slab(const struct node *node)
{
    for (; node; node = node->next)
        if ((uintptr_t)node % 4096 == 0)
            return 1;
    return 0;
}

static struct node *volatile kept; /* what lies between */

static int lists_lost;

static void tell_lost(void)
{
    printf("lost %d %zu\n", 3 * lists_lost, 3 * lists_lost * sizeof(struct node));
    fflush(stdout);
}

static __attribute__((noinline)) void lose_lists(int count)
{
    for (int i = 0; i < count; i++) {
        struct node *volatile lost = list(3);
        for (int tries = 0; tries < 100 && begins_slab(lost); tries++) {
            lost->next->next->next = kept;
            kept = lost;
            lost = list(3);
        }
        lost = NULL;
    }
    lists_lost += count;
    tell_lost();
}

static __attribute__((noinline)) void clear_stack(void)
{
    volatile char old[16384];
    for (unsigned i = 0; i < sizeof old; i++)
        old[i] = 0;
}

/* So that the next cycle has something to look for, and needs its second stop. */
static void lose_one(void)
{
    lose_lists(1);
    clear_stack();
}

/* A thread's places for pointers: heap, globals, a mapping of its own. */
struct places {
    struct node **slots[3];
    uint64_t random;
    int pause_us; /* after each 256 steps */
};

static void *mover(void *arg)
{
    struct places *p = arg;
    struct node *on_stack[64] = {NULL};
    for (uint64_t step = 0; !stop; step++) {
        uint64_t r = next_random(&p->random);
        if (step % 256 == 255)
            usleep(p->pause_us);
        struct node **a = &p->slots[r % 3][r >> 8 & (SLOTS - 1)];
        struct node **b = r & 0x80 ? &on_stack[r >> 24 & 63]
                                   : &p->slots[r >> 40 & 1 ? 0 : 2][r >> 48 & (SLOTS - 1)];
        switch (r >> 4 & 7) {
        case 0: { /* a new list for an old one */
            struct node *old = *a;
            *a = list(1 + (int)(r >> 32 & 7));
            free_list(old);
            break;
        }
        case 1: /* the tail of one becomes another */
            if (*a && !*b) {
                *b = (*a)->next;
                (*a)->next = NULL;
            }
            break;
        case 2: /* one behind the other */
            if (*a && *b && *a != *b) {
                struct node *end = *a;
                int length = 1;
                while (end->next && length < 64)
                    end = end->next, length++;
                if (!end->next) {
                    end->next = *b;
                    *b = NULL;
                }
            }
            break;
        case 3: /* a block that moves: its old self is freed */
            if (*a) {
                struct node *bigger = realloc(*a, 48 + (r >> 16 & 0x3ff));
                *a = bigger;
            }
            break;
        default: { /* the only pointer moves */
            struct node *held = *a;
            *a = *b;
            *b = held;
        }
        }
    }
    return NULL;
}

static void move(int threads, int cycles, int pause_us)
{
    pthread_t ids[THREADS_MAX];
    static struct places places[THREADS_MAX];
    for (int i = 0; i < threads; i++) {
        places[i].pause_us = pause_us;
        places[i].random = 88172645463325252ull + (uint64_t)i * 7919;
        places[i].slots[0] = calloc(SLOTS, sizeof(struct node *));
        places[i].slots[1] = in_globals[i];
        places[i].slots[2] =
            mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        pthread_create(&ids[i], NULL, mover, &places[i]);
    }
    for (int i = 0; i < cycles; i++) {
        usleep(2000);
        gc();
    }
    stop = 1;
    for (int i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
}

/* ---- mappings under the marker ---- */

static void *harmer(void *arg)
{
    uint64_t random = 2463534242ull;
    (void)arg;
    while (!stop) {
        uint64_t r = next_random(&random);
        size_t size = (1 + (r >> 8 & 7)) << 20;
        char *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        for (size_t i = 0; i < size; i += 4096)
            *(struct node **)(map + i) = in_globals[0][r >> 16 & 15];
        switch (r & 3) {
        case 0:
            mprotect(map, size, PROT_NONE);
            usleep(300);
            break;
        case 1:
            madvise(map, size, MADV_DONTNEED);
            break;
        case 2: {
            char *moved = mremap(map, size, 2 * size, MREMAP_MAYMOVE);
            if (moved != MAP_FAILED) {
                map = moved;
                size *= 2;
            }
            break;
        }
        default: { /* memory of the heap loses its access for a moment */
            char *block = aligned_alloc(4096, 65536);
            memset(block, 1, 65536);
            mprotect(block, 65536, PROT_NONE);
            usleep(300);
            mprotect(block, 65536, PROT_READ | PROT_WRITE);
            free(block);
        }
        }
        munmap(map, size);
        if ((r >> 32 & 15) == 0) {
            pid_t child = fork();
            if (child == 0)
                _exit(in_globals[0][1] ? 0 : 1);
            int status;
            while (waitpid(child, &status, 0) < 0 && errno == EINTR)
                ;
            if (status != 0)
                abort();
        }
    }
    return NULL;
}

static void harm(int cycles)
{
    pthread_t ids[2];
    for (int i = 0; i < 16; i++)
        in_globals[0][i] = list(1000);
    for (int i = 0; i < 2; i++)
        pthread_create(&ids[i], NULL, harmer, NULL);
    for (int i = 0; i < cycles; i++) {
        usleep(2000);
        lose_one();
        gc();
    }
    stop = 1;
    for (int i = 0; i < 2; i++)
        pthread_join(ids[i], NULL);
}

/* ---- what a thread feels ---- */

/* Longest gap between two looks at the clock; and the longest in which the thread has slept, less
 * what of it it has waited for a CPU (second field of schedstat).  What is left out is no stop of
 * ours: a thread that is stopped sleeps, one whose CPU does something else (an interrupt, another
 * guest of the host) does not. */
static volatile int64_t longest_ns, longest_stopped_ns;
static volatile uint64_t looks;

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t waited_ns(int fd)
{
    char text[128] = "";
    if (pread(fd, text, sizeof text - 1, 0) <= 0)
        return 0;
    const char *second = strchr(text, ' ');
    return second ? atoll(second) : 0;
}

static long times_slept(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_THREAD, &usage) ? 0 : usage.ru_nvcsw;
}

static void *watcher(void *arg)
{
    int fd = open("/proc/thread-self/schedstat", O_RDONLY);
    int64_t waited = waited_ns(fd);
    long slept = times_slept();
    (void)arg;
    for (int64_t last = now_ns(); !stop; looks++) {
        int64_t now = now_ns();
        if (now - last > 20000) {
            int64_t waited_now = waited_ns(fd), stopped = now - last - (waited_now - waited);
            long slept_now = times_slept();
            bool sleeps = slept_now != slept;
            waited = waited_now;
            slept = slept_now;
            if (now - last > longest_ns)
                longest_ns = now - last;
            if (sleeps && stopped > longest_stopped_ns)
                longest_stopped_ns = stopped;
            now = now_ns();
        }
        last = now;
    }
    close(fd);
    return NULL;
}

/* What the thread that stops the world has waited for a CPU so far: its clock runs then, though
 * nobody stands still yet. */
static int64_t stopper_waited_ns(void)
{
    int64_t waited = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *entry; tasks && (entry = readdir(tasks));) {
        char path[300], name[32] = "";
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", entry->d_name);
        int fd = open(path, O_RDONLY);
        if (fd < 0)
            continue;
        ssize_t n = read(fd, name, sizeof name - 1);
        close(fd);
        if (n <= 0 || strcmp(name, "memdebug-gc\n") != 0)
            continue;
        snprintf(path, sizeof path, "/proc/self/task/%s/schedstat", entry->d_name);
        fd = open(path, O_RDONLY);
        waited = waited_ns(fd);
        close(fd);
    }
    if (tasks)
        closedir(tasks);
    return waited;
}

static void gap(int cycles, int megabytes)
{
    pthread_t id;
    in_globals[0][0] = NULL;
    for (int i = 0; i < megabytes * (1 << 20) / (int)sizeof(struct node); i++) {
        struct node *node = calloc(1, sizeof *node);
        node->next = in_globals[0][i & (SLOTS - 1)];
        in_globals[0][i & (SLOTS - 1)] = node;
    }
    pthread_create(&id, NULL, watcher, NULL);
    for (int i = 0; i < cycles; i++) {
        usleep(5000);
        lose_one();
        longest_ns = longest_stopped_ns = 0;
        int64_t waited = stopper_waited_ns();
        int error = gc();
        waited = stopper_waited_ns() - waited;
        for (uint64_t seen = looks; looks < seen + 2;)
            usleep(100);
        printf("gap %ld us, stopped %ld, stopper waited %ld, %d\n", (long)(longest_ns / 1000),
               (long)(longest_stopped_ns / 1000), (long)(waited / 1000), error);
        fflush(stdout);
    }
    stop = 1;
    pthread_join(id, NULL);
}

/* ---- lost, known, and found again ---- */

static uintptr_t out_of_sight;
#define DISGUISE UINT64_C(0x8badf00d00000000)

static __attribute__((noinline)) void hide(void)
{
    out_of_sight = (uintptr_t)in_globals[0][0] ^ DISGUISE;
    in_globals[0][0] = NULL;
    lists_lost++;
    tell_lost();
}

/* Into a register of a thread that runs, where only a stop sees it; then back. */
static volatile int in_register;

static __attribute__((noinline)) void hold(void)
{
    uintptr_t held = out_of_sight ^ DISGUISE;
    do
        __asm__ volatile("" : "+b"(held));
    while (in_register);
    out_of_sight = held ^ DISGUISE;
}

static void *scribbler(void *unused)
{
    while (!stop) {
        for (int i = 1; i < SLOTS; i++)
            ((volatile uint64_t *)in_globals[0][i]->payload)[i % 5]++;
        if (in_register) {
            in_register = 2;
            hold();
        }
    }
    return unused;
}

static __attribute__((noinline)) void find(void)
{
    in_globals[0][0] = (struct node *)(out_of_sight ^ DISGUISE);
    out_of_sight = 0;
}

/* The first three of eight: lost, looked at again, known. */
static void idle(int cycles)
{
    while (cycles-- > 0) {
        tell_lost();
        clear_stack();
        gc();
    }
}

static void known(int cycles, const char *other)
{
    int (*set)(const char *, const char *);
    *(void **)&set = dlsym(RTLD_DEFAULT, "md_set");
    pthread_t id;
    for (int i = 0; i < SLOTS; i++)
        in_globals[0][i] = list(i ? 5 : 3);
    pthread_create(&id, NULL, scribbler, NULL);
    for (int i = 0; i < cycles; i++) {
        usleep(2000);
        switch (i % 8) {
        case 0:
            lose_lists(1);
            break;
        case 3:
            hide();
            break;
        case 4: /* what one look has missed */
            in_register = 1;
            while (in_register != 2)
                usleep(10);
            lists_lost--;
            tell_lost();
            break;
        case 5:
            in_register = 0;
            usleep(1000);
            find();
            tell_lost();
            break;
        default:
            tell_lost();
        }
        clear_stack();
        gc();
    }
    in_register = 0;
    stop = 1;
    pthread_join(id, NULL);
    if (other) {
        idle(22);
        set("gcengine", other);
        idle(1);
        set("gcengine", "wp");
        idle(3);
    }
    pid_t child = fork();
    if (child == 0) {
        idle(3);
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

/* ---- a userfaultfd of its own ---- */

/* Of newer headers than Debian 12's. */
#define WP_UNPOPULATED (1u << 13)
#define WP_ASYNC (1u << 15)
struct scan_arg {
    uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
    uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define SCAN_IOCTL _IOWR('f', 16, struct scan_arg)
#define SCAN_WRITTEN (1u << 1)

#define TRACKED_BYTES (4u << 20)

/* Memory whose writes the program itself tracks; NULL: this kernel cannot. */
static char *track_writes(void)
{
    int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | 1 /* USER_MODE_ONLY */);
    struct uffdio_api api = {.api = UFFD_API, .features = 1 | WP_UNPOPULATED | WP_ASYNC};
    char *map =
        mmap(NULL, TRACKED_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct uffdio_register ask = {.range = {(uintptr_t)map, TRACKED_BYTES},
                                  .mode = UFFDIO_REGISTER_MODE_WP};
    if (fd < 0 || ioctl(fd, UFFDIO_API, &api) != 0 || ioctl(fd, UFFDIO_REGISTER, &ask) != 0)
        return NULL;
    memset(map, 1, TRACKED_BYTES);
    struct uffdio_writeprotect arm = {.range = ask.range, .mode = UFFDIO_WRITEPROTECT_MODE_WP};
    return ioctl(fd, UFFDIO_WRITEPROTECT, &arm) == 0 ? map : NULL;
}

/* The pages that have been written to since; up to 8 runs of them. */
static long written_pages(const char *map)
{
    uint64_t runs[8][3];
    int fd = open("/proc/self/pagemap", O_RDONLY);
    struct scan_arg arg = {.size = sizeof arg,
                           .start = (uintptr_t)map,
                           .end = (uintptr_t)map + TRACKED_BYTES,
                           .vec = (uintptr_t)runs,
                           .vec_len = 8,
                           .category_mask = SCAN_WRITTEN,
                           .return_mask = SCAN_WRITTEN};
    long n = ioctl(fd, SCAN_IOCTL, &arg), pages = n < 0 ? -1 : 0;
    for (long i = 0; i < n; i++)
        pages += (long)(runs[i][1] - runs[i][0]) / 4096;
    close(fd);
    return pages;
}

/* Whether what cycles have looked at is the program's to register: memory of the heap, what has not
 * been touched, and what leads to the heap. */
static bool may_register(int fd, void *map, size_t size)
{
    struct uffdio_register ask = {.range = {(uintptr_t)map, size},
                                  .mode = UFFDIO_REGISTER_MODE_MISSING};
    bool done = ioctl(fd, UFFDIO_REGISTER, &ask) == 0;
    if (done)
        ioctl(fd, UFFDIO_UNREGISTER, &ask.range);
    return done;
}

static void own_uffd(int cycles)
{
    int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | 1 /* USER_MODE_ONLY */);
    struct uffdio_api api = {.api = UFFD_API};
    if (fd < 0 || ioctl(fd, UFFDIO_API, &api) != 0) {
        printf("no userfaultfd\n");
        return;
    }
    size_t size = 4 << 20;
    struct node **map =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct uffdio_register ask = {.range = {(uintptr_t)map, size},
                                  .mode = UFFDIO_REGISTER_MODE_MISSING};
    if (ioctl(fd, UFFDIO_REGISTER, &ask) != 0) {
        printf("UFFDIO_REGISTER: %d\n", errno);
        exit(1);
    }
    /* The first page is filled, by the program's own way; all others would block who reads them. */
    static struct node *page[512] __attribute__((aligned(4096)));
    page[7] = list(10);
    struct uffdio_copy copy = {.dst = (uintptr_t)map, .src = (uintptr_t)page, .len = 4096};
    if (ioctl(fd, UFFDIO_COPY, &copy) != 0)
        exit(1);
    page[7] = NULL;
    char *tracked = track_writes();
    struct node **later =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *untouched = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(untouched + 4096, size - 8192, PROT_READ | PROT_WRITE); /* apart from the others */
    char *heap = aligned_alloc(4096, size);
    memset(heap, 1, size);
    for (size_t at = 0; at < size / sizeof *later; at += 512)
        later[at] = map[7];
    for (int i = 0; i < cycles; i++) {
        usleep(2000);
        lose_one();
        if (tracked && i < 100)
            tracked[i * 8192] = 2;
        gc();
        if (map[7]->next == NULL)
            exit(1);
        long written = tracked && i < 8 ? written_pages(tracked) : i + 1;
        if (written != i + 1) {
            printf("%ld pages written to, not %d\n", written, i + 1);
            exit(1);
        }
    }
    if (!may_register(fd, later, size) || !may_register(fd, untouched + 4096, size - 8192) ||
        !may_register(fd, heap, size)) {
        printf("UFFDIO_REGISTER after cycles: %d\n", errno);
        exit(1);
    }
    printf("kept\n");
}

/* ---- code made at run time ---- */

static struct node *volatile meant;

/* Its memory is data, which points to nothing, and becomes code without being written to again:
 * then an address at any byte of it counts. */
static void code(int cycles)
{
    size_t size = 8 << 20;
    char *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(map, 1, size);
    meant = list(10);
    memcpy(map + size / 2 + 3, (const void *)&meant, sizeof meant);
    clear_stack();
    for (int i = 0; i < cycles; i++) {
        if (i == cycles / 2) {
            if (mprotect(map, size, PROT_READ | PROT_WRITE | PROT_EXEC) != 0)
                exit(1);
            meant = NULL;
        }
        lose_one();
        gc();
    }
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    int first = argc > 2 ? atoi(argv[2]) : 1, second = argc > 3 ? atoi(argv[3]) : 1;
    *(void **)&gc = dlsym(RTLD_DEFAULT, "md_gc");
    if (!gc)
        return 2;
    lose_lists(KNOWN);
    clear_stack();
    if (strcmp(what, "move") == 0)
        move(first < THREADS_MAX ? first : THREADS_MAX, second, argc > 4 ? atoi(argv[4]) : 0);
    else if (strcmp(what, "harm") == 0)
        harm(first);
    else if (strcmp(what, "gap") == 0)
        gap(first, second);
    else if (strcmp(what, "known") == 0)
        known(first, argc > 3 ? argv[3] : NULL);
    else if (strcmp(what, "uffd") == 0)
        own_uffd(first);
    else if (strcmp(what, "code") == 0)
        code(first);
    else
        return 2;
    printf("done\n");
    return 0;
}
