#include "view/top.h"

#include "view/plain_text.h"

#include <locale.h>
#include <math.h>
#include <string.h>
#include <time.h>

struct unit {
    const char *name;
    const char *aliases[4];
    double factor;
};

struct unit_type {
    struct unit units[10];
    const char *default_name;
    double default_factor;
};

/* pprof's units, factors and spellings. */
static const struct unit_type unit_types[] = {
    {{{"B", {"b", "byte"}, 1},
      {"kB", {"kb", "kbyte", "kilobyte"}, 0x1p10},
      {"MB", {"mb", "mbyte", "megabyte"}, 0x1p20},
      {"GB", {"gb", "gbyte", "gigabyte"}, 0x1p30},
      {"TB", {"tb", "tbyte", "terabyte"}, 0x1p40},
      {"PB", {"pb", "pbyte", "petabyte"}, 0x1p50}},
     "B",
     1},
    {{{"ns", {"ns", "nanosecond"}, 1},
      {"us", {"\xce\xbcs", "us", "microsecond"}, 1e3},
      {"ms", {"ms", "millisecond"}, 1e6},
      {"s", {"s", "sec", "second"}, 1e9},
      {"hrs", {"hour", "hr"}, 3600e9}},
     "s",
     1e9},
    {{{"n*GCU", {"nanogcu"}, 1e-9},
      {"u*GCU", {"microgcu"}, 1e-6},
      {"m*GCU", {"milligcu"}, 1e-3},
      {"GCU", {"gcu"}, 1},
      {"k*GCU", {"kilogcu"}, 1e3},
      {"M*GCU", {"megagcu"}, 1e6},
      {"G*GCU", {"gigagcu"}, 1e9},
      {"T*GCU", {"teragcu"}, 1e12},
      {"P*GCU", {"petagcu"}, 1e15}},
     "GCU",
     1},
};

static const struct unit *find_unit(const struct unit_type *type, const char *name)
{
    char lower[32];
    size_t n = strlen(name);
    if (n >= sizeof lower)
        return NULL;
    for (size_t i = 0; i <= n; i++)
        lower[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] + 'a' - 'A') : name[i];
    if (n > 2 && lower[n - 1] == 's')
        lower[n - 1] = 0;
    for (const struct unit *u = type->units; u < type->units + 10 && u->name; u++)
        for (unsigned i = 0; i < 4 && u->aliases[i]; i++)
            if (strcmp(u->aliases[i], lower) == 0)
                return u;
    return NULL;
}

/* pprof's measurement.Scale.  `to` is a unit, "minimum" or "auto". */
static double scale(int64_t value, const char *from, const char *to, const char **unit)
{
    if (value < 0 && value != INT64_MIN)
        return -scale(-value, from, to, unit);
    bool automatic = strcmp(to, "minimum") == 0 || strcmp(to, "auto") == 0;
    for (size_t t = 0; t < sizeof unit_types / sizeof unit_types[0]; t++) {
        const struct unit_type *type = &unit_types[t];
        const struct unit *source = find_unit(type, from), *target = NULL;
        if (!source)
            continue;
        double v = (double)value * source->factor;
        if (automatic) {
            double largest = 0;
            for (const struct unit *u = type->units; u < type->units + 10 && u->name; u++)
                if (u->factor >= largest && v / u->factor >= 1.0) {
                    largest = u->factor;
                    target = u;
                }
        } else {
            target = find_unit(type, to);
        }
        *unit = target ? target->name : type->default_name;
        return v / (target ? target->factor : type->default_factor);
    }
    bool plain = automatic || strcmp(to, "count") == 0 || strcmp(to, "sample") == 0 ||
                 strcmp(to, "unit") == 0;
    *unit = plain ? "" : to;
    return (double)value;
}

void top_select_unit(struct top *top)
{
    int64_t min = 0, max = top->total;
    top->output_unit = "minimum";
    for (size_t i = 0; i < top->row_count; i++) {
        int64_t v = top->rows[i].flat ? top->rows[i].flat : top->rows[i].cum;
        v = v < 0 ? (int64_t)(0 - (uint64_t)v) : v;
        if (v > 0 && (!min || v < min))
            min = v;
    }
    if (!top->row_count)
        return;
    if (!min)
        min = max;
    const char *min_unit, *max_unit, *unit;
    scale(min, top->unit, "minimum", &min_unit);
    scale(max, top->unit, "minimum", &max_unit);
    unit = min_unit;
    /* Far apart: a larger unit, so that the smallest may go down to 0.01 of it. */
    int64_t hundred = (int64_t)((uint64_t)min * 100);
    if (strcmp(min_unit, max_unit) != 0 && hundred < max)
        scale(hundred, top->unit, "minimum", &unit);
    top->output_unit = *unit ? unit : top->unit;
}

/* Puts a point where printf has put the decimal mark of the program's locale. */
static void point(char *text)
{
    const char *mark = localeconv()->decimal_point;
    char *at = *mark ? strstr(text, mark) : NULL;
    if (at && strcmp(mark, ".") != 0) {
        size_t n = strlen(mark);
        *at = '.';
        memmove(at + 1, at + n, strlen(at + n) + 1);
    }
}

static void label_text(int64_t value, const char *from, const char *to, char text[TOP_TEXT_SIZE])
{
    const char *unit;
    snprintf(text, TOP_TEXT_SIZE, "%.2f", scale(value, from, to, &unit));
    point(text);
    size_t n = strlen(text);
    if (n > 3 && strcmp(text + n - 3, ".00") == 0)
        text[n -= 3] = 0;
    if (strcmp(text, "0") == 0 || strcmp(text, "-0") == 0)
        snprintf(text, TOP_TEXT_SIZE, "0");
    else
        snprintf(text + n, TOP_TEXT_SIZE - n, "%s", unit);
}

