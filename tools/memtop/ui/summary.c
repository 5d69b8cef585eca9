#include "summary.h"

#include "report.h"
#include "series/site_text.h"
#include "view/plain_text.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

static double seconds_of(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static void command_text(const struct summary *summary, char *buffer, size_t size)
{
    size_t n = 0;
    buffer[0] = '\0';
    for (size_t i = 0; i < summary->argument_count && n + 1 < size; i++) {
        char clean[256];
        plain_text(clean, sizeof clean, summary->argument[i], sizeof clean);
        n += (size_t)snprintf(buffer + n, size - n, "%s%s", i > 0 ? " " : "", clean);
    }
}

/* h:mm:ss or m:ss.cc, as time -v. */
static void elapsed_text(double seconds, char *buffer, size_t size)
{
    unsigned long whole = (unsigned long)seconds;
    if (whole >= 3600)
        snprintf(buffer, size, "%lu:%02lu:%02lu", whole / 3600, whole / 60 % 60, whole % 60);
    else
        snprintf(buffer, size, "%lu:%05.2f", whole / 60, fmod(seconds, 60));
}

static void print_rusage(const struct summary *summary, FILE *out)
{
    const struct rusage *usage = summary->usage;
    char elapsed[32], rss[UNITS_SIZE];
    double user = seconds_of(usage->ru_utime), system = seconds_of(usage->ru_stime);
    elapsed_text(summary->wall_seconds, elapsed, sizeof elapsed);
    fprintf(out, "  elapsed        %s (wall)  user %.2fs  system %.2fs  %.0f%% CPU\n", elapsed,
            user, system,
            summary->wall_seconds > 0 ? 100 * (user + system) / summary->wall_seconds : 0);
    fprintf(out, "  peak resident  %s  page faults %ld major, %ld minor  swaps %ld\n",
            units_bytes(rss, (double)usage->ru_maxrss * 1024), usage->ru_majflt, usage->ru_minflt,
            usage->ru_nswap);
    fprintf(out, "  switches       %ld voluntary, %ld involuntary  file system %ld in, %ld out\n",
            usage->ru_nvcsw, usage->ru_nivcsw, usage->ru_inblock, usage->ru_oublock);
}

static void print_growth(struct watch *watch, FILE *out)
{
    uint32_t order[3];
    char growth[UNITS_SIZE], inuse[UNITS_SIZE];
    const struct sites *sites = watch->model.sites;
    size_t found = watch_sites(watch, SITES_BY_INUSE, order, 3, 3);
    bool merged = false;
    for (size_t i = 0; i < found; i++) {
        const struct site *site = &sites->group[order[i]];
        char held[SITE_FIGURE_SIZE], grown[SITE_FIGURE_SIZE], error[UNITS_SIZE];
        struct site_name name;
        if (site->inuse_bytes <= 0)
            break;
        site_name_text(watch->names, site, true, &name);
        units_bytes(inuse, site->inuse_bytes);
        units_growth(growth, site->growth_bytes);
        site_figure_text(sites, site, inuse, held);
        site_figure_text(sites, site, growth, grown);
        fprintf(out, "  %-14s %s (error %s; %s in the last %.0fs)  %s\n",
                i == 0 ? "held at the end" : "", held,
                site_error_text(sites, site, SITES_BY_INUSE, error), grown, sites->growth_seconds,
                name.text);
        merged = merged || site->members > 1;
    }
    if (merged)
        fprintf(out, "  %-14s " SITE_MERGED_NOTE "\n", "");
}

static void print_memdebug(const struct summary *summary, FILE *out)
{
    struct watch *watch = summary->watch;
    const struct md_header *header = &watch->source.snapshot.header;
    const struct md_counters *counters = &header->counters;
    bool counted = watch->model.objects_counted;
    char a[UNITS_SIZE], b[UNITS_SIZE], c[UNITS_SIZE], d[UNITS_SIZE];
    double objects =
        counted ? (double)counters->alloc_objects : watch->sites[MD_BUCKET_HEAP].alloc_objects;
    fprintf(out, "  peak heap      %s  at the end %s\n",
            units_bytes(a, (double)counters->peak_bytes),
            units_bytes(b, (double)header_inuse(header)));
    fprintf(out, "  allocated      %s in %s%s objects  freed %s\n",
            units_bytes(a, (double)counters->alloc_bytes), counted ? "" : "~",
            units_count(b, objects), units_bytes(c, (double)counters->free_bytes));
    fprintf(out, "  samples        %" PRIu64 " (one each %s)", counters->samples,
            units_bytes(a, (double)header->memprofilerate));
    fprintf(out, "\n");
    report_losses(out, watch, "  ");
    const struct trace *trace = &watch->trace;
    if (trace->cycles > 0) {
        fprintf(out, "  cycles         %" PRIu64 "  pause p50 %s  p99 %s  max %s\n",
                counters->cycles, units_pause(a, watch->model.pauses.p50_ns),
                units_pause(b, watch->model.pauses.p99_ns),
                units_pause(c, watch->model.pauses.max_ns));
        fprintf(out, "  unreachable    %" PRIu64 " objects, %s at the last cycle\n",
                trace->unreachable_objects, units_bytes(d, (double)trace->unreachable_bytes));
    } else if (header->flags & MD_FLAG_GC) {
        fprintf(out, "  cycles         none\n");
    }
    print_growth(watch, out);
}

static void print_json(const struct summary *summary, FILE *out)
{
    const struct rusage *usage = summary->usage;
    char command[1024];
    command_text(summary, command, sizeof command);
    json_t *object = json_object(), *text = json_string(command);
    json_object_set_new(object, "version", json_integer(NDJSON_VERSION));
    json_object_set_new(object, "type", json_string("run_summary"));
    json_object_set_new(object, "command", text ? text : json_null());
    const bool signalled = WIFSIGNALED(summary->status);
    json_object_set_new(object, "exit_status",
                        signalled ? json_null() : json_integer(WEXITSTATUS(summary->status)));
    json_object_set_new(object, "signal",
                        signalled ? json_integer(WTERMSIG(summary->status)) : json_null());
    const struct {
        const char *key;
        double value;
    } times[] = {{"elapsed_seconds", summary->wall_seconds},
                 {"user_seconds", seconds_of(usage->ru_utime)},
                 {"system_seconds", seconds_of(usage->ru_stime)},
                 {"peak_rss_bytes", (double)usage->ru_maxrss * 1024},
                 {"major_faults", (double)usage->ru_majflt},
                 {"minor_faults", (double)usage->ru_minflt},
                 {"voluntary_switches", (double)usage->ru_nvcsw},
                 {"involuntary_switches", (double)usage->ru_nivcsw}};
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++)
        json_object_set_new(object, times[i].key, ndjson_number(times[i].value));
    char *target = summary->watch ? report_json_text(summary->watch, 10) : NULL;
    json_t *state = target ? json_loads(target, 0, NULL) : NULL;
    free(target);
    json_object_set_new(object, "target", state ? state : json_null());
    ndjson_line(out, object);
}

void summary_print(const struct summary *summary, bool json, FILE *out)
{
    char command[256];
    if (json) {
        print_json(summary, out);
        return;
    }
    command_text(summary, command, sizeof command);
    fprintf(out, "\nmemtop: %s", command);
    if (WIFSIGNALED(summary->status))
        fprintf(out, ": ended by signal %d (%s)%s\n", WTERMSIG(summary->status),
                strsignal(WTERMSIG(summary->status)),
                WCOREDUMP(summary->status) ? ", core dumped" : "");
    else
        fprintf(out, ": exit status %d\n", WEXITSTATUS(summary->status));
    print_rusage(summary, out);
    if (summary->watch)
        print_memdebug(summary, out);
    else
        fprintf(out, "  memdebug       %s\n",
                summary->why_none && summary->why_none[0]
                    ? summary->why_none
                    : "no segment was seen: less than 512 KiB allocated, or it ended too soon");
    if (summary->log)
        fprintf(out, "  output         %s\n", summary->log);
}
