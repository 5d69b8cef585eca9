#include "fleet_columns.h"

static const struct {
    const char *title;
    int width;
    int falls; /* the order in which columns fall away, from 1; 0: never */
    bool number;
} kinds[ROSTER_COLUMNS] = {
    [ROSTER_PID] = {"PID", 7, 0, true},          [ROSTER_USER] = {"USER", 8, 4, false},
    [ROSTER_STATE] = {"STATE", 7, 7, false},     [ROSTER_UP] = {"UP", 6, 5, true},
    [ROSTER_HEAP] = {"HEAP", 5, 0, true},        [ROSTER_GROWTH] = {"GROWTH", 6, 0, true},
    [ROSTER_LEAKED] = {"LEAKED", 6, 8, true},    [ROSTER_ALLOC] = {"ALLOC/s", 7, 6, true},
    [ROSTER_RSS] = {"RSS", 5, 9, true},          [ROSTER_PAUSE] = {"PAUSE", 5, 2, true},
    [ROSTER_THREADS] = {"THR", 4, 1, true},      [ROSTER_PAST] = {"HEAP 2m", 10, 3, false},
    [ROSTER_COMMAND] = {"COMMAND", 0, 0, false},
};

const char *fleet_title(enum roster_column column)
{
    return kinds[column].title;
}

bool fleet_is_number(enum roster_column column)
{
    return kinds[column].number;
}

size_t fleet_columns(int cols, struct fleet_column columns[ROSTER_COLUMNS])
{
    int fallen = 0, taken;
    for (;; fallen++) {
        taken = 0;
        bool all_fell = true;
        for (int i = 0; i < ROSTER_COMMAND; i++) {
            if (kinds[i].falls == 0 || kinds[i].falls > fallen)
                taken += kinds[i].width + 1;
            all_fell &= kinds[i].falls <= fallen;
        }
        if (cols - taken >= FLEET_COMMAND_MIN || all_fell)
            break;
    }
    size_t count = 0;
    int start = 0;
    for (int i = 0; i < ROSTER_COMMAND; i++) {
        if (kinds[i].falls != 0 && kinds[i].falls <= fallen)
            continue;
        if (start + kinds[i].width > cols)
            return count;
        columns[count++] = (struct fleet_column){(enum roster_column)i, start, kinds[i].width};
        start += kinds[i].width + 1;
    }
    if (start < cols)
        columns[count++] = (struct fleet_column){ROSTER_COMMAND, start, cols - start};
    return count;
}

enum roster_column fleet_column_at(int cols, int col)
{
    struct fleet_column columns[ROSTER_COLUMNS];
    size_t count = fleet_columns(cols, columns);
    for (size_t i = 0; i < count; i++)
        if (col >= columns[i].start && col < columns[i].start + columns[i].width)
            return columns[i].column;
    return ROSTER_COLUMNS;
}
