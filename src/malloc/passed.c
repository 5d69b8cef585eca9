#include "malloc/passed.h"

#include "base/compiler.h"
#include "base/message.h"
#include "segment/segment.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HIDDEN __attribute__((visibility("hidden")))

/* What is called until it is known who has the calls next, as by constructors that run before ours:
 * they do what libc's do. */
static int early_dup3(int old, int new, int flags)
{
    return (int)syscall(SYS_dup3, old, new, flags);
}

static int early_dup2(int old, int new)
{
    return old == new ? (fcntl(old, F_GETFD) < 0 ? -1 : new) : early_dup3(old, new, 0);
}

/* Where the exported symbol jumps to, and where its stub that notes goes on to (stubs_x86_64.S). */
#define SLOTS(name)                                                                                \
    extern void *slot_##name HIDDEN, *next_##name HIDDEN;                                          \
    extern char noting_##name[] HIDDEN;                                                            \
    void *slot_##name = (void *)early_##name, *next_##name = (void *)early_##name;
SLOTS(dup2)
SLOTS(dup3)

/* A child of vfork writes into our memory, but its descriptor 2 is not ours. */
HIDDEN __attribute__((used)) void note_descriptor_2(int old);
void note_descriptor_2(int old)
{
    if (!segment_is_guest())
        message_note(old);
}

void passed_note(void)
{
    slot_dup2 = noting_dup2;
    slot_dup3 = noting_dup3;
}

static void find(void **slot, void **next, const char *name, const void *noting)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (!found)
        return;
    *next = found;
    if (*slot != noting)
        *slot = found;
}

void passed_init(void)
{
    find(&slot_dup2, &next_dup2, "dup2", noting_dup2);
    find(&slot_dup3, &next_dup3, "dup3", noting_dup3);
}
