#include "base/options.h"

#include "base/ascii.h"
#include "base/compiler.h"
#include "base/fmt.h"
#include "base/message.h"
#include "base/option_values.h"
#include "base/os.h"
#include "base/spelling.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static const struct option list[OPTION_COUNT] = {
#define OPTION(id, key, type, initial, when, accepts, meaning)                                     \
    [OPTION_##id] = {key, initial, accepts, meaning, type, when},
#include "base/options.def"
#undef OPTION
};

#define TEXT_POOL 8192
/* Atomic, as option_set changes them; all else is written by options_parse, before threads. */
static uint64_t numbers[OPTION_COUNT];
static const char *texts[OPTION_COUNT];
static bool given[OPTION_COUNT];
static char pool[TEXT_POOL];
static size_t pool_used;
static enum options_given_to given_to;

#define KEY_SIZE 32
#define ITEM_SIZE 1024 /* key=value */

/* Keys ignore case, _ and -. */
static void normalize(char *out, const char *key, size_t length)
{
    size_t n = 0;
    for (size_t i = 0; i < length && n < KEY_SIZE - 1; i++)
        if (key[i] != '_' && key[i] != '-')
            out[n++] = ascii_lower(key[i]);
    out[n] = 0;
}

static int find(const char *normalized)
{
    for (int i = 0; i < OPTION_COUNT; i++)
        if (strcmp(list[i].key, normalized) == 0)
            return i;
    return -1;
}

static const char *nearest(const char *normalized)
{
    int best = 0;
    unsigned best_distance = KEY_SIZE;
    for (int i = 0; i < OPTION_COUNT; i++) {
        unsigned d = spelling_distance(normalized, list[i].key);
        if (d < best_distance) {
            best_distance = d;
            best = i;
        }
    }
    return list[best].key;
}

static const char *keep_text(const char *text)
{
    size_t size = strlen(text) + 1;
    if (size > sizeof pool - pool_used)
        return NULL;
    char *kept = memcpy(pool + pool_used, text, size);
    pool_used += size;
    return kept;
}

static void say_accepts(struct fmt *f, const struct option *o)
{
    for (const char *c = o->accepts; *c; c++)
        if (*c == '~')
            c += strcspn(c, "|") - 1;
        else if (*c != '|' || c[1] != '~')
            fmt_char(f, *c);
}

/* What one "key=value" says. */
struct item {
    char *key, *value; /* NULL: a lone key */
    int id;            /* -1: unknown */
    uint64_t number;
    enum option_parsed parsed;
};

/* Of a terminated and trimmed text, which is cut up; `whole`: it is all that was given. */
static struct item read_item(char *text, bool whole)
{
    struct item item = {.key = text, .value = strchr(text, '='), .parsed = PARSED_BAD};
    char normalized[KEY_SIZE];
    if (item.value)
        *item.value++ = 0;
    for (size_t n = strlen(text); n && ascii_is_space(text[n - 1]);)
        text[--n] = 0;
    while (item.value && ascii_is_space(*item.value))
        item.value++;
    normalize(normalized, text, strlen(text));
    item.id = find(normalized);
    const struct option *o = item.id < 0 ? NULL : &list[item.id];
    if (o)
        item.parsed = o->when == LATER
                          ? PARSED_LATER
                          : option_value_read(o, item.value ? item.value : "1", &item.number);
    if (!whole)
        item.parsed = PARSED_LONG;
    return item;
}

/* What is wrong with it. */
static void say_complaint(struct fmt *f, const struct item *item)
{
    char normalized[KEY_SIZE];
    size_t start = f->length;
    fmt_bytes(f, item->key, strnlen(item->key, 80));
    if (item->value) {
        fmt_char(f, '=');
        fmt_bytes(f, item->value, strnlen(item->value, 160));
    }
    if (item->parsed == PARSED_LATER) {
        fmt_text(f, ": not in this version");
    } else if (item->id >= 0 && item->parsed == PARSED_LONG) {
        fmt_text(f, ": too long");
    } else if (item->id >= 0) {
        fmt_text(f, ": bad value");
        fmt_text(f, ", accepted: ");
        say_accepts(f, &list[item->id]);
    } else {
        normalize(normalized, item->key, strlen(item->key));
        fmt_text(f, ": unknown key, nearest: ");
        fmt_text(f, nearest(normalized));
        fmt_text(f, " (MEMDEBUG=help lists all)");
    }
    for (size_t i = start; i < f->length; i++)
        if ((unsigned char)f->buf[i] < ' ' || f->buf[i] == 127)
            f->buf[i] = '?';
}

