/* tools/memtop/series/roster_rows.c, ui/fleet_columns.c, and growth and past of a member: pure. */
#include "series/roster_rows.h"
#include "support/tap.h"
#include "ui/fleet_columns.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define SECOND INT64_C(1000000000)

enum { MANY = 2000 };

static struct member people[16];
static struct member *members[16];
static struct roster_row rows[MANY];

/* A living process; its heap in MB. */
static struct member *person(size_t at, pid_t pid, pid_t parent, const char *name, double heap)
{
    struct member *member = &people[at];
    memset(member, 0, sizeof *member);
    member->target.pid = pid;
    member->target.ino = (ino_t)pid;
    member->parent = parent;
    snprintf(member->target.name, sizeof member->target.name, "%s", name);
    snprintf(member->target.cmdline, sizeof member->target.cmdline, "/bin/%s --n %d", name,
             (int)pid);
    snprintf(member->user, sizeof member->user, pid % 2 ? "anna" : "bert");
    for (int i = 0; i < FIGURE_COUNT; i++)
        member->figure[i] = NAN;
    member->figure[FIGURE_HEAP] = heap;
    return members[at] = member;
}

static size_t make(size_t count, enum roster_column column, enum roster_shape shape,
                   const char *filter)
{
    return roster_rows(members, count, &(struct roster_order){column, shape, filter}, rows);
}

/* The pids of the rows, each behind as many dots as it lies deep. */
static const char *pids(size_t count)
{
    static char text[512];
    size_t at = 0;
    text[0] = '\0';
    for (size_t i = 0; i < count; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%.*s%d", i ? " " : "", rows[i].depth,
                               "........", (int)rows[i].member->target.pid);
    return text;
}

static void is_list(const char *got, const char *expected, const char *what)
{
    ok(strcmp(got, expected) == 0, "%s: '%s'", what, got);
}

static void test_order(void)
{
    person(0, 10, 0, "b", 5);
    person(1, 11, 0, "a", NAN);
    person(2, 12, 0, "c", 50);
    person(3, 13, 0, "d", 5);
    person(4, 14, 0, "dead", 500)->target.state = TARGET_DEAD;
    person(5, 15, 0, "zero", 0);
    is_list(pids(make(6, ROSTER_HEAP, ROSTER_LIST, "")), "12 10 13 15 11 14",
            "by heap: the greatest first, equals by pid, what is not known, then the dead");
    is_list(pids(make(6, ROSTER_PID, ROSTER_LIST, "")), "10 11 12 13 15 14", "by pid");
    is_list(pids(make(6, ROSTER_COMMAND, ROSTER_LIST, "")), "11 10 12 13 15 14", "by command");
    is_list(pids(make(6, ROSTER_USER, ROSTER_LIST, "")), "11 13 15 10 12 14", "by user");
    is_list(pids(make(6, ROSTER_HEAP, ROSTER_LIST, "ZERO")), "15", "a filter, in any case");
    is_list(pids(make(6, ROSTER_HEAP, ROSTER_LIST, "anna")), "13 15 11", "by user");
    is_list(pids(make(6, ROSTER_HEAP, ROSTER_LIST, "12")), "12", "by pid");
    is_list(pids(make(6, ROSTER_HEAP, ROSTER_LIST, "nobody")), "", "that nothing matches");
}

static void test_tree(void)
{
    person(0, 20, 1, "server", 1);
    person(1, 21, 20, "worker", 10);
    person(2, 22, 20, "worker", 90);
    person(3, 23, 21, "helper", 1000);
    person(4, 24, 1, "other", 50);
    person(5, 25, 20, "gone", 70)->target.state = TARGET_DEAD;
    size_t count = make(6, ROSTER_HEAP, ROSTER_TREE, "");
    is_list(pids(count), "24 20 .22 .21 ..23 25",
            "a tree: children below parents, siblings and roots sorted, the dead at the end");
    ok(!rows[2].last && rows[3].last && rows[4].last, "the last of a parent's children is known");
    is_list(pids(make(6, ROSTER_HEAP, ROSTER_TREE, "worker")), "22 21",
            "whose parent is filtered away is a root");
    people[0].parent = 23; /* as read at two moments */
    count = make(6, ROSTER_HEAP, ROSTER_TREE, "");
    ok(count == 6 && strstr(pids(count), "20") && strstr(pids(count), "23") &&
           strstr(pids(count), "22"),
       "a circle of parents: each is there once (%s)", pids(count));
    people[0].parent = 20;
    ok(make(6, ROSTER_HEAP, ROSTER_TREE, "") == 6, "nor does its own parent disturb");
}

/* Each once, whatever the parents are. */
static void test_any_tree(void)
{
    unsigned seed = 1;
    bool whole = true;
    for (int round = 0; round < 3000; round++) {
        for (size_t i = 0; i < 9; i++) {
            seed = seed * 1103515245 + 12345;
            person(i, (pid_t)(30 + i), (pid_t)(29 + (seed >> 16) % 11), "x", seed >> 24);
        }
        unsigned seen = 0;
        whole = whole && make(9, ROSTER_HEAP, ROSTER_TREE, "") == 9;
        for (size_t i = 0; i < 9; i++)
            seen |= 1u << (rows[i].member->target.pid - 30);
        whole = whole && seen == (1u << 9) - 1;
    }
    ok(whole, "of 3000 trees and circles each shows everybody once");
}

