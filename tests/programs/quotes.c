/* A module of redis-server's: QUOTES.MAKE COUNT makes so many quotes, frees them, and forgets each
 * tenth.  It replies how many have been forgotten so far. */
#include "noinline.h"

#include <stdio.h>
#include <stdlib.h>

/* What it takes of redismodule.h: the functions are asked for by name of the first word of the
 * context that comes with loading. */
struct context;
struct argument;
typedef int command(struct context *, struct argument **, int);
static int (*create_command)(struct context *, const char *, command *, const char *, int, int,
                             int);
static void (*set_module)(struct context *, const char *, int, int);
static int (*reply_number)(struct context *, long long);
static int (*read_number)(const struct argument *, long long *);
enum { OK = 0, FAILED = 1, API_VERSION = 1 };

int RedisModule_OnLoad(struct context *context, struct argument **arguments, int count);

struct quote {
    long number;
    char text[192];
};

static NOINLINE struct quote *price_quote(long number)
{
    struct quote *made = calloc(1, sizeof *made);
    if (!made)
        abort();
    made->number = number;
    snprintf(made->text, sizeof made->text, "quote %ld", number);
    return made;
}

static int make(struct context *context, struct argument **arguments, int count)
{
    static long made, forgotten;
    long long wanted = 0;
    if (count != 2 || read_number(arguments[1], &wanted) != OK)
        wanted = 0;
    for (long long i = 0; i < wanted; i++) {
        struct quote *volatile quote = price_quote(made++);
        if (made % 10)
            free(quote);
        else
            forgotten++;
        quote = NULL;
    }
    return reply_number(context, forgotten);
}

int RedisModule_OnLoad(struct context *context, struct argument **arguments, int count)
{
    int (*find)(const char *, void *) = *(int (**)(const char *, void *))context;
    (void)arguments;
    (void)count;
    if (find("RedisModule_CreateCommand", &create_command) != OK ||
        find("RedisModule_SetModuleAttribs", &set_module) != OK ||
        find("RedisModule_ReplyWithLongLong", &reply_number) != OK ||
        find("RedisModule_StringToLongLong", &read_number) != OK)
        return FAILED;
    set_module(context, "quotes", 1, API_VERSION);
    return create_command(context, "quotes.make", make, "fast", 0, 0, 0);
}