/* Takes one item over.  False: it has been complained about. */
static bool parse_item(char *text, bool whole)
{
    struct item item = read_item(text, whole);
    const char *kept = item.parsed == PARSED ? keep_text(item.value ? item.value : "1") : NULL;
    if (item.parsed == PARSED && !kept)
        item.parsed = PARSED_LONG;
    if (item.parsed != PARSED) {
        char line[600];
        struct fmt f = fmt_on(line, sizeof line);
        fmt_text(&f, "MEMDEBUG: ");
        say_complaint(&f, &item);
        message(line);
        return false;
    }
    numbers[item.id] = item.number;
    texts[item.id] = kept;
    given[item.id] = true;
    return true;
}

bool options_check(const char *text, char *complaint, size_t size)
{
    char copy[ITEM_SIZE];
    struct fmt f = fmt_on(complaint, size);
    size_t length = strnlen(text, sizeof copy - 1);
    memcpy(copy, text, length);
    copy[length] = 0;
    struct item item = read_item(copy, !text[length]);
    if (item.parsed != PARSED)
        say_complaint(&f, &item);
    return item.parsed == PARSED;
}

/* Whether the key at `text` is `follow`, however it is written; `letters` get the places of its
 * first three. */
static bool is_follow(char *text, char *letters[3])
{
    const char *const key = list[OPTION_FOLLOW].key;
    size_t n = 0;
    for (; *text && *text != '=' && *text != ',' && !ascii_is_space(*text); text++) {
        if (*text == '_' || *text == '-')
            continue;
        if (ascii_lower(*text) != key[n])
            return false;
        if (n < 3)
            letters[n] = text;
        n++;
    }
    return !key[n];
}

void options_mark(struct fmt *f)
{
    fmt_text(f, ",@");
    fmt_u64(f, (uint64_t)getpid());
    fmt_char(f, '.');
    fmt_u64(f, os_start_ticks());
}

/* The number of a process and its start: neither changes by exec, and no other has both. */
static void read_mark(const char *mark)
{
    uint64_t pid = 0, start = 0;
    const char *end;
    bool whole = option_value_digits(mark + 1, &pid, &end) && *end == '.' &&
                 option_value_digits(end + 1, &start, &end) && !*end;
    given_to = whole && pid == (uint64_t)getpid() && start == os_start_ticks() ? GIVEN_HERE
                                                                               : GIVEN_TO_PARENT;
}

enum options_given_to options_given_to(void)
{
    return given_to;
}

bool options_parse(char *text)
{
    bool child = false;
    given_to = GIVEN_FIRST;
    for (int i = 0; i < OPTION_COUNT; i++) {
        texts[i] = list[i].initial;
        option_value_read(&list[i], list[i].initial, &numbers[i]);
        given[i] = false;
    }
    pool_used = 0;
    for (char *p = text; p && *p;) {
        char item[ITEM_SIZE], *start = p, *letters[3];
        size_t n = 0;
        bool whole = true;
        while (ascii_is_space(*start))
            start++;
        bool follow = is_follow(start, letters);
        for (p = start; *p; p++) {
            if (*p == '\\' && p[1] == ',') {
                p++;
            } else if (*p == ',') {
                /* follow=fork,exec is one value. */
                if (!follow || !ascii_begins_same(p + 1, "exec", 4) ||
                    !(p[5] == 0 || p[5] == ',' || ascii_is_space(p[5])))
                    break;
            }
            whole = n < sizeof item - 1;
            if (whole)
                item[n++] = *p;
        }
        while (n && ascii_is_space(item[n - 1]))
            n--;
        item[n] = 0;
        char *end = p;
        if (n) {
            if (follow) {
                child = *letters[0] == 'f' && *letters[1] == 'O' && *letters[2] == 'l';
                *letters[0] = 'f';
                *letters[1] = 'O';
                *letters[2] = 'l';
            }
            if (*item == '@')
                read_mark(item);
            else if (!parse_item(item, whole))
                memset(start, ',', (size_t)(end - start));
        }
        p += *p == ',';
    }
    return child;
}

