/* Allocates without end until a signal handler calls exit with status 3: unsafe by the book,
 * common, and harmless with most allocators.  sigexit MICROSECONDS */
#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>

static void *volatile slots[1000];

static void on_alarm(int number)
{
    (void)number;
    exit(3);
}

int main(int argc, char **argv)
{
    struct itimerval timer = {{0, 0}, {0, argc > 1 ? atoi(argv[1]) : 50000}};
    signal(SIGALRM, on_alarm);
    setitimer(ITIMER_REAL, &timer, NULL);
    for (unsigned i = 0;; i++) {
        free(slots[i % 1000]);
        slots[i % 1000] = malloc(i % 500);
    }
}
