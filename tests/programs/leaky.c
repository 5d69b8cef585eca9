/* Leaks known amounts and says how many, then ends as told.
 *
 *   leaky [--scale N] [--serve] [--child] [--silent] [--threads] [--beside] [--chatty]
 * return|exit|quick_exit| _exit|abort|pthread_exit|none
 *
 * Prints `truth NAME objects=N direct=N` for each function that leaks; "none" leaks nothing and
 * returns.  --serve prints "ready", then leaks as much again by leak_later at each line on stdin.
 * --beside keeps a thread that waits in a read.  --child does the leaking and ending in a forked
 * child too.
 * --chatty leaves text in stdio's buffer.  The status is 7 wherever the program itself may choose
 * one. */
#include "noinline.h"
#include "truth/scrub.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct node {
    struct node *next, *other;
    char payload[32];
};

static void *volatile kept[64];
/* What is stored by way of this cannot be left out by the compiler. */
static void *volatile last;

static NOINLINE void leak_direct(int count)
{
    for (int i = 0; i < count; i++) {
        last = malloc(100);
        memset(last, 1, 100);
    }
    last = NULL;
}

static NOINLINE struct node *make_list(int count)
{
    struct node *head = NULL;
    for (int i = 0; i < count; i++) {
        struct node *n = calloc(1, sizeof *n);
        n->next = head;
        head = n;
    }
    return head;
}

static NOINLINE void leak_list(int count)
{
    last = make_list(count);
    last = NULL;
}

static NOINLINE void leak_large(int count)
{
    for (int i = 0; i < count; i++) {
        last = malloc(300000);
        memset(last, 2, 300000);
    }
    last = NULL;
}

static NOINLINE void leak_later(int count)
{
    for (int i = 0; i < count; i++) {
        last = malloc(200);
        memset(last, 3, 200);
    }
    last = NULL;
}

static NOINLINE void keep(int count)
{
    for (int i = 0; i < count && i < 64; i++)
        kept[i] = malloc(1000);
}

static NOINLINE void *leak_all(void *argument)
{
    int scale = *(int *)argument;
    leak_direct(10 * scale);
    scrub();
    leak_list(5 * scale);
    scrub();
    leak_large(scale);
    scrub();
    keep(20);
    scrub();
    return NULL;
}

static void end(const char *how)
{
    if (strcmp(how, "exit") == 0)
        exit(7);
    if (strcmp(how, "quick_exit") == 0)
        quick_exit(7);
    if (strcmp(how, "_exit") == 0)
        _exit(7);
    if (strcmp(how, "abort") == 0)
        abort();
    if (strcmp(how, "pthread_exit") == 0)
        pthread_exit(NULL);
}

static void late(void)
{
    printf("handler ran\n"); /* stays in the buffer until exit flushes it */
}

static void *wait_for_ever(void *unused)
{
    int ends[2];
    char byte;
    if (pipe(ends) == 0)
        while (read(ends[0], &byte, 1) < 0)
            ;
    return unused;
}

int main(int argc, char **argv)
{
    const char *how = "return";
    bool serve = false, child = false, silent = false, threads = false, chatty = false;
    int scale = 1;
    pthread_t idle;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--scale") == 0 && i + 1 < argc)
            scale = atoi(argv[++i]);
        else if (strcmp(argv[i], "--serve") == 0)
            serve = true;
        else if (strcmp(argv[i], "--child") == 0)
            child = true;
        else if (strcmp(argv[i], "--silent") == 0)
            silent = true;
        else if (strcmp(argv[i], "--threads") == 0)
            threads = true;
        else if (strcmp(argv[i], "--beside") == 0 &&
                 pthread_create(&idle, NULL, wait_for_ever, NULL) != 0)
            return 3;
        else if (strcmp(argv[i], "--chatty") == 0)
            chatty = true;
        else
            how = argv[i];
    }
    if (chatty)
        atexit(late);
    if (strcmp(how, "none") != 0) {
        pthread_t thread;
        if (threads && pthread_create(&thread, NULL, leak_all, &scale) == 0)
            pthread_join(thread, NULL);
        else
            leak_all(&scale);
        if (!silent)
            printf("truth leak_direct objects=%d direct=%d\ntruth leak_list objects=%d direct=1\n"
                   "truth leak_large objects=%d direct=%d\n",
                   10 * scale, 10 * scale, 5 * scale, scale, scale);
    }
    if (serve) {
        char line[80];
        printf("ready\n");
        fflush(stdout);
        while (fgets(line, sizeof line, stdin)) {
            leak_later(10 * scale);
            scrub();
            printf("later\n");
            fflush(stdout);
        }
    }
    if (!chatty)
        fflush(stdout);
    if (child) {
        pid_t pid = fork();
        if (pid == 0) {
            leak_later(10 * scale);
            scrub();
            end(how);
            return 7;
        }
        int status;
        waitpid(pid, &status, 0);
        printf("child %d\n", WEXITSTATUS(status));
    }
    end(how);
    return 7;
}
