/* Any bytes as a trace line: what is read must be written to a line that reads the same. */
#include "replay.h"

#include "view/gctrace.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct md_cycle one, two;
    char name[GCTRACE_NAME_SIZE], line[GCTRACE_LINE_SIZE], json[GCTRACE_JSON_SIZE];
    uint32_t pid;
    if (!gctrace_parse((const char *)bytes, size, &one, &pid, name))
        return 0;
    size_t n = gctrace_format(&one, pid, name, line, sizeof line);
    if (!n || !gctrace_format_json(GCTRACE_EXACT, &one, pid, name, json, sizeof json))
        abort();
    if (!gctrace_parse(line, n, &two, &pid, name))
        abort();
    char again[GCTRACE_LINE_SIZE];
    if (gctrace_format(&two, pid, name, again, sizeof again) != n || memcmp(line, again, n) != 0)
        abort();
    return 0;
}

uint8_t *fuzz_seed(unsigned index, size_t *size)
{
    static const char *const seeds[] = {
        "gc 9 @0.485s 0%: 0.035+0.21+0.002 ms clock, 0.071+0/0.077/0.064+0.004 ms cpu, 6->6->6 MB, "
        "12 MB goal, 0 MB stacks, 0 MB globals, 2 P (forced)\n",
        "gc 8 @0.480s 0%: 0.014+0.30+0.002 ms clock, 0.028+0/0.064/0.086+0.005 ms cpu, "
        "10->10->6 MB, 10 MB goal, 0 MB stacks, 0 MB globals, 2 P, 48211 objects, 12 unreachable "
        "1536 B, pid 812 redis-server (forced)\n",
        "gcskip @12.345s threads did not stop, pid 812 redis-server\n",
    };
    if (index >= sizeof seeds / sizeof seeds[0])
        return NULL;
    *size = strlen(seeds[index]);
    return (uint8_t *)strdup(seeds[index]);
}
