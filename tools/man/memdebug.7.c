/* Prints memdebug(7) as scdoc source; the table of keys is the option list itself. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct row {
    const char *key, *initial, *when, *accepts, *meaning;
};

static const struct row rows[] = {
#define OPTION(id, key, type, initial, when, accepts, meaning)                                     \
    {key, initial, #when, accepts, meaning},
#include "base/options.def"
#undef OPTION
};

/* But for words behind ~, of a later version. */
static void print_accepts(const char *accepts)
{
    for (bool first = true; *accepts; accepts += strspn(accepts, "|")) {
        int length = (int)strcspn(accepts, "|");
        if (*accepts != '~')
            printf("%s%.*s", first ? "" : ", ", length, accepts);
        first = first && *accepts == '~';
        accepts += length;
    }
}

static void print_row(const struct row *row)
{
    printf("*%s* (", row->key);
    print_accepts(row->accepts);
    if (*row->initial)
        printf("; default %s", row->initial);
    putchar(')');
    if (strcmp(row->when, "RUNTIME") == 0)
        printf(", also at run time");
    printf("\n\t%s%s\n\n", row->meaning,
           strcmp(row->when, "LATER") == 0 ? " (not in this version)" : "");
}

int main(void)
{
    puts("memdebug(7)\n\n"
         "# NAME\n\n"
         "memdebug - where the memory of native programs goes\n\n"
         "# SYNOPSIS\n\n"
         "LD_PRELOAD=libmemdebug.so.0 MEMDEBUG=key=value,key=value _program_\n\n"
         "# DESCRIPTION\n\n"
         "A library around jemalloc, preloaded or linked, that prints a line for each cycle of its "
         "tracing collector in the grammar of Go's gctrace, keeps sampled heap profiles that *go "
         "tool pprof* reads, and shares what it counts with *memtop*(1).\n\n"
         "Keys ignore case, _\\__ and -. A lone key means key=1. Sizes: 524288, 512KiB, 64MB, 1g. "
         "Durations: 500ms, 10s, 2m; a bare number is seconds. In paths {pid} or %p is the pid, "
         "{exe} or %e the name, and \\\\, a comma. What is not understood is said in one line on "
         "stderr; the rest applies, and the program runs.\n\n"
         "# KEYS\n");
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++)
        print_row(&rows[i]);
    puts(
        "# FILES\n\n"
        "_/run/memdebug_, _/dev/shm/memdebug-UID_\n\tSegments, PID-STARTTIME.mdseg: what a process "
        "shares; those of dead processes are kept for *memtop*(1).\n\n"
        "_PREFIX.PID.SEQ.CAUSE.pb.gz_\n\tHeap profiles; CAUSE is interval, exit, signal or "
        "request.\n\n"
        "# SEE ALSO\n\n*memtop*(1), *jemalloc*(3)");
    return 0;
}