bool options_first_in_tree(char *text)
{
    char *first = NULL, *last = NULL;
    for (char *c = text; c && *c && *c != '=' && !(first && *c == ','); c++)
        if (ascii_is_lower(*c) || ascii_is_upper(*c)) {
            first = first ? first : c;
            last = c;
        }
    if (first == last || (ascii_is_lower(*first) && ascii_is_upper(*last)))
        return false;
    *first = ascii_lower(*first);
    *last = ascii_upper(*last);
    return true;
}

uint64_t option_number(enum option_id id)
{
    return __atomic_load_n(&numbers[id], __ATOMIC_RELAXED);
}

const char *option_text(enum option_id id)
{
    return texts[id] ? texts[id] : "";
}

bool option_given(enum option_id id)
{
    return given[id];
}

enum gc_mode option_gc(void)
{
    enum gc_mode mode = (enum gc_mode)option_number(OPTION_GC);
    if (mode != GC_AUTO)
        return mode;
    return option_number(OPTION_GCTRACE) != GCTRACE_OFF || option_number(OPTION_LEAKCHECK) ||
                   option_given(OPTION_GCINTERVAL)
               ? GC_OBSERVE
               : GC_OFF;
}

int option_read(const char *key, const char *value, enum option_id *id, uint64_t *number)
{
    char normalized[KEY_SIZE];
    normalize(normalized, key, strlen(key));
    int found = find(normalized);
    if (found < 0)
        return EINVAL;
    *id = (enum option_id)found;
    if (list[found].when != RUNTIME)
        return list[found].when == LATER ? ENOSYS : EPERM;
    enum option_parsed parsed = option_value_read(&list[found], value, number);
    return parsed == PARSED ? 0 : parsed == PARSED_LATER ? ENOSYS : EINVAL;
}

int option_set(const char *key, const char *value)
{
    enum option_id id;
    uint64_t number;
    int error = option_read(key, value, &id, &number);
    if (!error)
        __atomic_store_n(&numbers[id], number, __ATOMIC_RELAXED);
    return error;
}

void options_describe(char *buf, size_t size)
{
    struct fmt f = fmt_on(buf, size);
    for (int i = 0; i < OPTION_COUNT; i++) {
        uint64_t initial, number = option_number((enum option_id)i);
        option_value_read(&list[i], list[i].initial, &initial);
        if (list[i].type == TEXT ? !*option_text((enum option_id)i) : number == initial)
            continue;
        if (f.length)
            fmt_char(&f, ',');
        fmt_text(&f, list[i].key);
        fmt_char(&f, '=');
        if (list[i].type != TEXT) {
            option_value_write(&f, &list[i], number);
            continue;
        }
        for (const char *c = option_text((enum option_id)i); *c; c++) {
            if (*c == ',')
                fmt_char(&f, '\\');
            fmt_char(&f, *c);
        }
    }
}

void options_help(void (*line)(const char *text))
{
    char text[400];
    line("MEMDEBUG=key=value,key=value; a lone key means key=1");
    for (int i = 0; i < OPTION_COUNT; i++) {
        const struct option *o = &list[i];
        struct fmt f = fmt_on(text, sizeof text);
        fmt_text(&f, "  ");
        fmt_text(&f, o->key);
        while (f.length < 22)
            fmt_char(&f, ' ');
        fmt_text(&f, *o->initial ? o->initial : "-");
        while (f.length < 33)
            fmt_char(&f, ' ');
        fmt_text(&f, o->when == RUNTIME ? " * " : "   ");
        fmt_text(&f, o->meaning);
        fmt_text(&f, " (");
        say_accepts(&f, o);
        fmt_text(&f, o->when == LATER ? "; not in this version)" : ")");
        line(text);
    }
    line("  * can be set while the program runs (md_set)");
}
