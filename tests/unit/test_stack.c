/* Stacks of this process and the objects that their addresses lie in, against what the frames
 * themselves, the loader and /proc/self/maps tell. */
#include "base/compiler.h"
#include "base/options.h"
#include "base/os.h"
#include "core_test.h"
#include "segment/segment.h"
#include "stack/loaded.h"
#include "stack/modules.h"
#include "stack/unwind.h"
#include "tap.h"

#include <inttypes.h>
#include <link.h>
#include <signal.h>
#include <sys/stat.h>

#define DEPTH 20

/* One stack, and the return addresses of the DEPTH frames above libc's: each notes its own.  Of the
 * unwinder's own object nothing is told up to the first frame of another: libc's, as it is libc
 * that calls `take`. */
static uint64_t noted[DEPTH], pcs[UNWIND_ROOM];
static unsigned pc_count, most;
static bool certain, truncated;

static int take(const void *a, const void *b)
{
    (void)a;
    (void)b;
    if (!pc_count)
        pc_count = unwind_stack(pcs, most, certain, &truncated);
    return 0;
}

static void take_by_libc(void)
{
    int two[2] = {0, 1};
    pc_count = 0;
    qsort(two, 2, sizeof two[0], take);
}

static void take_in_handler(int signal)
{
    (void)signal;
    take_by_libc();
}

static volatile unsigned frames; /* so that no call is the last thing that a function does */

static NOINLINE void descend(unsigned depth, void (*bottom)(void))
{
    noted[depth - 1] = machine_code_address((uintptr_t)__builtin_return_address(0));
    if (depth < DEPTH)
        descend(depth + 1, bottom);
    else
        bottom();
    frames++;
}

/* Where the addresses noted begin among those that were told, innermost first; -1: nowhere. */
static int find_noted(void)
{
    for (unsigned from = 0; from + DEPTH <= pc_count; from++) {
        unsigned same = 0;
        while (same < DEPTH && pcs[from + same] == noted[DEPTH - 1 - same])
            same++;
        if (same == DEPTH)
            return (int)from;
    }
    return -1;
}

static void raise_signal(void)
{
    raise(SIGUSR1);
}

static void test_stacks(void)
{
    uint64_t whole[UNWIND_ROOM];
    most = MD_STACK_MAX_DEPTH;
    descend(1, take_by_libc);
    int at = find_noted();
    ok(at > 0 && !truncated, "a stack has each return address of %d frames", DEPTH);
    unsigned same = at + DEPTH - 1, wrong = 0; /* that one comes from another place below */
    memcpy(whole, pcs, sizeof whole);
    /* Fast enough to be given the way of threads that sample often. */
    for (unsigned i = 0; i < 1000; i++) {
        descend(1, take_by_libc);
        wrong += find_noted() != at || memcmp(pcs, whole, same * sizeof *pcs) != 0;
    }
    is(wrong, 0, "the same one, 1000 times, as it is of one that samples often");
    certain = true;
    descend(1, take_by_libc);
    certain = false;
    is(find_noted(), at, "the same one, as all of it is certain");
    most = 5;
    descend(1, take_by_libc);
    ok(pc_count == 5 && truncated && memcmp(pcs, whole, 5 * sizeof *pcs) == 0,
       "the innermost five, and that there are more");
    most = MD_STACK_MAX_DEPTH;
    signal(SIGUSR1, take_in_handler);
    descend(1, raise_signal);
    ok(find_noted() > at, "one that is taken in a signal's handler has those below it");
}

static unsigned objects, unlike;

