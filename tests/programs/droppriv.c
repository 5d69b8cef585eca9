/* A server as many are: starts as root, gives up its privileges, allocates, goes on.
 *
 *   droppriv [--close] [--chroot DIR]
 *
 * Becomes uid and gid 65534 first thing in main; with --close it also closes all descriptors from 3
 * on, as daemons do.  Then it does a cycle for each line that it reads on stdin, and says "cycle".
 */
#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern int md_gc(void) __attribute__((weak));

static void need(int condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "droppriv: %s: %s\n", what, strerror(errno));
    exit(9);
}

int main(int argc, char **argv)
{
    static void *kept[3000];
    char line[64];
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--close") == 0)
            for (int fd = 3; fd < 1024; fd++)
                close(fd);
        else if (strcmp(argv[i], "--chroot") == 0 && i + 1 < argc)
            need(chroot(argv[++i]) == 0 && chdir("/") == 0, "chroot");
    }
    need(setgroups(0, NULL) == 0 && setgid(65534) == 0 && setuid(65534) == 0, "setuid");
    for (int i = 0; i < 3000; i++)
        kept[i] = malloc(1000);
    while (fgets(line, sizeof line, stdin)) {
        if (md_gc)
            md_gc();
        printf("cycle\n");
        fflush(stdout);
    }
    return kept[2999] == NULL;
}
