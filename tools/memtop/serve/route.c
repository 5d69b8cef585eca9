#include "route.h"

#include "view/pprof.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Undoes %XX (and, in a query, +) of `length` bytes.  False: a bad escape, a control character, or
 * more than `size` - 1 bytes. */
static bool decode(const char *text, size_t length, bool query, char *out, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '%') {
            int high = i + 2 < length ? hex(text[i + 1]) : -1;
            int low = high >= 0 ? hex(text[i + 2]) : -1;
            if (low < 0)
                return false;
            c = (unsigned char)(high << 4 | low);
            i += 2;
        } else if (c == '+' && query) {
            c = ' ';
        }
        if (c < 0x20 || c == 0x7f || n + 1 >= size)
            return false;
        out[n++] = (char)c;
    }
    out[n] = '\0';
    return true;
}

/* A decimal number, whole, as Go's Atoi; false: it is none, or too great. */
static bool number(const char *text, long *value)
{
    char *end;
    errno = 0;
    *value = strtol(text, &end, 10);
    bool good = *end == '\0' && end != text && !errno && text[0] != ' ';
    if (!good)
        *value = 0;
    return good;
}

/* The first value of a key, as Go's FormValue: pairs that cannot be decoded are passed over. */
static bool parameter(const char *query, const char *key, char *value, size_t size)
{
    while (*query) {
        size_t pair = strcspn(query, "&#"), name = strcspn(query, "=&#");
        char decoded[32];
        if (!memchr(query, ';', pair) && decode(query, name, true, decoded, sizeof decoded) &&
            strcmp(decoded, key) == 0) {
            size_t from = name < pair ? name + 1 : pair;
            if (decode(query + from, pair - from, true, value, size))
                return true;
        }
        query += pair;
        if (*query != '&')
            break;
        query++;
    }
    return false;
}

static void read_query(const char *query, struct route *route)
{
    char value[64];
    route->raw_query = query;
    if (parameter(query, "seconds", value, sizeof value) && value[0]) {
        route->seconds_given = true;
        if (!number(value, &route->seconds) || route->seconds < 0)
            route->seconds = 0;
    }
    if (parameter(query, "debug", value, sizeof value))
        number(value, &route->debug);
    if (parameter(query, "gc", value, sizeof value))
        number(value, &route->gc);
}

static const char allocs[] = "allocs";

const char *route_profile_name(size_t index)
{
    const struct profile_kind *kind = NULL;
    if (index == 0)
        return allocs;
    if (index < MD_BUCKET_KINDS)
        kind = profile_kind((enum md_bucket_kind)(MD_BUCKET_UNUSED + index));
    return kind ? kind->name : NULL;
}

/* What stands behind …/debug/pprof/. */
static void read_profile(const char *word, struct route *route)
{
    size_t length = strnlen(word, sizeof route->profile - 1);
    memcpy(route->profile, word, length); /* a longer one is none that there is */
    if (strcmp(word, "") == 0) {
        route->page = ROUTE_INDEX;
    } else if (strcmp(word, "cmdline") == 0) {
        route->page = ROUTE_CMDLINE;
    } else if (strcmp(word, "symbol") == 0) {
        route->page = ROUTE_SYMBOL;
    } else {
        const struct profile_kind *kind = profile_kind_named(word);
        route->page = ROUTE_PROFILE;
        route->allocs = strcmp(word, allocs) == 0;
        route->kind = route->allocs ? MD_BUCKET_HEAP : kind ? kind->bucket_kind : MD_BUCKET_UNUSED;
    }
}

/* The next segment of a path that begins with /; false: there is none, or it cannot be decoded. */
static bool segment(const char **path, char *word, size_t size)
{
    if (**path != '/')
        return false;
    size_t length = strcspn(++*path, "/");
    bool good = decode(*path, length, false, word, size);
    *path += length;
    return good;
}

/* "/debug/pprof/WORD"; false: the path is another one. */
static bool below_pprof(const char *path, struct route *route)
{
    static const char prefix[] = "/debug/pprof";
    char word[ROUTE_URI_MAX];
    size_t length = sizeof prefix - 1;
    if (strncmp(path, prefix, length) != 0)
        return false;
    path += length;
    if (*path == '\0') /* Go redirects; links of an index are relative to the one with the slash */
        return false;
    if (!segment(&path, word, sizeof word) || *path != '\0')
        return false;
    read_profile(word, route);
    return true;
}

static bool read_pid(const char **path, struct route *route)
{
    char word[16];
    long pid;
    if (!segment(path, word, sizeof word) || word[0] < '0' || word[0] > '9' ||
        !number(word, &pid) || pid <= 0 || pid > INT32_MAX)
        return false;
    route->scope = ROUTE_PID;
    route->pid = (pid_t)pid;
    return true;
}

static const struct {
    const char *path;
    enum route_page page;
    bool of_pid; /* behind /pid/N, or /json/pid/N for the JSON of one */
} pages[] = {
    {"/", ROUTE_HOME, false},
    {"/healthz", ROUTE_HEALTH, false},
    {"/metrics", ROUTE_METRICS, false},
    {"/targets", ROUTE_TARGETS, false},
    {"/json/ps", ROUTE_PS, false},
    {"/metrics", ROUTE_METRICS, true},
    {"/gc", ROUTE_GC, true},
    {"/purge", ROUTE_PURGE, true},
};

static bool read_page(const char *path, struct route *route)
{
    bool of_pid = route->scope == ROUTE_PID;
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++)
        if (pages[i].of_pid == of_pid && strcmp(pages[i].path, path) == 0) {
            route->page = pages[i].page;
            return true;
        }
    return below_pprof(path, route);
}

static bool has_prefix(const char **path, const char *prefix)
{
    size_t length = strlen(prefix);
    if (strncmp(*path, prefix, length) != 0 || (*path)[length] != '/')
        return false;
    *path += length;
    return true;
}

static bool read_path(const char *path, struct route *route)
{
    if (has_prefix(&path, "/pid"))
        return read_pid(&path, route) && read_page(path, route);
    if (has_prefix(&path, "/name")) {
        route->scope = ROUTE_NAME;
        return segment(&path, route->name, sizeof route->name) && route->name[0] &&
               below_pprof(path, route);
    }
    if (has_prefix(&path, "/json/pid")) {
        route->page = ROUTE_TARGET;
        return read_pid(&path, route) && *path == '\0';
    }
    if (has_prefix(&path, "/events/pid")) {
        route->page = ROUTE_EVENTS;
        return read_pid(&path, route) && *path == '\0';
    }
    return read_page(path, route);
}

unsigned route_parse(const char *uri, struct route *route, const char **why)
{
    char path[ROUTE_URI_MAX];
    *route = (struct route){.raw_query = ""};
    *why = "";
    if (strlen(uri) >= ROUTE_URI_MAX) {
        *why = "the URI is too long";
        return 414;
    }
    size_t length = strcspn(uri, "?#");
    memcpy(path, uri, length);
    path[length] = '\0';
    if (uri[length] == '?')
        read_query(uri + length + 1, route);
    if (read_path(path, route))
        return 0;
    const char *query = route->raw_query;
    *route = (struct route){.raw_query = query};
    *why = "404 page not found";
    return 404;
}
