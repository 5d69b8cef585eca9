#include "gc/pinned.h"

#include "base/compiler.h"
#include "base/os.h"
#include "gc/proc.h"
#include "gc/raw.h"
#include "gc/seat.h"
#include "gc/world.h"

#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>

#define MOST_RANGES 1024
/* Looking at more takes longer than rounds save (4 us each). */
#define MOST_DESCRIPTORS 4096
#define MOST_VECTORS 1024 /* the kernel's own limit */

static struct range {
    uintptr_t start, end;
} ranges[MOST_RANGES];
static unsigned range_count;

/* ---- for long ---- */

static void find_ring(void *ctx, const struct proc_mapping *mapping)
{
    static const char *const names[] = {"anon_inode:[io_uring]", "/[aio]", "socket:["};
    for (unsigned i = 0; i < ARRAY_LENGTH(names); i++)
        *(bool *)ctx |= strncmp(mapping->path, names[i], strlen(names[i])) == 0;
}

const char *pinned_for_long(void)
{
    char status[4096];
    uint64_t pinned_kb = 0;
    bool ring = false;
    if (proc_self_read("status", status, sizeof status) > 0)
        proc_field(status, "VmPin:", 10, &pinned_kb);
    if (!pinned_kb && !proc_each_mapping(find_ring, &ring))
        return "/proc/self/maps cannot be read";
    return pinned_kb ? "the kernel writes to pinned memory unseen (VmPin)"
           : ring    ? "the kernel writes to memory unseen (io_uring, aio)"
                     : NULL;
}

/* ---- for a call ---- */

static bool is_direct(const char *number)
{
    char name[32] = "fdinfo/", text[512];
    uint64_t flags = 0;
    strncat(name, number, sizeof name - strlen(name) - 1);
    return proc_self_read(name, text, sizeof text) > 0 && proc_field(text, "flags:", 8, &flags) &&
           flags & O_DIRECT;
}

bool pinned_in_calls(void)
{
    static char buf[32768];
    unsigned count = 0;
    bool found = false;
    long fd = proc_self_open("fd", O_RDONLY | O_DIRECTORY), n = -1;
    while (!found && fd >= 0 && (n = RAW3(SYS_getdents64, fd, buf, sizeof buf)) > 0) {
        for (long at = 0; at < n && !found;) {
            /* struct linux_dirent64: u64 inode, s64 offset, u16 length, u8 type, name */
            uint16_t length;
            memcpy(&length, buf + at + 16, sizeof length);
            const char *name = buf + at + 19;
            at += length;
            if (name[0] < '0' || name[0] > '9')
                continue;
            found = ++count > MOST_DESCRIPTORS || is_direct(name);
        }
    }
    if (fd >= 0)
        RAW3(SYS_close, fd, 0, 0);
    /* None at all: the main thread, whose table this is, may have ended. */
    return found || n < 0 || count == 0;
}

static bool add(uintptr_t start, uint64_t size)
{
    if (size == 0)
        return true;
    if (range_count == MOST_RANGES)
        return false;
    uintptr_t end = start + MIN(size, UINT64_C(1) << 31); /* no call reads more */
    ranges[range_count++] = (struct range){start & ~(uintptr_t)(OS_PAGE - 1),
                                           (end + OS_PAGE - 1) & ~(uintptr_t)(OS_PAGE - 1)};
    return true;
}

static bool add_vector(uintptr_t at, uint64_t count)
{
    for (uint64_t i = 0; i < MIN(count, MOST_VECTORS); i++, at += sizeof(struct iovec)) {
        struct iovec part = {NULL, 0};
        if (!seat_read(at, &part, sizeof part) || !add((uintptr_t)part.iov_base, part.iov_len))
            return false;
    }
    return true;
}

bool pinned_note(void)
{
    range_count = 0;
    for (unsigned i = 0; i < world.count; i++) {
        const struct world_thread *thread = &world.threads[i];
        struct seat seat;
        /* One that has answered is in no call.  One that moves meanwhile makes the stop void. */
        if (world_state_of(thread) != WORLD_BLOCKED || !seat_of(thread->tid, &seat))
            continue;
        bool noted = true;
        switch (seat.number) {
        case SYS_read:
        case SYS_pread64:
            noted = add(seat.args[1], seat.args[2]);
            break;
        case SYS_readv:
        case SYS_preadv:
        case SYS_preadv2:
            noted = add_vector(seat.args[1], seat.args[2]);
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