void top_value_text(const struct top *top, int64_t value, char text[TOP_TEXT_SIZE])
{
    label_text(value, top->unit, top->output_unit, text);
}

void top_percent_text(int64_t value, int64_t total, char text[TOP_TEXT_SIZE])
{
    double ratio = total ? fabs((double)value / (double)total) * 100 : 0;
    if (ratio >= 99.95 && ratio <= 100.05)
        snprintf(text, TOP_TEXT_SIZE, "  100%%");
    else
        snprintf(text, TOP_TEXT_SIZE, ratio >= 1.0 ? "%5.2f%%" : "%5.2g%%", ratio);
    point(text);
}

static const char *trimmed(const char *text)
{
    while (*text == ' ')
        text++;
    return text;
}

/* "2006-01-02 15:04:05 MST", as pprof has it since Go 1.24. */
static void print_time(int64_t nanos, FILE *out)
{
    time_t seconds = (time_t)(nanos / 1000000000 - (nanos % 1000000000 < 0));
    struct tm tm;
    if (!localtime_r(&seconds, &tm))
        return;
    char text[64];
    if (strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S %Z", &tm) > 0)
        fprintf(out, "Time: %s\n", text);
}

static void print_line(const char *before, const char *text, FILE *out)
{
    fputs(before, out);
    plain_print(text, out);
    putc('\n', out);
}

static void print_header(const struct top *top, const struct profile *p, FILE *out)
{
    if (p->mapping_count) {
        const char *file = p->mappings[0].file, *slash = strrchr(file, '/');
        if (*file)
            print_line("File: ", slash ? slash + 1 : file, out);
        if (*p->mappings[0].build_id)
            print_line("Build ID: ", p->mappings[0].build_id, out);
    }
    for (size_t i = 0; i < p->comment_count; i++)
        if (p->comments[i][0] != '#')
            print_line("", p->comments[i], out);
    if (*top->type)
        print_line("Type: ", top->type, out);
    if (p->time_nanos)
        print_time(p->time_nanos, out);
    if (p->duration_nanos) {
        char duration[TOP_TEXT_SIZE], total[TOP_TEXT_SIZE], ratio[TOP_TEXT_SIZE] = "";
        const char *unit;
        label_text(p->duration_nanos, "nanoseconds", "auto", duration);
        top_value_text(top, top->total, total);
        double nanos = scale(top->total, top->unit, "nanoseconds", &unit);
        if (strcmp(unit, "ns") == 0 && nanos != 0)
            top_percent_text((int64_t)nanos, p->duration_nanos, ratio);
        fprintf(out, "Duration: %s, Total samples = %s %s%s%s\n", duration, total,
                *ratio ? "(" : "", ratio, *ratio ? ")" : "");
    }
}

/* "   35%", a relative standard error; "     -" of nothing. */
static void error_text(int64_t value, double variance, char text[TOP_TEXT_SIZE])
{
    if (value)
        snprintf(text, TOP_TEXT_SIZE, " %4.0f%%",
                 fmin(100 * sqrt(variance) / fabs((double)value), 999));
    else
        snprintf(text, TOP_TEXT_SIZE, " %5s", "-");
}

void top_print(const struct top *top, const struct profile *p, bool header, FILE *out)
{
    char value[TOP_TEXT_SIZE], cum[TOP_TEXT_SIZE], percent[3][TOP_TEXT_SIZE];
    int64_t sum = 0;
    if (header)
        print_header(top, p, out);
    for (size_t i = 0; i < top->row_count; i++)
        sum = (int64_t)((uint64_t)sum + (uint64_t)top->rows[i].flat);
    top_value_text(top, sum, value);
    top_value_text(top, top->total, cum);
    top_percent_text(sum, top->total, percent[0]);
    fprintf(out, "Showing nodes accounting for %s, %s of %s total\n", value, trimmed(percent[0]),
            cum);
    if (top->total && top->dropped) {
        top_value_text(top, top->dropped_cum, value);
        fprintf(out, "Dropped %zu node%s (cum <= %s)\n", top->dropped, top->dropped > 1 ? "s" : "",
                value);
    }
    if (top->total && top->row_count && top->row_count < top->node_count)
        fprintf(out, "Showing top %zu nodes out of %zu\n", top->row_count, top->node_count);
    const char *heading = top->errors ? " error" : "";
    fprintf(out, "%10s%s %5s%% %5s%% %10s%s %5s%%\n", "flat", heading, "flat", "sum", "cum",
            heading, "cum");
    sum = 0;
    for (size_t i = 0; i < top->row_count; i++) {
        static const char *const inlined[] = {"", " (partial-inline)", " (inline)"};
        const struct top_row *row = &top->rows[i];
        char flat_error[TOP_TEXT_SIZE] = "", cum_error[TOP_TEXT_SIZE] = "";
        sum = (int64_t)((uint64_t)sum + (uint64_t)row->flat);
        top_value_text(top, row->flat, value);
        top_value_text(top, row->cum, cum);
        top_percent_text(row->flat, top->total, percent[0]);
        top_percent_text(sum, top->total, percent[1]);
        top_percent_text(row->cum, top->total, percent[2]);
        if (top->errors) {
            error_text(row->flat, row->flat_variance, flat_error);
            error_text(row->cum, row->cum_variance, cum_error);
        }
        fprintf(out, "%10s%s %s %s %10s%s %s  ", value, flat_error, percent[0], percent[1], cum,
                cum_error, percent[2]);
        plain_print(row->name, out);
        fprintf(out, "%s\n", inlined[row->inlined]);
    }
}
