/* Index and mark in this process, without a stop: what is reached on random graphs is what a simple
 * marker reaches. */
#include "gc_heap.h"
#include "sanitizers.h"
#include "tap.h"

#include "gc/mark/mark.h"
#include "gc/mark/mark_check.h"
#include "gc/mark/mark_pace.h"
#include "gc/mark/mark_team.h"
#include "gc/sys/fault.h"
#include "gc/sys/pagemap.h"
#include "gc/sys/proc.h"
#include "gc/sys/task.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint64_t random_state = 1;

static uint64_t draw(uint64_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % below;
}

struct object {
    char *block;
    size_t size;
    bool reached, white;
};

static struct object *objects;
static unsigned object_count;

static int by_address(const void *a, const void *b)
{
    const struct object *x = a, *y = b;
    return x->block < y->block ? -1 : x->block > y->block;
}

static struct object *find(uintptr_t address)
{
    unsigned low = 0, high = object_count;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if ((uintptr_t)objects[middle].block <= address)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0 || address - (uintptr_t)objects[low - 1].block >= objects[low - 1].size)
        return NULL;
    return &objects[low - 1];
}

/* The simple marker: a list of what is left to look at, every word, binary search. */
static void reach_simply(uintptr_t *roots, size_t count)
{
    struct object **left = malloc((object_count + 1) * sizeof *left);
    size_t n = 0;
    for (;;) {
        for (size_t i = 0; i < count; i++) {
            struct object *object = find(roots[i]);
            if (object && !object->reached) {
                object->reached = true;
                left[n++] = object;
            }
        }
        if (n == 0)
            break;
        struct object *next = left[--n];
        roots = (uintptr_t *)next->block;
        count = next->size / 8;
    }
    free(left);
}

static const size_t draw_sizes[] = {16,   32,   48,   64,    80,    112,   192,   384,   1024,
                                    1792, 3072, 5120, 10240, 14336, 16384, 40000, 300000};

static void make_graph(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        unsigned big = draw(100) < 3;
        size_t want = draw_sizes[big ? 8 + draw(9) : draw(8)];
        objects[i].block = th_alloc(want);
        objects[i].size = object_class_size[*object_byte(objects[i].block)];
    }
    object_count = count;
    /* Half of the edges go near, as allocation order does. */
    for (unsigned i = 0; i < count; i++) {
        uintptr_t *words = (uintptr_t *)objects[i].block;
        for (unsigned edges = (unsigned)draw(3); edges; edges--) {
            unsigned to = draw(2) ? (unsigned)draw(count) : (i + (unsigned)draw(64)) % count;
            uintptr_t inside = draw(4) ? 0 : draw(objects[to].size);
            words[draw(objects[i].size / 8)] = (uintptr_t)objects[to].block + inside;
        }
        if (draw(8) == 0) /* looks like a pointer and is none, often */
            words[0] = (uintptr_t)objects[0].block + draw(UINT64_C(1) << 30);
    }
    for (unsigned i = 0; i < count; i++)
        if (draw(5) == 0) {
            th_free(objects[i].block);
            objects[i].size = 0;
        }
    unsigned kept = 0;
    for (unsigned i = 0; i < count; i++)
        if (objects[i].size)
            objects[kept++] = objects[i];
    object_count = kept;
    qsort(objects, object_count, sizeof *objects, by_address);
}

/* Blocks full of pointers, to one another and to others: more edges than a small stack takes. */
static uintptr_t wide_root;

static void make_wide(unsigned count)
{
    unsigned first = object_count;
    for (unsigned i = 0; i < count; i++) {
        char *block = th_alloc(14336);
        objects[object_count++] = (struct object){.block = block, .size = 14336};
    }
    for (unsigned i = 0; i < count; i++)
        for (unsigned w = 0; w < 14336 / 8; w++)
            ((uintptr_t *)objects[first + i].block)[w] =
                (uintptr_t)objects[w % 3 ? draw(object_count) : first + draw(count)].block;
    wide_root = (uintptr_t)objects[first].block;
    qsort(objects, object_count, sizeof *objects, by_address);
}

