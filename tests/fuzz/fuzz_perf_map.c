/* Any bytes as a perf map: each name that is found lies in the file. */
#include "replay.h"

#include "view/perf_map.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static int fd = -1;
    struct perf_map map;
    if (fd < 0)
        fd = memfd_create("map", MFD_CLOEXEC);
    if (ftruncate(fd, 0) != 0 || pwrite(fd, bytes, size, 0) != (ssize_t)size)
        return 0;
    perf_map_read(&map, fd);
    for (uint64_t address = 0; address < 0x3000; address += 0x1f) {
        size_t length = 0;
        const char *name = perf_map_find(&map, address, &length);
        if (name && (name < map.text || name + length > map.text + size || !length))
            abort();
    }
    perf_map_fini(&map);
    return 0;
}

uint8_t *fuzz_seed(unsigned index, size_t *size)
{
    static const char *const seeds[] = {
        "1000 40 JS:*keep /srv/app.js:3:22\n1020 40 JS:^b /srv/app.js:9:1\n2000 8 c\n1ff0 100 d\n",
        "0x0000000000001000 0x0000000000000100 int java.lang.String.hashCode()\n"
        "0x0000000000001100 0x0000000000000020 StubRoutines (1)\n",
    };
    if (index >= sizeof seeds / sizeof seeds[0])
        return NULL;
    *size = strlen(seeds[index]);
    return (uint8_t *)strdup(seeds[index]);
}
