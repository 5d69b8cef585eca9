/* A graph of blocks that is known: says where each lies, then waits for its standard input to end;
 * with "busy" another thread allocates and frees meanwhile. Pointers are kept nowhere but where it
 * says, as far as a program can see to that.
 *
 *   table     table (global) -> buckets -> nodes -> payload
 *   list      list (global) -> a list of LIST nodes
 *   ring      ring (global) -> three nodes in a circle
 *   shared    left, right (globals) -> one block each, which both hold a third
 *   stack     on the stack of a thread named "holder" alone
 *   local     in a thread-local of that thread alone
 *   inside    inside (global) -> the middle of a block
 *   lost      a block that nothing leads to, which holds a second */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUCKETS 64
#define NODES 200
#define LIST 1000
#define TINY 500

struct node {
    struct node *next;
    void *payload;
    char filling[80];
};

struct table {
    uint64_t count;
    struct node **buckets;
};

struct table *table;
struct node *list, *ring;
void **left, **right;
char *inside, *beside;
void **tinies;
static _Thread_local void *local;
static int times = 1; /* as many nodes of the table and of the list */

static void say(const char *name, const void *block)
{
    printf("%s %#lx\n", name, (unsigned long)(uintptr_t)block);
}

static __attribute__((noinline)) struct node *new_node(struct node *next)
{
    struct node *node = calloc(1, sizeof *node);
    node->next = next;
    return node;
}

static __attribute__((noinline)) void *new_payload(size_t size)
{
    return calloc(1, size);
}

static __attribute__((noinline)) struct node **new_buckets(void)
{
    return calloc(BUCKETS, sizeof(struct node *));
}

static __attribute__((noinline)) void *new_shared(void)
{
    return calloc(1, 640);
}

static __attribute__((noinline)) void **new_holder(void *held)
{
    void **holder = calloc(1, 48);
    holder[2] = held;
    return holder;
}

static __attribute__((noinline)) void fill_table(void)
{
    table = calloc(1, sizeof *table);
    table->buckets = new_buckets();
    say("table", table);
    say("buckets", table->buckets);
    for (int i = 0; i < NODES * times; i++) {
        struct node **bucket = &table->buckets[i % BUCKETS];
        *bucket = new_node(*bucket);
        (*bucket)->payload = new_payload(1024);
        table->count++;
    }
    say("node", table->buckets[5]);
    say("payload", table->buckets[5]->payload);
    say("last_payload", table->buckets[3]->next->next->payload);
}

static __attribute__((noinline)) struct node *new_list_node(struct node *next)
{
    return new_node(next);
}

static __attribute__((noinline)) void fill_lists(void)
{
    for (int i = 0; i < LIST * times; i++) {
        list = new_list_node(list);
        if (i == 0)
            say("list_tail", list);
    }
    say("list", list);
    struct node *third = new_node(NULL), *second = new_node(third), *first = new_node(second);
    third->next = first;
    ring = first;
    say("ring", first);
    say("ring_second", second);
    say("ring_third", third);
}

static __attribute__((noinline)) void *new_tiny(void)
{
    void *tiny = malloc(8);
    __asm__ volatile("" : "+r"(tiny)); /* or the call is the caller's last */
    return tiny;
}

static __attribute__((noinline)) void fill_tiny(void)
{
    tinies = calloc((size_t)(TINY * times), sizeof *tinies);
    for (int i = 0; i < TINY * times; i++)
        tinies[i] = new_tiny();
}

static __attribute__((noinline)) void fill_others(void)
{
    void *shared = new_shared();
    left = new_holder(shared);
    right = new_holder(shared);
    say("left", left);
    say("shared", shared);
    char *freed = calloc(1, 5000);
    beside = calloc(1, 5000); /* of a size that nobody else has */
    say("freed", freed);
    free(freed);
    inside = (char *)new_payload(2000) + 777;
    say("inside", inside - 777);
    void **lost = new_holder(new_payload(300));
    say("lost", lost);
    say("lost_held", lost[2]);
}

/* By a thread that ends: what it leaves on its stack is dead, and it has no cache any more. */
static void *fill(void *unused)
{
    (void)unused;
    fill_table();
    fill_lists();
    fill_tiny();
    fill_others();
    return NULL;
}

static void *hold(void *unused)
{
    (void)unused;
    pthread_setname_np(pthread_self(), "holder");
    void *volatile on_stack = new_payload(400);
    local = new_payload(500);
    say("stack", on_stack);
    say("local", local);
    say("thread_is", (void *)(uintptr_t)gettid());
    puts("ready");
    fflush(stdout);
    for (char byte; read(0, &byte, 1) > 0;)
        ;
    say("stack", on_stack); /* it is still of use */
    return NULL;
}

static void keep_busy(pthread_t until)
{
    while (pthread_tryjoin_np(until, NULL) != 0) {
        for (int i = 0; i < 16; i++)
            free(new_payload(8192));
        usleep(1000);
    }
}

int main(int argc, char **argv)
{
    pthread_t thread;
    if (argc > 2)
        times = atoi(argv[2]);
    pthread_create(&thread, NULL, fill, NULL);
    pthread_join(thread, NULL);
    pthread_create(&thread, NULL, hold, NULL);
    if (argc > 1 && strcmp(argv[1], "busy") == 0)
        keep_busy(thread);
    else
        pthread_join(thread, NULL);
    return 0;
}
