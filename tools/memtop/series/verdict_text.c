#include "evidence.h"

#include "view/leaks.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct line {
    char *text;
    size_t length;
};

__attribute__((format(printf, 2, 3))) static void add(struct line *line, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int n =
        vsnprintf(line->text + line->length, VERDICT_TEXT_SIZE - line->length, format, arguments);
    va_end(arguments);
    line->length += n > 0 ? (size_t)n : 0;
    if (line->length >= VERDICT_TEXT_SIZE)
        line->length = VERDICT_TEXT_SIZE - 1;
}

static void add_growth(struct line *line, double bytes)
{
    char text[LEAKS_BYTES_SIZE];
    leaks_bytes(fabs(bytes), text);
    add(line, "%c%s", bytes < 0 ? '-' : '+', text);
}

static void add_time(struct line *line, double seconds)
{
    static const struct {
        double seconds;
        const char *unit;
    } units[] = {{172800, "d"}, {7200, "h"}, {120, "min"}, {0, "s"}};
    static const double each[] = {86400, 3600, 60, 1};
    size_t i = 0;
    while (seconds < units[i].seconds)
        i++;
    add(line, " in %.*f %s", seconds < 1, seconds / each[i], units[i].unit);
}

/* A site: the frame that is the program's own, and who has called it. */
static void add_name(struct line *line, const char *label)
{
    static const char arrow[] = " \xe2\x86\x90 ";
    const char *caller = label ? strstr(label, arrow) : NULL;
    const char *end = caller ? strstr(caller + sizeof arrow - 1, arrow) : NULL;
    add(line, "%.*s", label ? (int)(end ? (size_t)(end - label) : strlen(label)) : 3,
        label ? label : "...");
}

/* "nearly all by A", "mostly by A", "35 % by A and 28 % by B"; of slabs "pinned by". */
static void add_names(struct line *line, const struct verdict *verdict, const char *between,
                      const char *const label[VERDICT_NAMES])
{
    const char *by = verdict->kind == VERDICT_KEPT ? "pinned by" : "by";
    if (verdict->name_count == 0)
        return;
    double share = verdict->name[0].share;
    if (share >= 0.5 || verdict->name_count == 1) {
        if (share >= 0.5)
            add(line, "%s%s %s ", between, share >= 0.9 ? "nearly all" : "mostly", by);
        else
            add(line, "%s%.0f %% %s ", between, 100 * share, by);
        add_name(line, label[0]);
        return;
    }
    for (size_t i = 0; i < verdict->name_count; i++) {
        add(line, "%s%.0f %% %s ", i == 0 ? between : " and ", 100 * verdict->name[i].share, by);
        add_name(line, label[i]);
    }
}

static const struct {
    const char *name, *text;
} parts[VERDICT_SERIES] = {
    [VERDICT_SLACK] = {"slab_slack", "fragmentation (free space in partly used slabs)"},
    [VERDICT_CACHES] = {"thread_caches", "free blocks in threads' caches"},
    [VERDICT_FREE] = {"free_pages", "free pages that the allocator keeps (memtop purge)"},
    [VERDICT_METADATA] = {"metadata", "the allocator's metadata"},
    [VERDICT_STACKS] = {"stacks", "stacks of threads"},
    [VERDICT_ANONYMOUS] = {"anonymous", "anonymous maps"},
    [VERDICT_FILES] = {"files", "mapped files"},
    [VERDICT_SHARED] = {"shared", "shared memory"},
};

const char *verdict_kind_name(const struct verdict *verdict)
{
    static const char *const names[] = {NULL,     "leak",      "reachable",
                                        "growth", "allocator", "outside"};
    return names[verdict->kind];
}

const char *verdict_part_name(const struct verdict *verdict)
{
    bool has = verdict->kind == VERDICT_KEPT || verdict->kind == VERDICT_OUTSIDE;
    return has ? parts[verdict->part].name : NULL;
}

static void add_leak(struct line *line, const struct verdict *verdict)
{
    char leaked[LEAKS_BYTES_SIZE];
    leaks_bytes(verdict->leaked_bytes, leaked);
    double share = verdict->leaked_bytes / verdict->growth_bytes;
    add_growth(line, verdict->growth_bytes);
    add_time(line, verdict->seconds);
    /* Where other memory has gone meanwhile, more leaks than there is growth. */
    if (verdict->growth_bytes > 0 && share < 1.1)
        add(line, ": %.0f %% leaked", fmin(100 * share, 100));
    else
        add(line, ": %s leaked", leaked);
}

static void add_resident(struct line *line, const struct verdict *verdict)
{
    bool flat = fabs(verdict->heap_bytes) < verdict->growth_bytes / 10;
    add(line, "RSS ");
    add_growth(line, verdict->growth_bytes);
    add_time(line, verdict->seconds);
    if (verdict->kind == VERDICT_OUTSIDE) {
        add(line, " outside the heap: %s", parts[verdict->part].text);
        return;
    }
    add(line, ", heap ");
    if (flat)
        add(line, "flat");
    else
        add_growth(line, verdict->heap_bytes);
    add(line, ": %.0f %% ", 100 * verdict->part_bytes / verdict->growth_bytes);
    if (verdict->block_bytes)
        add(line, "fragmentation of %" PRIu64 " B slabs", verdict->block_bytes);
    else
        add(line, "%s", parts[verdict->part].text);
}

char *verdict_text(const struct verdict *verdict, enum evidence_cycles cycles,
                   const char *const label[VERDICT_NAMES], char text[VERDICT_TEXT_SIZE])
{
    static const char *const why[] = {
        [EVIDENCE_NEVER] = "a leak or not is known only of programs started with MEMDEBUG=gc=ready",
        [EVIDENCE_NONE] = "no cycle has run: memtop leaks tells whether it is a leak",
        [EVIDENCE_OLD] = "no cycle of late: memtop leaks tells whether it is a leak",
        [EVIDENCE_CYCLES] = "one more cycle tells whether it is a leak: memtop leaks"};
    struct line line = {.text = text};
    text[0] = '\0';
    switch (verdict->kind) {
    case VERDICT_NONE:
        break;
    case VERDICT_LEAK:
        add_leak(&line, verdict);
        add_names(&line, verdict, ", ", label);
        break;
    case VERDICT_HELD:
        add_growth(&line, verdict->growth_bytes);
        add_time(&line, verdict->seconds);
        add(&line, ": reachable");
        add_names(&line, verdict, ", ", label);
        add(&line, " (a cache or a queue)");
        break;
    case VERDICT_GROWTH:
        add_growth(&line, verdict->growth_bytes);
        add_time(&line, verdict->seconds);
        add_names(&line, verdict, ", ", label);
        add(&line, ": %s", why[cycles]);
        break;
    case VERDICT_KEPT:
    case VERDICT_OUTSIDE:
        add_resident(&line, verdict);
        add_names(&line, verdict, ", ", label);
        break;
    }
    return text;
}

char *verdict_line(const struct verdict *verdict, enum evidence_cycles cycles,
                   const struct names *names, char text[VERDICT_TEXT_SIZE])
{
    const char *label[VERDICT_NAMES] = {NULL};
    for (size_t i = 0; i < verdict->name_count; i++) {
        const struct stack_names *found = names_find(names, verdict->name[i].stack);
        label[i] = found ? found->label : NULL;
    }
    return verdict_text(verdict, cycles, label, text);
}
