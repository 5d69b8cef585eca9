#include "view/leaks.h"

#include "view/plain_text.h"
#include "view/plumbing.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define LINE "-----------------------------------------------------\n"
#define WIDE_LINE "=================================================================\n"

/* ---- numbers, without the locale's decimal comma ---- */

void leaks_bytes(double bytes, char text[LEAKS_BYTES_SIZE])
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
    unsigned unit = 0;
    bytes = bytes > 0 && bytes < 1e18 ? bytes : bytes > 0 ? 1e18 : 0;
    for (; bytes >= 1023.5 && unit < 5; unit++)
        bytes /= 1024;
    unsigned decimals = unit == 0 || bytes >= 99.95 ? 0 : bytes >= 9.995 ? 1 : 2;
    unsigned power = decimals == 2 ? 100 : decimals == 1 ? 10 : 1;
    uint64_t scaled = (uint64_t)(bytes * power + 0.5);
    if (decimals)
        snprintf(text, LEAKS_BYTES_SIZE, "%" PRIu64 ".%0*" PRIu64 " %s", scaled / power,
                 (int)decimals, scaled % power, units[unit]);
    else
        snprintf(text, LEAKS_BYTES_SIZE, "%" PRIu64 " %s", scaled, units[unit]);
}

void leaks_amount(const struct leak_sum *sum, char text[LEAKS_AMOUNT_SIZE])
{
    char bytes[LEAKS_BYTES_SIZE], error[LEAKS_BYTES_SIZE];
    if (!(sum->objects_variance > 0)) {
        snprintf(text, LEAKS_AMOUNT_SIZE, "%.0f byte(s) in %.0f object(s)", sum->bytes,
                 sum->objects);
        return;
    }
    leaks_bytes(sum->bytes, bytes);
    leaks_bytes(sqrt(sum->bytes_variance), error);
    snprintf(text, LEAKS_AMOUNT_SIZE,
             "~%s \xc2\xb1 %s in ~%.0f \xc2\xb1 %.0f object(s) (%" PRIu64 " sample%s)", bytes,
             error, sum->objects, sqrt(sum->objects_variance), sum->samples,
             sum->samples == 1 ? "" : "s");
}

/* ---- text ---- */

static void print_frame(size_t number, const struct leak_frame *f, FILE *out)
{
    fprintf(out, "    #%zu 0x%" PRIx64, number, f->pc);
    if (*f->function) {
        fputs(" in ", out);
        plain_print(f->function, out);
    }
    if (*f->function && *f->file) {
        putc(' ', out);
        plain_print(f->file, out);
        if (f->line)
            fprintf(out, ":%" PRIu32, f->line);
    } else if (*f->module) {
        fputs(" (", out);
        plain_print(f->module, out);
        fprintf(out, "+0x%" PRIx64 ")", f->address);
    }
    putc('\n', out);
}

static void print_stack(struct leaks *l, uint32_t stack, size_t most, FILE *out)
{
    size_t count;
    bool recursive;
    const struct leak_frame *frames = leaks_frames(l, stack, &count, &recursive);
    for (size_t i = 0; i < count && (!most || i < most); i++)
        print_frame(i, &frames[i], out);
    if (!count)
        fprintf(out, "    (stack not known)\n");
    if (most && count > most)
        fprintf(out, "    ... %zu more\n", count - most);
    if (recursive)
        fprintf(out, "    (calls between two of one function are left out)\n");
}

static void print_blocks(struct leaks *l, const struct leaks_text *how, size_t shown, FILE *out)
{
    char amount[LEAKS_AMOUNT_SIZE];
    for (size_t i = 0; i < shown; i++) {
        const struct leak_group *g = &l->groups[i];
        for (int kind = 0; kind < LEAK_KINDS; kind++) {
            if (!g->sum[kind].samples)
                continue;
            leaks_amount(&g->sum[kind], amount);
            fprintf(out, "%s leak of %s allocated from:\n",
                    kind == LEAK_DIRECT ? "Direct" : "Indirect", amount);
            print_stack(l, g->stack, how->frames, out);
            putc('\n', out);
        }
    }
}

/* As everywhere, ~ marks what is estimated from samples. */
static void mark_bytes(bool exact, double bytes, char text[LEAKS_BYTES_SIZE + 1])
{
    text[0] = '~';
    leaks_bytes(bytes, exact ? text : text + 1);
}

static void print_table(const struct leaks *l, size_t shown, FILE *out)
{
    static const char *const headings[] = {"", "FUNCTION", "TYPE", "MODULE", "SIZE"};
    fprintf(out, "%9s %9s %9s %10s %7s  %s\n", "BYTES", "\xc2\xb1", "DIRECT", "OBJECTS", "STACKS",
            headings[l->by]);
    for (size_t i = 0; i < shown; i++) {
        const struct leak_group *g = &l->groups[i];
        struct leak_sum sum = leak_sum_of(&g->sum[LEAK_DIRECT], &g->sum[LEAK_INDIRECT]);
        bool exact = !(sum.objects_variance > 0);
        char bytes[LEAKS_BYTES_SIZE + 1], error[LEAKS_BYTES_SIZE], direct[LEAKS_BYTES_SIZE + 1];
        char objects[LEAKS_BYTES_SIZE];
        mark_bytes(exact, sum.bytes, bytes);
        leaks_bytes(sqrt(sum.bytes_variance), error);
        mark_bytes(exact, g->sum[LEAK_DIRECT].bytes, direct);
        snprintf(objects, sizeof objects, "%s%.0f", exact ? "" : "~", fmin(sum.objects, 1e18));
        fprintf(out, "%9s %8s %9s %10s %7" PRIu32 "  ", bytes, exact ? "-" : error, direct, objects,
                g->stacks);
        if (l->by == LEAKS_BY_SIZE)
            fprintf(out, "%" PRIu64, g->size);
        else
            plain_print(g->name, out);
        putc('\n', out);
    }
    putc('\n', out);
}

