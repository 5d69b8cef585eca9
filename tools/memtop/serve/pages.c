#include "pages.h"

#include "route.h"
#include "series/ndjson.h"
#include "view/pprof.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void escape(FILE *out, const char *text)
{
    for (; *text; text++) {
        const char *entity = *text == '<'    ? "&lt;"
                             : *text == '>'  ? "&gt;"
                             : *text == '&'  ? "&amp;"
                             : *text == '"'  ? "&quot;"
                             : *text == '\'' ? "&#39;"
                                             : NULL;
        if (entity)
            fputs(entity, out);
        else
            fputc(*text, out);
    }
}

/* A segment of a path. */
static void escape_path(FILE *out, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                     strchr("-._~", c);
        fprintf(out, plain ? "%c" : "%%%02X", c);
    }
}

static FILE *begin(char **text, size_t *size, const char *title)
{
    FILE *out = open_memstream(text, size);
    if (!out)
        return NULL;
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>", out);
    escape(out, title);
    fputs("</title></head>\n<body>\n<h1>", out);
    escape(out, title);
    fputs("</h1>\n", out);
    return out;
}

/* Closes the page; NULL: there was no memory for it. */
static char *end(FILE *out, char **text)
{
    fputs("</body>\n</html>\n", out);
    bool good = !ferror(out);
    good = fclose(out) == 0 && good;
    if (!good) {
        free(*text);
        *text = NULL;
    }
    return *text;
}

static void link_to(FILE *out, const char *href, const char *text, const char *what)
{
    fprintf(out, "<li><a href=\"%s\">", href);
    escape(out, text);
    fputs("</a> ", out);
    escape(out, what);
    fputs("</li>\n", out);
}

char *pages_index(const struct target *targets, size_t count, bool home, size_t *size)
{
    char *text = NULL;
    FILE *out = begin(&text, size, home ? "memtop serve" : "/debug/pprof/");
    if (!out)
        return NULL;
    if (home) {
        fputs("<ul>\n", out);
        link_to(out, "/metrics", "/metrics", "all processes, for Prometheus");
        link_to(out, "/targets", "/targets", "the same as targets for http_sd");
        link_to(out, "/debug/pprof/", "/debug/pprof/", "profiles");
        link_to(out, "/json/ps", "/json/ps", "all processes as JSON");
        fputs("</ul>\n", out);
    }
    fprintf(out, "<p>%zu process%s on memdebug:</p>\n<ul>\n", count, count == 1 ? "" : "es");
    for (size_t i = 0; i < count; i++) {
        const struct target *target = &targets[i];
        fprintf(out, "<li><a href=\"/pid/%d/debug/pprof/\">%d</a> <a href=\"/name/",
                (int)target->pid, (int)target->pid);
        escape_path(out, target->name);
        fputs("/debug/pprof/\">", out);
        escape(out, target->name);
        fputs("</a> ", out);
        escape(out, target->cmdline);
        fputs("</li>\n", out);
    }
    fputs("</ul>\n", out);
    return end(out, &text);
}

char *pages_profiles(const struct target *targets, size_t count, size_t *size)
{
    char *text = NULL, title[96];
    const char *name;
    if (count == 1)
        snprintf(title, sizeof title, "%d %s", (int)targets[0].pid, targets[0].name);
    else
        snprintf(title, sizeof title, "%s, %zu processes", targets[0].name, count);
    FILE *out = begin(&text, size, title);
    if (!out)
        return NULL;
    fputs("<ul>\n", out);
    for (size_t i = 0; (name = route_profile_name(i)); i++) {
        const struct profile_kind *kind = profile_kind_named(name);
        link_to(out, name, name, kind ? kind->help : "blocks of malloc, freed ones too");
    }
    if (count == 1)
        link_to(out, "cmdline", "cmdline", "the command line");
    fputs("</ul>\n<p>?debug=1: as text; ?seconds=N: what changes in N seconds; "
          "go tool pprof reads each.</p>\n",
          out);
    return end(out, &text);
}

char *pages_targets(const struct target *targets, size_t count, const char *host, size_t *size)
{
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++) {
        char pid[16], path[48], prefix[32];
        snprintf(pid, sizeof pid, "%d", (int)targets[i].pid);
        snprintf(path, sizeof path, "/pid/%d/metrics", (int)targets[i].pid);
        snprintf(prefix, sizeof prefix, "/pid/%d", (int)targets[i].pid);
        json_t *group = json_object(), *list = json_array(), *labels = json_object();
        json_array_append_new(list, ndjson_string(host ? host : "localhost"));
        json_object_set_new(labels, "__metrics_path__", json_string(path));
        json_object_set_new(labels, "__profile_path_prefix__", json_string(prefix));
        json_object_set_new(labels, "__meta_memdebug_pid", json_string(pid));
        json_object_set_new(labels, "__meta_memdebug_program", ndjson_string(targets[i].name));
        json_object_set_new(group, "targets", list);
        json_object_set_new(group, "labels", labels);
        json_array_append_new(array, group);
    }
    char *text = json_dumps(array, JSON_COMPACT);
    json_decref(array);
    *size = text ? strlen(text) : 0;
    return text;
}
