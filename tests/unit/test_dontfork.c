/* What a forked copy lacks of what the process has is found, if it is kept out of copies. */
#include "tap.h"

#include "base/os.h"
#include "gc/engine/dontfork.h"
#include "gc/sys/proc.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE ((size_t)16 * OS_PAGE)

static char *map(void)
{
    char *at = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        abort();
    *at = 1;
    return at;
}

/* With two pages between that keep mappings from being merged. */
static char *map_apart(void)
{
    char *at = map();
    mprotect(at, OS_PAGE, PROT_NONE);
    mprotect(at + SIZE - OS_PAGE, OS_PAGE, PROT_NONE);
    return at + OS_PAGE;
}

static void in_copy(void (*meanwhile)(void))
{
    dontfork_before();
    if (meanwhile)
        meanwhile();
    pid_t pid = fork();
    if (pid == 0) {
        alarm(30);
        dontfork_copied();
        _exit(0);
    }
    dontfork_after();
    int status = -1;
    if (waitpid(pid, &status, 0) != pid || status != 0)
        abort();
}

static const size_t inner = SIZE - 2 * OS_PAGE;
static char *comes, *goes;

static void map_late(void)
{
    comes = map_apart();
    madvise(comes, inner, MADV_DONTFORK);
}

static void unmap_late(void)
{
    munmap(goes, inner);
}

static void unmap_start(void)
{
    munmap(goes, 4 * OS_PAGE);
}

int main(void)
{
    proc_open(false);
    in_copy(NULL);
    ok(!dontfork_any(), "a whole copy lacks nothing");

    char *part = map_apart();
    madvise(part + 4 * OS_PAGE, OS_PAGE, MADV_DONTFORK);
    in_copy(NULL);
    ok(dontfork_any(), "a page in the middle of a mapping is missing");
    munmap(part, inner);
    ok(!dontfork_any(), "unless the program has unmapped it since");
    mmap(part, inner, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    ok(!dontfork_any(), "nor is it what the program has mapped in its place");

    char *shared = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    madvise(shared, SIZE, MADV_DONTFORK);
    in_copy(NULL);
    ok(!dontfork_any(), "what is shared does not count");

    goes = map_apart();
    in_copy(unmap_late);
    ok(!dontfork_any(), "nor what was unmapped between the first list and the copy");
    in_copy(map_late);
    ok(dontfork_any(), "what was mapped between the first list and the copy counts");
    madvise(comes, inner, MADV_DOFORK);
    munmap(comes, inner);

    goes = map_apart();
    madvise(goes + 8 * OS_PAGE, OS_PAGE, MADV_DONTFORK);
    in_copy(unmap_start);
    ok(dontfork_any(), "behind what is gone, what is there and kept out is found");
    madvise(goes + 8 * OS_PAGE, OS_PAGE, MADV_DOFORK);

    char *last = NULL;
    for (unsigned i = 0; i < 100; i++)
        madvise(last = map_apart(), inner, MADV_DONTFORK);
    in_copy(NULL);
    ok(dontfork_any(), "more are missing than there is room for");
    madvise(last, inner, MADV_DOFORK);
    dontfork_postfork_child();
    ok(!dontfork_any(), "without lists nothing is missing");
    in_copy(NULL);
    ok(dontfork_any(), "and they are made anew");
    return tap_done();
}