static unsigned visits, wrong_visits;

static void on_white(void *ctx, uintptr_t block, size_t size, bool sampled)
{
    (void)ctx;
    struct object *object = find(block);
    visits++;
    if (!object || (uintptr_t)object->block != block || object->size != size || object->white ||
        sampled)
        wrong_visits++;
    else
        object->white = true;
}

static bool narrow;    /* without AVX2 */
static bool impatient; /* helpers leave at once */
static bool killing;   /* they are killed */
static unsigned killed, passes;
static struct mark mark;

static bool is_stopped(int pid)
{
    char path[32], text[256] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    const char *state = n > 0 ? strstr(text, ") ") : NULL;
    return state && state[2] == 'T';
}

/* Kills helpers that have work in hand: each is stopped first, and goes on if it has none then. */
static void *kill_helpers(void *unused)
{
    while (__atomic_load_n(&killing, __ATOMIC_ACQUIRE)) {
        struct team *team = __atomic_load_n(&mark.team, __ATOMIC_ACQUIRE);
        static int last[MARK_MAX];
        for (unsigned i = 1; team && i < MARK_MAX; i++) {
            int pid = __atomic_load_n(&team->task[i].pid, __ATOMIC_RELAXED);
            struct marker *helper = __atomic_load_n(&team->marker[i], __ATOMIC_ACQUIRE);
            if (pid && pid != last[i] && helper && marker_backlog(helper) > 20) {
                kill(pid, SIGSTOP);
                for (int tries = 0; tries < 100 && !is_stopped(pid); tries++)
                    usleep(10);
                if (is_stopped(pid) && marker_backlog(helper) > 20) {
                    last[i] = pid;
                    killed += kill(pid, SIGKILL) == 0;
                } else {
                    kill(pid, SIGCONT);
                }
            }
        }
    }
    return unused;
}

static void check_mark(size_t range_limit, unsigned helpers, const char *how)
{
    static struct heap_index index;
    pthread_t killer;
    uintptr_t roots[40];
    ok(heap_index_build(&index, NULL), "%s: index", how);
    is(index.objects, th_objects, "%s: objects counted", how);
    is(index.bytes, th_in_use_bytes(), "%s: bytes counted", how);
    ok(mark_init(&mark, &index, range_limit), "%s: marker", how);
    mark.helpers = helpers;
    if (narrow)
        mark.marker->code = &mark_code_any;
    mark.eager = helpers > 0;
    mark.patience_ns = impatient ? -1 : mark.patience_ns;
    for (unsigned i = 0; i < object_count; i++)
        objects[i].reached = objects[i].white = false;
    for (unsigned i = 0; i < 40; i++) {
        unsigned to = (unsigned)draw(object_count);
        roots[i] = (uintptr_t)objects[to].block + draw(objects[to].size);
    }
    if (wide_root)
        roots[7] = wide_root;
    reach_simply(roots, 40);
    ok(mark_check_begin(&mark, NULL), "%s: a simple marker beside it", how);
    mark_from(&mark, (uintptr_t)roots, (uintptr_t)(roots + 20));
    mark_from(&mark, (uintptr_t)(roots + 20), (uintptr_t)(roots + 40));
    bool kills = killing;
    if (kills)
        pthread_create(&killer, NULL, kill_helpers, NULL);
    mark_finish(&mark);
    if (kills) {
        __atomic_store_n(&killing, false, __ATOMIC_RELEASE);
        pthread_join(killer, NULL);
        killing = true;
    }
    passes += mark.again;
    /* Something it must notice: a block that one has reached and the other has not. */
    uint64_t *some = index_white(&index, (uintptr_t)objects[0].block);
    *some ^= index_white_bit((uintptr_t)objects[0].block);
    struct mark_check *check = mark.check;
    is(mark_check_end(&mark), 1, "%s: the two differ in what was changed, and nowhere else", how);
    ok(check && !mark.check, "%s: the simple one is gone", how);
    *some ^= index_white_bit((uintptr_t)objects[0].block);
    uint64_t white, bytes, expected = 0, expected_bytes = 0;
    heap_index_count_white(&index, &white, &bytes);
    visits = wrong_visits = 0;
    heap_index_each_white(&index, on_white, NULL);
    unsigned wrong = 0;
    for (unsigned i = 0; i < object_count; i++) {
        wrong += objects[i].reached == objects[i].white;
        expected += !objects[i].reached;
        expected_bytes += objects[i].reached ? 0 : objects[i].size;
    }
    is(wrong, 0, "%s: each object is reached or white as a simple marker says", how);
    is(white, expected, "%s: white ones counted (of %u)", how, object_count);
    is(bytes, expected_bytes, "%s: their bytes", how);
    is(visits, white, "%s: visited once each", how);
    is(wrong_visits, 0, "%s: at their start, with their size", how);
    ok(kills || (mark.again > 0) == (range_limit == 0), "%s: %u times looked at all again", how,
       mark.again);
    is(mark.markers, helpers + 1, "%s: markers", how);
    unsigned grey = 0;
    for (size_t i = 0; i < index_white_bytes(&index) / 8; i++)
        grey += i % INDEX_PAGE_WORDS >= INDEX_GREY && index.white[i];
    is(grey, 0, "%s: nothing is left to look into", how);
    ok(mark_free(&mark), "%s: memory given back", how);
    heap_index_free(&index);
}

