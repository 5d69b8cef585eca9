#include "gc/dirty/pinned.h"

#include "base/compiler.h"
#include "base/os.h"
#include "gc/stop/blocked.h"
#include "gc/stop/world.h"
#include "gc/sys/proc.h"
#include "gc/sys/raw.h"

#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>

#define RANGES_MAX 1024
/* Looking at more takes longer than rounds save (4 us each). */
#define DESCRIPTORS_MAX 4096
#define VECTORS_MAX 1024 /* the kernel's own limit */

static struct range {
    uintptr_t start, end;
} ranges[RANGES_MAX];
static unsigned range_count;

/* ---- for long ---- */

static const char ring_name[] = "anon_inode:[io_uring]";

static bool begins(const char *path, const char *name)
{
    return strncmp(path, name, strlen(name)) == 0;
}

static void find_ring(void *ctx, const struct proc_mapping *mapping)
{
    *(bool *)ctx |= begins(mapping->path, ring_name) || begins(mapping->path, "/[aio]") ||
                    begins(mapping->path, "socket:[");
}

static bool is_direct(unsigned fd)
{
    char text[512];
    uint64_t flags = 0;
    return proc_descriptor_read(fd, text, sizeof text) > 0 &&
           proc_field(text, "flags:", 8, &flags) && flags & O_DIRECT;
}

/* A ring may lie in memory of the program's own, and show in no mapping (IORING_SETUP_NO_MMAP). */
static void look_at_descriptors(bool *ring, bool *in_calls)
{
    static char buf[32768] DIRENTS_ALIGNED;
    char path[sizeof ring_name];
    unsigned count = 0;
    bool direct = false;
    long fd = -1, dir = proc_self_open("fd", O_RDONLY | O_DIRECTORY);
    struct proc_numbers descriptors = {.fd = dir, .buf = buf, .size = sizeof buf};
    while (dir >= 0 && !*ring && count <= DESCRIPTORS_MAX &&
           (fd = proc_next_number(&descriptors)) >= 0) {
        count++;
        *ring =
            proc_descriptor_link((unsigned)fd, path, sizeof path) > 0 && begins(path, ring_name);
        direct = direct || is_direct((unsigned)fd);
    }
    if (dir >= 0)
        RAW3(SYS_close, dir, 0, 0);
    /* None at all: the main thread, whose table this is, may have ended. */
    *in_calls = direct || dir < 0 || fd < -1 || count == 0 || count > DESCRIPTORS_MAX;
}

const char *pinned_look(bool *in_calls)
{
    char status[4096];
    uint64_t pinned_kb = 0;
    bool ring = false;
    if (proc_self_read("status", status, sizeof status) > 0)
        proc_field(status, "VmPin:", 10, &pinned_kb);
    if (!pinned_kb && !proc_each_mapping(find_ring, &ring))
        return "/proc/self/maps cannot be read";
    if (!pinned_kb && !ring)
        look_at_descriptors(&ring, in_calls);
    return pinned_kb ? "the kernel writes to pinned memory unseen (VmPin)"
           : ring    ? "the kernel writes to memory unseen (io_uring, aio)"
                     : NULL;
}

/* ---- for a call ---- */

static bool add(uintptr_t start, uint64_t size)
{
    if (size == 0)
        return true;
    if (range_count == RANGES_MAX)
        return false;
    uintptr_t end = start + MIN(size, UINT64_C(1) << 31); /* no call reads more */
    ranges[range_count++] = (struct range){start & ~(uintptr_t)(OS_PAGE - 1),
                                           (end + OS_PAGE - 1) & ~(uintptr_t)(OS_PAGE - 1)};
    return true;
}

static bool add_vector(uintptr_t at, uint64_t count)
{
    for (uint64_t i = 0; i < MIN(count, VECTORS_MAX); i++, at += sizeof(struct iovec)) {
        struct iovec part = {NULL, 0};
        if (!blocked_read(at, &part, sizeof part) || !add((uintptr_t)part.iov_base, part.iov_len))
            return false;
    }
    return true;
}

bool pinned_note(void)
{
    range_count = 0;
    for (unsigned i = 0; i < world.count; i++) {
        const struct world_thread *thread = &world.threads[i];
        struct blocked_call call;
        /* One that has answered is in no call.  One that moves meanwhile makes the stop void. */
        if (world_state_of(thread) != WORLD_BLOCKED || !blocked_call_of(thread->tid, &call))
            continue;
        bool noted = true;
        switch (call.number) {
        case SYS_read:
        case SYS_pread64:
            noted = add(call.args[1], call.args[2]);
            break;
        case SYS_readv:
        case SYS_preadv:
        case SYS_preadv2:
            noted = add_vector(call.args[1], call.args[2]);
            break;
        }
        if (!noted)
            return false;
    }
    return true;
}

void pinned_each(void (*fn)(void *ctx, uintptr_t start, uintptr_t end), void *ctx)
{
    for (unsigned i = 0; i < range_count; i++)
        fn(ctx, ranges[i].start, ranges[i].end);
}
