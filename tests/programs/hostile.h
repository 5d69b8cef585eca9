/* What the hostile programs share: work on the heap that is checked at the end, and a table of
 * modes. */
#ifndef PROGRAMS_HOSTILE_H
#define PROGRAMS_HOSTILE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define RUN_SECONDS 1.0

struct node {
    struct node *next;
    uint64_t number, check;
};

static struct node *list;
static unsigned listed;
static volatile int stop;

static inline double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* A little work on the heap: some of it kept, on a list that is checked at the end. */
static void work(unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        void *gone = malloc(16 + i % 500);
        struct node *node = malloc(sizeof *node);
        if (node && listed < 200000) {
            *node = (struct node){list, listed, listed * 0x9e3779b97f4a7c15u};
            list = node;
            listed++;
        } else {
            free(node);
        }
        free(gone);
    }
}

static int list_is_whole(void)
{
    unsigned count = 0;
    for (struct node *node = list; node; node = node->next, count++)
        if (node->number != listed - 1 - count || node->check != node->number * 0x9e3779b97f4a7c15u)
            return 0;
    return count == listed;
}

static void work_for(double seconds)
{
    for (double end = now() + seconds; now() < end;) {
        work(100);
        usleep(500);
    }
}

static int finish(const char *mode, long count)
{
    printf("%s count=%ld list=%s\n", mode, count, list_is_whole() ? "whole" : "broken");
    fflush(stdout);
    return 0;
}

static inline void *sleep_until_stop(void *unused)
{
    (void)unused;
    void *mine = malloc(100);
    while (!stop)
        usleep(20000);
    free(mine);
    return NULL;
}

struct mode {
    const char *name;
    int (*run)(long number);
};

static inline int run_mode(const struct mode *modes, int argc, char **argv)
{
    for (const struct mode *mode = modes; argc > 1 && mode->name; mode++)
        if (strcmp(mode->name, argv[1]) == 0)
            return mode->run(argc > 2 ? atol(argv[2]) : 0);
    return 2;
}

#endif