static void print_rest(const struct leaks *l, size_t shown, FILE *out)
{
    struct leak_sum sum = {.oldest_ds = UINT32_MAX};
    char amount[LEAKS_AMOUNT_SIZE];
    for (size_t i = shown; i < l->group_count; i++) {
        sum = leak_sum_of(&sum, &l->groups[i].sum[LEAK_DIRECT]);
        sum = leak_sum_of(&sum, &l->groups[i].sum[LEAK_INDIRECT]);
    }
    leaks_amount(&sum, amount);
    if (shown < l->group_count)
        fprintf(out, "and %zu more: %s\n\n", l->group_count - shown, amount);
}

static void print_unsampled(const struct leaks *l, size_t most, FILE *out)
{
    struct leak_sum sum = leaks_unsampled_sum(l);
    char amount[LEAKS_AMOUNT_SIZE];
    if (!l->unsampled_count)
        return;
    leaks_amount(&sum, amount);
    fprintf(out, "Leak of %s, not sampled: %s\n", amount,
            l->rate == 1 ? "allocated before memprofilerate was 1, or lost for want of room"
                         : "memprofilerate=1 would show where they come from");
    for (size_t i = 0; i < l->unsampled_count && (!most || i < most); i++) {
        const struct leaks_unsampled *u = &l->unsampled[i];
        fprintf(out, "    %" PRIu64 " object(s), %" PRIu64 " B", u->objects, u->bytes);
        if (u->size)
            fprintf(out, ", of %" PRIu64 " B each", u->size);
        putc('\n', out);
    }
    if (most && l->unsampled_count > most)
        fprintf(out, "    ... %zu more sizes\n", l->unsampled_count - most);
    putc('\n', out);
}

static void print_suppressions(const struct leaks *l, const struct suppressions *s, FILE *out)
{
    size_t unused = 0;
    if (!l->suppressed.samples && !s->count)
        return;
    for (size_t i = 0; i < s->count; i++)
        unused += s->rules[i].uses == 0;
    if (s->count > unused) {
        fprintf(out, LINE "Suppressions used:\n%7s %10s template\n", "count", "bytes");
        for (size_t i = 0; i < s->count; i++) {
            const struct suppression *rule = &s->rules[i];
            if (!rule->uses)
                continue;
            fprintf(out, "%7.0f %10.0f ", rule->objects, rule->bytes);
            plain_print(rule->pattern, out);
            putc('\n', out);
        }
        fputs(LINE "\n", out);
    }
    if (unused && l->group_count) {
        fprintf(out, "Suppressions not used: %zu:", unused);
        unsigned said = 0;
        for (size_t i = 0; i < s->count && said < 5; i++)
            if (!s->rules[i].uses) {
                putc(' ', out);
                plain_print(s->rules[i].pattern, out);
                said++;
            }
        fprintf(out, "%s\n\n", unused > said ? " ..." : "");
    }
}

/* What the cycle counted: the truth that samples are held against. */
static void print_cycle(const struct leaks *l, FILE *out)
{
    const struct md_cycle *c = &l->cycle;
    if (!l->has_cycle)
        return;
    fprintf(out, "gc %" PRIu64 ": %" PRIu64 " unreachable object(s), %" PRIu64 " B", c->number,
            c->unreachable_objects, c->unreachable_bytes);
    if (c->direct_objects)
        fprintf(out, "; %" PRIu64 " direct, %" PRIu64 " B", c->direct_objects, c->direct_bytes);
    putc('\n', out);
    if (l->once)
        fprintf(out, "%" PRIu64 " sample(s) only that cycle did not reach: not yet leaks.\n",
                l->once);
    if (l->lost_samples)
        fprintf(out, "%" PRIu64 " sample(s) were lost for want of room: there may be more.\n",
                l->lost_samples);
}

void leaks_print(struct leaks *l, const struct leaks_text *how, FILE *out)
{
    size_t shown = how->count && how->count < l->group_count ? how->count : l->group_count;
    struct leak_sum all = leaks_total(l);
    if (leaks_found(l)) {
        fprintf(out, WIDE_LINE "==%" PRIu32 "==ERROR: memdebug: detected memory leaks in ",
                how->pid);
        plain_print(how->name, out);
        fputs("\n\n", out);
        if (l->by == LEAKS_BY_STACK)
            print_blocks(l, how, shown, out);
        else if (shown)
            print_table(l, shown, out);
        print_rest(l, shown, out);
        print_unsampled(l, how->count, out);
    }
    if (how->suppressions)
        print_suppressions(l, how->suppressions, out);
    char amount[LEAKS_AMOUNT_SIZE];
    leaks_amount(&all, amount);
    if (!leaks_known(l) && !l->group_count && l->unseen_threads)
        fprintf(out,
                "SUMMARY: memdebug: not checked: the registers of %" PRIu32
                " thread(s) were not seen\n",
                l->unseen_threads);
    else if (!leaks_known(l) && !l->group_count)
        fputs(
            "SUMMARY: memdebug: not checked: a leak is what two cycles do not reach, one after the "
            "other\n",
            out);
    else if (all.objects_variance > 0)
        fprintf(out, "SUMMARY: memdebug: %s leaked.\n", amount);
    else
        fprintf(out, "SUMMARY: memdebug: %.0f byte(s) leaked in %.0f allocation(s).\n", all.bytes,
                all.objects);
    print_cycle(l, out);
}
