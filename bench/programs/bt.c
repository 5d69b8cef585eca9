/* Binary trees by malloc and free, 16-byte nodes: nothing but the allocator's fast paths.
 *
 *   bt DEPTH [abrupt]   abrupt: ends by _exit, so that nothing is done at its end */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct node {
    struct node *left, *right;
};

static struct node *make(int depth)
{
    struct node *node = malloc(sizeof *node);
    if (node == NULL)
        abort();
    if (depth > 0) {
        node->left = make(depth - 1);
        node->right = make(depth - 1);
    } else {
        node->left = node->right = NULL;
    }
    return node;
}

static long check(const struct node *node)
{
    return node->left ? 1 + check(node->left) + check(node->right) : 1;
}

static void drop(struct node *node)
{
    if (node->left) {
        drop(node->left);
        drop(node->right);
    }
    free(node);
}

int main(int argc, char **argv)
{
    int limit = argc > 1 ? atoi(argv[1]) : 16;
    struct node *stretch = make(limit + 1);
    long sum = check(stretch);
    drop(stretch);
    struct node *lasting = make(limit);
    for (int depth = 4; depth <= limit; depth += 4)
        for (int i = 0; i < 1 << (limit - depth + 4); i++) {
            struct node *tree = make(depth);
            sum += check(tree);
            drop(tree);
        }
    sum += check(lasting);
    drop(lasting);
    printf("%ld\n", sum);
    fflush(stdout);
    if (argc > 2)
        _exit(0);
    return 0;
}
