/* growing KIND: memory that grows, or does not, in a way that is known, at some MB a second until
 * it is killed.
 *
 *   leak    each session's token is forgotten when the next comes
 *   blocks  a block of 1.5 MB is forgotten each 6 s, beside blocks that come and go
 *   pool    each third request that a pool of threads handles is lost what was made of it
 *   wrapper three callers allocate by one function, and one forgets
 *   queue   jobs are put into a queue that nobody takes them from
 *   holes   blocks of which one of each page outlives the others: slabs that stay partly used
 *   maps    mappings of the program's own
 *   threads workers are started that nobody ends
 *   churn   blocks come and go, some live for seconds; nothing grows
 *   warm    a table is filled for some seconds, and then used
 *   saw     a heap that fills up and is emptied, each few seconds
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { STEP_MS = 20, STEPS = 1000 / STEP_MS };

static void *use(void *block)
{
    __asm__ volatile("" : "+r"(block) : : "memory");
    return block;
}

static void *filled(void *block, size_t size)
{
    if (!block)
        abort();
    return use(memset(block, 1, size));
}

static void *volatile keep;

/* ---- leak ---- */

__attribute__((noinline)) static void renew_session(size_t size)
{
    keep = filled(malloc(size), size);
}

/* ---- blocks ---- */

__attribute__((noinline)) static void load_frame(unsigned step)
{
    size_t size = 1500000;
    if (step % (6 * STEPS) == 0)
        keep = filled(malloc(size), size);
}

/* ---- pool ---- */

struct request {
    struct request *next;
    char body[700];
};
static struct request *requests;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t come = PTHREAD_COND_INITIALIZER;

__attribute__((noinline)) static char *parse(const struct request *request)
{
    return use(strndup(request->body, sizeof request->body));
}

static void *work(void *unused)
{
    for (unsigned n = 0;; n++) {
        pthread_mutex_lock(&lock);
        while (!requests)
            pthread_cond_wait(&come, &lock);
        struct request *request = requests;
        requests = request->next;
        pthread_mutex_unlock(&lock);
        char *parsed = parse(request);
        if (n % 3 != 0) /* the way of an error forgets it */
            free(parsed);
        free(request);
    }
    return unused;
}

static void send_requests(unsigned step)
{
    pthread_t thread;
    for (int i = 0; step == 0 && i < 8; i++)
        if (pthread_create(&thread, NULL, work, NULL) != 0)
            abort();
    for (int i = 0; i < 60; i++) {
        struct request *request = filled(malloc(sizeof *request), sizeof *request);
        pthread_mutex_lock(&lock);
        request->next = requests;
        requests = request;
        pthread_cond_signal(&come);
        pthread_mutex_unlock(&lock);
    }
}

/* ---- wrapper ---- */

static void *shelf[4096];

__attribute__((noinline)) static void *get_memory(size_t size)
{
    return filled(malloc(size), size);
}

__attribute__((noinline)) static void replace_page(unsigned n)
{
    free(shelf[n % 4096]);
    shelf[n % 4096] = get_memory(2000);
}

__attribute__((noinline)) static void log_line(void)
{
    free(get_memory(300));
}

__attribute__((noinline)) static void set_cookie(void)
{
    keep = get_memory(450);
}

static void serve_pages(unsigned step)
{
    for (unsigned i = 0; i < 30; i++) {
        replace_page(step * 30 + i);
        log_line();
        set_cookie();
    }
}

/* ---- queue ---- */

struct job {
    struct job *next;
    char text[1000];
};
static struct job *volatile jobs;

__attribute__((noinline)) static void push_job(void)
{
    struct job *job = filled(malloc(sizeof *job), sizeof *job);
    job->next = jobs;
    jobs = job;
}

/* ---- holes ---- */

/* Each second more blocks than ever are there for a moment, and all are freed but one of each page
 * that is new.  So the heap stays as small as it is, while no page can be given back. */
enum { HOLE_SIZE = 256, HOLES_A_PAGE = 4096 / HOLE_SIZE - 1, PEAK_STEP = (2 << 20) / HOLE_SIZE };
static void *slots[1 << 21];
enum { SLOTS = sizeof slots / sizeof slots[0] };