static int compare_object(struct dl_phdr_info *info, size_t size, void *data)
{
    struct loaded found;
    uintptr_t code = 0, end = 0, tables = 0, dynamic = 0;
    unsigned count;
    (void)size;
    (void)data;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + p->p_vaddr;
        if (p->p_type == PT_LOAD && p->p_flags & PF_X) {
            code = start;
            end = start + p->p_memsz;
        } else if (p->p_type == PT_GNU_EH_FRAME) {
            tables = start;
        } else if (p->p_type == PT_DYNAMIC) {
            dynamic = start;
        }
    }
    objects++;
    const ElfW(Phdr) *headers = NULL;
    bool same = loaded_at(code, &found) && (headers = loaded_headers(&found, &count)) != NULL &&
                count == info->dlpi_phnum &&
                memcmp(headers, info->dlpi_phdr, count * sizeof *headers) == 0;
    same = same && found.bias == info->dlpi_addr && found.tables == tables &&
           found.dynamic == dynamic && code >= found.start && end <= found.end &&
           strcmp(found.name, info->dlpi_name) == 0 && loaded_at(end - 1, &found);
    if (!same)
        tap_print("# unlike: \"%s\"", info->dlpi_name);
    unlike += !same;
    return 0;
}

static void test_loaded(void)
{
    struct loaded found;
    int local;
    dl_iterate_phdr(compare_object, NULL);
    ok(objects > 1 && unlike == 0, "%u objects are as the loader lists them", objects);
    ok(!loaded_at(0, &found) && !loaded_at((uintptr_t)&local, &found) &&
           !loaded_at((uintptr_t)segment_header(), &found),
       "none holds nothing, a stack or our own memory");
}

/* The mapping with code that holds `address`: its start and its place in the file. */
static bool mapping_of(uint64_t address, uint64_t *start, uint64_t *offset, char *path)
{
    char line[512], rights[8];
    bool found = false;
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps && !found && fgets(line, sizeof line, maps)) {
        uint64_t end;
        *path = 0;
        found = sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %" SCNx64 " %*s %*s %400s", start, &end,
                       rights, offset, path) >= 4 &&
                rights[2] == 'x' && address >= *start && address < end;
    }
    if (maps)
        fclose(maps);
    return found;
}

/* The loader may have come to it by a link. */
static bool same_file(const char *a, const char *b)
{
    struct stat st, other;
    return stat(a, &st) == 0 && stat(b, &other) == 0 && st.st_dev == other.st_dev &&
           st.st_ino == other.st_ino;
}

static void test_modules(void)
{
    most = MD_STACK_MAX_DEPTH;
    descend(1, take_by_libc);
    uint32_t epoch = modules_epoch(pcs, pc_count);
    uint64_t count = segment_count(MD_SECTION_MODULES);
    const struct md_module *modules = segment_table(MD_SECTION_MODULES);
    unsigned wrong = 0;
    for (unsigned i = 0; i < pc_count; i++) {
        uint64_t start = 0, offset = 0, m = 0;
        char path[512];
        while (m < count && pcs[i] - 1 - modules[m].start >= modules[m].limit - modules[m].start)
            m++;
        bool mapped = mapping_of(pcs[i] - 1, &start, &offset, path);
        if (m == count || !mapped || modules[m].start != start || modules[m].offset != offset ||
            (*path == '/' && !same_file(modules[m].path, path))) {
            wrong++;
            tap_print("# %s at %" PRIx64 ", offset %" PRIx64 ": %s at %" PRIx64 ", offset %" PRIx64,
                      path, start, offset, m == count ? "no module" : modules[m].path,
                      m == count ? 0 : modules[m].start, m == count ? 0 : modules[m].offset);
        }
    }
    ok(count >= 2 && wrong == 0, "%u modules of a stack, mapped as /proc/self/maps has them",
       (unsigned)count);
    ok(modules_epoch(pcs, pc_count) == epoch && segment_count(MD_SECTION_MODULES) == count,
       "asked again nothing has changed");
}

int main(void)
{
    options_parse("monitor=off");
    unwind_init();
    if (!segment_init(0))
        return 1;
    test_stacks();
    test_loaded();
    test_modules();
    segment_fini();
    return tap_done();
}
