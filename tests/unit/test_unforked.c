/* What a forked copy lacks of the list made before is found, and nothing else. */
#include "tap.h"

#include "base/os.h"
#include "gc/proc.h"
#include "gc/unforked.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE ((size_t)16 * OS_PAGE)

static struct unforked *found; /* shared with the copy */

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

static void in_copy(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        alarm(30);
        unforked_find(found);
        _exit(0);
    }
    int status = -1;
    if (waitpid(pid, &status, 0) != pid || status != 0)
        abort();
}

static bool has(const void *at)
{
    for (unsigned i = 0; i < found->count; i++)
        if (found->at[i] == (uintptr_t)at)
            return true;
    return false;
}

int main(void)
{
    const size_t inner = SIZE - 2 * OS_PAGE;
    found = mmap(NULL, OS_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    proc_open(false);
    unforked_list(); /* so that its own list is there */
    unforked_list();
    in_copy();
    ok(found->count == 0 && !unforked_is_there(found), "a whole copy lacks nothing");

    char *whole = map_apart(), *part = map_apart(), *gone = map_apart(), *kept = map_apart();
    char *shared = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    madvise(whole, inner, MADV_DONTFORK);
    madvise(part + 4 * OS_PAGE, OS_PAGE, MADV_DONTFORK);
    madvise(shared, SIZE, MADV_DONTFORK);
    unforked_list();
    munmap(gone, inner);
    char *late = map_apart();
    madvise(late, inner, MADV_DONTFORK);
    in_copy();
    ok(has(whole), "a mapping that is not in the copy is missing");
    ok(has(part + 4 * OS_PAGE), "a page in the middle of one, from there on");
    ok(has(gone), "so is one that the program has unmapped");
    ok(!has(kept) && !has(shared) && !has(late) && found->count == 3,
       "nothing else: not what is there, what is shared, what came later");
    ok(unforked_is_there(found), "some of it is still there");
    munmap(whole, inner);
    munmap(part, inner);
    ok(!unforked_is_there(found), "none of it: the program has unmapped it");
    mmap(gone, inner, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    ok(!unforked_is_there(found), "nor what it has mapped in its place");

    madvise(late, inner, MADV_DOFORK);
    munmap(shared, SIZE);
    char *many = map();
    for (unsigned i = 0; i < 100; i++) {
        char *at = map_apart();
        madvise(at, inner, MADV_DONTFORK);
        many = at;
    }
    unforked_list();
    in_copy();
    ok(found->count == UNFORKED_MOST && unforked_is_there(found), "more than there is room for");
    madvise(many, inner, MADV_DOFORK);
    unforked_renew();
    in_copy();
    is(found->count, 0, "without a list nothing is missing");
    return tap_done();
}
