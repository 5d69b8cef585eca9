#include "gc/stop/blocked.h"

#include "base/compiler.h"
#include "gc/sys/proc.h"
#include "gc/sys/raw.h"

#include <fcntl.h>
#include <string.h>

static int memory_fd = -1; /* /proc/self/mem */

void blocked_open(void)
{
    memory_fd = (int)proc_self_open("mem", O_RDONLY);
}

void blocked_close(void)
{
    memory_fd = -1;
}

static uint64_t hash_on(uint64_t hash, const char *text)
{
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 1099511628211u;
    return hash;
}

bool blocked_call_of(int tid, struct blocked_call *call)
{
    char text[512];
    /* How often it has been on a CPU: it may have run and be back in the same call.  First, so that
     * a change in between counts as one.  Not in every kernel. */
    if (proc_task_read(tid, "schedstat", text, sizeof text) <= 0)
        text[0] = 0;
    uint64_t hash = hash_on(14695981039346656037u, text);
    if (proc_task_read(tid, "syscall", text, sizeof text) <= 0 || text[0] == 'r') /* running */
        return false;
    /* "NUMBER ARG*6 SP PC", or "-1 SP PC" if it is stopped outside a call. */
    uint64_t words[9] = {0};
    unsigned count = 0;
    for (const char *at = text; count < ARRAY_LENGTH(words); at++) {
        bool is_hex = at[0] == '0' && at[1] == 'x';
        words[count++] = proc_number(is_hex ? at + 2 : at, is_hex ? 16 : 10, NULL);
        at = strchr(at, ' ');
        if (!at)
            break;
    }
    if (count < 3)
        return false;
    *call = (struct blocked_call){.number = text[0] == '-' ? -1 : (int)words[0],
                                  .sp = words[count - 2],
                                  .pc = words[count - 1],
                                  .fingerprint = hash_on(hash, text)};
    if (count == 9)
        memcpy(call->args, words + 1, sizeof call->args);
    return true;
}

bool blocked_read(uintptr_t at, void *to, size_t size)
{
    return RAW4(SYS_pread64, memory_fd, to, size, at) == (long)size;
}
