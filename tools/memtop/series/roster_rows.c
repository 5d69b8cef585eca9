#include "roster_rows.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int roster_figure(enum roster_column column)
{
    static const int figures[ROSTER_COLUMNS] = {
        [ROSTER_PID] = -1,
        [ROSTER_USER] = -1,
        [ROSTER_STATE] = -1,
        [ROSTER_UP] = FIGURE_UP,
        [ROSTER_HEAP] = FIGURE_HEAP,
        [ROSTER_GROWTH] = FIGURE_GROWTH,
        [ROSTER_LEAKED] = FIGURE_LEAKED,
        [ROSTER_ALLOC] = FIGURE_ALLOC,
        [ROSTER_RSS] = FIGURE_RSS,
        [ROSTER_PAUSE] = FIGURE_PAUSE,
        [ROSTER_THREADS] = FIGURE_THREADS,
        [ROSTER_PAST] = -1,
        [ROSTER_COMMAND] = -1,
    };
    return figures[column];
}

enum roster_column roster_next(enum roster_column column, int step)
{
    do
        column = (enum roster_column)(((int)column + step + ROSTER_COLUMNS) % ROSTER_COLUMNS);
    while (column == ROSTER_PAST);
    return column;
}

static bool is_dead(const struct roster_row *row)
{
    enum target_state state = row->member->target.state;
    return state == TARGET_DEAD || state == TARGET_BAD;
}

static int by_text(enum roster_column column, const struct member *a, const struct member *b)
{
    switch (column) {
    case ROSTER_USER:
        return strcmp(a->user, b->user);
    case ROSTER_STATE:
        return strcmp(target_state_name(&a->target), target_state_name(&b->target));
    case ROSTER_COMMAND:
        return strcmp(a->target.cmdline[0] ? a->target.cmdline : a->target.name,
                      b->target.cmdline[0] ? b->target.cmdline : b->target.name);
    default:
        return 0;
    }
}

static int compare(const struct roster_row *a, const struct roster_row *b,
                   enum roster_column column)
{
    int dead = is_dead(a) - is_dead(b);
    if (dead)
        return dead;
    int figure = roster_figure(column), result = 0;
    if (figure >= 0) {
        double x = a->figure[figure], y = b->figure[figure];
        result = isnan(x) || isnan(y) ? isnan(x) - isnan(y) : (x < y) - (x > y);
    } else {
        result = by_text(column, a->member, b->member);
    }
    const struct target *x = &a->member->target, *y = &b->member->target;
    if (result == 0 && x->ended_realtime_ns != y->ended_realtime_ns)
        return x->ended_realtime_ns < y->ended_realtime_ns ? 1 : -1;
    return result             ? result
           : x->pid != y->pid ? (x->pid > y->pid) - (x->pid < y->pid)
                              : (x->ino > y->ino) - (x->ino < y->ino);
}

static int compare_rows(const void *a, const void *b, void *column)
{
    return compare(a, b, *(enum roster_column *)column);
}

static int compare_names(const void *a, const void *b)
{
    const struct roster_row *x = a, *y = b;
    return strcmp(x->member->target.name, y->member->target.name);
}

static bool matches(const struct member *member, const char *filter)
{
    char pid[16];
    snprintf(pid, sizeof pid, "%d", (int)member->target.pid);
    return filter[0] == '\0' || strcasestr(member->target.cmdline, filter) ||
           strcasestr(member->target.name, filter) || strcasestr(member->user, filter) ||
           strstr(pid, filter);
}

static void add_figures(struct roster_row *sum, const struct roster_row *row)
{
    for (int i = 0; i < FIGURE_COUNT; i++) {
        double more = row->figure[i], *total = &sum->figure[i];
        if (isnan(more))
            continue;
        if (isnan(*total))
            *total = more;
        else
            *total = i == FIGURE_UP || i == FIGURE_PAUSE ? fmax(*total, more) : *total + more;
    }
    sum->processes += row->processes;
}

