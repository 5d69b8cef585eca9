/* A heap of many small nodes, a few of them leaked; says when main returns, so that what is left
 * until the process has ended is the leak check.
 *
 *   leak MEGABYTES LEAKED */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct node {
    struct node *left, *right;
    char data[48];
};

static struct node *volatile root;

static struct node *tree(unsigned long nodes)
{
    if (nodes == 0)
        return NULL;
    struct node *node = malloc(sizeof *node);
    memset(node->data, 'x', sizeof node->data);
    node->left = tree((nodes - 1) / 2);
    node->right = tree(nodes - 1 - (nodes - 1) / 2);
    return node;
}

static struct node *volatile last; /* so that the compiler leaves the allocations in */

/* Each is the head of a list of ten. */
static __attribute__((noinline)) void leak(int count)
{
    for (int i = 0; i < count; i++) {
        struct node *head = NULL;
        for (int k = 0; k < 10; k++) {
            struct node *node = calloc(1, sizeof *node);
            node->left = head;
            last = head = node;
        }
    }
    last = NULL;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    root = tree(strtoul(argv[1], NULL, 10) * (1 << 20) / sizeof(struct node));
    leak(atoi(argv[2]));
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    printf("end %lld.%09ld\n", (long long)now.tv_sec, now.tv_nsec);
    fflush(stdout); /* LeakSanitizer ends the process by _exit */
    return 0;
}
