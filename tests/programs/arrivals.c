/* Pointers that arrive by the kernel's hand: 500 blocks are held by one page only, now by this, now
 * by that of 256.  Its contents are written to a file or a pipe, read from there into another, and
 * cleared where they were, so that at every moment all are held by memory that the program can
 * read.
 *
 *   arrivals pipe FILE CYCLES MEGABYTES     by a thread that waits in read
 *   arrivals direct FILE CYCLES MEGABYTES   from the file, opened with O_DIRECT
 *   arrivals uring FILE CYCLES MEGABYTES    from the file, by io_uring, into registered buffers
 *   arrivals ring FILE CYCLES MEGABYTES     by io_uring, whose rings lie in our memory, registered
 *                                           nowhere
 *
 * The pages hang on a list of so many MB, far from each other, and nowhere else that a marker can
 * see: it comes to one after the other, and what it seeks is on those that it has passed.  Each
 * cycle is asked for by md_gc. 77: this machine cannot do it, and why. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define PAGES 256
#define PAGE 4096
#define BLOCKS 500

struct node {
    struct node *next;
    char *page;
    uint64_t payload[6];
};

static struct node *volatile list;
static uintptr_t hidden[PAGES]; /* XORed */
static volatile bool over;
static int file, pipe_ends[2];

#define HIDE UINT64_C(0x5eed000000000000)

static char *page(int index)
{
    return (char *)(hidden[index] ^ HIDE);
}

static void cannot(const char *what)
{
    printf("%s: %s\n", what, strerror(errno));
    exit(77);
}

/* ---- ways to read PAGE bytes into page `index` ---- */

static bool whole(long n)
{
    return n == PAGE;
}

/* Written when the reader is likely to wait. */
static void *feed(void *from)
{
    usleep(500);
    return (void *)(uintptr_t)whole(write(pipe_ends[1], from, PAGE));
}

static bool by_pipe(const char *from, int to)
{
    pthread_t feeder;
    void *fed = NULL;
    if (pthread_create(&feeder, NULL, feed, (void *)from) != 0)
        return false;
    long n;
    do
        n = read(pipe_ends[0], page(to), PAGE);
    while (n < 0 && errno == EINTR);
    pthread_join(feeder, &fed);
    return whole(n) && fed;
}

static bool by_direct(const char *from, int to)
{
    return whole(pwrite(file, from, PAGE, 0)) && whole(pread(file, page(to), PAGE, 0));
}

static int ring;
static bool own_ring;
static struct io_uring_params params;
static char *submissions, *completions;
static struct io_uring_sqe *entries;

#define FIELD(map, offset) (*(unsigned *)((map) + (offset)))

static bool by_uring(const char *from, int to)
{
    if (!whole(pwrite(file, from, PAGE, 0)))
        return false;
    unsigned tail = FIELD(submissions, params.sq_off.tail);
    unsigned slot = tail & FIELD(submissions, params.sq_off.ring_mask);
    entries[slot] = (struct io_uring_sqe){
        .opcode = own_ring ? IORING_OP_READ : IORING_OP_READ_FIXED,
        .fd = file,
        .addr = (uintptr_t)page(to),
        .len = PAGE,
        .buf_index = own_ring ? 0 : (uint16_t)to,
    };
    (&FIELD(submissions, params.sq_off.array))[slot] = slot;
    __atomic_store_n(&FIELD(submissions, params.sq_off.tail), tail + 1, __ATOMIC_RELEASE);
    unsigned left = 1;
    unsigned *head = &FIELD(completions, params.cq_off.head);
    while (__atomic_load_n(&FIELD(completions, params.cq_off.tail), __ATOMIC_ACQUIRE) == *head) {
        long n = syscall(SYS_io_uring_enter, ring, left, 1, IORING_ENTER_GETEVENTS, NULL, 0);
        if (n < 0 && errno != EINTR)
            return false;
        left -= n > 0;
    }
    const struct io_uring_cqe *done = (void *)(completions + params.cq_off.cqes);
    int result = done[*head & FIELD(completions, params.cq_off.ring_mask)].res;
    __atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
    return whole(result);
}