/* Sums up rows of one name; returns how many rows are left. */
static size_t sum_up(struct roster_row *rows, size_t count)
{
    size_t kept = 0, living = 0;
    for (size_t i = 0; i < count; i++)
        if (!is_dead(&rows[i]))
            rows[living++] = rows[i];
    qsort(rows, living, sizeof rows[0], compare_names);
    double most = NAN; /* heap of a member of the row that is being summed up */
    for (size_t i = 0; i < living; i++) {
        struct roster_row row = rows[i];
        if (kept == 0 || compare_names(&rows[kept - 1], &row) != 0) {
            rows[kept++] = row;
            most = row.figure[FIGURE_HEAP];
            continue;
        }
        if (!(row.figure[FIGURE_HEAP] <= most) && !isnan(row.figure[FIGURE_HEAP])) {
            most = row.figure[FIGURE_HEAP];
            rows[kept - 1].member = row.member;
        }
        add_figures(&rows[kept - 1], &row);
    }
    return kept;
}

/* A row's place in the tree; indexes of rows. */
struct place {
    size_t first, last, next, parent; /* children, and the next of the parent's; NONE */
};
#define NONE SIZE_MAX

struct by_pid {
    pid_t pid;
    size_t row;
};

static int compare_pids(const void *a, const void *b)
{
    const struct by_pid *x = a, *y = b;
    return (x->pid > y->pid) - (x->pid < y->pid);
}

/* The living row that a row hangs below. */
static size_t parent_of(const struct roster_row *row, const struct by_pid *pids, size_t count)
{
    struct by_pid wanted = {.pid = row->member->parent};
    const struct by_pid *found = is_dead(row) || wanted.pid <= 0
                                     ? NULL
                                     : bsearch(&wanted, pids, count, sizeof *pids, compare_pids);
    return found ? found->row : NONE;
}

/* Whether `row` hangs below itself: figures of two moments may say so. */
static bool is_circle(const struct place *places, size_t row)
{
    size_t steps = 0;
    for (size_t up = places[row].parent; up != NONE; up = places[up].parent)
        if (up == row || ++steps > 4096)
            return true;
    return false;
}

/* Puts sorted rows into the order of the tree.  Without memory they stay a list. */
static void make_tree(struct roster_row *rows, size_t count)
{
    struct place *places = calloc(count + 1, sizeof *places);
    struct by_pid *pids = calloc(count + 1, sizeof *pids);
    struct roster_row *sorted = calloc(count + 1, sizeof *sorted);
    if (!places || !pids || !sorted)
        goto out;
    memcpy(sorted, rows, count * sizeof *rows);
    size_t living = 0;
    for (size_t i = 0; i < count; i++) {
        places[i] = (struct place){NONE, NONE, NONE, NONE};
        if (sorted[i].member->target.state == TARGET_LIVE)
            pids[living++] = (struct by_pid){sorted[i].member->target.pid, i};
    }
    qsort(pids, living, sizeof *pids, compare_pids);
    for (size_t i = 0; i < count; i++) {
        places[i].parent = parent_of(&sorted[i], pids, living);
        if (is_circle(places, i))
            places[i].parent = NONE;
    }
    for (size_t i = 0; i < count; i++) {
        size_t parent = places[i].parent;
        if (parent == NONE)
            continue;
        if (places[parent].last == NONE)
            places[parent].first = i;
        else
            places[places[parent].last].next = i;
        places[parent].last = i;
    }
    size_t out = 0;
    for (size_t root = 0; root < count; root++) {
        if (places[root].parent != NONE)
            continue;
        int depth = 0;
        for (size_t at = root; at != NONE;) {
            rows[out] = sorted[at];
            rows[out].depth = depth;
            rows[out++].last = places[at].next == NONE;
            if (places[at].first != NONE) {
                at = places[at].first;
                depth++;
                continue;
            }
            while (at != root && places[at].next == NONE) {
                at = places[at].parent;
                depth--;
            }
            at = at == root ? NONE : places[at].next;
        }
    }
out:
    free(places);
    free(pids);
    free(sorted);
}

size_t roster_rows(struct member *const *members, size_t count, const struct roster_order *order,
                   struct roster_row *rows)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (!matches(members[i], order->filter))
            continue;
        struct roster_row *row = &rows[kept++];
        *row = (struct roster_row){.member = members[i], .processes = 1};
        memcpy(row->figure, members[i]->figure, sizeof row->figure);
    }
    if (order->shape == ROSTER_TOTALS)
        kept = sum_up(rows, kept);
    enum roster_column column = order->column;
    qsort_r(rows, kept, sizeof rows[0], compare_rows, &column);
    if (order->shape == ROSTER_TREE)
        make_tree(rows, kept);
    return kept;
}