/* Every address of a slab of each class resolves to the block that it lies in. */
static void test_resolve(void)
{
    static struct heap_index index;
    char *blocks[TH_COUNT][20];
    for (unsigned c = 0; c < TH_COUNT - 4; c++)
        for (int i = 0; i < 20; i++)
            blocks[c][i] = c < TH_SMALL || i == 0 ? th_alloc(th_sizes[c]) : NULL;
    heap_index_build(&index, NULL);
    unsigned wrong = 0, tried = 0;
    for (unsigned c = 0; c < TH_COUNT - 4; c++)
        for (size_t at = 0; at < th_sizes[c]; at += 1 + th_sizes[c] / 61) {
            size_t size = 0;
            for (int i = 0; i < 20 && blocks[c][i]; i++) {
                char *block = blocks[c][i];
                uintptr_t got = heap_index_resolve(&index, (uintptr_t)block + at, &size);
                wrong += got != (uintptr_t)block || size != th_sizes[c];
                tried++;
            }
        }
    ok(tried > 30000, "%u addresses tried", tried);
    is(wrong, 0, "each resolves to its block and size");
    size_t size;
    char *last = th_alloc(1 << 20);
    heap_index_build(&index, NULL);
    is(heap_index_resolve(&index, (uintptr_t)last + (1 << 20), &size), 0,
       "one behind the end of a large block is no block");
    is(heap_index_resolve(&index, (uintptr_t)last - 64 * 1, &size), 0, "nor what lies before it");
    is(heap_index_resolve(&index, 0, &size), 0, "nor 0");
    is(heap_index_resolve(&index, UINT64_MAX, &size), 0, "nor -1");
}

/* A large block without contents: nothing of it becomes resident. */
static void test_sparse(void)
{
    static struct heap_index index;
    char *sparse = th_alloc(1 << 28);
    void *target = th_alloc(64);
    memcpy(sparse + (200 << 20), &target, sizeof target);
    heap_index_build(&index, NULL);
    mark_init(&mark, &index, 1000);
    uintptr_t root = (uintptr_t)sparse;
    unsigned char resident[16];
    mark_from(&mark, (uintptr_t)&root, (uintptr_t)(&root + 1));
    mark_finish(&mark);
    mincore((void *)(((uintptr_t)sparse + (100 << 20)) & ~4095ul), 16 * 4096, resident);
    unsigned touched = 0;
    for (int i = 0; i < 16; i++)
        touched += resident[i] & 1;
    is(touched, 0, "pages without contents are not touched");
    ok(!(*index_white(&index, (uintptr_t)target) & index_white_bit((uintptr_t)target)),
       "a pointer in a sparse block is found");
}

