#include "wait.h"

#include "keys.h"
#include "panel.h"
#include "term.h"
#include "target/source.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { LOOK_MS = 100 };

struct wait {
    pid_t pid;
    uint64_t start_ticks; /* tells the process from a later one with its pid */
    char name[32];
    char reason[160]; /* why there is none yet */
};

/* False: it has ended already. */
static bool wait_begin(struct wait *wait, pid_t pid)
{
    struct proc_stat stat;
    *wait = (struct wait){.pid = pid};
    if (proc_stat(pid, &stat) != 0)
        return false;
    wait->start_ticks = stat.start_ticks;
    snprintf(wait->name, sizeof wait->name, "%s", stat.comm);
    return true;
}

static bool is_gone(const struct wait *wait)
{
    struct proc_stat stat;
    return proc_stat(wait->pid, &stat) != 0 || proc_ended(&stat) ||
           stat.start_ticks != wait->start_ticks;
}

static bool resolve(const struct wait *wait, struct target *target,
                    char message[TARGET_MESSAGE_SIZE])
{
    char text[16];
    struct targets matches;
    snprintf(text, sizeof text, "%d", (int)wait->pid);
    int status = target_resolve(text, target, message, &matches);
    targets_fini(&matches);
    return status == 0;
}

/* Looks once.  False: wait on, for `reason`. */
static bool look(struct wait *wait, struct target *target, char message[TARGET_MESSAGE_SIZE],
                 enum wait_end *end)
{
    struct proc_maps maps;
    *end = WAIT_FOUND;
    proc_maps(wait->pid, &maps);
    /* One that a forked copy has of its parent is none to find. */
    if (maps.segment && resolve(wait, target, message))
        return true;
    if (is_gone(wait)) {
        if (resolve(wait, target, message)) /* it has left a segment */
            return true;
        snprintf(message, TARGET_MESSAGE_SIZE, "%d %s has ended before it had a segment",
                 (int)wait->pid, wait->name);
        *end = WAIT_OVER;
        return true;
    }
    if (target_why_not(wait->pid, wait->reason, sizeof wait->reason, NULL, 0))
        return false;
    *end = resolve(wait, target, message) ? WAIT_FOUND : WAIT_OVER;
    return true;
}

enum wait_end wait_batch(struct target *target, char message[TARGET_MESSAGE_SIZE])
{
    struct wait wait;
    enum wait_end end;
    static const struct timespec nap = {0, LOOK_MS * 1000000L};
    if (!wait_begin(&wait, target->pid))
        return WAIT_OVER;
    int64_t until_ns = monotonic_ns() + WAIT_BATCH_SECONDS * INT64_C(1000000000);
    while (!look(&wait, target, message, &end)) {
        if (monotonic_ns() >= until_ns) {
            snprintf(message, TARGET_MESSAGE_SIZE, "%d %s has no segment after %d s: %s",
                     (int)wait.pid, wait.name, WAIT_BATCH_SECONDS, wait.reason);
            return WAIT_OVER;
        }
        nanosleep(&nap, NULL);
    }
    return end;
}

/* Draws `text` on as many rows as it needs, broken between words.  Returns the row below. */
static int draw_wrapped(struct screen *screen, struct rect area, int row, const char *text)
{
    char line[TARGET_MESSAGE_SIZE];
    while (*text != '\0') {
        size_t fits = screen_fit(screen, text, area.cols), end = fits;
        if (text[fits] != '\0')
            while (end > 0 && text[end] != ' ' && text[end - 1] != ' ')
                end--;
        end = end > 0 ? end : fits > 0 ? fits : strlen(text);
        snprintf(line, sizeof line, "%.*s", (int)end, text);
        screen_text(screen, area, row++, 0, STYLE_NORMAL, line);
        text += end;
        text += strspn(text, " ");
    }
    return row;
}

static void draw(struct screen *screen, const struct wait *wait, const char *state,
                 enum style style, const char *text, const char *hint)
{
    static const char *const hints[] = {"q", "quit", NULL};
    int rows, cols;
    term_size(&rows, &cols);
    screen_resize(screen, rows, cols);
    struct rect all = screen_all(screen), body = {2, 2, rows - 3, cols - 4};
    char title[96];
    snprintf(title, sizeof title, "%d %s", (int)wait->pid, wait->name);
    int col = screen_text(screen, all, 0, 0, STYLE_TITLE, "memtop  ");
    col = screen_text_cut(screen, all, 0, col, STYLE_BOLD, title);
    screen_text_cut(screen, all, 0, col + 2, style, state);
    int row = draw_wrapped(screen, body, 0, text);
    draw_wrapped(screen, body, row + 1, hint);
    panel_draw_keys(screen, (struct rect){rows - 1, 0, 1, cols}, hints);
    term_show(screen);
}

static bool leaves(int key)
{
    enum key_action action = key_action(key);
    return action == ACTION_BACK || action == ACTION_CLOSE || action == ACTION_QUIT;
}

enum wait_end wait_live(struct target *target, const struct view_options *options,
                        char message[TARGET_MESSAGE_SIZE])
{
    struct wait wait;
    enum wait_end end = WAIT_OVER;
    struct screen screen = {.charset = term_charset(options->charset)};
    bool over = !wait_begin(&wait, target->pid);
    int key = TERM_NONE;
    while (!over && !leaves(key)) {
        over = look(&wait, target, message, &end);
        if (over)
            break;
        draw(&screen, &wait, "waiting", STYLE_WARN, wait.reason,
             "The view opens as soon as there is something to see.");
        key = term_key(LOOK_MS, -1);
    }
    if (!over)
        end = WAIT_LEFT;
    if (end == WAIT_OVER) /* a window that closes at once could not be read */
        for (key = TERM_NONE; !leaves(key); key = term_key(1000, -1))
            draw(&screen, &wait, "not there", STYLE_BAD, message, "");
    screen_fini(&screen);
    return end;
}