__attribute__((noinline)) static void make_holes(unsigned second)
{
    static size_t holes; /* in pages of the seconds before */
    static void **volatile kept;
    size_t count = (size_t)(second + 1) * PEAK_STEP;
    if (count > SLOTS)
        return;
    for (size_t i = 0; i < count; i++)
        slots[i] = filled(malloc(HOLE_SIZE), HOLE_SIZE);
    for (size_t i = 0; i < count; i++)
        if (i < holes || (i - holes) % (HOLES_A_PAGE + 1) != 0) {
            free(slots[i]);
        } else {
            void **block = slots[i];
            *block = kept;
            kept = block;
        }
    holes += (count - holes) * HOLES_A_PAGE / (HOLES_A_PAGE + 1);
}

/* ---- the others ---- */

__attribute__((noinline)) static void map_more(void)
{
    size_t size = 64 << 10;
    keep =
        filled(mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), size);
}

static void *wait_for_work(void *unused)
{
    volatile char used[200 << 10];
    for (size_t i = 0; i < sizeof used; i += 1024)
        used[i] = 1;
    for (;;)
        pause();
    return unused;
}

__attribute__((noinline)) static void start_worker(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, wait_for_work, NULL) != 0)
        abort();
}

enum { TABLE = 1 << 16 };

static uint64_t random_state = 88172645463325252u;
static uint64_t draw(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

__attribute__((noinline)) static void replace_some(void)
{
    for (int i = 0; i < 2000; i++) {
        void **slot = &slots[draw() % TABLE];
        size_t size = 16 + draw() % 1000;
        free(*slot);
        *slot = filled(malloc(size), size);
    }
}

__attribute__((noinline)) static void fill_table(unsigned step)
{
    enum { EACH = TABLE / (8 * STEPS) };
    for (size_t i = (size_t)step * EACH; i < (size_t)(step + 1) * EACH && i < TABLE; i++)
        slots[i] = filled(malloc(1000), 1000);
}

__attribute__((noinline)) static void fill_or_empty(unsigned step)
{
    unsigned tooth = step % (7 * STEPS);
    for (size_t i = 0; i < 100; i++) {
        void **slot = &slots[(size_t)tooth * 100 + i];
        free(*slot);
        *slot = filled(malloc(1000), 1000);
    }
    for (size_t i = 0; tooth == 7 * STEPS - 1 && i < TABLE; i++) {
        free(slots[i]);
        slots[i] = NULL;
    }
}

int main(int argc, char **argv)
{
    const char *kind = argc > 1 ? argv[1] : "";
    struct timespec next;
    clock_gettime(CLOCK_MONOTONIC, &next);
    for (unsigned step = 0;; step++) {
        if (strcmp(kind, "leak") == 0)
            for (int i = 0; i < 32; i++)
                renew_session(1280);
        else if (strcmp(kind, "blocks") == 0)
            load_frame(step), replace_some();
        else if (strcmp(kind, "pool") == 0)
            send_requests(step);
        else if (strcmp(kind, "wrapper") == 0)
            serve_pages(step);
        else if (strcmp(kind, "queue") == 0)
            for (int i = 0; i < 40; i++)
                push_job();
        else if (strcmp(kind, "holes") == 0) {
            if (step % STEPS == 0)
                make_holes(step / STEPS);
        } else if (strcmp(kind, "maps") == 0)
            map_more();
        else if (strcmp(kind, "threads") == 0) {
            free(filled(malloc(70000), 70000)); /* which publishes its counts */
            if (step % 16 == 0)
                start_worker();
        } else if (strcmp(kind, "churn") == 0)
            replace_some();
        else if (strcmp(kind, "warm") == 0)
            fill_table(step);
        else if (strcmp(kind, "saw") == 0)
            fill_or_empty(step);
        else
            return 2;
        if (step == 0) {
            printf("growing\n");
            fflush(stdout);
        }
        next.tv_nsec += STEP_MS * 1000000;
        next.tv_sec += next.tv_nsec / 1000000000;
        next.tv_nsec %= 1000000000;
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
    }
}