/* Memory that goes away while it is looked at: what is still there counts. */
static struct mark gone_mark;
static uintptr_t gone_start;

static void mark_gone(void *ctx)
{
    (void)ctx;
    fault_handle(task_exit);
    mark_from(&gone_mark, gone_start, gone_start + 4096);
    mark_finish(&gone_mark);
}

static void test_gone(void)
{
    static struct heap_index index;
    static struct task task;
    char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void *last = th_alloc(64), *first = th_alloc(64), *never = th_alloc(64);
    heap_index_build(&index, NULL);
    mark_init(&gone_mark, &index, 1000);
    memcpy(pages + 8, &first, sizeof first);
    memcpy(pages + 4096 - 8, &last, sizeof last);
    memcpy(pages + 4096, &never, sizeof never);
    munmap(pages + 4096, 4096);
    gone_start = (uintptr_t)pages + 8;
    is(task_start(&task, mark_gone, NULL, 0) != NULL, false, "a task marks");
    is(task_wait(&task, INT64_C(10000000000)) != NULL, false, "and goes on where it cannot read");
    ok(!(*index_white(&index, (uintptr_t)first) & index_white_bit((uintptr_t)first)) &&
           !(*index_white(&index, (uintptr_t)last) & index_white_bit((uintptr_t)last)),
       "what lies before that is found, to the last word");
    ok(*index_white(&index, (uintptr_t)never) & index_white_bit((uintptr_t)never),
       "and nothing else");
    munmap(pages, 4096);
    mark_free(&gone_mark);
    heap_index_free(&index);
}

static void check_killed(void)
{
#if WITH_ASAN
    tap_skip("helpers that are killed",
             "AddressSanitizer takes a dead task's stack for one in use");
#else
    killing = true;
    passes = 0;
    /* On a busy machine a helper is often done before the signal reaches it. */
    int64_t end = os_now_ns() + INT64_C(15000000000);
    for (int round = 0; round < 2 || (passes == 0 && os_now_ns() < end); round++)
        check_mark(1 << 20, 1 + (unsigned)round % 3, "helpers that are killed");
    killing = false;
    if (killed == 0)
        tap_skip("helpers that are killed", "none was caught with work in hand in 15 s");
    else
        ok(passes > 0, "%u helpers were killed, what they had was looked at again %u times", killed,
           passes);
#endif
}

int main(void)
{
    ok(th_init(NULL), "set up");
    objects = calloc(200100, sizeof *objects);
    make_graph(200000);
    proc_open(false);
    pagemap_open();
    for (int way = 0; way < 3; way++) {
        static const char *const names[] = {"PAGEMAP_SCAN", "pagemap", "mincore"};
        pagemap_way = way;
        check_mark(1 << 20, 0, names[way]);
    }
    pagemap_way = 0;
    mark_hurries = true; /* the others yield to whatever else runs here */
    narrow = true;
    check_mark(1 << 20, 0, "without AVX2");
    narrow = false;
    make_wide(40);
    check_mark(1 << 20, 0, "blocks full of pointers");
    check_mark(0, 0, "no room for large blocks");
    /* Helpers are started with all signals blocked. */
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    for (int round = 0; round < 3; round++)
        check_mark(1 << 20, 1 + (unsigned)round * 2, "several markers");
    check_mark(0, 3, "several markers without room");
    impatient = true;
    for (int round = 0; round < 2; round++)
        check_mark(1 << 20, 1 + (unsigned)round, "helpers that leave");
    impatient = false;
    check_killed();
    test_resolve();
    test_sparse();
    test_gone();
    return tap_done();
}
