/* Holds 2 MB, and calls itself otherwise than it was started, as PostgreSQL and nginx do: it writes
 * over its arguments.
 *
 *   titled ARGUMENT…   "titled: idle", and "titled: busy with 7" from the first SIGUSR1 on */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *first;
static size_t room;

static void set_title(const char *title)
{
    memset(first, 0, room);
    memcpy(first, title, strlen(title) < room ? strlen(title) : room - 1);
}

static void on_signal(int number)
{
    (void)number;
    set_title("titled: busy with 7");
}

int main(int argc, char **argv)
{
    first = argv[0];
    room = (size_t)(argv[argc - 1] + strlen(argv[argc - 1]) + 1 - first);
    signal(SIGUSR1, on_signal);
    for (int i = 0; i < 2000; i++) {
        char *kept = malloc(1000);
        if (!kept)
            return 1;
        memset(kept, 1, 1000);
    }
    set_title("titled: idle");
    puts("ready");
    fflush(stdout);
    for (;;)
        pause();
}