static void test_totals(void)
{
    person(0, 40, 1, "nginx", 10)->figure[FIGURE_UP] = 7;
    person(1, 41, 40, "nginx", 30)->figure[FIGURE_UP] = 5;
    person(2, 42, 1, "redis", 35);
    person(3, 43, 1, "nginx", NAN)->figure[FIGURE_RSS] = 3;
    person(4, 44, 1, "nginx", 1000)->target.state = TARGET_DEAD;
    size_t count = make(5, ROSTER_HEAP, ROSTER_TOTALS, "");
    ok(count == 2 && rows[0].processes == 3 && rows[0].figure[FIGURE_HEAP] == 40 &&
           rows[0].figure[FIGURE_UP] == 7 && rows[0].figure[FIGURE_RSS] == 3 &&
           rows[0].member->target.pid == 41,
       "sums of the living by name, of times the greatest");
    ok(isnan(rows[0].figure[FIGURE_LEAKED]), "of what none knows the sum is not known");
    ok(rows[1].processes == 1 && rows[1].member->target.pid == 42, "sorted");
}

static void test_columns(void)
{
    struct fleet_column at[ROSTER_COLUMNS], before[ROSTER_COLUMNS];
    bool apart = true, inside = true, must = true, grows = true, command = true, found = true;
    size_t last = 0;
    for (int cols = 20; cols <= 300; cols++) {
        size_t count = fleet_columns(cols, at);
        unsigned there = 0;
        for (size_t i = 0; i < count; i++) {
            there |= 1u << at[i].column;
            inside = inside && at[i].width > 0 && at[i].start + at[i].width <= cols;
            apart = apart && (i == 0 || at[i].start > at[i - 1].start + at[i - 1].width);
            found = found && fleet_column_at(cols, at[i].start) == at[i].column &&
                    fleet_column_at(cols, at[i].start + at[i].width - 1) == at[i].column;
            command = command && (cols < 40 || at[i].column != ROSTER_COMMAND ||
                                  at[i].width >= FLEET_COMMAND_MIN);
        }
        must = must && (there >> ROSTER_PID & 1) && (there >> ROSTER_HEAP & 1) &&
               (cols < 40 || ((there >> ROSTER_GROWTH & 1) && (there >> ROSTER_COMMAND & 1)));
        /* What a narrower screen had, a wider one has. */
        for (size_t i = 0; i < last; i++)
            grows = grows && (there >> before[i].column & 1);
        last = count;
        memcpy(before, at, sizeof at);
    }
    ok(inside && apart, "columns of 20 to 300: none leaves the screen, none touches another");
    ok(must && command, "pid and heap always, growth and a command of %d from 40 on",
       FLEET_COMMAND_MIN);
    ok(grows, "a wider screen has what a narrower one had");
    ok(found, "the column at each place is found");
    ok(fleet_columns(300, at) == ROSTER_COLUMNS, "a wide one has all");
    bool fits = true;
    for (int i = 0; i < ROSTER_COLUMNS; i++)
        fits = fits && strlen(fleet_title((enum roster_column)at[i].column)) <= (size_t)at[i].width;
    ok(fits, "titles fit");
    enum roster_column column = ROSTER_PID;
    int steps = 0;
    do
        column = roster_next(column, 1), steps++;
    while (column != ROSTER_PID && steps < 100);
    ok(steps == ROSTER_COLUMNS - 1 && roster_next(ROSTER_PID, -1) == ROSTER_COMMAND,
       "each column but the past can be sorted by, in both directions");
}

static void test_growth(void)
{
    double past[4];
    struct member *member = person(0, 50, 0, "x", 0);
    int64_t start = 1000 * SECOND;
    ok(isnan(member_growth(member, start)), "growth is not known at first");
    for (int i = 0; i < 100; i++) { /* 1 MB a second */
        size_t at = member->point_next++ % ROSTER_POINTS;
        member->point[at].time_ns = start + i * ROSTER_POINT_NS;
        member->point[at].heap_bytes = 2e6 * i;
        if (member->point_count < ROSTER_POINTS)
            member->point_count++;
        member->figure[FIGURE_HEAP] = 2e6 * i;
        double growth = member_growth(member, start + i * ROSTER_POINT_NS);
        if (i < ROSTER_GROWTH_SECONDS / 2 ? !isnan(growth) : fabs(growth - 60e6) > 1)
            ok(false, "growth after %d s is %g", 2 * i, growth);
    }
    int64_t now = start + 99 * ROSTER_POINT_NS;
    ok(fabs(member_growth(member, now) - 60e6) < 1, "it is a minute's, from the start on");
    member->figure[FIGURE_HEAP] -= 198e6;
    ok(member_growth(member, now) < 0, "and less than nothing where the heap shrank");
    member_past(member, now, 8 * SECOND, past, 4);
    ok(past[3] == 198e6 && past[2] == 196e6 && past[0] == 192e6, "the past, oldest first");
    member_past(member, now, 800 * SECOND, past, 4);
    ok(isnan(past[0]) && past[3] == 198e6, "where there is none it is not known");
}

int main(void)
{
    test_order();
    test_tree();
    test_any_tree();
    test_totals();
    test_columns();
    test_growth();
    return tap_done();
}