static char *map_ring(size_t size, off_t what)
{
    char *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, ring, what);
    if (map == MAP_FAILED)
        cannot("mmap of a ring");
    return map;
}

static void open_ring(void)
{
    struct iovec buffers[PAGES];
    ring = (int)syscall(SYS_io_uring_setup, 4, &params);
    if (ring < 0)
        cannot("io_uring_setup");
    submissions =
        map_ring(params.sq_off.array + params.sq_entries * sizeof(unsigned), IORING_OFF_SQ_RING);
    completions = map_ring(params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe),
                           IORING_OFF_CQ_RING);
    entries = (void *)map_ring(params.sq_entries * sizeof *entries, IORING_OFF_SQES);
    for (int i = 0; i < PAGES; i++)
        buffers[i] = (struct iovec){page(i), PAGE};
    if (syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS, buffers, PAGES) < 0)
        cannot("io_uring_register");
}

#define NO_MMAP (1u << 14) /* of newer headers than Debian 12's */

/* The last member, which became user_addr in newer headers, and was resv2. */
#define SET_USER_ADDRESS(offsets, address)                                                         \
    memcpy((char *)&(offsets) + sizeof(offsets) - sizeof(uint64_t),                                \
           &(uint64_t){(uintptr_t)(address)}, 8)

static void open_own_ring(void)
{
    own_ring = true;
    submissions = completions = aligned_alloc(PAGE, PAGE);
    entries = aligned_alloc(PAGE, PAGE);
    memset(submissions, 0, PAGE);
    memset(entries, 0, PAGE);
    params.flags = NO_MMAP;
    SET_USER_ADDRESS(params.cq_off, completions);
    SET_USER_ADDRESS(params.sq_off, entries);
    ring = (int)syscall(SYS_io_uring_setup, 4, &params);
    if (ring < 0)
        cannot("io_uring_setup with rings of our own (Linux 6.5)");
}

/* ---- moving ---- */

static bool (*way)(const char *from, int to);

/* NULL: all went well. */
static void *move(void *arg)
{
    unsigned seed = 1;
    for (int at = 0, to; !over; at = to) {
        do
            to = rand_r(&seed) % PAGES;
        while (to == at);
        if (!way(page(at), to))
            return (void *)"a page did not arrive";
        memset(page(at), 0, PAGE);
        usleep(1000);
    }
    return arg;
}

int main(int argc, char **argv)
{
    if (argc < 5)
        return 2;
    int cycles = atoi(argv[3]);
    bool direct = strcmp(argv[1], "direct") == 0;
    int (*gc)(void) = (int (*)(void))dlsym(RTLD_DEFAULT, "md_gc");
    file = open(argv[2], O_RDWR | (direct ? O_DIRECT : 0));
    if (file < 0)
        cannot(direct ? "open with O_DIRECT" : "open");
    if (pipe(pipe_ends) != 0)
        cannot("pipe");
    for (int i = 0; i < PAGES; i++) {
        hidden[i] = (uintptr_t)aligned_alloc(PAGE, PAGE) ^ HIDE;
        memset(page(i), 0, PAGE);
    }
    bool uring = strcmp(argv[1], "uring") == 0, own = strcmp(argv[1], "ring") == 0;
    way = direct ? by_direct : uring || own ? by_uring : by_pipe;
    if (uring)
        open_ring();
    else if (own)
        open_own_ring();
    long nodes = atol(argv[4]) << 14, apart = nodes / PAGES;
    for (long i = 0; i < nodes; i++) {
        struct node *node = malloc(sizeof *node);
        node->next = list;
        node->page = i % apart || i / apart >= PAGES ? NULL : page((int)(i / apart));
        list = node;
    }
    for (int i = 0; i < BLOCKS; i++)
        ((void **)page(0))[i] = malloc(200);
    pthread_t mover;
    void *wrong = NULL;
    pthread_create(&mover, NULL, move, NULL);
    for (int i = 0; gc && i < cycles; i++)
        gc();
    over = true;
    pthread_join(mover, &wrong);
    puts(wrong ? (const char *)wrong : "done");
    return wrong != NULL;
}
